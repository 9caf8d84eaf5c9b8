package fallback

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/holdfast/holdfast/transport/origin"
)

// Options say what is accepted. The zero value is usable.
type Options struct {
	// Origins are the pages that may connect besides those of the request's own host. Default: none.
	Origins origin.Allowed

	// MaxMessage is the longest message of events and poll, in bytes. A request can make the server hold this much.
	// Default: 272 KiB.
	MaxMessage int
	// MaxBody is the longest body of send, in bytes, and MaxMessages how many messages it may hold. Default: 1 MiB and 65.
	MaxBody, MaxMessages int

	// BodyTimeout is how long a body may take to come. Default: 10 s.
	BodyTimeout time.Duration
	// CloseTimeout is how long what is being written when the connection is closed may take. Default: 1 s.
	CloseTimeout time.Duration

	// Turn says of a poll, by its message, how long it lasts. Default: until serve returns.
	Turn func(msg []byte) Turn
	// Ready: whether connections are taken now; others are answered 503. Default: always.
	Ready func() bool

	// Remote says whom a request came from, for a server behind a proxy. Trust a header only if the proxy sets it:
	// otherwise any client names any address. Default: the request's RemoteAddr.
	Remote func(*http.Request) netip.AddrPort
}

// Turn is how long one poll lasts.
type Turn struct {
	// Wait is the longest.
	Wait time.Duration
	// Wrote is called with each message that has been written, of which it is shown at most the first [TurnHead] bytes. When it
	// returns true there is something to come home with, and the poll ends after Gather. Calls do not overlap.
	Wrote  func(msg []byte) bool
	Gather time.Duration
}

// TurnHead is how much of a message a [Turn] is shown.
const TurnHead = 1 << 10

func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = 272 << 10
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxMessages <= 0 {
		o.MaxMessages = 65
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = 10 * time.Second
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = time.Second
	}
	if o.Turn == nil {
		o.Turn = func([]byte) Turn { return Turn{} }
	}
	if o.Ready == nil {
		o.Ready = func() bool { return true }
	}
	if o.Remote == nil {
		o.Remote = remoteAddr
	}
	return o
}

func remoteAddr(r *http.Request) netip.AddrPort {
	// A request that came over a Unix socket has none, and gets the zero value.
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
