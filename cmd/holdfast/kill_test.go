package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
)

// killRounds is how often the server is killed; more in the long form.
func killRounds() int {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 20
	}
	return 4
}

const (
	killWriters  = 64
	killSessions = 4
)

// writer appends entries, and fragments to a run of its own, over HTTP, and repeats what was not acknowledged. What it
// knows is what the server acknowledged.
type writer struct {
	p       *process
	token   string
	name    string
	session string
	epoch   string

	entries map[int]holdfast.Offset
	run     holdfast.Offset
	words   int
}

// insist repeats a call until it is answered with success, or ctx ends.
func (w *writer) insist(ctx context.Context, path string, in, out any) bool {
	for ctx.Err() == nil {
		err := w.p.call(ctx, http.MethodPost, "/v1/sessions/"+w.session+path, w.token, in, out)
		if err == nil {
			return true
		}
		// While the server is down there is nothing to wait for but time.
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

func (w *writer) write(ctx context.Context) {
	var opened struct {
		Epoch string          `json:"epoch"`
		Run   holdfast.Offset `json:"run"`
		Fence uint64          `json:"fence"`
	}
	if !w.insist(ctx, "/runs", map[string]any{"id": w.name}, &opened) {
		return
	}
	w.run, w.epoch = opened.Run, opened.Epoch
	for n := 0; ctx.Err() == nil; n++ {
		var wrote struct {
			Epoch   string `json:"epoch"`
			Entries []struct {
				Offset holdfast.Offset `json:"offset"`
			} `json:"entries"`
		}
		if !w.insist(ctx, "/entries", map[string]any{"id": fmt.Sprintf("%s-%d", w.name, n), "data": n}, &wrote) {
			return
		}
		w.entries[n] = wrote.Entries[0].Offset
		if wrote.Epoch != w.epoch {
			w.p.t.Errorf("%s: the epoch was %s and is %s", w.name, w.epoch, wrote.Epoch)
		}
		frag := map[string]any{"fence": opened.Fence, "after": w.words, "fragments": []map[string]string{{"text": word(w.words)}}}
		if !w.insist(ctx, fmt.Sprintf("/runs/%d/fragments", w.run), frag, nil) {
			return
		}
		w.words++
	}
}

func word(n int) string { return fmt.Sprintf("w%d ", n) }

// TestClause2_KillLosesNothing kills the server again and again under writers and readers. Nothing that was acknowledged may
// be lost, nothing may stand twice, and nothing that a reader was shown may be gone.
func TestClause2_KillLosesNothing(t *testing.T) {
	p := startProcess(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	writers := make([]*writer, killWriters)
	backend := p.token(auth.Claims{Backend: true})
	for i := range writers {
		w := &writer{p: p, token: backend, name: fmt.Sprintf("w%d", i), session: fmt.Sprintf("s%d", i%killSessions), entries: map[int]holdfast.Offset{}}
		writers[i] = w
		busy.Go(func() { w.write(ctx) })
	}
	readers, stopReaders := killReaders(t, p)
	for round := range killRounds() {
		<-time.After(300*time.Millisecond + rand.N(700*time.Millisecond))
		p.kill()
		t.Logf("killed %d", round+1)
		p.start()
	}
	<-time.After(300 * time.Millisecond)
	stop()
	busy.Wait()
	p.checkWriters(writers)
	for i, r := range readers {
		// So many failed dials have spent a client's budget; it would be back by itself in two minutes.
		r.client.Wake()
		p.checkReader(r, fmt.Sprintf("s%d", i))
	}
	stopReaders()
}

// shown is what a reader was shown, kept as it came: an entry that is shown and then gone would still be in it.
type shown struct {
	client  *client.Client
	session *client.Session
	mu      sync.Mutex
	entries map[holdfast.Offset]string
	lost    int
}

func killReaders(t *testing.T, p *process) (all []*shown, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range killSessions {
		token := p.token(auth.Claims{User: "anna", Read: []string{"*"}})
		c, err := client.New(client.Options{
			URL: p.url(""), ClientID: holdfast.ClientID(fmt.Sprintf("r%d", i)), Token: func(context.Context) (string, error) { return token, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &shown{client: c, entries: map[holdfast.Offset]string{}}
		s.session, err = c.Session(holdfast.SessionID(fmt.Sprintf("s%d", i)), client.SessionOptions{Last: 1000, OnChange: s.note})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		running.Go(func() {
			if err := c.Run(ctx); err != nil {
				t.Errorf("a reader ended: %v", err)
			}
		})
	}
	return all, func() { cancel(); running.Wait() }
}

func (s *shown) note(ch client.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.Kind == client.Answered && ch.Outcome == holdfast.Lost {
		s.lost++
	}
	if ch.Kind == client.Added {
		for _, e := range s.session.Entries() {
			if e.Offset == ch.Offset {
				s.entries[e.Offset] = e.ID + " " + string(e.Data)
			}
		}
	}
}

type entryJSON struct {
	Offset holdfast.Offset `json:"offset"`
	ID     string          `json:"id"`
	Data   json.RawMessage `json:"data"`
	Run    *struct {
		Body []struct {
			Text string `json:"text"`
		} `json:"body"`
	} `json:"run"`
}

// log reads a whole session.
func (p *process) log(session string) []entryJSON {
	p.t.Helper()
	var all []entryJSON
	for {
		var page struct {
			Entries []entryJSON `json:"entries"`
			More    bool        `json:"more"`
		}
		after := holdfast.Offset(0)
		if len(all) > 0 {
			after = all[len(all)-1].Offset
		}
		path := fmt.Sprintf("/v1/sessions/%s/entries?limit=1000&after=%d", session, after)
		if err := p.call(p.t.Context(), http.MethodGet, path, p.token(auth.Claims{Backend: true}), nil, &page); err != nil {
			p.t.Fatal(err)
		}
		all = append(all, page.Entries...)
		if !page.More {
			return all
		}
	}
}

func (p *process) checkWriters(writers []*writer) {
	p.t.Helper()
	logs := map[string][]entryJSON{}
	entries, fragments := 0, 0
	for i := range killSessions {
		s := fmt.Sprintf("s%d", i)
		logs[s] = p.log(s)
		ids := map[string]bool{}
		for n, e := range logs[s] {
			if e.Offset != holdfast.Offset(n+1) {
				p.t.Fatalf("%s: entry %d stands at offset %d", s, n+1, e.Offset)
			}
			if ids[e.ID] {
				p.t.Errorf("%s: %s was written twice", s, e.ID)
			}
			ids[e.ID] = true
		}
	}
	for _, w := range writers {
		all := logs[w.session]
		for n, o := range w.entries {
			if int(o) > len(all) || all[o-1].ID != fmt.Sprintf("%s-%d", w.name, n) || string(all[o-1].Data) != fmt.Sprint(n) {
				p.t.Errorf("%s: entry %d was acknowledged at %d and is not there", w.name, n, o)
			}
			entries++
		}
		if w.run == 0 {
			p.t.Errorf("%s never got to open its run", w.name)
			continue
		}
		p.checkRun(w, all[w.run-1])
		fragments += w.words
	}
	p.t.Logf("%d entries and %d fragments were acknowledged, and all are there", entries, fragments)
}

// checkRun compares a run's text with what was acknowledged: one more word may be there, whose answer was lost.
func (p *process) checkRun(w *writer, e entryJSON) {
	p.t.Helper()
	var got strings.Builder
	for _, b := range e.Run.Body {
		got.WriteString(b.Text)
	}
	var want strings.Builder
	for n := range w.words {
		want.WriteString(word(n))
	}
	if got.String() != want.String() && got.String() != want.String()+word(w.words) {
		p.t.Errorf("%s: %d words were acknowledged, and the run is %q", w.name, w.words, got.String())
	}
}

// checkReader waits until the reader has come to the head, and then compares all that it was ever shown with the log.
func (p *process) checkReader(s *shown, session string) {
	p.t.Helper()
	log := p.log(session)
	head := log[len(log)-1].Offset
	await(p.t, func() bool { c := s.session.Cursor(); return c != nil && c.Offset >= head })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost > 0 {
		p.t.Errorf("%s: the reader was told %d times that the log is lost", session, s.lost)
	}
	for o, what := range s.entries {
		if e := log[o-1]; e.ID+" "+string(e.Data) != what {
			p.t.Errorf("%s: at %d a reader was shown %q, and there is %q now", session, o, what, e.ID+" "+string(e.Data))
		}
	}
	if len(s.entries) == 0 {
		p.t.Errorf("%s: the reader was shown nothing", session)
	}
}
