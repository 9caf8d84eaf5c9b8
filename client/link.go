package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// link is one connection. Its reader is a goroutine that ends with the connection; stop waits for it.
type link struct {
	// Static after construction.
	conn    Conn
	started time.Time
	// done is closed when the reader has ended; err and bye may be read then.
	done chan struct{}
	err  error
	bye  *wire.Bye
	// welcome and expiring have room for one.
	welcome  chan *wire.Welcome
	expiring chan struct{}
	// tokens brings what the token's source said; fetching waits for its goroutine, cancel ends it.
	tokens   chan fetched
	fetching sync.WaitGroup
	cancel   context.CancelFunc

	// heard is when something last came, in nanoseconds since started.
	heard atomic.Int64

	// Owned by Run.
	wrote   time.Time
	beat    time.Duration
	stable  bool
	pinged  uint64
	fetches bool
}

type fetched struct {
	token string
	err   error
}

// startLink begins to read from a connection. The reader ends with the connection, and stop waits for it.
func (c *Client) startLink(conn Conn) *link {
	l := &link{
		conn: conn, started: time.Now(), done: make(chan struct{}), welcome: make(chan *wire.Welcome, 1),
		expiring: make(chan struct{}, 1), tokens: make(chan fetched, 1), cancel: func() {},
	}
	l.wrote = l.started
	// Ends when Read fails, at the latest by stop's Abort; stop waits for done.
	go func() {
		defer close(l.done)
		l.err = c.read(l)
	}()
	return l
}

func (l *link) stop() {
	l.cancel()
	l.conn.Abort()
	<-l.done
	l.fetching.Wait()
}

func (c *Client) read(l *link) error {
	for {
		msg, err := l.conn.Read()
		if err != nil {
			return err
		}
		l.heard.Store(int64(time.Since(l.started)))
		f, err := wire.DecodeServer(msg)
		if err != nil {
			l.conn.Close(holdfast.CloseProtocol, holdfast.MessageOf(err))
			return err
		}
		c.handle(l, f)
	}
}

// serve looks after an open connection until something happens that the machine must hear of.
func (c *Client) serve(ctx context.Context, p Phase) event {
	l := c.link
	for {
		if p == Live {
			if err := c.flush(); err != nil {
				return c.unwritten(err)
			}
		}
		next, e := c.deadline(p)
		if e != nil {
			return *e
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return event{kind: stopped}
		case <-l.done:
			timer.Stop()
			return c.whyEnded(l)
		case w := <-l.welcome:
			timer.Stop()
			l.beat = max(millis(w.Beat), time.Second)
			return event{kind: welcomed}
		case <-l.expiring:
			c.fetch(ctx, l)
		case t := <-l.tokens:
			c.refresh(l, t)
		case <-c.bell:
		case <-c.wake:
			// The network may have changed under an open connection: a ping finds out.
			l.wrote = time.Time{}
		case <-timer.C:
		}
		timer.Stop()
	}
}

// deadline returns how long to sleep at most, or an event that is due now. On the way it sends what the time asks for.
func (c *Client) deadline(p Phase) (time.Duration, *event) {
	l, now := c.link, time.Now()
	age := now.Sub(l.started)
	if p == Attaching {
		if age >= c.opts.DialTimeout {
			e := c.failed(holdfast.Errorf(holdfast.CodeUnavailable, "the server took the connection and said nothing"), false)
			return 0, &e
		}
		return c.opts.DialTimeout - age, nil
	}
	if !l.stable && age >= stableAfter {
		l.stable = true
		return 0, &event{kind: settled}
	}
	silent := age - time.Duration(l.heard.Load())
	dead := l.beat * 5 / 2
	if silent >= dead {
		e := c.failed(holdfast.Errorf(holdfast.CodeUnavailable, "nothing was heard from the server for %v", dead), false)
		return 0, &e
	}
	// A little early, so that the server, which counts the same beat, need not ask.
	quiet := l.beat * 4 / 5
	if now.Sub(l.wrote) >= quiet {
		l.pinged++
		if err := c.write(&wire.Ping{N: l.pinged}); err != nil {
			e := c.unwritten(err)
			return 0, &e
		}
	}
	next := min(dead-silent, quiet-now.Sub(l.wrote))
	if !l.stable {
		next = min(next, stableAfter-age)
	}
	return min(next, c.untilRetry(now)), nil
}

func (c *Client) write(frames ...wire.ClientFrame) error {
	if len(frames) == 0 {
		return nil
	}
	msgs := make([][]byte, len(frames))
	for i, f := range frames {
		msgs[i] = wire.AppendClient(nil, f)
	}
	c.link.wrote = time.Now()
	return c.link.conn.Write(msgs...)
}

// untilRetry is how long what the server refused as too much has to wait.
func (c *Client) untilRetry(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.notBefore.Sub(now); left > 0 {
		return left
	}
	return time.Hour
}

// flush writes what waits.
func (c *Client) flush() error {
	c.mu.Lock()
	frames := c.control
	c.control = nil
	if !time.Now().Before(c.notBefore) {
		for _, s := range c.sessions {
			if s.stale {
				s.stale = false
				sub := s.subLocked()
				frames = append(frames, &sub)
			}
		}
		for _, p := range c.pages {
			if !p.sent {
				p.sent = true
				frames = append(frames, &p.request)
			}
		}
		frames = c.outbox.take(frames)
	}
	c.mu.Unlock()
	return c.write(frames...)
}

// fetch asks the token's source while the connection goes on. The goroutine ends with the connection, whose stop waits for it.
func (c *Client) fetch(ctx context.Context, l *link) {
	if l.fetches {
		return
	}
	l.fetches = true
	ctx, l.cancel = context.WithTimeout(ctx, c.opts.DialTimeout)
	l.fetching.Go(func() {
		token, err := c.opts.Token(ctx)
		l.tokens <- fetched{token, err}
	})
}

// refresh sends a fresh token. If there is none, the server ends the connection when the old one has expired, and the next
// dial asks again.
func (c *Client) refresh(l *link, t fetched) {
	l.fetches = false
	l.cancel()
	if t.err != nil {
		c.token = ""
		return
	}
	c.token = t.token
	c.post(&wire.TokenRefresh{Token: t.token})
}

// post queues a frame for the connection there is now.
func (c *Client) post(f wire.ClientFrame) {
	c.mu.Lock()
	c.control = append(c.control, f)
	c.mu.Unlock()
	ring(c.bell)
}
