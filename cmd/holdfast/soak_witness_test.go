package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/transport/ws"
)

const (
	tales     = 2
	witnesses = 2 // of each tale
)

// tale is a session that is written for the witnesses, and what was acknowledged of it.
type tale struct {
	s       *soak
	session string
	// told is the text of each entry. It is the teller's until it is done.
	told map[holdfast.Offset]string
}

// tell writes messages and answers until ctx ends, and ends the last.
func (w *tale) tell(ctx context.Context) error {
	path := "/v1/sessions/" + w.session
	for n := 0; ctx.Err() == nil; n++ {
		var wrote struct {
			Entries []struct {
				Offset holdfast.Offset `json:"offset"`
			} `json:"entries"`
		}
		if err := w.s.backend(http.MethodPost, path+"/entries", map[string]any{"id": fmt.Sprintf("m%d", n), "data": n}, &wrote); err != nil {
			return err
		}
		w.told[wrote.Entries[0].Offset] = fmt.Sprint(n)
		var run struct {
			Run   holdfast.Offset `json:"run"`
			Fence uint64          `json:"fence"`
		}
		if err := w.s.backend(http.MethodPost, path+"/runs", map[string]any{"id": fmt.Sprintf("r%d", n)}, &run); err != nil {
			return err
		}
		text, err := w.words(ctx, fmt.Sprintf("%s/runs/%d", path, run.Run), run.Fence)
		if err != nil {
			return err
		}
		w.told[run.Run] = text
	}
	return nil
}

func (w *tale) words(ctx context.Context, run string, fence uint64) (string, error) {
	var text strings.Builder
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < 60 && ctx.Err() == nil; n++ {
		in := map[string]any{"fence": fence, "after": n, "fragments": []map[string]string{{"text": word(n)}}}
		if err := w.s.backend(http.MethodPost, run+"/fragments", in, nil); err != nil {
			return text.String(), unlapsed(err)
		}
		text.WriteString(word(n))
		<-tick.C
	}
	return text.String(), unlapsed(w.s.backend(http.MethodPost, run+"/end", map[string]any{"fence": fence, "status": holdfast.RunComplete}, nil))
}

// unlapsed is the error, unless it is that the run has ended by itself: what was acknowledged stands.
func unlapsed(err error) error {
	if err != nil && lapsed(err) {
		return nil
	}
	return err
}

// witness is an honest reader, whose connection is cut now and then, and what it was shown.
type witness struct {
	tale    *tale
	name    string
	session *client.Session

	// Guarded by mu. added and ended count what came, by offset. conn is the latest connection.
	mu           sync.Mutex
	added, ended map[holdfast.Offset]int
	answers      map[holdfast.Outcome]int
	holes, cuts  int
	conn         *witnessConn
}

// witnessConn is a connection of a witness, which can be cut. It notes what the client does with it.
type witnessConn struct {
	*ws.ClientConn
	witness *witness
	visit   *visit
	// left: the client has said goodbye. Guarded by the witness's mu.
	left bool
}

// Read notes which connection this is.
func (c *witnessConn) Read() ([]byte, error) {
	msg, err := c.ClientConn.Read()
	if err == nil && bytes.HasPrefix(msg, []byte(`{"t":"welcome"`)) {
		note(c.visit, msg)
	}
	return msg, err
}

// Write notes a goodbye.
func (c *witnessConn) Write(msgs ...[]byte) error {
	err := c.ClientConn.Write(msgs...)
	bye := func(msg []byte) bool { return bytes.HasPrefix(msg, []byte(`{"t":"bye"`)) }
	if err == nil && slices.ContainsFunc(msgs, bye) {
		c.witness.mu.Lock()
		defer c.witness.mu.Unlock()
		c.left, c.visit.life = true, "is a witness, and says goodbye"
	}
	return err
}

// Abort is how a client gives a connection up that it doubts, as it may on a machine that is busy. It has another one then, and
// the server learns first of that, or of the end.
func (c *witnessConn) Abort() {
	c.witness.mu.Lock()
	defer c.witness.mu.Unlock()
	if !c.left {
		c.visit.want = cutOff
	}
	c.ClientConn.Abort()
}

// cutOff are the classes of a connection that ended without a word while its client was about to dial again.
var cutOff = []ending.Class{ending.Network, ending.Superseded}

func (r *witness) note(ch client.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch ch.Kind {
	case client.Added:
		r.added[ch.Offset]++
	case client.Ended:
		r.ended[ch.Offset]++
	case client.Hole:
		r.holes++
	case client.Answered:
		r.answers[ch.Outcome]++
	}
}

// dial is the client's way to dial. Without a mishap, a connection ends by the client's goodbye.
func (r *witness) dial(ctx context.Context, url string) (client.Conn, error) {
	v, traceparent := r.tale.s.book.begin("is a witness", ending.Normal)
	conn, err := ws.Dial(ctx, url, ws.DialOptions{Header: http.Header{"Traceparent": {traceparent}}})
	if err != nil {
		v.perhaps, v.want = true, []ending.Class{ending.Network}
		return nil, err
	}
	c := &witnessConn{ClientConn: conn, witness: r, visit: v}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = c
	return c, nil
}

// cut ends the connection without a word. The client may be back before the server has noticed.
func (r *witness) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		return
	}
	r.conn.visit.life, r.conn.visit.want = "is a witness, and is cut", cutOff
	r.conn.ClientConn.Abort()
	r.conn = nil
	r.cuts++
}

// witnessed tells tales to witnesses for a time, cuts their connections, and then compares what they hold with what was told.
func (s *soak) witnessed(length time.Duration) {
	s.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	telling, hush := context.WithCancel(ctx)
	var writing, reading sync.WaitGroup
	defer func() {
		hush()
		writing.Wait()
		leave()
		reading.Wait()
	}()
	var all []*witness
	for i := range tales {
		w := &tale{s: s, session: fmt.Sprintf("tale-%d-%d", i, s.serial.Add(1)), told: map[holdfast.Offset]string{}}
		for k := range witnesses {
			r, c := s.newWitness(w, fmt.Sprintf("witness-%d-%d", i, k))
			all = append(all, r)
			reading.Go(func() {
				if err := c.Run(ctx); err != nil {
					s.t.Errorf("%s ended: %v", r.name, err)
				}
			})
		}
		writing.Go(func() {
			if err := w.tell(telling); err != nil {
				s.t.Errorf("%s: %v", w.session, err)
			}
		})
	}
	s.troubled(all, length)
	hush()
	writing.Wait()
	for _, r := range all {
		r.check()
	}
	leave()
	reading.Wait()
	for i := 0; i < len(all); i += witnesses {
		if err := s.backend(http.MethodDelete, "/v1/sessions/"+all[i].tale.session, nil, nil); err != nil {
			s.t.Error(err)
		}
	}
}

// troubled cuts now one and now another, as often for all as three times a second at most, and each every 2 s or so.
func (s *soak) troubled(all []*witness, length time.Duration) {
	end := time.After(length)
	for {
		select {
		case <-end:
			return
		case <-time.After(300*time.Millisecond + rand.N(700*time.Millisecond)):
			// The last of each tale is left in peace.
			all[rand.IntN(tales)*witnesses].cut()
		}
	}
}

func (s *soak) newWitness(w *tale, name string) (*witness, *client.Client) {
	s.t.Helper()
	r := &witness{
		tale: w, name: name, added: map[holdfast.Offset]int{}, ended: map[holdfast.Offset]int{}, answers: map[holdfast.Outcome]int{},
	}
	token := s.p.token(auth.Claims{User: holdfast.UserID(name), Read: []string{"tale-*"}})
	c, err := client.New(client.Options{
		URL: s.p.url(""), ClientID: holdfast.ClientID(name), Dial: r.dial, Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	r.session, err = c.Session(holdfast.SessionID(w.session), client.SessionOptions{Last: 1000, OnChange: r.note})
	if err != nil {
		s.t.Fatal(err)
	}
	return r, c
}

// check waits until the witness has come to the end, and compares.
func (r *witness) check() {
	t := r.tale.s.t
	t.Helper()
	var held []holdfast.Entry
	await(t, func() bool {
		held = r.session.Entries()
		if len(held) < len(r.tale.told) {
			return false
		}
		last := held[len(held)-1]
		return last.Run == nil || last.Run.Status.Ended()
	})
	if len(held) != len(r.tale.told) {
		t.Errorf("%s holds %d entries, and %d were told", r.name, len(held), len(r.tale.told))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range held {
		text, ends := string(e.Data), 0
		if e.Run != nil {
			text = e.Run.Body.Text("")
			ends = 1
		}
		if want := r.tale.told[e.Offset]; text != want {
			t.Errorf("%s holds %q at %d, want %q", r.name, text, e.Offset, want)
		}
		if r.added[e.Offset] != 1 || r.ended[e.Offset] > ends {
			t.Errorf("%s was shown what is at %d %d times, and %d ends of it", r.name, e.Offset, r.added[e.Offset], r.ended[e.Offset])
		}
	}
	if r.holes > 0 || r.answers[holdfast.Lost] > 0 || r.answers[holdfast.Snapshot] > 1 || len(held) == 0 {
		t.Errorf("%s was left %d holes, and answered %v", r.name, r.holes, r.answers)
	}
	t.Logf("%s holds all %d entries, was cut %d times and answered %v", r.name, len(held), r.cuts, r.answers)
}
