package ws

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

func dialClient(t testing.TB, url string, o DialOptions) *ClientConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := Dial(ctx, url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	return c
}

func readText(t testing.TB, c *ClientConn) string {
	t.Helper()
	msg, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	return string(msg)
}

func TestDialEchoes(t *testing.T) {
	s := start(t, echo, Options{MaxMessage: 1 << 20})
	for name, o := range map[string]DialOptions{
		"plain":         {},
		"local address": {LocalAddr: netip.MustParseAddr("127.0.0.1")},
		"header":        {Header: http.Header{"User-Agent": {"test"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialClient(t, s.URL+"/v1/ws/7", o)
			var want []string
			for _, n := range []int{0, 1, 125, 126, 4096, readSize, readSize + 1, 1 << 16, 300_000, 3} {
				want = append(want, strings.Repeat("ü", n/2)+strings.Repeat("x", n%2))
			}
			var msgs [][]byte
			for _, w := range want {
				msgs = append(msgs, []byte(w))
			}
			written := make(chan error, 1)
			go func() { written <- c.Write(msgs...) }()
			for i, w := range want {
				if got := readText(t, c); got != w {
					t.Fatalf("message %d has %d bytes, want %d", i, len(got), len(w))
				}
			}
			if err := within(t, "Write", written); err != nil {
				t.Fatal(err)
			}
			in, out := c.Bytes()
			if in < 380_000 || out < 380_000 {
				t.Errorf("counted %d bytes in and %d out", in, out)
			}
		})
	}
}

func TestDialTLS(t *testing.T) {
	s := startServer(t, NewHandler(echo, Options{}), true)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := dialClient(t, s.URL, DialOptions{TLS: &tls.Config{RootCAs: roots}})
	for _, w := range []string{"a", strings.Repeat("b", 100_000)} {
		if err := c.Write([]byte(w)); err != nil {
			t.Fatal(err)
		}
		if got := readText(t, c); got != w {
			t.Fatalf("got %d bytes", len(got))
		}
	}
}

func TestDialCloses(t *testing.T) {
	t.Run("by the server", func(t *testing.T) {
		s := start(t, func(_ context.Context, c transport.Conn) { c.Close(holdfast.CloseRestart, "moving") }, Options{})
		c := dialClient(t, s.URL, DialOptions{})
		var closed *CloseError
		for range 2 {
			if _, err := c.Read(); !errors.As(err, &closed) || closed.Code != holdfast.CloseRestart || closed.Reason != "moving" {
				t.Fatalf("Read: %v", err)
			}
		}
		codeIs(t, c.Write([]byte("x")), holdfast.CodeUnavailable)
	})
	t.Run("by the client", func(t *testing.T) {
		serve, conns := hold(t, ignore)
		c := dialClient(t, start(t, serve, Options{}).URL, DialOptions{})
		sc := within(t, "the connection", conns)
		c.Close(holdfast.CloseNormal, "bye")
		if err := within(t, "Receive", sc.received); err != nil {
			t.Fatalf("the server saw %v, want an orderly close", err)
		}
		_, err := c.Read()
		codeIs(t, err, holdfast.CodeUnavailable)
		close(sc.leave)
	})
	t.Run("aborted while it reads", func(t *testing.T) {
		serve, conns := hold(t, ignore)
		c := dialClient(t, start(t, serve, Options{}).URL, DialOptions{})
		sc := within(t, "the connection", conns)
		ended := make(chan error, 1)
		go func() { _, err := c.Read(); ended <- err }()
		c.Abort()
		codeIs(t, within(t, "Read", ended), holdfast.CodeUnavailable)
		codeIs(t, within(t, "Receive", sc.received), holdfast.CodeUnavailable)
		close(sc.leave)
	})
}

// rude is a server that upgrades and then sends what it is told.
func rude(t testing.TB, p []byte) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		_, _ = nc.Write(p)
		_, _ = io.Copy(io.Discard, nc)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestDialRefusesBrokenFrames(t *testing.T) {
	plain := func(op ws.OpCode, fin bool, s string) []byte {
		return ws.MustCompileFrame(ws.NewFrame(op, fin, []byte(s)))
	}
	for name, c := range map[string]struct {
		sent []byte
		code holdfast.Code
	}{
		"masked":             {frame(ws.OpText, true, "x"), holdfast.CodeInvalid},
		"reserved bit":       {[]byte{0xc1, 0}, holdfast.CodeInvalid},
		"reserved opcode":    {[]byte{0x83, 0}, holdfast.CodeInvalid},
		"binary":             {plain(ws.OpBinary, true, "x"), holdfast.CodeInvalid},
		"lone continuation":  {plain(ws.OpContinuation, true, "x"), holdfast.CodeInvalid},
		"message in message": {join(plain(ws.OpText, false, "x"), plain(ws.OpText, true, "y")), holdfast.CodeInvalid},
		"fragmented ping":    {plain(ws.OpPing, false, "x"), holdfast.CodeInvalid},
		"not UTF-8":          {plain(ws.OpText, true, "a\xff"), holdfast.CodeInvalid},
		"too long":           {plain(ws.OpText, true, strings.Repeat("x", 1001)), holdfast.CodeTooLarge},
		"too long together":  {join(plain(ws.OpText, false, strings.Repeat("x", 900)), plain(ws.OpContinuation, true, strings.Repeat("x", 101))), holdfast.CodeTooLarge},
		"claims 1 TB":        {[]byte{0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0}, holdfast.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dialClient(t, rude(t, c.sent), DialOptions{MaxMessage: 1000})
			_, err := conn.Read()
			codeIs(t, err, c.code)
		})
	}
}

func TestDialReadsFragmentsAndAnswersPings(t *testing.T) {
	heard := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		var all bytes.Buffer
		for _, f := range []ws.Frame{ws.NewFrame(ws.OpText, false, []byte("he")), ws.NewPingFrame([]byte("p1")),
			ws.NewFrame(ws.OpContinuation, false, nil), ws.NewFrame(ws.OpContinuation, true, []byte("llo"))} {
			_ = ws.WriteFrame(&all, f)
		}
		for _, b := range all.Bytes() {
			_, _ = nc.Write([]byte{b})
		}
		f, err := readFrame(bufio.NewReader(nc))
		heard <- fmt.Sprintln(f.Header.OpCode == ws.OpPong, f.Header.Masked, string(ws.UnmaskFrame(f).Payload), err)
	}))
	defer s.Close()
	c := dialClient(t, s.URL, DialOptions{})
	if got := readText(t, c); got != "hello" {
		t.Fatalf("read %q", got)
	}
	if got := within(t, "the pong", heard); got != "true true p1 <nil>\n" {
		t.Fatalf("the server got %s", got)
	}
}

func TestDialFails(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := Dial(t.Context(), s.URL, DialOptions{})
	codeIs(t, err, holdfast.CodeUnavailable)
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusNotFound {
		t.Errorf("the error does not tell the status: %v", err)
	}
	_, err = Dial(t.Context(), "ftp://x", DialOptions{})
	codeIs(t, err, holdfast.CodeInvalid)

	l, err := net.Listen("tcp", "127.0.0.1:0") // never accepts, so the handshake hangs
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Dial(ctx, "ws://"+l.Addr().String(), DialOptions{})
	codeIs(t, err, holdfast.CodeUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
