package conn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/internal/limits"
)

// What is over a limit is refused with a word that says when to come back, and counts for nothing once it is gone.
func TestLimits(t *testing.T) {
	hello := func(who string, client, subs string) string {
		return fmt.Sprintf(`%s > {"t":"hello","v":1,"token":"anna read=* send=*","client":"%s","gen":1,"subs":[%s]}`, who, client, subs)
	}
	cases := map[string]struct {
		limits limits.Limits
		story  []string
		who    string
		want   []string
	}{
		"a node's connections": {limits.Limits{Node: limits.Bounds{Connections: 1}}, []string{"a dials", "b dials"}, "b",
			[]string{`"t":"bye","code":1013,`, `"after":2000,"spread":8000`}},
		"a user's connections": {limits.Limits{User: limits.Bounds{Connections: 1}},
			[]string{"a dials", hello("a", "c1", ""), "b dials", hello("b", "c2", "")}, "b",
			[]string{`"t":"bye","code":4404,`, `"after":2000,"spread":8000`}},
		"its own ghost does not count": {limits.Limits{User: limits.Bounds{Connections: 1}},
			[]string{"a dials", hello("a", "c1", ""), "b dials", strings.Replace(hello("b", "c1", ""), `"gen":1`, `"gen":2`, 1)}, "b",
			[]string{`"t":"welcome"`}},
		"nor one that has left": {limits.Limits{Node: limits.Bounds{Connections: 1}, User: limits.Bounds{Connections: 1}},
			[]string{"a dials", hello("a", "c1", `{"s":"chat-1"}`), "a vanishes", "b dials", hello("b", "c2", "")}, "b",
			[]string{`"t":"welcome"`}},
		"a user's attaches": {limits.Limits{User: limits.Bounds{Attaches: 0.1}},
			[]string{"a dials", hello("a", "c1", ""), "b dials", hello("b", "c2", "")}, "b",
			[]string{`"t":"bye","code":4404,`, `"after":10000,"spread":10000`}},
		"a user's sessions": {limits.Limits{User: limits.Bounds{Sessions: 2}},
			[]string{"a dials", hello("a", "c1", `{"s":"chat-1"},{"s":"chat-2"}`), "b dials", hello("b", "c2", `{"s":"chat-1"}`)}, "b",
			[]string{`"outcome":"denied","code":"too_large"`}},
		"a session that was left does not count": {limits.Limits{User: limits.Bounds{Sessions: 2}},
			[]string{"a dials", hello("a", "c1", `{"s":"chat-1"},{"s":"chat-2"}`), `a > {"t":"unsub","s":"chat-1"}`,
				`a > {"t":"sub","s":"chat-2"}`, "b dials", hello("b", "c2", `{"s":"chat-1"}`)}, "b",
			[]string{`"outcome":"snapshot"`}},
		"a user's frames": {limits.Limits{User: limits.Bounds{Frames: 0.25}},
			[]string{"a dials", hello("a", "c1", ""), `a > {"t":"ping","n":1}`, `a > {"t":"send","s":"chat-1","id":"m","data":1}`}, "a",
			[]string{`"t":"pong","n":1`, `"re":"send","s":"chat-1","id":"m","code":"rate_limited"`, `"after":1000`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				st.cfg.Gate = limits.New(c.limits, time.Now)
				for _, line := range c.story {
					st.do(line)
					synctest.Wait()
				}
				frames, err := st.drain(c.who)
				got := strings.Join(frames, "\n")
				for _, want := range c.want {
					if !strings.Contains(got, want) {
						t.Errorf("got %s (%v), want %s", got, err, want)
					}
				}
				st.close()
				if conns, users, addresses := st.cfg.Gate.Counts(); conns != 0 || users != 0 || addresses != 0 {
					t.Errorf("%d connections, %d users and %d addresses are still counted", conns, users, addresses)
				}
			})
		})
	}
}
