package conn

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/wire"
)

// remains is what revocations leave of a grant that this connection's client has.
func (c *Conn) remains(g holdfast.Grant) (holdfast.Grant, error) {
	if c.cfg.Revoke == nil {
		return g, nil
	}
	return c.cfg.Revoke(g, c.client)
}

// Recheck applies the revocations that there are now: a connection whose token was taken back is closed, and readings that are
// no longer allowed are denied, with nothing after that. It is called by anyone.
func (c *Conn) Recheck() (ended, changed bool) {
	c.rights.Lock()
	defer c.rights.Unlock()
	old := c.grant.Load()
	if old == nil {
		return false, false
	}
	g, err := c.remains(*old)
	if err != nil {
		c.bye(holdfast.CloseUnauthorized, holdfast.MessageOf(err), 0, 0)
		return true, true
	}
	if slices.EqualFunc(old.Denied, g.Denied, sameDenial) {
		return false, false
	}
	c.grant.Store(&g)
	c.barUnallowed()
	return false, true
}

// entitle replaces the grant by that of a fresh token.
func (c *Conn) entitle(g *holdfast.Grant) {
	c.rights.Lock()
	defer c.rights.Unlock()
	c.grant.Store(g)
}

func sameDenial(a, b holdfast.Denial) bool {
	return a.Session == b.Session && slices.Equal(a.Actions, b.Actions)
}

// barUnallowed denies the readings that the grant does not allow any more.
func (c *Conn) barUnallowed() {
	var barred []*sub
	c.mu.Lock()
	for _, s := range c.subs {
		if c.barLocked(s) {
			barred = append(barred, s)
		}
	}
	c.mu.Unlock()
	for _, s := range barred {
		c.vacate(s)
	}
}

// vacate gives up all that a denied reading holds: who may not read a session is not shown in it, and keeps nobody out of it. The sub
// stays in subs, which are the reading side's, until that is done with it or needs the room.
func (c *Conn) vacate(s *sub) {
	s.leave(presence.Goodbye)
	if c.perSession() {
		c.cfg.Hub.Exit(c, s.session, c.cfg.now())
	}
}

// makeRoom forgets the subs that were denied or displaced, if there is no room for another one.
func (c *Conn) makeRoom() {
	if len(c.subs) < c.cfg.MaxSubs {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = slices.DeleteFunc(c.subs, func(s *sub) bool { return s.left.Load() })
}

// barLocked denies a reading if the grant does not allow it, and reports whether it was read until now. Then the caller vacates it, once
// mu is let go of.
func (c *Conn) barLocked(s *sub) bool {
	if c.grant.Load().Allows(holdfast.ActionRead, s.session) || s.gone.Swap(true) {
		return false
	}
	c.out.dirty = slices.DeleteFunc(c.out.dirty, func(x *sub) bool { return x == s })
	if c.out.owner == closed || c.out.end != nil {
		return true
	}
	frame := wire.Append(nil, &wire.SubAnswer{
		Session: s.session, Outcome: holdfast.Denied, Code: holdfast.CodeForbidden, Message: "the right to read this session was taken back",
	})
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
	return true
}
