package pipe

import (
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

var _ transport.Conn = (*conn)(nil)

// conn is the server's side.
type conn struct{ l *link }

// Info implements transport.Conn.
func (c *conn) Info() transport.Info { return c.l.info }

// PeerClose implements transport.PeerCloser.
func (c *conn) PeerClose() (code holdfast.CloseCode, said bool) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	if c.l.bye == nil {
		return 0, false
	}
	return c.l.bye.Code, true
}

// AppendMessage implements transport.Conn.
func (c *conn) AppendMessage(dst, msg []byte) []byte { return appendMessage(dst, msg) }

// Receive implements transport.Conn.
func (c *conn) Receive(fn func(msg []byte) error) error {
	for {
		var msg []byte
		var err error
		var over bool
		until[struct{}](c.l, nil, func() bool {
			msg, over, err = c.l.nextIn()
			return msg != nil || over
		})
		switch {
		case over:
			return err
		case len(msg) > c.l.limit:
			c.Close(holdfast.CloseTooLarge, "the message is longer than the limit")
			return holdfast.Errorf(holdfast.CodeTooLarge, "the message is longer than the limit of %d bytes", c.l.limit)
		}
		if err := fn(msg); err != nil {
			return err
		}
	}
}

// nextIn takes the next message of the peer, or says that there will be none and why. What was sent before the peer
// closed is delivered; what is there when the server closes is not.
func (l *link) nextIn() (msg []byte, over bool, err error) {
	switch {
	case l.cut, l.closed != nil:
		return nil, true, gone()
	case len(l.in) > 0:
		msg, l.in = l.in[0], l.in[1:]
		return msg, false, nil
	}
	return nil, l.bye != nil, nil
}

// TryWrite implements transport.Conn.
func (c *conn) TryWrite(p []byte) (n int, err error) {
	c.l.update(func() { n, err = c.l.put(p) })
	return n, err
}

// put moves as much of p into the buffer as there is room for.
func (l *link) put(p []byte) (int, error) {
	if l.cut || l.bye != nil || l.closed != nil && !l.mid {
		return 0, gone()
	}
	n := min(len(p), max(0, l.size-len(l.out)))
	l.out = append(l.out, p[:n]...)
	if len(p) > 0 {
		l.mid = n < len(p) && (l.mid || n > 0)
	}
	return n, nil
}

// Write implements transport.Conn. If a message went out in part when the time is over, the connection is lost.
func (c *conn) Write(p []byte, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	moved := false
	in := until(c.l, timer.C, func() bool {
		var n int
		n, err = c.l.put(p)
		p = p[n:]
		if n > 0 {
			moved = true
			c.l.wake()
		}
		return err != nil || len(p) == 0
	})
	if in {
		return err
	}
	if moved {
		c.l.abort()
	}
	return holdfast.Errorf(holdfast.CodeUnavailable, "the peer did not take the message within %v", timeout)
}

// Close implements transport.Conn.
func (c *conn) Close(code holdfast.CloseCode, reason string) {
	c.l.update(func() {
		if c.l.closed != nil || c.l.cut {
			return
		}
		c.l.closed = &Closed{code, cutReason(reason)}
		if c.l.bye != nil { // the first close counts
			c.l.closed = c.l.bye
		}
		c.l.in = nil
		if c.l.mid {
			time.AfterFunc(closeTimeout, func() { c.l.cutIfMid() })
		}
	})
}

// cutReason cuts between characters.
func cutReason(s string) string {
	if len(s) <= maxReason {
		return s
	}
	n := maxReason
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cutIfMid ends a connection that was closed in the middle of a message whose rest never came.
func (l *link) cutIfMid() {
	l.update(func() { l.cut = l.cut || l.mid })
}

// Abort implements transport.Conn.
func (c *conn) Abort() { c.l.abort() }
