package pipe

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"github.com/holdfast/holdfast"
)

// Peer is the client's side of a connection. It is safe for use by many goroutines.
type Peer struct{ l *link }

// Send sends one message to the server; it keeps no hold of msg and never waits. It fails when the connection has ended.
func (p *Peer) Send(msg []byte) error {
	var err error
	p.l.update(func() {
		if p.l.cut || p.l.closed != nil || p.l.bye != nil || p.l.left {
			err = gone()
			return
		}
		// Never nil, so that an empty message is one.
		p.l.in = append(p.l.in, append(make([]byte, 0, len(msg)), msg...))
	})
	return err
}

// Next returns the next message of the server, waiting for it until ctx ends. After the last one it returns a *[Closed] if
// the connection was closed in order by either side, and io.ErrUnexpectedEOF if it broke off.
func (p *Peer) Next(ctx context.Context) ([]byte, error) {
	var msg []byte
	var err error
	if !until(p.l, ctx.Done(), func() bool {
		msg, err = p.l.nextOut()
		return msg != nil || err != nil
	}) {
		return nil, ctx.Err()
	}
	return msg, err
}

// nextOut takes the next whole message. One may be larger than the buffer: when part does not hold a whole message, the
// buffer's bytes move there, as they would on a network, so that the server can go on.
func (l *link) nextOut() ([]byte, error) {
	if msg := l.cutMessage(); msg != nil {
		return msg, nil
	}
	if len(l.out) > 0 {
		l.part = append(l.part, l.out...)
		l.out = nil
		l.wake()
		if msg := l.cutMessage(); msg != nil {
			return msg, nil
		}
	}
	return nil, l.end()
}

// cutMessage returns the message that part begins with, nil if it is not whole.
func (l *link) cutMessage() []byte {
	if len(l.part) < headerSize {
		return nil
	}
	n := headerSize + int(binary.BigEndian.Uint32(l.part))
	if len(l.part) < n {
		return nil
	}
	msg := bytes.Clone(l.part[headerSize:n])
	l.part = l.part[n:]
	return msg
}

// end says how the connection ended, or nil while more may come.
func (l *link) end() error {
	switch {
	case l.cut, l.left && l.mid:
		return io.ErrUnexpectedEOF
	case l.closed != nil && !l.mid:
		return l.closed
	case l.bye != nil:
		return l.bye
	}
	return nil
}

// Close ends the connection in order: the server's Receive returns nil after the messages that were sent before.
func (p *Peer) Close(code holdfast.CloseCode, reason string) {
	p.l.update(func() {
		if p.l.bye == nil {
			p.l.bye = &Closed{code, reason}
		}
	})
}

// Abort ends the connection without a word, as a network that fails does.
func (p *Peer) Abort() { p.l.abort() }

// SetBuffer sets how many bytes the server may be ahead; zero makes its socket full for as long as it is zero. Bytes that are
// in the buffer already stay.
func (p *Peer) SetBuffer(n int) { p.l.update(func() { p.l.size = n }) }

// Pending returns how many bytes wait in the buffer.
func (p *Peer) Pending() int {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	return len(p.l.out)
}

// Done is closed when serve has returned. It is never closed for a pair of [New].
func (p *Peer) Done() <-chan struct{} { return p.l.done }
