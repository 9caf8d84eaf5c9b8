package ws

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that would otherwise hang when it fails.
const patience = 10 * time.Second

// start runs a handler on a real loopback socket and ends it with the test.
func start(t testing.TB, serve transport.Serve, opts Options) *httptest.Server {
	t.Helper()
	return startServer(t, NewHandler(serve, opts), false)
}

func startServer(t testing.TB, h *Handler, secure bool, configure ...func(*http.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	for _, set := range configure {
		set(s.Config)
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		h.Wait()
	})
	return s
}

// echo answers each message with itself, as the server's own connection code would: try, then wait.
func echo(_ context.Context, c transport.Conn) {
	_ = c.Receive(func(msg []byte) error { return writeAll(c, c.AppendMessage(nil, msg)) })
}

func writeAll(c transport.Conn, p []byte) error {
	n, err := c.TryWrite(p)
	if err != nil || n == len(p) {
		return err
	}
	return c.Write(p[n:], patience)
}

// client is a peer that can break every rule.
type client struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
	// reply is the answer to the upgrade.
	reply *http.Response
}

const upgrade = "GET /v1/ws/1?q=2 HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"

func dialRaw(t testing.TB, s *httptest.Server) net.Conn {
	t.Helper()
	var nc net.Conn
	var err error
	if s.TLS != nil {
		nc, err = tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	} else {
		nc, err = net.Dial("tcp", s.Listener.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return nc
}

// dial upgrades a connection; behind goes out together with the request.
func dial(t testing.TB, s *httptest.Server, behind ...byte) *client {
	t.Helper()
	return newClient(t, dialRaw(t, s), s.Listener.Addr().String(), behind)
}

func newClient(t testing.TB, nc net.Conn, host string, behind []byte) *client {
	t.Helper()
	c := &client{t: t, nc: nc, br: bufio.NewReader(nc)}
	c.send(append(fmt.Appendf(nil, upgrade, host, "User-Agent: test\r\n"), behind...))
	var err error
	if c.reply, err = http.ReadResponse(c.br, nil); err != nil {
		t.Fatal(err)
	}
	if c.reply.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %s", c.reply.Status)
	}
	return c
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(p); err != nil {
		c.t.Fatalf("client write: %v", err)
	}
}

// next returns the next frame the server sent, as text: "text hello", "close 1002 why", "eof".
func (c *client) next() string {
	c.t.Helper()
	f, err := readFrame(c.br)
	if err == io.EOF {
		return "eof"
	}
	if err != nil {
		c.t.Fatalf("client read: %v", err)
	}
	if f.Header.Masked || !f.Header.Fin || f.Header.Rsv != 0 {
		c.t.Fatalf("bad header from the server: %+v", f.Header)
	}
	switch f.Header.OpCode {
	case ws.OpText:
		return "text " + string(f.Payload)
	case ws.OpPong:
		return "pong " + string(f.Payload)
	case ws.OpClose:
		if len(f.Payload) == 0 {
			return "close"
		}
		code, reason := ws.ParseCloseFrameData(f.Payload)
		return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
	}
	c.t.Fatalf("opcode %v from the server", f.Header.OpCode)
	return ""
}

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got := c.next()
		if got != w && !(strings.HasSuffix(w, "*") && strings.HasPrefix(got, strings.TrimSuffix(w, "*"))) {
			c.t.Fatalf("the server sent %.200q, want %.200q", got, w)
		}
	}
}

// frame makes a client frame, masked with a fixed key.
func frame(op ws.OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0xa1, 0x5c, 0x03, 0xff}))
}

func text(s string) []byte { return frame(ws.OpText, true, s) }

func closing(code int, reason string) []byte {
	return frame(ws.OpClose, true, string(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// served is a connection handed out of its serve function.
type served struct {
	transport.Conn
	// received is what Receive returned, once it has.
	received chan error
	leave    chan struct{}
}

// hold makes a serve function that hands each connection out and stays until it is told to leave.
func hold(t testing.TB, fn func(c transport.Conn, msg []byte) error) (transport.Serve, <-chan *served) {
	out := make(chan *served, 1)
	return func(_ context.Context, c transport.Conn) {
		s := &served{Conn: c, received: make(chan error, 1), leave: make(chan struct{})}
		out <- s
		s.received <- c.Receive(func(msg []byte) error { return fn(c, msg) })
		select {
		case <-s.leave:
		case <-t.Context().Done():
		}
	}, out
}

func ignore(transport.Conn, []byte) error { return nil }

// within receives from ch or fails.
func within[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func codeIs(t testing.TB, err error, want holdfast.Code) {
	t.Helper()
	if got := holdfast.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}

// readFrame reads one frame of at most 16 MiB, which is more than any test sends.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return ws.Frame{}, err
	}
	if h.Length > 16<<20 {
		return ws.Frame{}, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}
