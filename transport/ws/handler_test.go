package ws

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// TestShutdown: serve learns of it by its context, closes in order, and Shutdown waits for that; later requests get 503.
func TestShutdown(t *testing.T) {
	ready := make(chan struct{})
	h := NewHandler(func(ctx context.Context, c transport.Conn) {
		stop := context.AfterFunc(ctx, func() { c.Close(holdfast.CloseRestart, "soon") })
		defer stop()
		close(ready)
		_ = c.Receive(func([]byte) error { return nil })
	}, Options{})
	s := startServer(t, h, false)
	c := dial(t, s)
	within(t, "serve", ready)
	down := make(chan error, 1)
	go func() { down <- h.Shutdown(context.Background()) }()
	c.expect("close 1012 soon")
	c.send(closing(1012, ""))
	c.expect("eof")
	if err := within(t, "Shutdown", down); err != nil {
		t.Fatal(err)
	}
	nc := dialRaw(t, s)
	_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\n"+strings.Join(proper("Connection: close"), "\r\n")+"\r\n\r\n")
	answer, _ := io.ReadAll(nc)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "Retry-After: 1") {
		t.Errorf("after a shutdown: %q", answer)
	}
}

// TestShutdownAborts: connections that do not end in time are cut.
func TestShutdownAborts(t *testing.T) {
	received := make(chan error, 1)
	ready := make(chan struct{})
	h := NewHandler(func(_ context.Context, c transport.Conn) {
		close(ready)
		received <- c.Receive(func([]byte) error { return nil })
	}, Options{})
	dial(t, startServer(t, h, false))
	within(t, "serve", ready)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := h.Shutdown(ctx)
	if holdfast.CodeOf(err) != holdfast.CodeUnavailable || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1 connections") {
		t.Fatalf("Shutdown: %v", err)
	}
	codeIs(t, within(t, "Receive", received), holdfast.CodeUnavailable)
	h.Wait()
}

// lingering is a receiver that takes its time to end.
type lingering struct {
	contexts chan<- context.Context
	ended    chan error
	leave    chan struct{}
}

func (l *lingering) Message(ctx context.Context, _ []byte) error {
	l.contexts <- ctx
	return nil
}

func (l *lingering) Ended(err error) {
	l.ended <- err
	<-l.leave
}

// TestShutdownWaitsForDetached: what serve has left to the handler ends with Shutdown like what it has not.
func TestShutdownWaitsForDetached(t *testing.T) {
	contexts := make(chan context.Context, 1)
	l := &lingering{contexts, make(chan error, 1), make(chan struct{})}
	h := NewHandler(func(ctx context.Context, c transport.Conn) {
		context.AfterFunc(ctx, func() { c.Close(holdfast.CloseRestart, "soon") })
		c.(*conn).Detach(l)
	}, Options{})
	c := dial(t, startServer(t, h, false))
	c.send(text("a"))
	within(t, "a message", contexts)
	c.send(text("b"))
	ctx := within(t, "another", contexts)
	down := make(chan error, 1)
	go func() { down <- h.Shutdown(context.Background()) }()
	codeIs(t, within(t, "the end", l.ended), holdfast.CodeUnavailable)
	if ctx.Err() == nil {
		t.Error("the context of a message has not ended with Shutdown")
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v before the receiver was through", err)
	default:
	}
	close(l.leave)
	c.expect("close 1012 soon")
	c.send(closing(1012, ""))
	c.expect("eof")
	if err := within(t, "Shutdown", down); err != nil {
		t.Fatal(err)
	}
}

// TestServerTimeouts: those of the HTTP server are for requests, and end with the upgrade.
func TestServerTimeouts(t *testing.T) {
	serve, conns := hold(t, func(c transport.Conn, msg []byte) error { return writeAll(c, c.AppendMessage(nil, msg)) })
	const short = 50 * time.Millisecond
	c := dial(t, startServer(t, NewHandler(serve, Options{}), false, func(s *http.Server) {
		s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = short, short, short
	}))
	within(t, "the connection", conns)
	passed := time.NewTimer(2 * short)
	<-passed.C
	c.send(text("still here"))
	c.expect("text still here")
}

// TestCloseIsBounded: a peer that never answers a closing frame does not keep its connection.
func TestCloseIsBounded(t *testing.T) {
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			h := NewHandler(func(_ context.Context, c transport.Conn) { c.Close(holdfast.CloseKicked, "go") },
				Options{CloseTimeout: 30 * time.Millisecond})
			c := dial(t, startServer(t, h, secure))
			c.expect("close 4504 go", "eof")
		})
	}
}

// TestCloseWhileServeStays: the socket is closed in time even if serve does not return.
func TestCloseWhileServeStays(t *testing.T) {
	serve, conns := hold(t, ignore)
	c := dial(t, start(t, serve, Options{CloseTimeout: 30 * time.Millisecond}))
	sc := within(t, "the connection", conns)
	sc.Close(holdfast.CloseKicked, "go")
	c.expect("close 4504 go", "eof")
	close(sc.leave)
}

// TestCloseDeliversDespiteUnreadBytes: what the client is sending meanwhile must not turn into a reset that swallows the code.
func TestCloseDeliversDespiteUnreadBytes(t *testing.T) {
	c := dial(t, start(t, echo, Options{MaxMessage: 1000}))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// Fails when the server is through with waiting; that is its right.
		_, _ = c.nc.Write(join(text(strings.Repeat("x", 4<<20)), closing(4503, "")))
	}()
	c.expect("close 4503*")
	within(t, "the client's write", sent)
	c.expect("eof")
}

func TestSubprotocolOption(t *testing.T) {
	r, _ := request(t, Options{Subprotocol: "seed.v2"}, "GET / HTTP/1.1", proper("Sec-WebSocket-Protocol: holdfast.v1, seed.v2")...)
	if got := r.Header.Get("Sec-WebSocket-Protocol"); r.StatusCode != http.StatusSwitchingProtocols || got != "seed.v2" {
		t.Errorf("status %d, subprotocol %q", r.StatusCode, got)
	}
}
