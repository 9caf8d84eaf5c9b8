package conn

import (
	"slices"

	"github.com/holdfast/holdfast"
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
	for {
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
		// Not over a token that came meanwhile.
		if c.grant.CompareAndSwap(old, &g) {
			c.barUnallowed()
			return false, true
		}
	}
}

func sameDenial(a, b holdfast.Denial) bool {
	return a.Session == b.Session && slices.Equal(a.Actions, b.Actions)
}

// barUnallowed denies the readings that the grant does not allow any more. They stay in subs until the reading side, which owns
// them, is done with them; but nothing is read for them.
func (c *Conn) barUnallowed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.subs {
		c.barLocked(s)
	}
}

// barLocked denies a reading if the grant does not allow it.
func (c *Conn) barLocked(s *sub) {
	if c.grant.Load().Allows(holdfast.ActionRead, s.session) || s.gone.Swap(true) {
		return
	}
	c.out.dirty = slices.DeleteFunc(c.out.dirty, func(x *sub) bool { return x == s })
	if c.out.owner == closed || c.out.end != nil {
		return
	}
	frame := wire.Append(nil, &wire.SubAnswer{
		Session: s.session, Outcome: holdfast.Denied, Code: holdfast.CodeForbidden, Message: "the right to read this session was taken back",
	})
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
}
