package server

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/presence"
)

func TestSeeOffTimes(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for name, c := range map[string]struct{ spread, left, hello, within, standBy time.Duration }{
		"few clients":              {spread: 10 * ms, left: 10 * s, hello: 10 * s, within: 80 * ms, standBy: s},
		"2,000, the default":       {spread: s, left: 10 * s, hello: 10 * s, within: 7 * s, standBy: s},
		"2,000, time enough":       {spread: s, left: 15 * s, hello: 10 * s, within: 8 * s, standBy: s},
		"many, and a long drain":   {spread: 10 * s, left: time.Minute, hello: 10 * s, within: 10 * s, standBy: s},
		"no end to the drain":      {spread: 10 * s, left: math.MaxInt64, hello: 10 * s, within: 10 * s, standBy: s},
		"a short drain":            {spread: s, left: 2 * s, hello: 10 * s, within: 1100 * ms, standBy: 500 * ms},
		"a short time for a hello": {spread: s, left: 10 * s, hello: 500 * ms, within: 7750 * ms, standBy: 250 * ms},
		"no time":                  {spread: s, left: 0, hello: 10 * s},
	} {
		within, standBy := seeOffTimes(c.spread, c.left, c.hello)
		if within != c.within || standBy != c.standBy {
			t.Errorf("%s: within %v, %v to stand by; want %v, %v", name, within, standBy, c.within, c.standBy)
		}
		if within+standBy >= presence.Grace {
			t.Errorf("%s: within %v and %v, the last ones are taken for gone", name, within, standBy)
		}
	}
}

func TestTimeLeft(t *testing.T) {
	if left := timeLeft(context.Background()); left != math.MaxInt64 {
		t.Errorf("without a deadline %v are left", left)
	}
	over, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	if left := timeLeft(over); left != 0 {
		t.Errorf("after the deadline %v are left", left)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if left := timeLeft(ctx); left <= 59*time.Minute || left > time.Hour {
		t.Errorf("of an hour %v are left", left)
	}
}
