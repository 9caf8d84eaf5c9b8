package lease

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func TestGrace(t *testing.T) {
	const grace = 5 * time.Second
	stop := func(state holdfast.StopState, run, answers holdfast.Offset) *driver.StopInfo {
		return &driver.StopInfo{Stop: holdfast.Stop{ID: "x", State: state}, Run: run, Answers: answers}
	}
	asked, waits := stop(holdfast.StopRequested, 1, 9), stop(holdfast.StopRequested, 0, 9)
	run, answer := driver.SettleStop{Run: 1, ID: "x"}, driver.SettleStop{Answers: 9, ID: "x"}
	for name, c := range map[string]struct {
		do    func(*Grace)
		after time.Duration
		want  []driver.SettleStop
	}{
		"nothing asked":          {func(*Grace) {}, time.Hour, nil},
		"within the term":        {func(g *Grace) { g.See("a", asked, start) }, grace - 1, nil},
		"after the term":         {func(g *Grace) { g.See("a", asked, start) }, grace, []driver.SettleStop{run}},
		"seen again":             {func(g *Grace) { g.See("a", asked, start); g.See("a", asked, start.Add(4*time.Second)) }, grace, []driver.SettleStop{run}},
		"no run yet":             {func(g *Grace) { g.See("a", waits, start) }, grace, []driver.SettleStop{answer}},
		"the run came":           {func(g *Grace) { g.See("a", waits, start); g.See("a", asked, start.Add(time.Second)) }, grace, nil},
		"the run came, and time": {func(g *Grace) { g.See("a", waits, start); g.See("a", asked, start.Add(time.Second)) }, 2 * grace, []driver.SettleStop{run}},
		"stopped": {func(g *Grace) { g.See("a", asked, start); g.See("a", stop(holdfast.StopStopped, 1, 9), start) },
			time.Hour, nil},
		"given up":                {func(g *Grace) { g.See("a", waits, start); g.See("a", stop(holdfast.StopUnreachable, 0, 9), start) }, time.Hour, nil},
		"too late at once":        {func(g *Grace) { g.See("a", stop(holdfast.StopTooLate, 1, 9), start) }, time.Hour, nil},
		"the run ended":           {func(g *Grace) { g.See("a", asked, start); g.Ended(one) }, time.Hour, nil},
		"another run ended":       {func(g *Grace) { g.See("a", asked, start); g.Ended(driver.RunRef{Session: "a", Run: 2}) }, time.Hour, []driver.SettleStop{run}},
		"the session was deleted": {func(g *Grace) { g.See("a", asked, start); g.See("a", waits, start); g.Drop("a") }, time.Hour, nil},
		"another one was":         {func(g *Grace) { g.See("a", asked, start); g.Drop("b") }, time.Hour, []driver.SettleStop{run}},
		"told, and not again":     {func(g *Grace) { g.See("a", asked, start); g.Over(start.Add(grace)) }, 2*grace - 1, nil},
		"told, and again":         {func(g *Grace) { g.See("a", asked, start); g.Over(start.Add(grace)) }, 2 * grace, []driver.SettleStop{run}},
		"another stop, later": {func(g *Grace) {
			g.See("a", asked, start)
			g.See("a", &driver.StopInfo{Stop: holdfast.Stop{ID: "y", State: holdfast.StopRequested}, Run: 1}, start.Add(time.Second))
		}, grace, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewGrace(grace)
			c.do(g)
			var want []Overdue
			for _, s := range c.want {
				want = append(want, Overdue{"a", s})
			}
			if diff := cmp.Diff(want, g.Over(start.Add(c.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
