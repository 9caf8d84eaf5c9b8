package attendance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
)

// outbox is what notes are written to, as long as it is not broken.
type outbox struct {
	mu     sync.Mutex
	broken bool
	lines  []string
	there  map[holdfast.UserID]bool
}

func (o *outbox) write(_ context.Context, s holdfast.SessionID, all []Note) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return errors.New("broken")
	}
	for _, n := range all {
		if o.there == nil {
			o.there = map[holdfast.UserID]bool{}
		}
		if o.there[n.Who.User] == (n.Change == holdfast.MemberJoined) {
			o.lines = append(o.lines, fmt.Sprint("out of order: ", n))
		}
		o.lines = append(o.lines, fmt.Sprintf("%s %s %s", s, n.Who.User, n.Change))
		if o.there[n.Who.User] = true; n.Change == holdfast.MemberLeft {
			delete(o.there, n.Who.User)
		}
	}
	return nil
}

// noting is a house in which it is noted who is in the session chat.
func noting(t *testing.T) (*house, *outbox) {
	h, o := newHouse(), &outbox{}
	h.Noted = func(s holdfast.SessionID) bool { return s == "chat" }
	return h, o
}

func (h *house) want(t *testing.T, o *outbox, lines ...string) {
	t.Helper()
	h.Note(t.Context(), o.write)
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := cmp.Diff(lines, o.lines); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
	o.lines = nil
}

func (h *house) looks(s *someone, hidden bool) {
	s.here.Hidden = hidden
	h.Look("chat", s)
}

func TestNotes(t *testing.T) {
	h, o := noting(t)
	anna := h.comes("anna", false)
	h.wait(1)
	h.want(t, o, "chat anna joined")
	h.want(t, o)
	h.looks(anna, true)
	h.want(t, o, "chat anna away")
	h.looks(anna, false)
	h.Read("chat", anna.here.Who, presence.Position{Epoch: "e", Read: 7})
	h.want(t, o, "chat anna back")
	for range 5 {
		h.looks(anna, true)
		h.looks(anna, false)
	}
	h.want(t, o)
	ben := h.comes("ben", true)
	h.want(t, o, "chat ben joined")
	h.goes(anna, presence.Goodbye)
	h.wait(1)
	h.want(t, o)
	h.wait(1)
	h.want(t, o, "chat anna left")
	h.goes(ben, presence.Lost)
	h.wait(14)
	ben = h.comes("ben", false)
	h.wait(20)
	h.want(t, o)
	h.goes(ben, presence.Lost)
	h.wait(16)
	h.want(t, o, "chat ben left")
	h.wait(61)
	if h.Len() != 0 {
		t.Error("the room stays for ever")
	}
	h.comes("cleo", true)
	h.wait(100)
	h.want(t, o, "chat cleo joined")
}

// A room is kept for as long as anybody reads the session, though nobody watches; of others nothing is noted.
func TestNotesOfWhoStays(t *testing.T) {
	h, o := noting(t)
	anna := h.comes("anna", false)
	h.want(t, o, "chat anna joined")
	h.Enter("other", h.someone("ben"), true)
	h.wait(300)
	h.want(t, o, "chat anna away") // she has said nothing for long
	h.goes(anna, presence.Lost)
	h.wait(20)
	h.want(t, o, "chat anna left")
}

func TestNotesThatCannotBeWritten(t *testing.T) {
	h, o := noting(t)
	o.broken = true
	anna, ben := h.comes("anna", false), h.comes("ben", false)
	h.want(t, o)
	h.looks(anna, true)
	h.want(t, o)
	h.goes(ben, presence.Goodbye)
	h.wait(61)
	h.want(t, o)
	o.broken = false
	h.want(t, o, "chat anna joined") // away, which the note says; ben was never told of
	h.want(t, o)
	h.goes(anna, presence.Goodbye)
	o.broken = true
	h.wait(100)
	h.want(t, o)
	if h.Len() != 1 {
		t.Error("the room has gone with what was not written")
	}
	o.broken = false
	h.want(t, o, "chat anna left")
}

// After a restart, those who are back have never left, and those who are not have left once they had the time to come back.
func TestRecall(t *testing.T) {
	h, o := noting(t)
	o.there = map[holdfast.UserID]bool{}
	for _, name := range []string{"anna", "ben", "cleo"} {
		o.there[holdfast.UserID(name)] = true
		h.Recall("chat", presence.Member{Who: holdfast.Sender{User: holdfast.UserID(name), Client: "c"}, Away: name == "cleo", Since: h.now})
	}
	h.want(t, o)
	h.wait(30)
	h.comes("anna", false)
	h.comes("cleo", false)
	if got := names(h.Members("chat")); len(got) != 3 {
		t.Errorf("there are %v", got)
	}
	h.wait(20)
	h.want(t, o, "chat cleo back")
	h.wait(9)
	h.want(t, o)
	h.wait(1)
	h.want(t, o, "chat ben left")
}

// TestNotesOfMany has all come and go while notes are written, which fails now and then; in the end it is known who is there.
func TestNotesOfMany(t *testing.T) {
	h, o := noting(t)
	stays := h.comes("stays", false)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(2, uint64(i)))
			for range 100 {
				s := h.comes(fmt.Sprint("u", i, rnd.IntN(3)), false)
				h.Look("chat", s)
				h.wait(rnd.IntN(10))
				h.goes(s, presence.Departure(rnd.IntN(3)))
			}
		})
	}
	done := make(chan struct{})
	go func() { // ends with the others, and is waited for
		all.Wait()
		close(done)
	}()
	for n := 0; ; n++ {
		o.mu.Lock()
		o.broken = n%3 == 0
		o.mu.Unlock()
		h.Note(t.Context(), o.write)
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	o.broken = false
	h.wait(30)
	stays.mu.Lock()
	stays.used = h.now
	stays.mu.Unlock()
	h.Note(t.Context(), o.write)
	if len(o.there) != 1 || !o.there["stays"] {
		t.Errorf("in the end there are %v", o.there)
	}
	if i := slices.IndexFunc(o.lines, func(l string) bool { return l[0] == 'o' }); i >= 0 {
		t.Error(o.lines[i])
	}
}

func TestManyNotesAtOnce(t *testing.T) {
	n := newNotes()
	now := time.Unix(1e9, 0)
	for i := range 2*mostNotes + 7 {
		who := holdfast.Sender{User: "u", Client: holdfast.ClientID(fmt.Sprintf("%05d", i))}
		n.news[who] = news{since: now.Add(time.Duration(i) * time.Millisecond)}
	}
	next := 0
	for _, want := range []int{mostNotes, mostNotes, 7, 0} {
		got := n.take()
		if len(got) != want {
			t.Fatalf("%d notes, want %d", len(got), want)
		}
		for _, note := range got {
			if note.Who.Client != holdfast.ClientID(fmt.Sprintf("%05d", next)) {
				t.Fatalf("%v is not number %d", note, next)
			}
			next++
		}
		n.settle(got, true)
	}
}
