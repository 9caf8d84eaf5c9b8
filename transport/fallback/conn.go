package fallback

import (
	"bytes"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/stranger"
	"github.com/holdfast/holdfast/transport"
)

var (
	_ transport.Conn     = (*conn)(nil)
	_ transport.Stranger = (*conn)(nil)
)

// conn is one request.
type conn struct {
	// Static after construction.
	kind *kind
	r    *http.Request
	rc   *http.ResponseController
	info transport.Info
	// left is closed when the peer has gone.
	left <-chan struct{}
	// linger is how long what is being written may take when the connection was closed.
	linger time.Duration
	// wait and gather are those of a poll's turn.
	wait, gather time.Duration
	// over is closed when this side ends the connection.
	over chan struct{}
	// home has room for one: a poll has something to come home with.
	home chan struct{}

	// Owned by Receive.
	said [][]byte

	// Owned by the writer, which is one at a time; w until finish.
	w http.ResponseWriter
	// news is the Wrote of a poll's turn until it has said yes, and head the message that it is shown next.
	news func(msg []byte) bool
	head []byte

	// Guarded by mu, which is never held while anything waits for the peer.
	mu  sync.Mutex
	end end
	// limit is when what is being written must be out, once the connection was closed.
	limit   time.Time
	at      boundary
	writing bool
	// err says why nothing can be written any more.
	err error
	// idle is closed when a Write has ended, or none will come; nil when nobody waits for that.
	idle chan struct{}
}

// end is how a connection ends.
type end uint8

const (
	// open: it has not.
	open end = iota
	// complete: a poll has what it came for. The message that is being written is finished.
	complete
	// closed: by Close. So is that one, if it takes no longer than linger.
	closed
	// aborted: by Abort, or by a Write that failed.
	aborted
)

func gone() error {
	return holdfast.Wrap(holdfast.CodeUnavailable, net.ErrClosed, "the connection is closed")
}

// Known implements transport.Stranger: the socket is that of other requests too.
func (c *conn) Known() { stranger.Known(c.r.Context()) }

// Info implements transport.Conn.
func (c *conn) Info() transport.Info { return c.info }

// AppendMessage implements transport.Conn.
func (c *conn) AppendMessage(dst, msg []byte) []byte { return c.kind.append(dst, msg) }

// Receive implements transport.Conn. It hands over what the peer said, and then waits for the end, but in a request.
func (c *conn) Receive(fn func(msg []byte) error) error {
	said := c.said
	c.said = nil
	for i, msg := range said {
		select {
		case <-c.over:
			return gone()
		default:
		}
		said[i] = nil // may be large, and live as long as the connection
		if err := fn(msg); err != nil {
			return err
		}
	}
	if c.kind.reach == transport.Once {
		return nil
	}
	return c.await()
}

// await waits for the end of a connection that the peer can only listen to.
func (c *conn) await() error {
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	wait := timer.C
	if c.kind != poll || c.wait <= 0 {
		wait = nil
	}
	for {
		select {
		case <-c.over:
			return gone()
		case <-c.left:
			return holdfast.Errorf(holdfast.CodeUnavailable, "the client went away")
		case <-c.home:
			timer.Reset(c.gather)
			wait = timer.C
		case <-wait:
			c.conclude(complete)
			return nil
		}
	}
}

// TryWrite implements transport.Conn: there is no trying.
func (c *conn) TryWrite([]byte) (int, error) { return 0, nil }

// Write implements transport.Conn. What it wrote is on its way to the peer when it returns.
func (c *conn) Write(p []byte, timeout time.Duration) error {
	if len(p) == 0 {
		return nil
	}
	p, cut, err := c.begin(p, time.Now().Add(timeout))
	if err != nil {
		return err
	}
	_, err = c.w.Write(p)
	if err == nil {
		err = c.rc.Flush()
	}
	if err := c.wrote(p, err); err != nil {
		return err
	}
	if cut {
		return gone()
	}
	c.overhear(p)
	return nil
}

// begin returns what of p may be written, and whether that is not all: at an end, no more than the message that has been
// begun.
func (c *conn) begin(p []byte, deadline time.Time) (may []byte, cut bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return nil, false, c.err
	case c.end == open:
	case !c.at.within(c.kind):
		return nil, false, gone()
	default:
		whole := len(p)
		p = c.at.rest(c.kind, p)
		cut = len(p) < whole
	}
	if c.end == closed && c.limit.Before(deadline) {
		deadline = c.limit
	}
	if !c.at.begun {
		c.greet()
	}
	c.writing = true
	// An error of setting the deadline is one of the connection, which the write meets too.
	_ = c.rc.SetWriteDeadline(deadline)
	return p, cut, nil
}

// greet sends the head of the answer, when it is certain that there is one.
func (c *conn) greet() {
	h := c.w.Header()
	h.Set("Content-Type", c.kind.contentType)
	h.Set("X-Accel-Buffering", "no") // nginx and its kin would keep the answer until it is long
	c.w.WriteHeader(http.StatusOK)
}

// wrote takes note of a Write that has ended.
func (c *conn) wrote(p []byte, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.at.pass(c.kind, p)
	if err != nil && c.err == nil {
		// How much went out is not known, so that nobody can go on where this stopped.
		c.err = holdfast.Wrap(holdfast.CodeUnavailable, err, "the connection did not take the message")
		c.concludeLocked(aborted)
	}
	if c.end != aborted {
		// One that passes later would fail what follows, and on HTTP/2 ends the answer by itself.
		_ = c.rc.SetWriteDeadline(time.Time{})
	}
	c.idleLocked()
	return c.err
}

func (c *conn) idleLocked() {
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// overhear shows a poll's turn what has been written.
func (c *conn) overhear(p []byte) {
	for c.news != nil && len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		c.head = append(c.head, line[:min(len(line), TurnHead-len(c.head))]...)
		if !whole {
			return
		}
		if c.news(c.head) {
			c.news = nil
			c.home <- struct{}{} // once, so there is room
		}
		c.head, p = c.head[:0], rest
	}
}

// Close implements transport.Conn. Neither code nor reason travels.
func (c *conn) Close(holdfast.CloseCode, string) { c.conclude(closed) }

// Abort implements transport.Conn.
func (c *conn) Abort() { c.conclude(aborted) }

func (c *conn) conclude(how end) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.concludeLocked(how)
}

// concludeLocked ends the connection, once; but what is closed can still be aborted, unless it is the answer to a poll that has
// gone out whole: its writer goes on until it is refused, and then gives the connection up.
func (c *conn) concludeLocked(how end) {
	if c.end == open {
		close(c.over)
	} else if how != aborted || c.end == aborted || c.end == complete && c.wholeLocked() {
		return
	}
	c.end = how
	switch {
	case how == closed:
		c.limit = time.Now().Add(c.linger)
		if c.writing {
			_ = c.rc.SetWriteDeadline(c.limit)
		}
	case how == aborted:
		if c.err == nil {
			c.err = gone()
		}
		if c.writing {
			_ = c.rc.SetWriteDeadline(past)
		} else {
			c.idleLocked() // nobody writes the rest
		}
	}
}

// wholeLocked reports whether all that was written has gone out, and ends where a message does.
func (c *conn) wholeLocked() bool { return c.err == nil && !c.writing && !c.at.within(c.kind) }

// finish ends what serve left, when it has returned, and waits for a message that is being written. After it nobody
// touches the ResponseWriter.
func (c *conn) finish() {
	c.Close(holdfast.CloseInternal, "")
	c.settle()
	c.mu.Lock()
	begun, how := c.at.begun, c.end
	if c.err == nil {
		c.err = gone()
	}
	c.mu.Unlock()
	switch {
	case how == aborted:
		// The way to say to net/http that the answer is to break off.
		panic(http.ErrAbortHandler)
	case begun:
	case how == complete:
		c.greet()
	default:
		busy().write(c.w, c.r)
	}
}

// settle waits until no message is half written: as long as its writer does when a poll is complete, and for linger when the
// connection was closed.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	timer := time.NewTimer(time.Until(c.limit))
	defer timer.Stop()
	late := timer.C
	if c.end == complete {
		late = nil
	}
	for c.writing || c.end != aborted && c.at.within(c.kind) {
		if c.idle == nil {
			c.idle = make(chan struct{})
		}
		idle := c.idle
		c.mu.Unlock()
		select {
		case <-idle:
			c.mu.Lock()
		case <-late:
			c.mu.Lock()
			c.concludeLocked(aborted)
		}
	}
}
