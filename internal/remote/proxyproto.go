package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// headerTimeout is how long a proxy may take for its header, which it sends before all else.
const headerTimeout = 5 * time.Second

// Listen returns a listener whose connections, where they come from a trusted proxy, begin with a header of the PROXY
// protocol, version 1 or 2; their remote address is the one in it. A connection of a trusted proxy without one is closed, and
// one of anybody else has none.
func (t Trusted) Listen(l net.Listener) net.Listener { return &listener{l, t} }

type listener struct {
	net.Listener
	trusted Trusted
}

// Accept implements net.Listener. The header is read by whoever first wants to know the address, or to read: a proxy that does
// not send it must not keep others from being accepted.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if peer, known := c.RemoteAddr().(*net.TCPAddr); !ok || !known || !l.trusted.Has(peer.AddrPort().Addr()) {
		return c, nil
	}
	return &conn{TCPConn: tcp, remote: tcp.RemoteAddr()}, nil
}

// conn is a connection from a proxy. After the header its bytes are those of the socket.
type conn struct {
	*net.TCPConn
	once sync.Once
	// remote and err are written in once.
	remote net.Addr
	err    error
}

// PlainSocket returns the socket, whose bytes are the connection's own. The header has been read.
func (c *conn) PlainSocket() *net.TCPConn {
	c.header()
	return c.TCPConn
}

// NetConn returns the socket.
func (c *conn) NetConn() net.Conn { return c.TCPConn }

// RemoteAddr implements net.Conn: the client's address, as the proxy says.
func (c *conn) RemoteAddr() net.Addr {
	c.header()
	return c.remote
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.header(); c.err != nil {
		return 0, c.err
	}
	return c.TCPConn.Read(p)
}

// WriteTo hides that of the socket, which would send the header on.
func (c *conn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{c}) }

func (c *conn) header() {
	c.once.Do(func() {
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(headerTimeout))
		from, err := readHeader(c.TCPConn)
		if err != nil {
			c.err = err
			_ = c.TCPConn.Close()
			return
		}
		_ = c.TCPConn.SetReadDeadline(time.Time{})
		if from.IsValid() {
			c.remote = net.TCPAddrFromAddrPort(from)
		}
	})
}

var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	// maxV1 is the longest line of version 1, and maxV2 how much of version 2's addresses and extras is taken, in bytes.
	maxV1 = 107
	maxV2 = 4096
)

func errHeader(what string) error {
	return holdfast.Errorf(holdfast.CodeInvalid, "a trusted proxy sent no valid header of the PROXY protocol: %s", what)
}

// readHeader reads exactly the header. The zero address means that the proxy speaks for itself, as its health checks do.
func readHeader(r io.Reader) (netip.AddrPort, error) {
	var none netip.AddrPort
	begin := make([]byte, len(signature))
	if _, err := io.ReadFull(r, begin); err != nil {
		return none, errHeader(err.Error())
	}
	if bytes.Equal(begin, signature) {
		return readV2(r)
	}
	if !bytes.HasPrefix(begin, []byte("PROXY ")) {
		return none, errHeader("it begins with something else")
	}
	return readV1(r, begin)
}

// readV1 reads the rest of a line, a byte at a time: what follows it is not the header's.
func readV1(r io.Reader, line []byte) (netip.AddrPort, error) {
	var none netip.AddrPort
	one := make([]byte, 1)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxV1 {
			return none, errHeader("its line is too long")
		}
		if _, err := io.ReadFull(r, one); err != nil {
			return none, errHeader(err.Error())
		}
		line = append(line, one[0])
	}
	words := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	switch {
	case len(words) >= 2 && words[1] == "UNKNOWN":
		return none, nil
	case len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6":
		return none, errHeader("its line does not have six words")
	}
	addr, err := netip.ParseAddr(words[2])
	port, perr := strconv.ParseUint(words[4], 10, 16)
	if errors.Join(err, perr) != nil {
		return none, errHeader("its address is none")
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

func readV2(r io.Reader) (netip.AddrPort, error) {
	var none netip.AddrPort
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return none, errHeader(err.Error())
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || size > maxV2 {
		return none, errHeader("its version or its size is not right")
	}
	rest := make([]byte, size)
	if _, err := io.ReadFull(r, rest); err != nil {
		return none, errHeader(err.Error())
	}
	const local, stream4, stream6 = 0, 0x11, 0x21
	switch family := head[1]; {
	case head[0]&0xf == local:
		return none, nil
	case family == stream4 && size >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest[:4])), binary.BigEndian.Uint16(rest[8:])), nil
	case family == stream6 && size >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest[:16])).Unmap(), binary.BigEndian.Uint16(rest[32:])), nil
	}
	return none, nil
}
