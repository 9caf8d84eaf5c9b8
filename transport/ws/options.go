package ws

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/holdfast/holdfast/transport/origin"
)

// Subprotocol is the name of the native protocol in Sec-WebSocket-Protocol.
const Subprotocol = "holdfast.v1"

// DefaultMaxMessage is the default of [Options.MaxMessage]: a body of 256 KiB and room for what surrounds it.
const DefaultMaxMessage = 272 << 10

// Options say how connections are accepted. The zero value is usable.
type Options struct {
	// Origins are the pages that may connect beside those of the request's own host, as [origin.Parse] reads them. "*"
	// allows every page on the web to connect with its visitor's cookies and network: use it only if neither gives any
	// right. Default: none.
	Origins []string

	// MaxMessage is the longest message that is taken from a client, in bytes, all fragments together. A connection
	// can make the server hold this much at a time. Default: [DefaultMaxMessage].
	MaxMessage int

	// Subprotocol is chosen if the client offers it; it need not. Default: [Subprotocol].
	Subprotocol string

	// CloseTimeout is how long a closed connection waits for the peer's answer, and how long what is not yet sent may
	// take, before its socket is closed. Default: 1 s.
	CloseTimeout time.Duration

	// HandshakeTimeout bounds the writing of the answer to an upgrade. Default: 5 s.
	HandshakeTimeout time.Duration

	// Remote says whom a request came from, for a server behind a proxy. Trust a header only if the proxy sets it:
	// otherwise any client names any address. Default: the request's RemoteAddr.
	Remote func(*http.Request) netip.AddrPort
}

// Validate reports what is wrong with the options, as a *holdfast.Error with CodeInvalid, or nil.
func (o Options) Validate() error {
	_, err := origin.Parse(o.Origins)
	return err
}

func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	o.MaxMessage = min(o.MaxMessage, maxFrame)
	if o.Subprotocol == "" {
		o.Subprotocol = Subprotocol
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = time.Second
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 5 * time.Second
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
