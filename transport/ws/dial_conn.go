package ws

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

// ClientConn is a client's side of a connection. It has no goroutine: whoever calls Read does the work, the answering of
// pings included. One goroutine at a time calls Read; Write, Close and Abort may be called by anyone at any time.
//
// Between two messages it holds no buffer, if it is a bare socket; see the package's words on memory.
type ClientConn struct {
	// Static after construction.
	net    net.Conn
	raw    syscall.RawConn // nil if net is not a bare socket
	dialer *Dialer

	// Owned by Read.
	in     clientIntake
	head   header
	msg    []byte
	inText bool
	ended  error

	// mu is the right to write.
	mu sync.Mutex
	// Guarded by mu. closed: a closing frame was sent, or the socket is closed; nothing follows.
	closed bool

	received, sent atomic.Int64
}

// clientIntake is where bytes come in.
type clientIntake struct {
	// rest has come in and was not looked at; it lies in buf, or in a buffer of its own.
	rest []byte
	buf  *buffer
	// wait is tryRead, made once. give is where it puts what it read.
	wait func(fd uintptr) bool
	give []byte
}

// CloseError is how a connection ended that the server closed in order.
type CloseError struct {
	// Code is 0 if the server gave none.
	Code   holdfast.CloseCode
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d (%s) %s", uint16(e.Code), e.Code, e.Reason)
}

// Bytes returns how many bytes came and went on the connection, the handshake and the framing included.
func (c *ClientConn) Bytes() (received, sent int64) { return c.received.Load(), c.sent.Load() }

// Read returns the next message. It is valid until the next call. At the end Read returns a [*CloseError] if the server
// closed in order, and otherwise an error with [holdfast.CodeUnavailable], or [holdfast.CodeInvalid] or
// [holdfast.CodeTooLarge] if the server broke RFC 6455 or the limit; the socket is closed then, and every later call returns
// the same.
func (c *ClientConn) Read() ([]byte, error) {
	if c.ended != nil {
		return nil, c.ended
	}
	if !c.inText {
		c.msg = c.msg[:0]
	}
	for {
		h, err := c.frameHeader()
		if err != nil {
			return nil, c.end(err)
		}
		msg, done, err := c.frame(h)
		if err != nil {
			return nil, c.end(err)
		}
		if done {
			return msg, nil
		}
	}
}

// frameHeader reads the header of the next frame and checks it before anything is allocated for what it announces.
func (c *ClientConn) frameHeader() (ws.Header, error) {
	for {
		n, whole := c.head.fill(c.in.rest)
		c.in.rest = c.in.rest[n:]
		if whole {
			break
		}
		if err := c.more(); err != nil {
			return ws.Header{}, err
		}
	}
	h, err := c.head.parse()
	switch {
	case err != nil, h.Rsv != 0, h.OpCode.IsReserved(), h.Masked,
		h.OpCode.IsControl() && (!h.Fin || h.Length > maxControl),
		h.OpCode == ws.OpContinuation != c.inText && h.OpCode.IsData(), h.OpCode == ws.OpBinary:
		return h, holdfast.Errorf(holdfast.CodeInvalid, "the server broke WebSocket framing")
	case h.OpCode.IsData() && h.Length > int64(c.dialer.opts.MaxMessage-len(c.msg)):
		return h, holdfast.Errorf(holdfast.CodeTooLarge, "a message of the server is longer than the limit of %d bytes", c.dialer.opts.MaxMessage)
	}
	return h, nil
}

// frame reads the payload of a frame. done says that msg is a whole message.
func (c *ClientConn) frame(h ws.Header) (msg []byte, done bool, err error) {
	n := int(h.Length)
	if h.OpCode.IsControl() {
		return nil, false, c.control(h.OpCode, n)
	}
	if h.Fin && len(c.msg) == 0 && len(c.in.rest) >= n {
		// The whole message lies in the read buffer: no copy.
		msg, c.in.rest = c.in.rest[:n:n], c.in.rest[n:]
	} else {
		c.inText = true
		if c.msg, err = c.gather(c.msg, n); err != nil {
			return nil, false, err
		}
		msg = c.msg
	}
	c.inText = !h.Fin
	if c.inText {
		return nil, false, nil
	}
	if !utf8.Valid(msg) {
		return nil, false, holdfast.Errorf(holdfast.CodeInvalid, "a message of the server is not valid UTF-8")
	}
	return msg, true, nil
}

// gather appends the next n bytes to dst, which grows as they arrive.
func (c *ClientConn) gather(dst []byte, n int) ([]byte, error) {
	for {
		k := min(n, len(c.in.rest))
		dst = append(dst, c.in.rest[:k]...)
		c.in.rest = c.in.rest[k:]
		if n -= k; n == 0 {
			return dst, nil
		}
		if err := c.more(); err != nil {
			return dst, err
		}
	}
}

func (c *ClientConn) control(op ws.OpCode, n int) error {
	var room [maxControl]byte
	p, err := c.gather(room[:0], n)
	if err != nil {
		return err
	}
	switch op {
	case ws.OpPing:
		return c.send(ws.OpPong, p)
	case ws.OpClose:
		e := &CloseError{}
		if len(p) >= 2 {
			e.Code, e.Reason = holdfast.CloseCode(binary.BigEndian.Uint16(p)), string(p[2:])
		}
		// The answer (RFC 6455 §5.5.1); the connection ends whether it goes out or not.
		_ = c.send(ws.OpClose, p[:min(2, len(p))])
		return e
	}
	return nil
}

// end closes the socket for good.
func (c *ClientConn) end(err error) error {
	c.ended = err
	c.Abort()
	c.giveBack()
	c.msg, c.in.rest = nil, nil
	return err
}

func (c *ClientConn) giveBack() {
	if c.in.buf != nil {
		c.dialer.pools.putBuffer(c.in.buf)
		c.in.buf = nil
	}
}

// more waits until something comes in. What was in rest has been used up.
func (c *ClientConn) more() error {
	if c.raw == nil {
		return c.morePlain()
	}
	if c.in.wait == nil {
		c.in.wait = c.tryRead
	}
	err := c.raw.Read(c.in.wait)
	switch {
	case err != nil:
	case c.in.buf.err != nil:
		err = &os.SyscallError{Syscall: "read", Err: c.in.buf.err}
	case c.in.buf.n == 0:
		err = io.ErrUnexpectedEOF
	default:
		c.received.Add(int64(c.in.buf.n))
		c.in.rest = c.in.buf.p[:c.in.buf.n]
		return nil
	}
	return gone(err)
}

func gone(err error) error {
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "the connection is gone")
}

// tryRead is called while the poller says that there may be something to read. It leaves no buffer behind when there is
// not.
func (c *ClientConn) tryRead(fd uintptr) (done bool) {
	if c.in.buf == nil {
		c.in.buf = c.dialer.pools.buffer()
	}
	n, again, err := readOnce(fd, c.in.buf.p[:])
	if again {
		c.giveBack()
		if !c.inText {
			c.msg = nil
		}
		return false
	}
	c.in.buf.n, c.in.buf.err = n, err
	return true
}

func (c *ClientConn) morePlain() error {
	if c.in.give == nil {
		c.in.give = make([]byte, readSize)
	}
	n, err := c.net.Read(c.in.give)
	c.received.Add(int64(n))
	c.in.rest = c.in.give[:n]
	switch {
	case n > 0:
		return nil
	case err == io.EOF:
		return gone(io.ErrUnexpectedEOF)
	}
	return gone(err)
}

// Write writes each msg as one text message, all in one system call, and waits for the socket for at most the write timeout.
// After an error nothing can be written any more; Read says why, or meets the end too.
func (c *ClientConn) Write(msgs ...[]byte) error {
	buf, ok := c.dialer.out.Get().(*[]byte)
	if !ok {
		return gone(net.ErrClosed)
	}
	p := (*buf)[:0]
	for _, m := range msgs {
		p = appendMasked(p, ws.OpText, m)
	}
	err := c.write(p, false)
	if cap(p) <= readSize {
		*buf = p
		c.dialer.out.Put(buf)
	}
	return err
}

func (c *ClientConn) send(op ws.OpCode, payload []byte) error {
	return c.write(appendMasked(nil, op, payload), op == ws.OpClose)
}

func (c *ClientConn) write(p []byte, last bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return gone(net.ErrClosed)
	}
	c.closed = last
	// An error of setting the deadline is one of the socket, which the write meets too.
	_ = c.net.SetWriteDeadline(time.Now().Add(c.dialer.opts.WriteTimeout))
	n, err := c.net.Write(p)
	c.sent.Add(int64(n))
	if err == nil {
		return nil
	}
	c.closed = true
	if isTimeout(err) {
		_ = bare(c.net).Close()
	}
	// Else the peer has gone, and may have said why: that is for Read to find, before it meets the end too.
	return gone(err)
}

// appendMasked appends a whole frame as a client sends it. The mask comes from a generator that nobody outside can predict
// (RFC 6455 §5.3), which math/rand/v2's is.
func appendMasked(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = append(dst, finBit|byte(op))
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, maskBit|byte(n))
	case n <= 0xffff:
		dst = append(dst, maskBit|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, maskBit|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], rand.Uint32())
	dst = append(dst, mask[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	ws.Cipher(dst[at:], mask, 0)
	return dst
}

// Close sends the code and the reason, of which at most 123 bytes are used, and closes the socket without waiting for an
// answer; only for a Write that is under way. Read returns an error then.
func (c *ClientConn) Close(code holdfast.CloseCode, reason string) {
	body := closeFrame(code, reason)[2:]
	_ = c.send(ws.OpClose, body)
	_ = c.net.Close()
}

// Abort closes the socket; the server is told nothing.
func (c *ClientConn) Abort() {
	// The socket first: a Write that waits for it holds mu.
	_ = bare(c.net).Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}
