//go:build unix

package ws

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

// fullWriter returns a writer whose socket is full exactly between two messages, how many it took, and the peer. Over a
// Unix socket a small message goes whole or not at all, and nothing moves until the peer reads.
func fullWriter(t *testing.T) (*writer, int, *client) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	near, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	_ = far.SetDeadline(time.Now().Add(patience))
	w := &writer{conn: near, raw: rawConn(near), pools: newPools()}
	for i := 0; ; i++ {
		p := appendFrame(nil, ws.OpText, fmt.Append(nil, i))
		switch n, err := w.tryWrite(p); {
		case err != nil:
			t.Fatal(err)
		case n == 0:
			return w, i, &client{t: t, nc: far, br: bufio.NewReader(far)}
		case n < len(p):
			t.Fatalf("%d bytes of a message of %d went out", n, len(p))
		}
	}
}

func (c *client) expectNumbers(n int) {
	c.t.Helper()
	for i := range n {
		c.expect(fmt.Sprint("text ", i))
	}
}

// TestFullSocket: control frames that find the socket full between two messages go out before the next message, in order.
func TestFullSocket(t *testing.T) {
	next := appendFrame(nil, ws.OpText, []byte("next"))
	t.Run("TryWrite", func(t *testing.T) {
		w, n, c := fullWriter(t)
		w.notes.leavePong([]byte("first"))
		w.nudge()
		w.notes.leavePong([]byte("replaced"))
		w.nudge()
		w.notes.leavePong([]byte("second"))
		w.nudge()
		if n, err := w.tryWrite(next); n != 0 || err != nil {
			t.Fatalf("past a pong that waits: %d, %v", n, err)
		}
		c.expectNumbers(n)
		if n, err := w.tryWrite(next); n != len(next) || err != nil {
			t.Fatal(n, err)
		}
		c.expect("pong first", "pong second", "text next")
	})
	t.Run("Write", func(t *testing.T) {
		w, n, c := fullWriter(t)
		w.notes.leavePong([]byte("p"))
		w.nudge()
		err := w.write(next, 10*time.Millisecond)
		codeIs(t, err, holdfast.CodeUnavailable)
		written := make(chan error, 1)
		go func() { written <- w.write(next, patience) }()
		c.expectNumbers(n)
		c.expect("pong p", "text next")
		if err := within(t, "Write", written); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Close", func(t *testing.T) {
		w, n, c := fullWriter(t)
		w.notes.leavePong([]byte("p"))
		w.nudge()
		w.notes.leaveClose(closeFrame(holdfast.CloseKicked, "x"))
		w.nudge()
		_, err := w.tryWrite(next)
		codeIs(t, err, holdfast.CodeUnavailable)
		finished := make(chan bool, 1)
		go func() { finished <- w.finish(time.Now().Add(patience)) }()
		c.expectNumbers(n)
		c.expect("pong p", "close 4504 x")
		if !within(t, "finish", finished) {
			t.Fatal("finish says that the closing frame did not go out")
		}
	})
	t.Run("TryLast", func(t *testing.T) {
		w, n, c := fullWriter(t)
		closing := closeFrame(holdfast.CloseKicked, "x")
		if n, err := w.tryLast(next, closing); n != 0 || err != nil {
			t.Fatalf("to a full socket: %d, %v", n, err)
		}
		c.expectNumbers(n)
		if n, err := w.tryWrite(next); n != len(next) || err != nil {
			t.Fatalf("the close is there before the last words: %d, %v", n, err)
		}
		if n, err := w.tryLast(next, closing); n != len(next) || err != nil {
			t.Fatal(n, err)
		}
		_, err := w.tryWrite(next)
		codeIs(t, err, holdfast.CodeUnavailable)
		c.expect("text next", "text next", "close 4504 x")
		if !w.finish(time.Now().Add(patience)) {
			t.Fatal("finish says that the closing frame did not go out")
		}
	})
	t.Run("Close to a peer that never reads", func(t *testing.T) {
		w, _, _ := fullWriter(t)
		w.notes.leaveClose(closeFrame(holdfast.CloseKicked, "x"))
		if w.finish(time.Now().Add(10 * time.Millisecond)) {
			t.Fatal("finish says that the closing frame went out")
		}
	})
}

// TestNoteLeftWhileWriting: a note whose author could not get the right to write is sent by whoever has it.
func TestNoteLeftWhileWriting(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	_ = far.SetDeadline(time.Now().Add(patience))
	w := &writer{conn: near, pools: newPools()}
	c := &client{t: t, nc: far, br: bufio.NewReader(far)}
	w.mu.Lock()
	w.notes.leavePong([]byte("p"))
	w.nudge() // finds mu taken and goes away
	released := make(chan struct{})
	go func() {
		w.release()
		close(released)
	}()
	c.expect("pong p")
	within(t, "release", released)
}

// TestNoNoteIsForgotten: a note may be left between the writer's last look and its letting go of the right to write.
func TestNoNoteIsForgotten(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	_ = far.SetDeadline(time.Now().Add(patience))
	w := &writer{conn: near, pools: newPools()}
	w.mu.Lock()
	w.settle()
	w.notes.leavePong([]byte("p"))
	w.nudge() // finds mu taken and goes away
	letGo := make(chan struct{})
	go func() {
		w.letGo()
		close(letGo)
	}()
	(&client{t: t, nc: far, br: bufio.NewReader(far)}).expect("pong p")
	within(t, "letGo", letGo)
}
