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

// stream writes 150 fragments a second for 10 s into a run, from one moment on.
func stream(st *stage) (begun time.Time, run holdfast.RunInfo) {
	st.do("backend run chat-1 a")
	run, begun = st.runs["chat-1 a"], time.Now()
	for i := range lastFragment {
		<-time.After(time.Until(begun.Add(time.Duration(i+1) * time.Second / 150)))
		st.apply("chat-1", "chat-1 a", driver.AppendFragments{Run: run.Run, Fence: run.Fence, After: int64(i),
			Fragments: []holdfast.Fragment{{Text: fmt.Sprint(i, " ")}}})
	}
	return begun, run
}

// TestRollup: a reader with a window gets the same text in far fewer frames, and no word of it later than the window allows.
func TestRollup(t *testing.T) {
	var want strings.Builder
	for i := range lastFragment {
		fmt.Fprint(&want, i, " ")
	}
	for _, c := range []struct{ ms, most int }{{0, lastFragment}, {50, 220}, {100, 105}, {250, 42}, {500, 22}, {9999, 22}} {
		t.Run(fmt.Sprint(c.ms), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				came := rolling(st, c.ms)
				follows := time.Now()
				begun, _ := stream(st)
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
				if window := time.Duration(min(c.ms, wire.MaxRollup)) * time.Millisecond; worst > window {
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
