package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/text"
	"github.com/holdfast/holdfast/wire"
)

// heldBack keeps what comes over one connection for one session in order, where a message of it was refused for now. Those after it are
// under way already, and a limit lets the next one in as soon as there is room: it would stand in the log before those that were
// refused. So they are refused too, until the first of them comes again. Ids do not tell who goes before whom: a page sends what an
// earlier one, or a closed tab, has left, before its own.
type heldBack struct {
	// id is the message that is waited for; empty when it has come.
	id string
	// since is when it was refused, and heard when a message for the session last came.
	since, heard time.Time
	// refused is how many were refused without being counted in any limit.
	refused int
}

// holdTime is how long a client has to be silent until nothing is under way any more. Who does not say which message is the first may
// have discarded the one that is waited for, and repeat the others; that ends after mostHold.
const (
	holdTime = 5 * time.Second
	mostHold = 30 * time.Second
)

// hold notes that a message was refused which its client is to repeat.
func (c *Conn) hold(s holdfast.SessionID, id string) {
	if s.Validate() != nil || holdfast.ValidateKey("message id", id) != nil {
		return // it is never let in, and may be large
	}
	h := c.held[s]
	if h == nil {
		if len(c.held) == c.cfg.MaxSubs {
			return // nobody writes to so many sessions at a time but to find out what becomes of it
		}
		if c.held == nil {
			c.held = map[holdfast.SessionID]*heldBack{}
		}
		h = &heldBack{}
		c.held[s] = h
	}
	h.heard = c.cfg.now()
	if h.id == "" {
		h.id, h.since = id, h.heard
	}
}

// outOfTurn refuses a message while one before it is waited for. That counts in no limit: else a client that repeats all that it
// has would never be let in again.
func (c *Conn) outOfTurn(f wire.ClientFrame) bool {
	s, ok := f.(*wire.Send)
	if !ok || len(c.held) == 0 {
		return false
	}
	h := c.held[s.Session]
	if h == nil {
		return false
	}
	now := c.cfg.now()
	over := now.Sub(h.heard) >= holdTime || now.Sub(h.since) >= mostHold
	h.heard = now
	switch {
	case s.ID == h.id:
		h.id, h.refused = "", 0 // it does what it was told, and may have to again
		return false
	case h.id == "", s.First, over:
		delete(c.held, s.Session)
		return false
	}
	if h.refused++; h.refused > 10*c.cfg.Burst {
		c.bye(holdfast.CloseRateLimited, "too many frames", time.Second, 5*time.Second)
		return true
	}
	c.answer(&wire.ErrFrame{
		Re: wire.TypeSend, Session: s.Session, ID: text.Clip(s.ID, holdfast.MaxKey), Code: holdfast.CodeRateLimited,
		Message: "a message before it was refused; repeat that first, then this", After: 1000,
	})
	return true
}
