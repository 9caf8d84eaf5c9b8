// Package pipe carries a connection through memory: for tests, and for programs that embed the server and talk to it
// without a socket.
//
// # Usage
//
//	peer := pipe.Start(ctx, serve, pipe.Options{})
//	peer.Send([]byte(`{"hello":1}`))
//	msg, err := peer.Next(ctx)
//
// [New] returns both sides without running anything.
//
// # Concurrency
//
// Both sides may be used by many goroutines, within what [transport.Conn] says about writers. Nothing here waits except
// on channels and the clock, so that a pair works inside testing/synctest.
//
// # Slow peers
//
// What the server wrote waits in a buffer of [Options.Buffer] bytes until the peer takes it with Next. A peer that does
// not is a peer whose socket is full: TryWrite returns short counts, Write waits. [Peer.SetBuffer] changes the size on
// the way; zero stalls the connection altogether.
package pipe

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// Defaults of [Options].
const (
	DefaultBuffer     = 64 << 10
	DefaultMaxMessage = 272 << 10
)

// closeTimeout is how long a connection that was closed in the middle of a message waits for its rest.
const closeTimeout = time.Second

// maxReason is how much of a reason reaches the peer, as transport.Conn says.
const maxReason = 123

// Options of a pair. The zero value is usable.
type Options struct {
	// Buffer is how many bytes the server may be ahead of the peer. Default: [DefaultBuffer].
	Buffer int
	// MaxMessage is the longest message that the server takes, in bytes. Default: [DefaultMaxMessage].
	MaxMessage int
	// Info is what the server is told about the connection. Default: the transport "pipe", the rest empty.
	Info transport.Info
}

// Closed is how a connection ended in order: the code and the reason that one side gave.
type Closed struct {
	Code   holdfast.CloseCode
	Reason string
}

func (c *Closed) Error() string {
	return fmt.Sprintf("connection closed: %d (%s) %s", uint16(c.Code), c.Code, c.Reason)
}

// New returns the server's side and the client's side of a new connection.
func New(opts Options) (transport.Conn, *Peer) {
	l := newLink(opts)
	return &conn{l}, &Peer{l}
}

// Start makes a pair and runs serve on the server's side, in a goroutine that ends when serve returns; what serve left
// open is closed then, and [Peer.Done] is closed.
func Start(ctx context.Context, serve transport.Serve, opts Options) *Peer {
	l := newLink(opts)
	// The caller waits for it by Peer.Done; it ends when serve returns.
	go func() {
		defer close(l.done)
		c := &conn{l}
		serve(ctx, c)
		c.Close(holdfast.CloseInternal, "the server ended the connection and gave no reason")
		l.update(func() { l.left = true })
	}()
	return &Peer{l}
}

// link is what both sides share.
type link struct {
	// Static after construction.
	info  transport.Info
	limit int
	done  chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	// changed is closed and replaced at each change.
	changed chan struct{}
	// out is what the server wrote and the peer has not taken, at most size bytes.
	out  []byte
	size int
	// part is what the peer has taken of it beyond the last whole message.
	part []byte
	// mid: the server has written a message in part.
	mid bool
	// in is what the peer sent and Receive has not taken.
	in [][]byte

	// How it ends; guarded by mu.
	// closed is what the server closed with, bye what the peer did.
	closed, bye *Closed
	// cut: nothing goes either way any more. left: serve has returned.
	cut, left bool
}

func newLink(opts Options) *link {
	l := &link{info: opts.Info, limit: opts.MaxMessage, size: opts.Buffer, changed: make(chan struct{}), done: make(chan struct{})}
	if l.info.Transport == "" {
		l.info.Transport = "pipe"
	}
	if l.limit <= 0 {
		l.limit = DefaultMaxMessage
	}
	if l.size <= 0 {
		l.size = DefaultBuffer
	}
	return l
}

// update changes the link under its lock, and wakes everyone who waits for a change.
func (l *link) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.wake()
}

// wake lets everyone look again who waits for a change. It needs mu.
func (l *link) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// until calls step, under the lock, at once and after each change, until it reports that it is through or stop is
// closed or yields. It reports the former.
func until[T any](l *link, stop <-chan T, step func() (through bool)) bool {
	for {
		var through bool
		var changed chan struct{}
		l.mu.Lock()
		through = step()
		changed = l.changed
		l.mu.Unlock()
		if through {
			return true
		}
		select {
		case <-changed:
		case <-stop:
			return false
		}
	}
}

func (l *link) abort() {
	l.update(func() {
		l.cut = true
		l.out, l.in = nil, nil
	})
}

func gone() error {
	return holdfast.Wrap(holdfast.CodeUnavailable, net.ErrClosed, "the connection is closed")
}

// headerSize is the length before each message, four bytes, big end first.
const headerSize = 4

func appendMessage(dst, msg []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(msg)))
	return append(dst, msg...)
}
