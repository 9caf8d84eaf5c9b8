package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/faults"
)

// shaken is a client behind a proxy that makes zombies of its connections: open sockets on which nothing arrives.
type shaken struct {
	client *Client
	proxy  *faults.Proxy
	chat   *Session

	// Guarded by mu.
	mu     sync.Mutex
	added  []holdfast.Offset
	holes  int
	phases []Phase
}

func shake(t *testing.T, url string) *shaken {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &shaken{proxy: faults.New(l, strings.TrimPrefix(url, "http://"))}
	s.client, err = New(Options{
		URL: "http://" + l.Addr().String(), ClientID: "shaken", OnPhase: s.phase,
		Token: func(context.Context) (string, error) { return "ann", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.chat, err = s.client.Session("chat", SessionOptions{Last: 1000, OnChange: s.note}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.client.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = s.proxy.Close()
	})
	return s
}

func (s *shaken) note(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.Kind {
	case Added:
		s.added = append(s.added, c.Offset)
	case Hole:
		s.holes++
	}
}

func (s *shaken) phase(p Phase, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = append(s.phases, p)
}

// zombify swallows what is sent on the connections there are. Those to come are fine.
func (s *shaken) zombify(t *testing.T) {
	t.Helper()
	links := s.proxy.Links()
	if len(links) == 0 {
		t.Fatal("there is no connection to hurt")
	}
	for _, l := range links {
		l.Blackhole()
	}
}

func (s *shaken) has(t *testing.T, n int) {
	t.Helper()
	await(t, s.chat, fmt.Sprintf("%d entries have come", n), func() bool { return len(s.chat.Entries()) == n })
}

// check: each entry was told of once, in order, and the client never had to wait for its turn to dial.
func (s *shaken) check(t *testing.T, entries int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.added {
		if int(o) != i+1 {
			t.Fatalf("was told of %v", s.added)
		}
	}
	if len(s.added) != entries || s.holes > 0 {
		t.Errorf("was told of %d entries and %d holes, want %d and none", len(s.added), s.holes, entries)
	}
	// The server may have been too young for the first hello.
	if slices.Contains(s.phases[slices.Index(s.phases, Live):], Waiting) {
		t.Errorf("a connection was given up before there was another: %v", s.phases)
	}
	for i, e := range s.chat.Entries() {
		if string(e.Data) != fmt.Sprint(i) {
			t.Errorf("entry %d reads %s", e.Offset, e.Data)
		}
	}
}

// A reader whose connection has died without a word is woken: another one takes over, and nothing is lost or doubled.
func TestZombieIsReplacedAfterWake(t *testing.T) {
	srv, web := node(t)
	s := shake(t, web.URL)
	await(t, s.chat, "it is live", s.chat.Live)
	const rounds = 8
	for i := range rounds {
		s.zombify(t)
		if _, err := srv.Session("chat").Append(t.Context(), "", json.RawMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		s.client.Wake()
		s.has(t, i+1)
		if d := time.Since(begun); d > 3*time.Second {
			t.Errorf("round %d took %v", i, d)
		}
	}
	s.check(t, rounds)
}

// Nobody knows that the connection has died, but what is sent on it is not acknowledged: it arrives over another one, once.
func TestZombieIsReplacedByASend(t *testing.T) {
	_, web := node(t)
	s := shake(t, web.URL)
	await(t, s.chat, "it is live", s.chat.Live)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const rounds = 3
	for i := range rounds {
		s.zombify(t)
		if _, err := s.client.Send(ctx, "chat", "", json.RawMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	s.has(t, rounds)
	s.check(t, rounds)
}
