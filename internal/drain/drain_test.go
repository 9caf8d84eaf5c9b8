package drain

import (
	"runtime"
	"testing"
	"time"
)

func TestSpreadFollowsWhatAttachesCost(t *testing.T) {
	cores := float64(runtime.GOMAXPROCS(0))
	cases := map[string]struct {
		took time.Duration
		rate float64
	}{
		"nothing was measured":      {0, cores * 250},
		"a tenth of a millisecond":  {100 * time.Microsecond, cores * 2500},
		"a bad moment is bounded":   {time.Hour, slowest},
		"a clock that stands still": {1, fastest},
	}
	for name, c := range cases {
		var p Pace
		for range 200 {
			if c.took > 0 {
				p.Attached(c.took)
			}
		}
		want := min(fastest, max(slowest, c.rate))
		if got := p.Rate(); got < want*0.95 || got > want*1.05 {
			t.Errorf("%s: %v a second, want %v", name, got, want)
		}
		if got, want := p.Spread(2000), 2000/p.Rate(); got.Seconds() < want*0.99 || got.Seconds() > want*1.01 {
			t.Errorf("%s: 2,000 come within %v, want %vs", name, got, want)
		}
	}
}

// One slow attach among many does not decide.
func TestPaceIsSmoothed(t *testing.T) {
	var p Pace
	for range 100 {
		p.Attached(100 * time.Microsecond)
	}
	before := p.Rate()
	p.Attached(time.Millisecond)
	if after := p.Rate(); after < before/2 {
		t.Errorf("one attach of 1 ms took the rate from %v to %v", before, after)
	}
}
