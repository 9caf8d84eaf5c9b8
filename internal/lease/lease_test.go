package lease

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast/store/driver"
)

const term = 30 * time.Second

var (
	start = time.Unix(1_790_000_000, 0)
	one   = driver.RunRef{Session: "a", Run: 1}
)

func TestTable(t *testing.T) {
	cases := map[string]struct {
		do     func(*Table)
		after  time.Duration
		lapsed bool
	}{
		"nothing was opened":               {func(*Table) {}, time.Hour, false},
		"within the term":                  {func(l *Table) { l.Renew(one, start) }, term, false},
		"after the term":                   {func(l *Table) { l.Renew(one, start) }, term + 1, true},
		"renewed":                          {func(l *Table) { l.Renew(one, start); l.Renew(one, start.Add(10*time.Second)) }, term + 5*time.Second, false},
		"held":                             {func(l *Table) { l.Hold(one, start) }, time.Hour, false},
		"held twice, released once":        {func(l *Table) { l.Hold(one, start); l.Hold(one, start); l.Release(one, start) }, time.Hour, false},
		"released, within the term":        {func(l *Table) { l.Hold(one, start); l.Release(one, start.Add(time.Minute)) }, time.Minute + term, false},
		"released, after the term":         {func(l *Table) { l.Hold(one, start); l.Release(one, start) }, term + 1, true},
		"ended":                            {func(l *Table) { l.Renew(one, start); l.Ended(one) }, time.Hour, false},
		"ended while held":                 {func(l *Table) { l.Hold(one, start); l.Ended(one); l.Release(one, start) }, time.Hour, false},
		"released more often than held":    {func(l *Table) { l.Renew(one, start); l.Release(one, start); l.Hold(one, start) }, time.Hour, false},
		"the session was deleted":          {func(l *Table) { l.Renew(one, start); l.Drop("a") }, time.Hour, false},
		"another session was deleted":      {func(l *Table) { l.Renew(one, start); l.Drop("b") }, time.Hour, true},
		"lapsed before, and not yet again": {func(l *Table) { l.Renew(one, start); l.Lapsed(start.Add(time.Hour)) }, time.Hour + term, false},
		"lapsed before, and again":         {func(l *Table) { l.Renew(one, start); l.Lapsed(start.Add(time.Hour)) }, time.Hour + term + 1, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := New(term)
			c.do(l)
			var want []driver.RunRef
			if c.lapsed {
				want = []driver.RunRef{one}
			}
			if diff := cmp.Diff(want, l.Lapsed(start.Add(c.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
