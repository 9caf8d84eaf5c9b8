package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/runtest"
)

// realPlays is how many runs are played with over sockets, and how many of them at a time; the server is killed under each lot.
func realPlays() (all, together int) {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 200, 20
	}
	return 10, 10
}

// The unit of [runtest.Play] over sockets, and what follows from it: the lease is ten, the grace of a stop five.
const (
	realUnit  = 100 * time.Millisecond
	realLease = "1s"
	realGrace = "500ms"
)

// realPlay is one run that is played with, and those who read it.
type realPlay struct {
	api     *runtest.API
	history *runtest.History
	readers []*client.Session
	ends    ended
}

// ended counts the ends that the readers of a run were shown.
type ended struct{ n [2]atomic.Int32 }

func (e *ended) note(reader int) func(client.Change) {
	return func(ch client.Change) {
		if ch.Kind == client.Ended {
			e.n[reader].Add(1)
		}
	}
}

func runAt(s *client.Session, o holdfast.Offset) *holdfast.Run {
	for _, e := range s.Entries() {
		if e.Offset == o {
			return e.Run
		}
	}
	return nil
}

// watch starts two clients that read all the sessions.
func (p *process) watch(sessions []string) (readers map[string][]*client.Session, stop func()) {
	return p.watchWith(sessions, func(string) func(client.Change) { return nil })
}

// watchWith is watch; each session's changes are told to what note returns for it, once for each client.
func (p *process) watchWith(sessions []string, note func(session string) func(client.Change)) (map[string][]*client.Session, func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	var running sync.WaitGroup
	readers := map[string][]*client.Session{}
	for i := range 2 {
		token := p.token(auth.Claims{User: "anna", Read: []string{"*"}})
		c, err := client.New(client.Options{
			URL: p.url(""), ClientID: holdfast.ClientID(fmt.Sprintf("r%d", i)), Token: func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, id := range sessions {
			s, err := c.Session(holdfast.SessionID(id), client.SessionOptions{OnChange: note(id)})
			if err != nil {
				p.t.Fatal(err)
			}
			readers[id] = append(readers[id], s)
		}
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				p.t.Errorf("a reader ended: %v", err)
			}
		})
		p.wake = append(p.wake, c.Wake)
	}
	return readers, func() { p.wake = nil; cancel(); running.Wait() }
}

// TestClause7_RealInterleavingsEndOnce does over sockets, with a server that is killed, what the server's own test does with
// simulated time: producers, people who press Stop, crashes, take-overs and leases that lapse meet at random.
func TestClause7_RealInterleavingsEndOnce(t *testing.T) {
	p := startProcess(t, "--lease", realLease, "--stop-grace", realGrace)
	backend := p.token(auth.Claims{Backend: true})
	all, together := realPlays()
	ends, asked := map[holdfast.RunStatus]int{}, 0
	for first := 0; first < all; first += together {
		plays := make([]*realPlay, together)
		for i := range plays {
			id := holdfast.SessionID(fmt.Sprintf("s%d", first+i))
			plays[i] = &realPlay{api: &runtest.API{HTTP: &http.Transport{}, Base: p.url(""), Token: backend, Session: id}}
			if err := plays[i].api.Say(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		stop := p.readPlays(plays)
		p.playLot(plays, uint64(first))
		for _, wake := range p.wake {
			// So many failed dials have spent a client's budget; it would be back by itself in two minutes.
			wake()
		}
		for _, play := range plays {
			asked += play.history.Len()
			ends[play.check(t)]++
		}
		stop()
	}
	t.Logf("%d runs, %d requests; they ended as %v", all, asked, ends)
}

func (p *process) readPlays(plays []*realPlay) (stop func()) {
	var sessions []string
	byID, next := map[string]*realPlay{}, map[string]int{}
	for _, play := range plays {
		id := string(play.api.Session)
		sessions, byID[id] = append(sessions, id), play
	}
	readers, stop := p.watchWith(sessions, func(id string) func(client.Change) {
		next[id]++
		return byID[id].ends.note(next[id] - 1)
	})
	for _, play := range plays {
		play.readers = readers[string(play.api.Session)]
	}
	return stop
}

// playLot plays with some runs at a time, and kills the server under them once or twice.
func (p *process) playLot(plays []*realPlay, seed uint64) {
	var playing sync.WaitGroup
	for i, play := range plays {
		playing.Go(func() { play.history = runtest.Play(p.t.Context(), seed+uint64(i), realUnit, play.api) })
	}
	for range 1 + rand.IntN(2) {
		<-time.After(rand.N(15 * realUnit))
		p.kill()
		<-time.After(rand.N(3 * realUnit))
		p.start()
	}
	playing.Wait()
}

// check waits until the run has ended and both readers have seen that, and compares all of it. A run is never open for ever.
func (r *realPlay) check(t *testing.T) holdfast.RunStatus {
	t.Helper()
	s := r.api.Session
	var out *runtest.Outcome
	await(t, func() bool {
		var err error
		if out, err = r.api.Outcome(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out == nil || out.Status.Ended()
	})
	if err := r.history.Check(); err != nil {
		t.Errorf("%s: %v", s, err)
	}
	if out == nil {
		return "none"
	}
	if err := out.Check(); err != nil {
		t.Errorf("%s: %v", s, err)
	}
	for i, reader := range r.readers {
		var run *holdfast.Run
		await(t, func() bool {
			run = runAt(reader, out.Run)
			return run != nil && run.Status.Ended()
		})
		if text := run.Body.Text(""); run.Status != out.Status || text != out.Text {
			t.Errorf("%s: reader %d sees a run that is %s with %q, and the log one that is %s with %q", s, i, run.Status, text, out.Status, out.Text)
		}
		if n := r.ends.n[i].Load(); n > 1 {
			t.Errorf("%s: reader %d was shown %d ends", s, i, n)
		}
	}
	return out.Status
}
