package hub

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

type someone struct {
	info  ConnInfo
	ended holdfast.CloseCode
	told  []*wire.Windows
}

func (s *someone) Describe() ConnInfo                    { return s.info }
func (s *someone) AskReport()                            {}
func (s *someone) Probe()                                {}
func (s *someone) Touch()                                {}
func (s *someone) Windows(f *wire.Windows)               { s.told = append(s.told, f) }
func (s *someone) Displace(f *wire.Windows)              { s.told = append(s.told, f) }
func (s *someone) End(code holdfast.CloseCode, _ string) { s.ended = code }
func who(id holdfast.ConnID, user holdfast.UserID, client holdfast.ClientID, gen holdfast.Generation) *someone {
	return &someone{info: ConnInfo{ID: id, User: user, Client: client, Generation: gen}}
}

func TestAttach(t *testing.T) {
	first := who("x1", "anna", "c1", 5)
	cases := map[string]struct {
		next  *someone
		ghost bool
		ok    bool
		left  int
	}{
		"a later dial replaces the ghost":        {who("x2", "anna", "c1", 6), true, true, 1},
		"the same generation is refused":         {who("x2", "anna", "c1", 5), false, false, 1},
		"an earlier dial is refused":             {who("x2", "anna", "c1", 4), false, false, 1},
		"another client lives beside it":         {who("x2", "anna", "c2", 1), false, true, 2},
		"another user's client of the same name": {who("x2", "ben", "c1", 6), false, true, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := New(nil)
			h.Attach(first, &Arrival{})
			adm := h.Attach(c.next, &Arrival{})
			if adm.Stale == c.ok || (adm.Ghost != nil) != c.ghost {
				t.Errorf("got ghost %v and stale %v, want %v and %v", adm.Ghost, adm.Stale, c.ghost, !c.ok)
			}
			if h.Count() != c.left {
				t.Errorf("%d connections live, want %d", h.Count(), c.left)
			}
			// The ghost finds out that it is one, and leaves; the living one stays.
			h.Detach(first, false, time.Time{})
			if _, there := h.Connection(c.next.info.ID); there != c.ok {
				t.Errorf("after the first has left, the next is there: %v, want %v", there, c.ok)
			}
			h.Detach(c.next, false, time.Time{})
			if h.Count() != 0 || len(h.people.users) > 0 {
				t.Errorf("something is left: %v", h.people.users)
			}
		})
	}
}
