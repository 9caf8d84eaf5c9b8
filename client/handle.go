package client

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// handle takes a frame of the server. It is called by the link's reader.
func (c *Client) handle(l *link, f wire.ServerFrame) {
	switch f := f.(type) {
	case *wire.Welcome:
		l.tell(func() { c.welcomed(l, f) })
	case *wire.Ready:
		l.tell(func() { c.dispatch(event{kind: onReady, n: l.n}, nil) })
	case *wire.Ping:
		l.send(&wire.Pong{N: f.N})
	case *wire.Pong:
		l.tell(func() { c.ponged(l, f) })
	case *wire.Move:
		l.tell(func() { c.dispatch(event{kind: onMove, n: l.n, spread: millis(f.Spread)}, nil) })
	case *wire.Expiring:
		l.tell(func() { c.expiring(f) })
	case *wire.Windows:
		if c.opts.OnWindows != nil {
			l.tell(func() { c.opts.OnWindows(*f) })
		}
	case *wire.TokenAnswer:
		l.tell(func() { c.tokenLasts(f.Exp) })
	default:
		l.busy.Store(true)
		select {
		case c.applying <- struct{}{}:
			c.take(l, f)
			<-c.applying
		case <-l.ctx.Done():
		}
		l.busy.Store(false)
	}
}

// take applies a frame of a session and tells the application. Whoever calls it holds applying.
func (c *Client) take(l *link, f wire.ServerFrame) {
	switch f := f.(type) {
	case *wire.SubAnswer:
		c.apply(l, f.Session, f)
	case *wire.EntryFrame:
		c.apply(l, f.Session, f)
	case *wire.FragFrame:
		c.apply(l, f.Session, f)
	case *wire.EndFrame:
		c.apply(l, f.Session, f)
	case *wire.Live:
		c.apply(l, f.Session, f)
	case *wire.Signal:
		c.signalled(l, f)
	case *wire.Members:
		c.members(l, f)
	case *wire.PageAnswer:
		c.paged(l, f)
	case *wire.Ack:
		c.acked(f)
	case *wire.ErrFrame:
		c.refusal(l, f)
	}
}

func (c *Client) welcomed(l *link, f *wire.Welcome) {
	if c.machine.name != inAttaching {
		return
	}
	now := c.now()
	c.act = holdfast.ActNone
	c.liveAt, c.serverAhead = now, millis(f.Now)-now
	c.tokenLasts(f.Exp)
	beat := max(millis(f.Beat), time.Second)
	rest := max(millis(f.Rest), beat)
	c.dispatch(event{kind: onWelcomed, n: l.n, beat: beat, rest: rest, rtt: now - c.helloAt}, nil)
}

func (c *Client) ponged(l *link, f *wire.Pong) {
	if f.N == c.pings {
		c.dispatch(event{kind: onPong, n: l.n, rtt: c.now() - c.pingAt}, nil)
	}
}

// closed: the connection of a link ended, or was never made.
func (c *Client) closed(e event, why error) {
	if e.code == holdfast.CloseExpired || e.code == holdfast.CloseUnauthorized {
		c.token.expires = 0
	}
	c.dispatch(e, why)
}

// maxHoles is how often a session is subscribed to anew at once without catching up in between. A correct server never comes
// near it; a broken one is asked again later, not in a loop.
const maxHoles = 3

func (c *Client) apply(l *link, id holdfast.SessionID, f wire.ServerFrame) {
	c.mu.Lock()
	s := c.sessions[id]
	if s == nil || c.attached != l {
		c.mu.Unlock()
		return // unsubscribed, and the server did not know yet; or late words of a connection that was replaced
	}
	if _, answered := f.(*wire.SubAnswer); answered {
		s.act = holdfast.ActNone
	}
	// Not strict, so there is no error.
	change, _ := s.state.Apply(f)
	switch change.Kind {
	case Hole:
		c.holeLocked(s)
	case CaughtUp:
		s.holes = 0
	}
	c.mu.Unlock()
	s.tell(change)
}

// Pauses: after a refusal that does not say how long, and where a server leaves hole after hole.
const (
	leastPause = 250 * time.Millisecond
	longPause  = 20 * time.Second
)

func (c *Client) holeLocked(s *Session) {
	s.holes++
	s.state.Resubscribe()
	s.stale = true
	if s.holes > maxHoles {
		s.holes = 0
		c.notBefore = time.Now().Add(longPause)
	}
	ring(c.bell)
}

// tell tells the application, unless nothing changed.
func (s *Session) tell(change Change) {
	if change.Kind == Nothing {
		return
	}
	if s.opts.OnChange != nil {
		s.opts.OnChange(change)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if !s.left {
		ring(s.changed)
	}
}

func (c *Client) signalled(l *link, f *wire.Signal) {
	c.mu.Lock()
	s := c.sessions[f.Session]
	late := c.attached != l
	c.mu.Unlock()
	if s != nil && !late && s.opts.OnSignal != nil {
		s.opts.OnSignal(f.From, f.Data)
	}
}

func (c *Client) members(l *link, f *wire.Members) {
	c.mu.Lock()
	s := c.sessions[f.Session]
	late := c.attached != l
	c.mu.Unlock()
	if s != nil && !late && s.opts.OnMembers != nil {
		s.opts.OnMembers(*f)
	}
}

func (c *Client) paged(l *link, f *wire.PageAnswer) {
	c.mu.Lock()
	p := c.pages[f.ID]
	if p == nil || c.attached != l {
		c.mu.Unlock()
		return
	}
	delete(c.pages, f.ID)
	change := p.session.state.ApplyPage(p.request.Before, f)
	more := p.session.state.More()
	if change.Kind == Hole {
		c.holeLocked(p.session)
	}
	c.mu.Unlock()
	p.session.tell(change)
	p.finish(more, nil)
}

// acked: an acknowledgement is true whichever connection it came over.
func (c *Client) acked(f *wire.Ack) {
	c.mu.Lock()
	c.outbox.finish(f.Session, f.ID, sendResult{ack: *f})
	c.mu.Unlock()
	ring(c.bell)
}

// refusal is a frame of ours that the server did not do. What was too much, or came at a bad moment, is repeated.
func (c *Client) refusal(l *link, f *wire.ErrFrame) {
	err := &holdfast.Error{Code: f.Code, Message: f.Message}
	again := f.Code == holdfast.CodeRateLimited || f.Code == holdfast.CodeUnavailable
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached != l {
		return
	}
	if again {
		c.notBefore = time.Now().Add(max(millis(f.After), leastPause))
	}
	switch f.Re {
	case wire.TypeSend, wire.TypeAnswer, wire.TypeQueue:
		if again {
			c.outbox.again(f.Session, f.ID)
		} else {
			c.outbox.finish(f.Session, f.ID, sendResult{err: err})
		}
	case wire.TypePage:
		p := c.pages[f.ID]
		switch {
		case p == nil:
		case again:
			p.sent = false
		default:
			delete(c.pages, f.ID)
			p.finish(false, err)
		}
	case wire.TypeSub:
		if s := c.sessions[f.Session]; s != nil && again {
			s.stale = true
		}
	}
	ring(c.bell)
}

// writeControl queues a frame for the connection there is now.
func (c *Client) writeControl(f wire.ClientFrame) {
	c.mu.Lock()
	c.control = append(c.control, f)
	c.mu.Unlock()
	ring(c.bell)
}
