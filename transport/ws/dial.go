package ws

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

// DefaultMaxReceive is the default of [DialOptions.MaxMessage]: a server's message may be a whole run.
const DefaultMaxReceive = 64 << 20

// DialOptions say how a client connects. The zero value is usable.
type DialOptions struct {
	// MaxMessage is the longest message that is taken from the server, in bytes, all fragments together. A server can make
	// the client hold this much. Default: [DefaultMaxReceive].
	MaxMessage int

	// Subprotocol is offered to the server, which need not choose it. Default: [Subprotocol].
	Subprotocol string

	// Greeting is a first message that goes with the dial itself, which saves a round trip (see package wire, Carriage). It
	// becomes a header: proxies refuse those of over 8 KiB or so. Default: none.
	Greeting []byte

	// Header is sent with the request, such as User-Agent. Never put a token into the URL: it would reach logs. Default: none.
	Header http.Header

	// LocalAddr is the address to connect from, for programs that need more connections to one server than one address
	// has ports. Default: the system chooses.
	LocalAddr netip.Addr

	// WriteTimeout is how long Write waits for the socket; then the connection is broken. Default: 10 s.
	WriteTimeout time.Duration

	// TLS is used with wss. Default: the system's certificate authorities.
	TLS *tls.Config
}

func (o DialOptions) withDefaults() DialOptions {
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxReceive
	}
	o.MaxMessage = min(o.MaxMessage, maxFrame)
	if o.Subprotocol == "" {
		o.Subprotocol = Subprotocol
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	return o
}

// Dialer makes client connections that share their buffers, so that thousands of idle ones cost little. It may be used by
// many goroutines.
type Dialer struct {
	opts  DialOptions
	pools *pools
	// out holds buffers that messages are framed in.
	out sync.Pool
}

// NewDialer returns a dialer.
func NewDialer(o DialOptions) *Dialer {
	d := &Dialer{opts: o.withDefaults(), pools: newPools()}
	d.out.New = func() any { return new([]byte) }
	return d
}

// Dial connects with a dialer of its own; see [Dialer.Dial]. A program with many connections shares one [Dialer].
func Dial(ctx context.Context, url string, o DialOptions) (*ClientConn, error) {
	return NewDialer(o).Dial(ctx, url)
}

// Dial connects to a ws, wss, http or https URL and upgrades the connection. ctx bounds only the dialing. Errors are
// [holdfast.CodeInvalid] for a URL that cannot be used, else [holdfast.CodeUnavailable]; they wrap a [*StatusError] where the
// server answered with something else than an upgrade.
func (d *Dialer) Dial(ctx context.Context, url string) (*ClientConn, error) {
	url, err := socketURL(url)
	if err != nil {
		return nil, err
	}
	protocols := []string{d.opts.Subprotocol}
	if len(d.opts.Greeting) > 0 {
		protocols = append(protocols, greets+base64.RawURLEncoding.EncodeToString(d.opts.Greeting))
	}
	var first *firstBytes
	dialer := ws.Dialer{
		Protocols: protocols, Header: ws.HandshakeHeaderHTTP(d.opts.Header), TLSConfig: d.opts.TLS,
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := d.netDialer().DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			first = &firstBytes{Conn: nc}
			return first, nil
		},
	}
	nc, early, _, err := dialer.Dial(ctx, url)
	if err != nil {
		return nil, dialFailed(ctx, err)
	}
	return d.newConn(nc, first, early), nil
}

// clientUserTimeout lets all keepalive probes go unanswered before the kernel gives up. Once it has passed since the last byte,
// Linux ends a connection by its first lost probe, so with less a single lost packet would end a healthy one.
const clientUserTimeout = keepAliveIdle + (keepAliveCount+1)*keepAliveInterval

func (d *Dialer) netDialer() *net.Dialer {
	nd := &net.Dialer{KeepAlive: -1} // tune sets it
	if d.opts.LocalAddr.IsValid() {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.opts.LocalAddr, 0))
	}
	return nd
}

// socketURL turns a URL of the web into one of its sockets.
func socketURL(url string) (string, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	switch strings.ToLower(scheme) {
	case "ws", "wss":
	case "http":
		scheme = "ws"
	case "https":
		scheme = "wss"
	default:
		ok = false
	}
	if !ok {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "the URL must begin with ws://, wss://, http:// or https://")
	}
	return scheme + "://" + rest, nil
}

// StatusError says that the server answered the upgrade with an HTTP status of its own.
type StatusError struct {
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
}

func dialFailed(ctx context.Context, err error) error {
	var status ws.StatusError
	switch {
	case ctx.Err() != nil:
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the server was not reached in time")
	case errors.As(err, &status):
		e := &StatusError{Status: int(status)}
		return holdfast.Wrap(holdfast.CodeUnavailable, e, "the server did not open a WebSocket")
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "the server was not reached")
}

// firstBytes counts what the handshake costs. The bare socket is taken out of it afterwards.
type firstBytes struct {
	net.Conn
	in, out int64
}

func (f *firstBytes) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.in += int64(n)
	return n, err
}

func (f *firstBytes) Write(p []byte) (int, error) {
	n, err := f.Conn.Write(p)
	f.out += int64(n)
	return n, err
}

func (d *Dialer) newConn(nc net.Conn, first *firstBytes, early *bufio.Reader) *ClientConn {
	if nc == net.Conn(first) {
		nc = first.Conn
	}
	c := &ClientConn{net: nc, raw: rawConn(nc), dialer: d}
	c.received.Store(first.in)
	c.sent.Store(first.out)
	if early != nil {
		// Peek of what is buffered never fails. It is copied, because the reader goes back to its pool.
		p, _ := early.Peek(early.Buffered())
		c.in.rest = append([]byte(nil), p...)
		ws.PutReader(early)
	}
	tune(nc)
	if tcp, ok := bare(nc).(*net.TCPConn); ok {
		setUserTimeout(tcp, clientUserTimeout)
	}
	return c
}
