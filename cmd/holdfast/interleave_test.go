package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
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
	readers []*playReader
}

// playReader reads one session, and counts the ends that it is shown.
type playReader struct {
	session *client.Session
	mu      sync.Mutex
	ends    map[holdfast.Offset]int
}

func (r *playReader) note(ch client.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ch.Kind == client.Ended:
		r.ends[ch.Offset]++
	case ch.Kind == client.Added:
		if run := runAt(r.session, ch.Offset); run != nil && run.Status.Ended() {
			r.ends[ch.Offset]++
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

// readAll starts two clients that read all the sessions.
func readAll(t *testing.T, p *process, plays []*realPlay) (clients []*client.Client, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 2 {
		token := p.token(auth.Claims{User: "anna", Read: []string{"*"}})
		c, err := client.New(client.Options{
			URL: p.url(""), ClientID: holdfast.ClientID(fmt.Sprintf("r%d", i)), Token: func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, play := range plays {
			r := &playReader{ends: map[holdfast.Offset]int{}}
			r.mu.Lock() // until the session is known
			r.session, err = c.Session(play.api.Session, client.SessionOptions{OnChange: r.note})
			r.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			play.readers = append(play.readers, r)
		}
		clients = append(clients, c)
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Errorf("a reader ended: %v", err)
			}
		})
	}
	return clients, func() { cancel(); running.Wait() }
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
		clients, stop := readAll(t, p, plays)
		p.playLot(plays, uint64(first))
		for _, c := range clients {
			c.Wake()
		}
		for _, play := range plays {
			asked += play.history.Len()
			ends[play.check(t)]++
		}
		stop()
	}
	t.Logf("%d runs, %d requests; they ended as %v", all, asked, ends)
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
			run = runAt(reader.session, out.Run)
			return run != nil && run.Status.Ended()
		})
		if text := run.Body.Text(""); run.Status != out.Status || text != out.Text {
			t.Errorf("%s: reader %d sees a run that is %s with %q, and the log one that is %s with %q", s, i, run.Status, text, out.Status, out.Text)
		}
		reader.mu.Lock()
		if n := reader.ends[out.Run]; n != 1 {
			t.Errorf("%s: reader %d was shown %d ends", s, i, n)
		}
		reader.mu.Unlock()
	}
	return out.Status
}
