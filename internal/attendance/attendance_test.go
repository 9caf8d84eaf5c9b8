package attendance

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/wire"
)

// someone reads a session, and keeps what it is told.
type someone struct {
	here presence.Here

	mu   sync.Mutex
	used time.Time
	told []*wire.Members
}

func (s *someone) Here() presence.Here { return s.here }

func (s *someone) Used() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

func (s *someone) Signal(frame []byte) {
	f, err := wire.DecodeServer(frame)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, f.(*wire.Members))
}

// house is a node with one session, its readers and a clock.
type house struct {
	*Rooms
	mu   sync.Mutex
	now  time.Time
	list map[*someone]struct{}
	n    int
}

func newHouse() *house {
	h := &house{now: time.Unix(1e9, 0), list: map[*someone]struct{}{}}
	h.Rooms = New(func(holdfast.SessionID) (all []Reading) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for s := range h.list {
			all = append(all, s)
		}
		return all
	}, func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	})
	return h
}

func (h *house) someone(name string) *someone {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	s := &someone{used: h.now}
	s.here = presence.Here{Who: holdfast.Sender{User: holdfast.UserID(name), Client: "c"}, Conn: holdfast.ConnID(fmt.Sprint("x", h.n))}
	h.list[s] = struct{}{}
	return s
}

func (h *house) comes(name string, watch bool) *someone {
	s := h.someone(name)
	h.Enter("chat", s, watch)
	return s
}

func (h *house) goes(s *someone, how presence.Departure) {
	h.mu.Lock()
	delete(h.list, s)
	h.mu.Unlock()
	h.Exit("chat", s, how)
}

func (h *house) wait(seconds int) {
	for range seconds {
		h.mu.Lock()
		h.now = h.now.Add(time.Second)
		h.mu.Unlock()
		h.Tick()
	}
}

func names(all []wire.Member) (out []string) {
	for _, m := range all {
		out = append(out, string(m.Who.User))
	}
	return out
}

func TestARoomIsThereWhileSomebodyWatches(t *testing.T) {
	h := newHouse()
	h.comes("anna", false)
	if h.Len() != 0 {
		t.Error("there is a room that nobody watches")
	}
	if got := names(h.Members("chat")); cmp.Diff(got, []string{"anna"}) != "" {
		t.Errorf("members without a room: %v", got)
	}
	ben := h.comes("ben", true)
	if got := names(ben.told[0].Members); !ben.told[0].All || cmp.Diff(got, []string{"anna", "ben"}) != "" {
		t.Errorf("first told of %v", got)
	}
	cleo := h.comes("cleo", false)
	h.goes(cleo, presence.Goodbye)
	h.wait(3)
	if len(ben.told) != 3 || len(ben.told[1].Members) != 1 || len(ben.told[2].Left) != 1 {
		t.Errorf("told %+v", ben.told)
	}
	h.goes(ben, presence.Lost)
	h.wait(59)
	if h.Len() != 1 {
		t.Error("the room is gone as soon as nobody watches")
	}
	h.wait(3)
	if h.Len() != 0 {
		t.Error("the room stays for ever")
	}
	if len(ben.told) != 3 {
		t.Error("one who has gone is told")
	}
}

func TestPositionsOutlastAReconnectOfAll(t *testing.T) {
	h := newHouse()
	anna := h.comes("anna", true)
	h.Read("chat", anna.here.Who, presence.Position{Epoch: "e", Read: 7, Got: 9})
	h.goes(anna, presence.Lost)
	h.wait(30)
	again := h.comes("anna", true)
	if m := again.told[0].Members; len(m) != 1 || m[0].Read != 7 || m[0].Got != 9 {
		t.Errorf("told %+v", m)
	}
}

func TestWhoSleepsIsAway(t *testing.T) {
	h := newHouse()
	h.comes("anna", false)
	h.wait(61)
	if m := h.Members("chat"); len(m) != 1 || !m[0].Away {
		t.Errorf("without a room: %+v", m)
	}
	h.comes("ben", true)
	h.wait(1)
	for _, m := range h.Members("chat") {
		if m.Who.User == "anna" && !m.Away {
			t.Error("with a room, one who has long been silent is here")
		}
	}
}

// TestManyComeAndGo does all of it at once; in the end, whoever watches knows who is there.
func TestManyComeAndGo(t *testing.T) {
	h := newHouse()
	watcher := h.comes("watcher", true)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 200 {
				s := h.comes(fmt.Sprint("u", i, rnd.IntN(3)), rnd.IntN(2) == 0)
				h.Read("chat", s.here.Who, presence.Position{Read: holdfast.Offset(rnd.IntN(9))})
				h.Look("chat", s)
				if rnd.IntN(4) == 0 {
					h.wait(1)
				}
				h.Members("chat")
				h.goes(s, presence.Departure(rnd.IntN(3)))
			}
		})
	}
	all.Wait()
	h.wait(20)
	known := map[holdfast.UserID]bool{}
	for _, f := range watcher.told {
		for _, m := range f.Members {
			known[m.Who.User] = true
		}
		for _, who := range f.Left {
			delete(known, who.User)
		}
	}
	if len(known) != 1 || !known["watcher"] {
		t.Errorf("known in the end: %v", known)
	}
	if got := names(h.Members("chat")); cmp.Diff(got, []string{"watcher"}) != "" {
		t.Errorf("there in the end: %v", got)
	}
}
