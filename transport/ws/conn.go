package ws

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/transport"
)

var _ transport.Detacher = (*conn)(nil)

// plainRead is the read buffer of a connection that is not a bare socket; it is held for as long as the connection lives.
const plainRead = 512

// conn is one upgraded connection.
type conn struct {
	// Static after construction.
	h     *Handler
	about about

	// Owned by the connection's own goroutine: Receive or attend, then finish.
	// r is at the message that is arriving; nil while there is none.
	r  *reader
	to transport.Receiver
	in intake
	// arrived is when something last did, if the connection is detached: how long after the handler was made.
	arrived time.Duration

	// w has the socket, too.
	w writer

	// How it ends, by whoever comes first.
	// ending: the connection was closed or aborted; messages that still come are dropped.
	ending atomic.Bool
	// peerCode is that of the peer's closing frame, 0 before it came. Owned by the connection's own goroutine.
	peerCode holdfast.CloseCode
	// detached: serve has left the connection to attend. Owned by the connection's own goroutine.
	detached bool
	once     sync.Once
	// hangUp ends a closing handshake that takes too long. Set inside once.
	hangUp *time.Timer
}

// about is Info in the form in which many connections share it.
type about struct {
	// remote is nil where it is the address that the socket says.
	remote                  *netip.AddrPort
	userAgent, origin, path unique.Handle[string]
	// trace is nil for none.
	trace *trace.Context
}

// intake is where bytes come in.
type intake struct {
	// early has what came with the request; nil when that has been taken.
	early *early
	// buf is a pooled buffer; it is there only until what came in is handled.
	buf *buffer
	// ready is readReady, made once: the callback that waits without a buffer.
	ready func(fd uintptr) bool
	// plain is the buffer of a connection that is not a bare socket.
	plain *[plainRead]byte
}

// early is what came with the request.
type early struct {
	// first is a message, nil for none.
	first []byte
	// more may have read what came right behind the request.
	more *bufio.Reader
}

func newConn(nc net.Conn, h *Handler) *conn {
	c := &conn{h: h}
	c.w.conn, c.w.raw, c.w.pools = nc, rawConn(nc), h.pools
	return c
}

// Info implements transport.Conn.
func (c *conn) Info() transport.Info {
	info := transport.Info{Transport: "websocket", UserAgent: c.about.userAgent.Value(), Origin: c.about.origin.Value(),
		Path: c.about.path.Value()}
	if c.about.trace != nil {
		info.Trace = *c.about.trace
	}
	if c.about.remote == nil {
		info.Remote = peerOf(c.w.conn)
	} else {
		info.Remote = *c.about.remote
	}
	return info
}

// peerOf is the address of a socket's peer, if it has one.
func peerOf(nc net.Conn) netip.AddrPort {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	a := tcp.AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// AppendMessage implements transport.Conn: one text frame.
func (c *conn) AppendMessage(dst, msg []byte) []byte { return appendFrame(dst, ws.OpText, msg) }

// TryWrite implements transport.Conn.
func (c *conn) TryWrite(p []byte) (int, error) { return c.w.tryWrite(p) }

// Write implements transport.Conn. After an error of a message that went out in part nothing can be written any more.
func (c *conn) Write(p []byte, timeout time.Duration) error { return c.w.write(p, timeout) }

// Receive implements transport.Conn.
func (c *conn) Receive(fn func(msg []byte) error) error {
	c.to = receiveFunc(fn)
	if err := c.greet(); err != nil {
		return err
	}
	for {
		p, err := c.read()
		if on, err := c.handle(p, err); !on {
			return err
		}
	}
}

// greet hands over the message that came with the request. It comes before the first read.
func (c *conn) greet() error {
	e := c.in.early
	if e == nil || e.first == nil {
		return nil
	}
	if e.more.Buffered() == 0 {
		c.in.early = nil
	}
	return c.message(e.first)
}

// receiveFunc is the Receiver of a connection that is not detached.
type receiveFunc func(msg []byte) error

// Message implements transport.Receiver.
func (fn receiveFunc) Message(_ context.Context, msg []byte) error { return fn(msg) }

// Ended implements transport.Receiver.
func (receiveFunc) Ended(error) {}

// handle does what p asks, which read returned with err, and reports whether there is more to read, and if not why.
func (c *conn) handle(p []byte, err error) (on bool, _ error) {
	handled := c.take(p)
	c.giveBack()
	switch {
	case handled != nil:
		return false, handled
	case c.saidBye():
		return false, nil
	case err != nil:
		return false, c.ended(err)
	}
	return true, nil
}

// reader returns that of the message that is arriving, or that may be.
func (c *conn) reader() *reader {
	if c.r == nil {
		c.r = c.h.pools.reader(c.h.opts.MaxMessage, c)
	}
	return c.r
}

// saidBye reports whether the peer's closing frame has come.
func (c *conn) saidBye() bool { return c.r != nil && c.r.closed }

// ended says why reading stopped.
func (c *conn) ended(err error) error {
	switch {
	case c.ending.Load():
		// Close woke the read by a deadline in the past, or Abort closed the socket.
		return errClosed()
	case errors.Is(err, io.EOF):
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the client went away without a closing frame")
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "the connection is gone")
}

// take feeds what came in to the reader, and closes the connection if the peer broke the protocol.
func (c *conn) take(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	err := c.reader().feed(p)
	if c.r.between() {
		c.h.pools.putReader(c.r)
		c.r = nil
	}
	// Not errors.As, which would allocate on the way of every message.
	if v, ok := err.(*violation); ok {
		c.Close(v.code, v.text)
		return v.refusal()
	}
	return err
}

// read returns the bytes that came in next. They are valid until giveBack.
func (c *conn) read() ([]byte, error) {
	if early := c.in.early; early != nil {
		c.in.early = nil
		// What is buffered is there, so that Peek does not fail.
		return early.more.Peek(early.more.Buffered())
	}
	if c.w.raw == nil {
		return c.readPlain()
	}
	if c.in.ready == nil {
		c.in.ready = c.readReady
	}
	if err := c.w.raw.Read(c.in.ready); err != nil {
		return nil, err
	}
	b := c.in.buf
	if b.err != nil {
		return nil, &os.SyscallError{Syscall: "read", Err: b.err}
	}
	if b.n == 0 {
		return nil, io.EOF
	}
	return b.p[:b.n], nil
}

// readReady is called while the poller says that there may be something to read. It leaves no buffer behind when there
// is not, which is what makes an idle connection cheap.
func (c *conn) readReady(fd uintptr) (done bool) {
	b := c.h.pools.buffer()
	n, again, err := readOnce(fd, b.p[:])
	if again {
		c.h.pools.putBuffer(b)
		return false
	}
	b.n, b.err = n, err
	c.in.buf = b
	return true
}

func (c *conn) readPlain() ([]byte, error) {
	if c.in.plain == nil {
		c.in.plain = new([plainRead]byte)
	}
	n, err := c.w.conn.Read(c.in.plain[:])
	return c.in.plain[:n], err
}

func (c *conn) giveBack() {
	if c.in.buf != nil {
		c.h.pools.putBuffer(c.in.buf)
		c.in.buf = nil
	}
}

// message implements sink.
func (c *conn) message(msg []byte) error {
	if c.ending.Load() {
		return errClosed()
	}
	return c.to.Message(c.h.conns.Context(), msg)
}

// ping implements sink.
func (c *conn) ping(payload []byte) {
	c.w.notes.leavePong(payload)
	c.w.nudge()
}

// bye implements sink: the peer closes, and gets its code back (RFC 6455 §5.5.1), or answers our closing frame.
func (c *conn) bye(payload []byte) {
	c.peerCode = codeNone
	if len(payload) >= 2 {
		c.peerCode = holdfast.CloseCode(binary.BigEndian.Uint16(payload))
	}
	c.shut(appendFrame(nil, ws.OpClose, payload[:min(2, len(payload))]))
}

// PeerClose implements transport.PeerCloser.
func (c *conn) PeerClose() (holdfast.CloseCode, bool) { return c.peerCode, c.peerCode != 0 }

// Close implements transport.Conn.
func (c *conn) Close(code holdfast.CloseCode, reason string) { c.shut(closeFrame(code, reason)) }

// TryLast implements [transport.Laster].
func (c *conn) TryLast(p []byte, code holdfast.CloseCode, reason string) (int, error) {
	frame := closeFrame(code, reason)
	n, err := c.w.tryLast(p, frame)
	if n > 0 && n == len(p) {
		c.shut(frame) // which finds it sent
	}
	return n, err
}

// shut begins the end. Nothing in it waits; a second call waits for the first to be through, which finish needs.
func (c *conn) shut(frame []byte) {
	c.once.Do(func() {
		c.ending.Store(true)
		c.hangUp = time.AfterFunc(c.h.opts.CloseTimeout, c.cut)
		c.w.notes.leaveClose(frame)
		if c.w.raw != nil {
			c.w.nudge()
		}
		_ = c.w.conn.SetReadDeadline(time.Unix(1, 0))
	})
}

// cut ends a closing handshake that took too long. What the kernel still holds is sent all the same.
func (c *conn) cut() { _ = bare(c.w.conn).Close() }

// Abort implements transport.Conn. The peer gets a reset, and the kernel drops what was not sent.
func (c *conn) Abort() {
	c.ending.Store(true)
	socket := bare(c.w.conn)
	if tcp, ok := socket.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = socket.Close()
}

// finish closes what serve left, when it has returned. It takes at most CloseTimeout, by the timer that shut sets.
func (c *conn) finish() {
	c.Close(holdfast.CloseInternal, "the server ended the connection and gave no reason")
	if c.w.finish(time.Now().Add(c.h.opts.CloseTimeout)) && !c.saidBye() {
		c.awaitBye()
	}
	// TLS waits in Close, so the timer goes on until after it.
	_ = c.w.conn.Close()
	c.hangUp.Stop()
}

// awaitBye reads until the peer's closing frame, the end of the stream, or cut. If this side closed the socket while
// bytes lie unread in it, the kernel would send a reset, and the peer might never see why it was closed.
func (c *conn) awaitBye() {
	c.reader().skip()
	_ = c.w.conn.SetReadDeadline(time.Time{})
	for !c.r.closed {
		p, err := c.read()
		if !c.r.lost {
			// Whatever else is wrong with it, the peer has been told to go.
			_ = c.r.feed(p)
		}
		c.giveBack()
		if err != nil {
			return
		}
	}
}

// bare returns the socket below nc. TLS waits for its own farewell when it is closed.
func bare(nc net.Conn) net.Conn {
	for {
		over, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc
		}
		nc = over.NetConn()
	}
}
