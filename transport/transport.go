// Package transport is the way bytes travel between one client and the server. A transport knows framing, limits and
// deadlines; it knows no session, no token and no frame of the protocol above it.
//
// # Writing
//
// A connection has one writer at a time, which changes hands: the flusher that serves many connections and must never
// wait, and a goroutine of the connection's own while its socket is busy. Hence the two ways to write, and AppendMessage,
// which frames a message into a buffer so that everything that is ready goes out in one system call.
package transport

import (
	"context"
	"net/netip"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/trace"
)

// Conn is one live connection that carries text messages both ways.
type Conn interface {
	// Receive calls fn with each message that arrives, one after another, until the connection ends or fn fails, and
	// returns why: nil after an orderly close by the peer. The slice is valid during the call only. While nothing
	// arrives, no buffer is held. It is called once.
	Receive(fn func(msg []byte) error) error

	// AppendMessage appends msg, framed as one message, to dst. It touches nothing of the connection and may be
	// called by anyone at any time. Connections whose [Info] names the same transport frame alike, and only those may
	// be given each other's bytes.
	AppendMessage(dst, msg []byte) []byte

	// TryWrite writes as much of p as goes without waiting, and returns how much. p holds whole framed messages, or
	// the rest of a p that went out in part before. A short count without an error means that the socket is full.
	TryWrite(p []byte) (int, error)

	// Write writes all of p, waiting for the socket for at most the timeout.
	Write(p []byte, timeout time.Duration) error

	// Close ends the connection: it sends the code and the reason (at most 123 bytes are used) if that goes without
	// waiting, gives the peer a short time to answer, and makes Receive return. It does not wait for any of that. It
	// may be called at any time, by anyone, more than once; the first call counts.
	Close(code holdfast.CloseCode, reason string)

	// Abort ends the connection at once: nothing is sent or waited for. As free to call as Close.
	Abort()

	// Info says what is known about the connection.
	Info() Info
}

// Info describes a connection.
type Info struct {
	// Transport is its name: "websocket", "pipe", "events", "poll".
	Transport string
	// Reach says which ways messages go.
	Reach     Reach
	Remote    netip.AddrPort
	UserAgent string
	Origin    string
	// Path is that of the request that opened it, without the query.
	Path string
	// Trace is the trace context that the request came with; zero for none.
	Trace trace.Context
}

// Reach is which ways the messages of a connection go.
type Reach uint8

const (
	// Both: both ways, for as long as the connection lives.
	Both Reach = iota
	// Down: what the peer had to say came at once. Receive hands that over and then waits for the end; the peer cannot
	// be asked anything, since it cannot answer.
	Down
	// Once: a request and its answer. Receive returns nil when all that the peer had to say was handed over; what was
	// written until Serve returns is the answer.
	Once
)

// PeerCloser is a Conn whose peer says why it closes.
type PeerCloser interface {
	// PeerClose is the code of the peer's closing frame, 1005 (RFC 6455 §7.4.1) if it had none; false while none has come. It
	// may be called once Receive has returned, or by Ended.
	PeerClose() (holdfast.CloseCode, bool)
}

// Laster is a Conn that can say its last words and close at once: when a server leaves, each of its connections is one system
// call, and one packet.
type Laster interface {
	// TryLast is TryWrite, and Close when all of p has gone out: not yet if the count is short.
	TryLast(p []byte, code holdfast.CloseCode, reason string) (int, error)
}

// Stranger is a Conn over something that serves more than it, and that is soon closed unless somebody says whose it is.
type Stranger interface {
	// Known says that a token was verified. It is called by Serve, or by the fn of Receive.
	Known()
}

// Serve is what a transport calls with each connection that it has accepted. The goroutine is the connection's own; when
// Serve returns the transport closes what is left, unless the connection was detached.
type Serve func(ctx context.Context, c Conn)

// Detacher is a Conn that Serve may leave to the transport, where waiting costs less: a goroutine that has done anything
// before it waits keeps the stack that it needed for that, 4 KiB at the least, and one made for waiting has 2.
type Detacher interface {
	Conn

	// Detach takes the place of Receive, and returns at once; Serve returns then, and what arrives goes to r. It is called
	// at most once, by Serve.
	Detach(r Receiver)
}

// Receiver is where the messages of a connection go that was detached. Its methods are called one at a time, after Serve has
// returned, each on some goroutine of the transport's.
type Receiver interface {
	// Message is what Receive calls fn for; ctx is the one that Serve got.
	Message(ctx context.Context, msg []byte) error

	// Ended is called once, last of all, with what Receive would have returned. When it returns the transport closes what
	// is left.
	Ended(err error)
}
