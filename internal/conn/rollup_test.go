package conn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// arrival is one frame and when it came.
type arrival struct {
	frame wire.ServerFrame
	after time.Duration
}

// follow reads what a client is sent, until its connection ends.
func (st *stage) follow(who string) <-chan []arrival {
	out, begun := make(chan []arrival, 1), time.Now()
	// It ends with the connection; who calls receives.
	go func() {
		var all []arrival
		for {
			msg, err := st.peers[who].Next(st.ctx)
			if err != nil {
				out <- all
				return
			}
			f, err := wire.DecodeServer(msg)
			if err != nil {
				st.t.Errorf("%s: %v", msg, err)
			}
			all = append(all, arrival{f, time.Since(begun)})
		}
	}()
	return out
}

func rolling(st *stage, ms int) <-chan []arrival {
	st.do("anna dials")
	st.do(strings.Replace(greeting, "[]", fmt.Sprintf(`[{"s":"chat-1","rollup":%d}]`, ms), 1))
	synctest.Wait()
	return st.follow("anna")
}

const lastFragment = 1500

func (st *stage) openRun(id string, rollup time.Duration) {
	st.apply("chat-1", "chat-1 "+id, driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id}, Rollup: rollup})
	synctest.Wait()
}

// stream writes 150 fragments a second for 10 s into a run, from one moment on.
func stream(st *stage, rollup time.Duration) (begun time.Time, run holdfast.RunInfo) {
	st.openRun("a", rollup)
	run, begun = st.runs["chat-1 a"], time.Now()
	for i := range lastFragment {
		<-time.After(time.Until(begun.Add(time.Duration(i+1) * time.Second / 150)))
		st.apply("chat-1", "chat-1 a", driver.AppendFragments{Run: run.Run, Fence: run.Fence, After: int64(i),
			Fragments: []holdfast.Fragment{{Text: fmt.Sprint(i, " ")}}})
	}
	return begun, run
}

// TestRollup: where the reader or the run has a window, the reader gets the same text in far fewer frames, and no word of it later
// than the larger one allows.
func TestRollup(t *testing.T) {
	var want strings.Builder
	for i := range lastFragment {
		fmt.Fprint(&want, i, " ")
	}
	for _, c := range []struct{ ms, run, most int }{
		{0, 0, lastFragment}, {50, 0, 220}, {100, 0, 105}, {250, 0, 42}, {500, 0, 22}, {9999, 0, 22},
		{0, 50, 220}, {0, 100, 105}, {0, 500, 22}, {100, 250, 42}, {250, 100, 42}, {100, 100, 105},
	} {
		t.Run(fmt.Sprintf("%d of a run of %d", c.ms, c.run), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				came := rolling(st, c.ms)
				follows := time.Now()
				begun, _ := stream(st, time.Duration(c.run)*time.Millisecond)
				st.do("backend end chat-1 a complete")
				synctest.Wait()
				st.do("anna vanishes")
				var got strings.Builder
				frames, worst := 0, time.Duration(0)
				for _, a := range <-came {
					f, ok := a.frame.(*wire.FragFrame)
					if !ok {
						continue
					}
					frames++
					got.WriteString(f.Fragment.Text)
					first := begun.Add(time.Duration(f.N-f.M+1) * time.Second / 150).Sub(follows)
					worst = max(worst, a.after-first)
				}
				if got.String() != want.String() {
					t.Errorf("the text has %d bytes, want %d", got.Len(), want.Len())
				}
				if window := time.Duration(max(min(c.ms, wire.MaxRollup), c.run)) * time.Millisecond; worst > window {
					t.Errorf("a word came after %v, the window is %v", worst, window)
				}
				if frames > c.most {
					t.Errorf("%d frames, at most %d are enough", frames, c.most)
				}
				t.Logf("%d fragments in %d frames, the latest after %v", lastFragment, frames, worst)
			})
		})
	}
}

// TestRollupHoldsNothingElseBack: a message, a state, an event, a stop and an end come at once, and with them the text before them.
func TestRollupHoldsNothingElseBack(t *testing.T) {
	for name, do := range map[string]string{
		"message":            "backend message chat-1 1",
		"state":              "backend state chat-1 k 1",
		"request":            `backend ask chat-1 {"ID":"q"}`,
		"another run":        "backend run chat-1 b",
		"a stop":             `anna > {"t":"stop","s":"chat-1","id":"x","run":1}`,
		"end":                "backend end chat-1 a complete",
		"something signaled": `anna > {"t":"signal","s":"chat-1","data":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				st.do("anna dials")
				st.do(`anna > {"t":"hello","v":1,"token":"anna read=chat-* send=chat-* stop=chat-*","client":"c1","gen":1,"subs":[{"s":"chat-1","rollup":500}]}`)
				st.do("backend run chat-1 a")
				st.do("backend text chat-1 a first second third")
				synctest.Wait()
				if _, err := st.drain("anna"); err != nil {
					t.Fatal(err)
				}
				<-time.After(10 * time.Millisecond)
				st.do("backend text chat-1 a more")
				synctest.Wait()
				if frames, _ := st.drain("anna"); len(frames) > 0 {
					t.Fatalf("text within the window came at once: %q", frames)
				}
				st.do(do)
				synctest.Wait()
				frames, err := st.drain("anna")
				held := name != "something signaled" // it is not in the log, and passes what waits there
				if err != nil || len(frames) == 0 || held && !strings.Contains(strings.Join(frames, ""), `third more "`) {
					t.Errorf("it came with %q, %v", frames, err)
				}
			})
		})
	}
}

// TestRollupEnds: who leaves while something is held back leaves nothing behind, and one that subscribes anew goes by the new window.
func TestRollupEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.do("anna dials")
		st.do(strings.Replace(greeting, "[]", `[{"s":"chat-1","rollup":500}]`, 1))
		st.do("backend run chat-1 a")
		st.do("backend text chat-1 a one two")
		synctest.Wait()
		if _, err := st.drain("anna"); err != nil {
			t.Fatal(err)
		}
		st.do("backend text chat-1 a three")
		st.do(`anna > {"t":"unsub","s":"chat-1"}`)
		<-time.After(time.Second)
		if frames, _ := st.drain("anna"); len(frames) > 0 {
			t.Errorf("after leaving came %q", frames)
		}
		st.do(`anna > {"t":"sub","s":"chat-1"}`)
		synctest.Wait()
		if _, err := st.drain("anna"); err != nil {
			t.Fatal(err)
		}
		st.do("backend text chat-1 a four five six")
		synctest.Wait()
		if frames, _ := st.drain("anna"); len(frames) != 3 {
			t.Errorf("without a window came %q", frames)
		}
		for _, l := range st.cfg.Lanes {
			if len(l.later) > 0 {
				t.Errorf("%d subs are still held back", len(l.later))
			}
		}
	})
}

// TestRollupOfARun: who comes in the middle of a run with a window has it too; text of a run without one brings along what waits, and
// when the run has ended nothing waits any more.
func TestRollupOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.openRun("slow", 500*time.Millisecond)
		st.do("backend text chat-1 slow before")
		st.do("anna dials")
		st.do(strings.Replace(greeting, "[]", `[{"s":"chat-1"}]`, 1))
		st.do("backend run chat-1 quick")
		take := func(step, want string) {
			t.Helper()
			synctest.Wait()
			frames, err := st.drain("anna")
			got := ""
			for _, f := range frames {
				if _, text, ok := strings.Cut(f, `"d":"`); ok {
					got += strings.TrimSuffix(text, `"}`)
				}
			}
			if err != nil || got != want {
				t.Errorf("%s: came %q, %v; want %q", step, got, err, want)
			}
		}
		take("she came", `before "}]}`) // the run as it is
		<-time.After(time.Second)
		st.do("backend text chat-1 slow one")
		take("after a pause", "one ")
		st.do("backend text chat-1 slow two three")
		take("within the window", "")
		st.do("backend text chat-1 quick now")
		take("text of another run", "two three now ")
		st.do("backend text chat-1 slow four five")
		take("within the window again", "")
		<-time.After(500 * time.Millisecond)
		take("after the window", "four five ")
		st.do("backend text chat-1 slow six")
		take("once more", "")
		st.do("backend end chat-1 slow complete")
		take("the end", "six ")
		st.do("backend text chat-1 quick a")
		take("nothing has a window", "a ")
		st.do("backend text chat-1 quick b")
		take("nothing has a window still", "b ")
		<-time.After(time.Second)
		synctest.Wait()
		for _, l := range st.cfg.Lanes {
			if len(l.later) > 0 {
				t.Errorf("%d subs are still held back", len(l.later))
			}
		}
	})
}
