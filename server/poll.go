package server

import (
	"bytes"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/fallback"
	"github.com/holdfast/holdfast/wire"
)

// pollGather is how long a poll that has news waits for more of it: an answer of a model comes in many small pieces, and
// each poll costs a round trip.
const pollGather = 20 * time.Millisecond

// turn decides when a poll has what it came for: when anything has been written that the client did not know, and every
// session that it asked for has been caught up with. It belongs to the writer of the poll's connection.
type turn struct {
	// behind are the sessions whose live frame is still to come.
	behind map[holdfast.SessionID]struct{}
	news   bool
}

// pollTurn makes the turn of a poll by its hello.
func pollTurn(hello []byte) fallback.Turn {
	t := &turn{behind: map[holdfast.SessionID]struct{}{}}
	wait := int64(wire.DefaultWait)
	// A hello that is none is answered with a goodbye, which ends the poll.
	if f, err := wire.DecodeClient(hello); err == nil {
		if h, ok := f.(*wire.Hello); ok {
			for i := range h.Subs {
				// One that is not valid is denied, by a frame that may be too long to be looked at.
				if s := h.Subs[i].Session; s.Validate() == nil {
					t.behind[s] = struct{}{}
				}
			}
			if h.Wait > 0 {
				wait = min(h.Wait, wire.MaxWait)
			}
		}
	}
	return fallback.Turn{Wait: time.Duration(wait) * time.Millisecond, Wrote: t.wrote, Gather: pollGather}
}

// wrote takes note of a frame, and reports whether the poll may end.
func (t *turn) wrote(frame []byte) bool {
	switch typeOf(frame) {
	// Who else is there comes anew with every poll; it is passed on with what is news.
	case wire.TypeWelcome, wire.TypePing, wire.TypeWindows, wire.TypeMembers:
		return false
	case wire.TypeSub, wire.TypeLive:
		t.progress(frame)
	default:
		t.news = true
	}
	return t.news && len(t.behind) == 0
}

// progress takes note of where a session stands. It may be answered anew at any time, and is behind again then.
func (t *turn) progress(frame []byte) {
	f, err := wire.DecodeServer(frame)
	if err != nil {
		t.news = true // longer than a turn is shown: a denial of a session that is none
		return
	}
	switch f := f.(type) {
	case *wire.Live:
		delete(t.behind, f.Session)
	case *wire.SubAnswer:
		t.news = t.news || f.Outcome != holdfast.Continuous
		if f.Outcome == holdfast.Denied {
			delete(t.behind, f.Session)
		} else {
			t.behind[f.Session] = struct{}{}
		}
	}
}

// typeOf reads the type of a frame that this server wrote: it is always the first member.
func typeOf(frame []byte) wire.Type {
	rest, ok := bytes.CutPrefix(frame, []byte(`{"t":"`))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte{'"'})
	return wire.Type(name)
}
