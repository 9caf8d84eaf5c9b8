package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// sweep looks after time: hellos and takes that do not come, peers gone silent, beats, tokens that expire. Looking costs
// nothing; ending does, and when a network fails thousands are due at once: that is endSome's.
func (l *Lane) sweep() {
	l.mu.Lock()
	l.swept = append(l.swept, l.conns...)
	l.mu.Unlock()
	l.doomed = l.doomed[:0] // who is still due is found again
	for _, c := range l.swept {
		if now := c.cfg.now(); c.due(now) != nil {
			l.doomed = append(l.doomed, c)
		} else {
			c.keepAlive(now)
		}
	}
	clear(l.swept)
	l.swept = l.swept[:0]
}

// endsAtOnce is how many connections are ended before those that are alive have their turn: less than a millisecond's work.
const endsAtOnce = 32

// endSome ends some of those whose time is over, and then lets the others have a round; false if there are none.
func (l *Lane) endSome() bool {
	n := min(len(l.doomed), endsAtOnce)
	if n == 0 {
		return false
	}
	some := l.doomed[len(l.doomed)-n:]
	for i, c := range some {
		// It may have spoken since.
		if end := c.due(c.cfg.now()); end != nil {
			end(c)
		}
		some[i] = nil
	}
	l.doomed = l.doomed[:len(l.doomed)-n]
	return true
}

// due returns how the connection is to be ended now, nil if it is not.
func (c *Conn) due(now time.Time) func(*Conn) {
	age := now.Sub(c.started)
	// In this order. lastIn is set before handling ends, and hidden between the two: a client that has just said that it is
	// seen again is never measured by the shorter beat without the word that said so.
	beat := c.beat()
	handling := c.handling.Load()
	silent := age - time.Duration(c.lastIn.Load())
	c.mu.Lock()
	end := c.out.end
	c.mu.Unlock()
	switch late := age-time.Duration(c.since.Load()) > c.cfg.HelloTimeout && !handling; {
	case end != nil:
		if now.Sub(end.since) > endTimeout {
			return func(c *Conn) { c.t.Abort() }
		}
	case c.stands() == stranger && late:
		return func(c *Conn) { c.bye(holdfast.CloseTimeout, "no hello came in time", 0, 0) }
	case c.stands() == standby && late:
		return func(c *Conn) { c.bye(holdfast.CloseTimeout, "no take came in time", 0, 0) }
	case c.stands() != attached:
	case silent > beat*5/2 && !handling && c.reach == transport.Both:
		return func(c *Conn) {
			c.bye(holdfast.CloseTimeout, "nothing was heard from the client for too long", 0, 0)
		}
	case c.expired(now):
		return func(c *Conn) { c.bye(holdfast.CloseExpired, "the token has expired", 0, 0) }
	}
	return nil
}

// keepAlive pings where nothing was said for a beat, and announces the end of the token.
func (c *Conn) keepAlive(now time.Time) {
	if c.stands() != attached {
		return
	}
	age, beat := now.Sub(c.started), c.beat()
	if age-time.Duration(c.lastOut.Load()) > beat-c.hurry(beat) {
		c.lastOut.Store(int64(age))
		c.push(&wire.Ping{N: uint64(age / time.Millisecond)})
	}
	g := c.grant.Load()
	if g == nil || g.Expires.IsZero() {
		return
	}
	if left := g.Expires.Sub(now); left < expiryNotice && c.warned.Swap(g) != g {
		c.push(&wire.Expiring{In: max(left, 0).Milliseconds()})
	}
}

func (c *Conn) expired(now time.Time) bool {
	g := c.grant.Load()
	return g != nil && !g.Expires.IsZero() && g.Expires.Sub(now) < -expiryGrace
}
