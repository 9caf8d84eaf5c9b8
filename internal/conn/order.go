package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// heldBack keeps a client's messages to one session in order, where one of them was refused for now. Those after it are under way
// already, and a limit lets the next one in as soon as there is room: it would stand in the log before those that were refused. So
// they are refused too, until the first of them comes again.
type heldBack struct {
	// id is the message that is waited for; empty when it has come.
	id    string
	until time.Time
	// refused is how many were refused without being counted in any limit.
	refused int
}

// holdTime is for how long a message is waited for that its client may have discarded.
const holdTime = 5 * time.Second

// hold notes that a message was refused which its client is to repeat.
func (c *Conn) hold(s holdfast.SessionID, id string) {
	if s.Validate() != nil || holdfast.ValidateKey("message id", id) != nil {
		return // it is never let in, and may be large
	}
	now, h := c.cfg.now(), c.held[s]
	switch {
	case h == nil && len(c.held) == c.cfg.MaxSubs:
		return // nobody writes to so many sessions at a time but to find out what becomes of it
	case h == nil:
		h = &heldBack{}
		if c.held == nil {
			c.held = map[holdfast.SessionID]*heldBack{}
		}
		c.held[s] = h
		fallthrough
	case h.id == "", h.id == id, !now.Before(h.until):
		h.id, h.until = id, now.Add(holdTime)
	}
}

// outOfTurn refuses a message while one before it is waited for. That counts in no limit: else a client that repeats all that it
// has would never be let in again.
func (c *Conn) outOfTurn(f wire.ClientFrame) bool {
	s, ok := f.(*wire.Send)
	if !ok || c.held[s.Session] == nil {
		return false
	}
	h := c.held[s.Session]
	switch {
	case s.ID == h.id:
		h.id = ""
		return false
	case h.id == "", !c.cfg.now().Before(h.until):
		delete(c.held, s.Session)
		return false
	}
	if h.refused++; h.refused > 10*c.cfg.Burst {
		c.bye(holdfast.CloseRateLimited, "too many frames", time.Second, 5*time.Second)
		return true
	}
	c.answer(&wire.ErrFrame{
		Re: wire.TypeSend, Session: s.Session, ID: clip(s.ID, holdfast.MaxKey), Code: holdfast.CodeRateLimited,
		Message: "a message before it was refused; repeat that first, then this", After: 1000,
	})
	return true
}
