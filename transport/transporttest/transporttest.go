// Package transporttest is the definition of a correct transport: a suite that every implementation of
// [transport.Conn] runs.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// patience bounds every wait that would otherwise never end when a transport is broken.
const patience = 10 * time.Second

// Peer is the client's side of a connection, as far as the suite needs it. All methods fail after [patience] at the latest.
type Peer interface {
	// Send sends one message.
	Send(msg []byte) error
	// Next returns the next message; a *[Closed] if the connection was closed in order, another error if it broke off.
	Next() ([]byte, error)
	// Close ends the connection in order.
	Close(code holdfast.CloseCode) error
	// Abort ends it without a word.
	Abort()
}

// Closed is how the server closed a connection.
type Closed struct {
	Code   holdfast.CloseCode
	Reason string
}

func (c *Closed) Error() string { return fmt.Sprintf("closed with %d %s", uint16(c.Code), c.Reason) }

// Transport is what the suite is run on.
type Transport struct {
	// Name is what Info must say.
	Name string
	// Dial opens a connection whose server side is served by serve, and ends everything with the test.
	Dial func(t testing.TB, serve transport.Serve) Peer
	// MaxMessage is the limit that the server side was given.
	MaxMessage int
	// Plain: TryWrite never takes anything, since the transport cannot write without waiting.
	Plain bool
	// Detach: connections are received from by Detach instead of Receive.
	Detach bool
	// OneWay: what the peer has to say is this message, which Dial sends. Its Send and Close are not called.
	OneWay string
	// Codeless: the peer sees only whether the end was in order; the code of its *[Closed] does not count.
	Codeless bool
}

// needs is what a test needs of a transport.
type needs uint8

const (
	// speech: the peer sends messages when it likes.
	speech needs = 1 << iota
	// codes: the peer sees why it was closed.
	codes
	// silence: the peer says one thing, and then listens.
	silence
)

// missing says what is missing, or "".
func (n needs) missing(tr Transport) string {
	switch {
	case n&speech != 0 && tr.OneWay != "":
		return "the peer cannot speak"
	case n&codes != 0 && tr.Codeless:
		return "no codes travel"
	case n&silence != 0 && tr.OneWay == "":
		return "the peer can speak"
	}
	return ""
}

// Run runs the suite, but for what the transport is said not to do.
func Run(t *testing.T, tr Transport) {
	for name, test := range map[string]struct {
		run   func(*testing.T, Transport)
		needs needs
	}{
		"Echo":                    {testEcho, speech},
		"EmptyMessage":            {testEmpty, speech},
		"Said":                    {testSaid, silence},
		"LimitIsTaken":            {testLimit, speech},
		"OverLimit":               {testOverLimit, speech},
		"Info":                    {testInfo, 0},
		"AppendMessage":           {testAppend, 0},
		"PeerCloses":              {testPeerCloses, speech},
		"PeerAborts":              {testPeerAborts, 0},
		"FnFails":                 {testFnFails, speech},
		"CloseReachesPeer":        {testClose, 0},
		"LastWords":               {testLastWords, 0},
		"CloseCutsReason":         {testCloseReason, codes},
		"FirstCloseCounts":        {testCloseTwice, codes},
		"CloseFromFn":             {testCloseFromFn, speech},
		"ServeReturns":            {testServeReturns, 0},
		"Abort":                   {testAbort, 0},
		"WriteAfterClose":         {testWriteAfterClose, 0},
		"SlowPeer":                {testSlowPeer, 0},
		"WriteTimesOut":           {testWriteTimesOut, 0},
		"TryWriteAfterWrite":      {testTryWriteAfterWrite, 0},
		"CloseDuringWrite":        {testCloseDuringWrite, 0},
		"CloseAndAbortByEveryone": {testCloseByEveryone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if why := test.needs.missing(tr); why != "" {
				t.Skip(why)
			}
			test.run(t, tr)
		})
	}
}

// held is a connection whose serve stays until release.
type held struct {
	transport.Conn
	Peer
	t        *testing.T
	codeless bool
	received chan error
	leave    func()
}

// dial opens a connection that is read with fn; its writer is the test.
func dial(t *testing.T, tr Transport, fn func(c transport.Conn, msg []byte) error) *held {
	t.Helper()
	conns := make(chan transport.Conn, 1)
	h := &held{t: t, codeless: tr.Codeless, received: make(chan error, 1)}
	leave := make(chan struct{})
	h.leave = sync.OnceFunc(func() { close(leave) })
	h.Peer = tr.Dial(t, func(_ context.Context, c transport.Conn) {
		conns <- c
		if tr.Detach {
			c.(transport.Detacher).Detach(&receiver{c, fn, h.received, leave})
			return
		}
		h.received <- c.Receive(func(msg []byte) error { return fn(c, msg) })
		<-leave
	})
	// After the cleanup of Dial in the code, so before it at the end: that one waits for serve.
	t.Cleanup(h.leave)
	h.Conn = within(t, "the connection", conns)
	return h
}

// receiver is the reading side of a connection that was detached.
type receiver struct {
	conn     transport.Conn
	fn       func(c transport.Conn, msg []byte) error
	received chan<- error
	leave    <-chan struct{}
}

// Message implements transport.Receiver.
func (r *receiver) Message(_ context.Context, msg []byte) error { return r.fn(r.conn, msg) }

// Ended implements transport.Receiver.
func (r *receiver) Ended(err error) {
	r.received <- err
	<-r.leave
}

func ignore(transport.Conn, []byte) error { return nil }

func echo(c transport.Conn, msg []byte) error { return WriteAll(c, c.AppendMessage(nil, msg)) }

// WriteAll writes p as a caller of transport.Conn does: what goes without waiting, then the rest.
func WriteAll(c transport.Conn, p []byte) error {
	n, err := c.TryWrite(p)
	if err != nil || n == len(p) {
		return err
	}
	return c.Write(p[n:], patience)
}

func within[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func (h *held) send(msg string) {
	h.t.Helper()
	if err := h.Send([]byte(msg)); err != nil {
		h.t.Fatalf("send: %v", err)
	}
}

func (h *held) expect(want string) {
	h.t.Helper()
	got, err := h.Next()
	if err != nil || string(got) != want {
		h.t.Fatalf("the peer got %d bytes %.60q (error %v), want %d bytes %.60q", len(got), got, err, len(want), want)
	}
}

// expectClosed reads up to the end, which must be in order and with the code.
func (h *held) expectClosed(code holdfast.CloseCode) *Closed {
	h.t.Helper()
	for {
		_, err := h.Next()
		var closed *Closed
		switch {
		case err == nil:
			continue
		case !errors.As(err, &closed) || closed.Code != code && !h.codeless:
			h.t.Fatalf("the peer saw %v, want the code %d", err, code)
		}
		return closed
	}
}

func (h *held) expectReceived(want holdfast.Code) {
	h.t.Helper()
	if err := within(h.t, "Receive to return", h.received); holdfast.CodeOf(err) != want {
		h.t.Fatalf("Receive returned %v, want the code %q", err, want)
	}
}

func testEcho(t *testing.T, tr Transport) {
	h := dial(t, tr, echo)
	for i := range 50 {
		h.send(strings.Repeat("x", i*i) + "é")
	}
	for i := range 50 {
		h.expect(strings.Repeat("x", i*i) + "é")
	}
}

func testEmpty(t *testing.T, tr Transport) {
	h := dial(t, tr, echo)
	h.send("")
	h.expect("")
}

// testSaid: what the peer said comes once, and then nothing until the end.
func testSaid(t *testing.T, tr Transport) {
	var got []string
	said := make(chan struct{}, 2)
	h := dial(t, tr, func(_ transport.Conn, msg []byte) error {
		got = append(got, string(msg))
		said <- struct{}{}
		return nil
	})
	if err := WriteAll(h.Conn, h.AppendMessage(nil, []byte("heard"))); err != nil {
		t.Fatal(err)
	}
	h.expect("heard")
	within(t, "what the peer said", said)
	h.Conn.Close(holdfast.CloseNormal, "")
	h.expectReceived(holdfast.CodeUnavailable)
	if len(got) != 1 || got[0] != tr.OneWay {
		t.Fatalf("received %q, want %q once", got, tr.OneWay)
	}
}

func testLimit(t *testing.T, tr Transport) {
	h := dial(t, tr, echo)
	big := strings.Repeat("b", tr.MaxMessage)
	h.send(big)
	h.expect(big)
}

func testOverLimit(t *testing.T, tr Transport) {
	h := dial(t, tr, echo)
	h.send("before")
	// The send itself may fail, when the server has gone before its end.
	_ = h.Send(bytes.Repeat([]byte("b"), tr.MaxMessage+1))
	h.expect("before")
	h.expectReceived(holdfast.CodeTooLarge)
	h.leave()
	h.expectClosed(holdfast.CloseTooLarge)
}

func testInfo(t *testing.T, tr Transport) {
	if got := dial(t, tr, ignore).Info().Transport; got != tr.Name {
		t.Fatalf("transport %q, want %q", got, tr.Name)
	}
}

func testAppend(t *testing.T, tr Transport) {
	h, other := dial(t, tr, ignore), dial(t, tr, ignore)
	var p []byte
	for i := range 10 {
		// Framed by another connection: all of one transport frame alike.
		p = other.AppendMessage(p, fmt.Appendf(nil, "message %d", i))
	}
	if err := WriteAll(h.Conn, p); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		h.expect(fmt.Sprintf("message %d", i))
	}
}

func testPeerCloses(t *testing.T, tr Transport) {
	got := 0
	h := dial(t, tr, func(transport.Conn, []byte) error { got++; return nil })
	h.send("last words")
	if err := h.Peer.Close(holdfast.CloseNormal); err != nil {
		t.Fatal(err)
	}
	h.expectReceived("")
	if got != 1 {
		t.Fatalf("%d messages arrived before the peer closed, want 1", got)
	}
	h.leave()
	h.expectClosed(holdfast.CloseNormal)
}

func testPeerAborts(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	h.Peer.Abort()
	h.expectReceived(holdfast.CodeUnavailable)
}

func testFnFails(t *testing.T, tr Transport) {
	boom := errors.New("boom")
	h := dial(t, tr, func(transport.Conn, []byte) error { return boom })
	h.send("x")
	if err := within(t, "Receive to return", h.received); err != boom {
		t.Fatalf("Receive returned %v, want what fn returned", err)
	}
	h.Conn.Close(holdfast.CloseProtocol, "as fn said")
	h.leave()
	if c := h.expectClosed(holdfast.CloseProtocol); c.Reason != "as fn said" {
		t.Fatalf("reason %q", c.Reason)
	}
}

func testClose(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	if err := WriteAll(h.Conn, h.AppendMessage(nil, []byte("before"))); err != nil {
		t.Fatal(err)
	}
	h.Conn.Close(holdfast.CloseRestart, `{"after":0}`)
	h.expectReceived(holdfast.CodeUnavailable)
	h.leave()
	h.expect("before")
	if c := h.expectClosed(holdfast.CloseRestart); c.Reason != `{"after":0}` && !tr.Codeless {
		t.Fatalf("reason %q", c.Reason)
	}
}

func testLastWords(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	words := h.AppendMessage(nil, []byte("last"))
	n := 0
	if last, ok := h.Conn.(transport.Laster); ok {
		var err error
		if n, err = last.TryLast(words, holdfast.CloseRestart, "bye"); err != nil {
			t.Fatal(err)
		}
	}
	closed := holdfast.CloseRestart
	if n < len(words) { // it cannot be tried, and nothing is closed
		closed = holdfast.CloseKicked
		if err := WriteAll(h.Conn, words[n:]); err != nil {
			t.Fatal(err)
		}
	}
	h.Conn.Close(holdfast.CloseKicked, "the first close counts")
	h.expectReceived(holdfast.CodeUnavailable)
	h.leave()
	h.expect("last")
	h.expectClosed(closed)
}

func testCloseReason(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	h.Conn.Close(holdfast.CloseKicked, strings.Repeat("é", 200))
	h.leave()
	c := h.expectClosed(holdfast.CloseKicked)
	if len(c.Reason) == 0 || len(c.Reason) > 123 || strings.Trim(c.Reason, "é") != "" {
		t.Fatalf("reason of %d bytes: %q", len(c.Reason), c.Reason)
	}
}

func testCloseTwice(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	h.Conn.Close(holdfast.CloseKicked, "first")
	h.Conn.Close(holdfast.CloseRestart, "second")
	h.leave()
	if c := h.expectClosed(holdfast.CloseKicked); c.Reason != "first" {
		t.Fatalf("reason %q", c.Reason)
	}
}

func testCloseFromFn(t *testing.T, tr Transport) {
	calls := 0
	h := dial(t, tr, func(c transport.Conn, _ []byte) error {
		calls++
		c.Close(holdfast.CloseExpired, "")
		return nil
	})
	for range 3 {
		// Later ones may meet a connection that is closed already.
		_ = h.Send([]byte("x"))
	}
	h.expectReceived(holdfast.CodeUnavailable)
	if calls != 1 {
		t.Fatalf("fn was called %d times, want once: it closed the connection", calls)
	}
	h.leave()
	h.expectClosed(holdfast.CloseExpired)
}

func testServeReturns(t *testing.T, tr Transport) {
	p := tr.Dial(t, func(context.Context, transport.Conn) {})
	h := &held{t: t, codeless: tr.Codeless, Peer: p}
	h.expectClosed(holdfast.CloseInternal)
}

func testAbort(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	h.Conn.Abort()
	h.Conn.Abort()
	h.Conn.Close(holdfast.CloseNormal, "too late")
	h.expectReceived(holdfast.CodeUnavailable)
	if tr.OneWay != "" {
		h.leave() // an answer of HTTP breaks off when its handler returns
	}
	var closed *Closed
	if _, err := h.Next(); err == nil || errors.As(err, &closed) {
		t.Fatalf("the peer saw %v after an abort", err)
	}
	if err := WriteAll(h.Conn, h.AppendMessage(nil, []byte("x"))); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Fatalf("writing after an abort: %v", err)
	}
}

func testWriteAfterClose(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	h.Conn.Close(holdfast.CloseNormal, "")
	p := h.AppendMessage(nil, []byte("x"))
	if n, err := h.TryWrite(p); n != 0 || !tr.Plain && holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("TryWrite after Close: %d, %v", n, err)
	}
	if err := h.Write(p, patience); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("Write after Close: %v", err)
	}
}
