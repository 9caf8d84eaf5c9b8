package conn

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// A page is put into the background for 8 s, 30 times in 10 minutes. Its connection is kept, or lost without a word, or parked.
// Who watches the session sees it come once, go away and be back each time, and never leave.
func TestClause9_ThirtyTimesInTheBackground(t *testing.T) {
	for name, loses := range map[string]string{"kept": "", "lost": "vanishes", "parked": `> {"t":"bye","park":true}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { thirtyTimes(t, loses) })
		})
	}
}

func thirtyTimes(t *testing.T, loses string) {
	const rounds = 30
	st := newStage(t)
	defer st.close()
	do := func(format string, args ...any) {
		st.do(fmt.Sprintf(format, args...))
		synctest.Wait()
	}
	came := func(gen int) {
		do("anna dials")
		do(`anna > {"t":"hello","v":1,"token":"anna read=chat-*","client":"a1","gen":%d,"subs":[{"s":"chat-1"}]}`, gen)
	}
	w := watcher{known: map[holdfast.Sender]bool{}, joins: map[holdfast.Sender]int{}}
	do("ben dials")
	do(`ben > {"t":"hello","v":1,"token":"ben read=chat-*","client":"b1","gen":1,"subs":[{"s":"chat-1","watch":true}]}`)
	came(0)
	for i := range rounds {
		do(`anna > {"t":"view","hidden":true}`)
		if loses != "" {
			do("anna %s", loses)
		}
		do("wait 8s")
		if loses != "" {
			came(i + 1)
		} else {
			do(`anna > {"t":"view","hidden":false}`)
		}
		do("wait 12s")
		do(`ben > {"t":"view","hidden":false}`) // he is there, and says so
		st.heard("anna")
		for _, f := range st.heard("ben") {
			w.take(f)
		}
	}
	anna := holdfast.Sender{User: "anna", Client: "a1"}
	if w.joins[anna] != 1 || len(w.left) != 0 || !w.known[anna] {
		t.Errorf("anna came %d times, and these left: %v", w.joins[anna], w.left)
	}
	if w.aways != rounds || w.backs != rounds {
		t.Errorf("she was away %d times and back %d times, want %d of each", w.aways, w.backs, rounds)
	}
}

// watcher believes what it is told of members.
type watcher struct {
	known map[holdfast.Sender]bool // whether each is here; away otherwise
	joins map[holdfast.Sender]int
	left  []holdfast.Sender

	aways, backs int
}

func (w *watcher) take(f wire.ServerFrame) {
	m, ok := f.(*wire.Members)
	if !ok {
		return
	}
	w.left = append(w.left, m.Left...)
	for _, who := range m.Left {
		delete(w.known, who)
	}
	for _, x := range m.Members {
		here, known := w.known[x.Who]
		switch {
		case !known:
			w.joins[x.Who]++
		case here && x.Away:
			w.aways++
		case !here && !x.Away:
			w.backs++
		}
		w.known[x.Who] = !x.Away
	}
}

// heard returns what has come to a client since the last time.
func (st *stage) heard(who string) (all []wire.ServerFrame) {
	for {
		soon, cancel := context.WithTimeout(st.ctx, time.Nanosecond)
		msg, err := st.peers[who].Next(soon)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return all
		}
		st.must(err)
		f, err := wire.DecodeServer(msg)
		st.must(err)
		all = append(all, f)
	}
}
