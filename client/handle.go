package client

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// handle takes a frame of the server. It is called by the connection's reader.
func (c *Client) handle(l *link, f wire.ServerFrame) {
	switch f := f.(type) {
	case *wire.Welcome:
		select {
		case l.welcome <- f:
		default:
		}
	case *wire.Bye:
		l.bye = f
	case *wire.Ping:
		c.post(&wire.Pong{N: f.N})
	case *wire.Expiring:
		ring(l.expiring)
	case *wire.SubAnswer:
		c.apply(f.Session, f)
	case *wire.EntryFrame:
		c.apply(f.Session, f)
	case *wire.FragFrame:
		c.apply(f.Session, f)
	case *wire.EndFrame:
		c.apply(f.Session, f)
	case *wire.Live:
		c.apply(f.Session, f)
	case *wire.Signal:
		c.signalled(f)
	case *wire.PageAnswer:
		c.paged(f)
	case *wire.Ack:
		c.mu.Lock()
		c.outbox.finish(f.Session, f.ID, sendResult{ack: *f})
		c.mu.Unlock()
		ring(c.bell)
	case *wire.ErrFrame:
		c.refusal(f)
	}
}

// maxHoles is how often a session is subscribed to anew at once without catching up in between. A correct server never comes
// near it; a broken one is asked again later, not in a loop.
const maxHoles = 3

func (c *Client) apply(id holdfast.SessionID, f wire.ServerFrame) {
	c.mu.Lock()
	s := c.sessions[id]
	if s == nil {
		c.mu.Unlock()
		return // unsubscribed; the server did not know yet
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

func (c *Client) holeLocked(s *Session) {
	s.holes++
	s.state.Resubscribe()
	s.stale = true
	if s.holes > maxHoles {
		s.holes = 0
		c.notBefore = time.Now().Add(longCap)
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

func (c *Client) signalled(f *wire.Signal) {
	c.mu.Lock()
	s := c.sessions[f.Session]
	c.mu.Unlock()
	if s != nil && s.opts.OnSignal != nil {
		s.opts.OnSignal(f.From, f.Data)
	}
}

func (c *Client) paged(f *wire.PageAnswer) {
	c.mu.Lock()
	p := c.pages[f.ID]
	if p == nil {
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

// refusal is a frame of ours that the server did not do. What was too much, or came at a bad moment, is repeated.
func (c *Client) refusal(f *wire.ErrFrame) {
	err := &holdfast.Error{Code: f.Code, Message: f.Message}
	again := f.Code == holdfast.CodeRateLimited || f.Code == holdfast.CodeUnavailable
	c.mu.Lock()
	defer c.mu.Unlock()
	if again {
		c.notBefore = time.Now().Add(max(millis(f.After), firstBackoff))
	}
	switch f.Re {
	case wire.TypeSend:
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
