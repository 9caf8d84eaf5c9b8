package client

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// State is what one reader holds of one session, and how it takes what the server sends: the rules of package wire under
// "Applying what comes". It is pure, and not safe for concurrent use.
type State struct {
	// Static.
	session holdfast.SessionID
	strict  bool

	// Where the reader is.
	epoch holdfast.Epoch
	// have is the highest offset come to, tag that of the entry there; tagged is false where have was not an entry that
	// came, but the place before a snapshot.
	have   holdfast.Offset
	tag    holdfast.Tag
	tagged bool
	// known: at least one answer was applied, or the state began with a cursor.
	known bool

	// What the last answer said.
	// waiting: an answer is to come; what comes before it belongs to an earlier subscription.
	waiting bool
	live    bool
	denied  *holdfast.Error
	// from is the first offset of the last snapshot; more says that there are older entries than those held.
	from holdfast.Offset
	more bool

	// What is held.
	entries []holdfast.Entry // by offset; of states the latest of a key
	open    map[holdfast.Offset]*openRun
	states  map[string]holdfast.Offset
}

// openRun is a run that grows.
type openRun struct {
	at   holdfast.RunCursor
	body holdfast.BodyBuilder
}

// NewState returns the state of a reader who holds nothing. A strict one takes repeats for errors too, which a correct
// server does not send within one connection; it is for tests and load generators.
func NewState(s holdfast.SessionID, strict bool) *State {
	return &State{session: s, strict: strict, waiting: true, open: map[holdfast.Offset]*openRun{}, states: map[string]holdfast.Offset{}}
}

// NewStateAt returns the state of a reader who has come to a cursor before, and kept the contents elsewhere: entries and
// runs hold only what comes from now on.
func NewStateAt(s holdfast.SessionID, c holdfast.Cursor, strict bool) *State {
	st := NewState(s, strict)
	st.known, st.epoch, st.have, st.tag, st.tagged = true, c.Epoch, c.Offset, c.Tag, true
	st.from = c.Offset + 1
	for _, r := range c.Runs {
		st.open[r.Run] = &openRun{at: r}
	}
	return st
}

// Session returns the session's id.
func (s *State) Session() holdfast.SessionID { return s.session }

// Cursor returns how far the reader has come, to be sent when it subscribes; nil where there is nothing to continue.
func (s *State) Cursor() *holdfast.Cursor {
	// Without the tag of the entry at have the server could not tell that log from another one.
	if !s.known || s.have > 0 && !s.tagged || len(s.open) > wire.MaxCursorRuns {
		return nil
	}
	c := &holdfast.Cursor{Position: holdfast.Position{Epoch: s.epoch, Offset: s.have, Tag: s.tag}}
	for _, r := range s.open {
		*c = c.With(r.at)
	}
	return c
}

// Resubscribe says that the reader subscribes anew, on this connection or another: what arrives before the answer is of
// an earlier subscription, and passed over.
func (s *State) Resubscribe() { s.waiting, s.live = true, false }

// Head is the highest offset that the reader has come to.
func (s *State) Head() holdfast.Offset { return s.have }

// Epoch is that of the log that the reader reads; "" before its first entry.
func (s *State) Epoch() holdfast.Epoch { return s.epoch }

// Live reports whether everything that was there when the reader subscribed has come.
func (s *State) Live() bool { return s.live }

// More reports whether there are entries before those held, to page back to.
func (s *State) More() bool { return s.more }

// First is the offset before which older entries can be paged to.
func (s *State) First() holdfast.Offset { return s.from }

// Denied is why the session may not be read, or nil.
func (s *State) Denied() error {
	if s.denied == nil {
		return nil
	}
	return s.denied
}

// Entries returns what is held, by offset: messages, runs with their bodies, events, and of states the latest of each key.
// The lengths of fragments are not known to readers: [holdfast.Segment.Lens] tells how the texts arrived.
func (s *State) Entries() []holdfast.Entry {
	out := slices.Clone(s.entries)
	for i := range out {
		if r := s.open[out[i].Offset]; r != nil {
			run := *out[i].Run
			run.Body = slices.Clone(r.body.Body())
			run.Fragments, run.Tag = r.at.Fragment, r.at.Tag
			out[i].Run = &run
		}
	}
	return out
}

// find returns the place of an offset among the entries, and whether it is held.
func (s *State) find(o holdfast.Offset) (int, bool) {
	return slices.BinarySearchFunc(s.entries, o, func(e holdfast.Entry, o holdfast.Offset) int {
		switch {
		case e.Offset < o:
			return -1
		case e.Offset > o:
			return 1
		}
		return 0
	})
}

// hold puts an entry among the others. Of states it keeps the latest of a key.
func (s *State) hold(e *holdfast.Entry) (held bool) {
	if e.Kind == holdfast.KindState {
		old, there := s.states[e.Key]
		if there && old > e.Offset {
			return false
		}
		if i, ok := s.find(old); there && ok {
			s.entries = slices.Delete(s.entries, i, i+1)
		}
		s.states[e.Key] = e.Offset
	}
	i, _ := s.find(e.Offset)
	s.entries = slices.Insert(s.entries, i, *e)
	if e.Kind == holdfast.KindRun && !e.Run.Status.Ended() {
		r := &openRun{at: holdfast.RunCursor{Run: e.Offset, Fragment: e.Run.Fragments, Tag: e.Run.Tag}}
		for _, seg := range e.Run.Body {
			r.body.Append(holdfast.Fragment{Part: seg.Part, Text: seg.Text, Event: seg.Event})
		}
		s.open[e.Offset] = r
	}
	return true
}

// drop forgets everything that is held.
func (s *State) drop() {
	s.entries = nil
	clear(s.open)
	clear(s.states)
}
