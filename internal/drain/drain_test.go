package drain

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestSpreadFollowsWhatAttachesCost(t *testing.T) {
	cases := map[string]struct {
		// took is the time of an attach, every the time from one to the next.
		took, every time.Duration
		rate        float64
	}{
		"nothing was measured":      {0, 0, 500},
		"half a millisecond":        {500 * time.Microsecond, time.Second, 1000},
		"a bad moment is bounded":   {time.Hour, time.Hour, slowest},
		"a clock that stands still": {1, 0, fastest},
		"a clock that was set back": {time.Millisecond, -time.Second, 500},
		"fifty beside each other":   {50 * time.Millisecond, time.Millisecond, 500},
		"one that waits for long":   {time.Minute, 2 * time.Millisecond, 250},
	}
	for name, c := range cases {
		var p Pace
		for i := range 3_000 {
			if c.took > 0 {
				p.Attached(start.Add(time.Duration(i)*c.every), c.took)
			}
		}
		if got := p.Rate(); got < c.rate*0.95 || got > c.rate*1.05 {
			t.Errorf("%s: %v a second, want %v", name, got, c.rate)
		}
		if got, want := p.Spread(2000), 2000/p.Rate(); got.Seconds() < want*0.99 || got.Seconds() > want*1.01 {
			t.Errorf("%s: 2,000 come within %v, want %vs", name, got, want)
		}
	}
}

// One slow attach among many does not decide, and what is long ago does not count.
func TestPaceIsSmoothed(t *testing.T) {
	var p Pace
	now := start
	attach := func(n int, took time.Duration) {
		for range n {
			now = now.Add(time.Second)
			p.Attached(now, took)
		}
	}
	attach(100, 500*time.Microsecond)
	before := p.Rate()
	attach(1, 10*time.Millisecond)
	if after := p.Rate(); after < before*0.8 {
		t.Errorf("one attach of 10 ms took the rate from %v to %v", before, after)
	}
	attach(20*memory, 2*time.Millisecond)
	if got := p.Rate(); got > 251 {
		t.Errorf("%v a second, after %d attaches of 2 ms each", got, 20*memory)
	}
}
