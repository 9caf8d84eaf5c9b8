package transporttest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// fill writes messages until the connection takes no more, and returns how many went out whole and the rest of the one
// that did not. A plain transport is full at once.
func fill(t *testing.T, c transport.Conn) (whole int, rest []byte) {
	t.Helper()
	for {
		p := c.AppendMessage(nil, message(whole))
		n, err := c.TryWrite(p)
		if err != nil {
			t.Fatalf("TryWrite to a slow peer: %v", err)
		}
		if n < len(p) {
			return whole, p[n:]
		}
		whole++
	}
}

// message is the i-th of a series, too long to be mistaken for another and for the buffers of a kernel.
func message(i int) []byte {
	return append(fmt.Appendf(nil, "message %d ", i), bytes.Repeat([]byte{'a' + byte(i%26)}, 10_000)...)
}

// testSlowPeer: a short TryWrite is gone on with where it stopped, and all arrives in order.
func testSlowPeer(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	whole, rest := fill(t, h.Conn)
	if !tr.Plain && whole == 0 {
		t.Fatal("the connection took not one message")
	}
	for range 3 {
		if n, err := h.TryWrite(rest); err != nil {
			t.Fatalf("TryWrite to a full socket: %d, %v", n, err)
		} else {
			rest = rest[n:]
		}
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Write(rest, patience) }()
	for i := range whole + 1 {
		h.expect(string(message(i)))
	}
	if err := within(t, "Write", failed); err != nil {
		t.Fatal(err)
	}
}

// testWriteTimesOut: a Write that times out says so in time, and Receive does not care.
func testWriteTimesOut(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	_, rest := fill(t, h.Conn)
	big := append(rest, h.AppendMessage(nil, make([]byte, 16<<20))...)
	begun := time.Now()
	if err := h.Write(big, 20*time.Millisecond); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Fatalf("Write to a peer that does not read: %v", err)
	}
	if d := time.Since(begun); d > patience/2 {
		t.Fatalf("Write waited %v for a timeout of 20 ms", d)
	}
	h.Conn.Abort()
	h.expectReceived(holdfast.CodeUnavailable)
}

// testTryWriteAfterWrite: the deadline of a Write does not spoil what follows.
func testTryWriteAfterWrite(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	if err := h.Write(h.AppendMessage(nil, []byte("a")), 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	h.expect("a")
	passed := time.NewTimer(20 * time.Millisecond)
	<-passed.C
	if err := WriteAll(h.Conn, h.AppendMessage(nil, []byte("b"))); err != nil {
		t.Fatalf("after the deadline of an earlier Write: %v", err)
	}
	h.expect("b")
}

// testCloseDuringWrite: Close does not wait for a Write that waits, and its code goes out after the message.
func testCloseDuringWrite(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	whole, rest := fill(t, h.Conn)
	written := make(chan error, 1)
	go func() { written <- h.Write(rest, patience) }()

	closed := make(chan struct{})
	go func() {
		h.Conn.Close(holdfast.CloseKicked, "")
		close(closed)
	}()
	within(t, "Close", closed)
	h.expectReceived(holdfast.CodeUnavailable)
	if len(rest) == len(h.AppendMessage(nil, message(whole))) {
		// Nothing of the message had gone out, so that Close may have come before it.
		h.leave()
		h.expectClosed(holdfast.CloseKicked)
		<-written
		return
	}
	for i := range whole + 1 {
		h.expect(string(message(i)))
	}
	if err := within(t, "Write", written); err != nil {
		t.Fatal(err)
	}
	h.leave()
	h.expectClosed(holdfast.CloseKicked)
}

func testCloseByEveryone(t *testing.T, tr Transport) {
	h := dial(t, tr, ignore)
	if err := WriteAll(h.Conn, h.AppendMessage(nil, []byte("x"))); err != nil {
		t.Fatal(err)
	}
	h.expect("x")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if i%2 == 0 {
				h.Conn.Close(holdfast.CloseKicked, "")
			} else {
				h.Conn.Abort()
			}
			_ = h.Info()
		})
	}
	all.Wait()
	h.expectReceived(holdfast.CodeUnavailable)
}
