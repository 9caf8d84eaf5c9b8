package ws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// Kernel buffers that are soon full. Smaller ones make loopback, whose packets have 64 KiB, wait for timers.
const (
	readBuffer  = 128 << 10
	writeBuffer = 64 << 10
)

// narrow serves one connection with small kernel buffers on both sides, so that its socket is soon full.
func narrow(t *testing.T, opts Options) (*client, *served, <-chan string) {
	t.Helper()
	if opts.CloseTimeout == 0 {
		opts.CloseTimeout = 50 * time.Millisecond
	}
	heard := make(chan string, 100)
	serve, conns := hold(t, func(_ transport.Conn, msg []byte) error {
		heard <- string(msg)
		return nil
	})
	c := dial(t, start(t, serve, opts))
	sc := within(t, "the connection", conns)
	_ = c.nc.(*net.TCPConn).SetReadBuffer(readBuffer)
	_ = sc.Conn.(*conn).w.conn.(*net.TCPConn).SetWriteBuffer(writeBuffer)
	t.Cleanup(func() { close(sc.leave) })
	return c, sc, heard
}

// jam fills the socket up to the middle of a message, and returns all messages it began and the rest of the last one.
func jam(t *testing.T, sc *served) (msgs []string, rest []byte) {
	t.Helper()
	for i := 0; ; i++ {
		msg := fmt.Sprintf("%d %s", i, strings.Repeat("m", 3000+i))
		p := sc.AppendMessage(nil, []byte(msg))
		n, err := sc.TryWrite(p)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			// Full exactly between two messages: a longer one will be cut once there is room.
			continue
		}
		msgs = append(msgs, "text "+msg)
		if n < len(p) {
			return msgs, p[n:]
		}
	}
}

// TestPongWaitsForTheRest: a pong that is due in the middle of a message comes right after it, though the reader sends it.
func TestPongWaitsForTheRest(t *testing.T) {
	c, sc, heard := narrow(t, Options{})
	msgs, rest := jam(t, sc)
	for i := range 5 {
		// The text behind it tells that the ping was handled; a full socket does not stop the reader.
		c.send(join(frame(ws.OpPing, true, fmt.Sprint("p", i)), text("after ping")))
		within(t, "the text behind the ping", heard)
	}
	written := make(chan error, 1)
	go func() { written <- sc.Write(rest, patience) }()
	c.expect(msgs...)
	c.expect("pong p4") // RFC 6455 §5.5.3: the latest is enough
	if err := within(t, "Write", written); err != nil {
		t.Fatal(err)
	}
	if err := writeAll(sc, sc.AppendMessage(nil, []byte("last"))); err != nil {
		t.Fatal(err)
	}
	c.expect("text last")
}

// TestPongDuringWrite: while Write waits for the socket, the reader neither waits nor writes in between.
func TestPongDuringWrite(t *testing.T) {
	c, sc, heard := narrow(t, Options{})
	msgs, rest := jam(t, sc)
	big := "text " + strings.Repeat("b", 1<<20)
	written := make(chan error, 1)
	go func() { written <- sc.Write(sc.AppendMessage(rest, []byte(big[5:])), patience) }()
	c.expect(msgs...) // Write has begun: nobody else writes the rest
	c.send(join(frame(ws.OpPing, true, "p"), text("after ping")))
	within(t, "the text behind the ping", heard)
	c.expect(big, "pong p")
	if err := within(t, "Write", written); err != nil {
		t.Fatal(err)
	}
}

// TestCloseInMessage: the closing frame waits for the rest of the message, by TryWrite too, and nothing new is begun.
func TestCloseInMessage(t *testing.T) {
	c, sc, _ := narrow(t, Options{CloseTimeout: patience})
	msgs, rest := jam(t, sc)
	sc.Close(holdfast.CloseStalled, "slow")
	codeIs(t, within(t, "Receive", sc.received), holdfast.CodeUnavailable)
	all := make(chan []string, 1)
	go func() {
		var got []string
		for len(got) < len(msgs)+1 {
			got = append(got, c.next())
		}
		all <- got
	}()
	for len(rest) > 0 {
		n, err := sc.TryWrite(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	_, err := sc.TryWrite(sc.AppendMessage(nil, []byte("new")))
	codeIs(t, err, holdfast.CodeUnavailable)
	got := within(t, "all frames", all)
	if last := got[len(got)-1]; last != "close 4402 slow" {
		t.Fatalf("after the message came %.100q", last)
	}
}

// TestCloseInMessageWithoutRest: if the rest never comes, the stream ends inside the message; no frame is put there.
func TestCloseInMessageWithoutRest(t *testing.T) {
	c, sc, _ := narrow(t, Options{CloseTimeout: 30 * time.Millisecond})
	msgs, rest := jam(t, sc)
	sc.Close(holdfast.CloseStalled, "slow")
	c.expect(msgs[:len(msgs)-1]...)
	tail, err := io.ReadAll(c.br)
	last := appendFrame(nil, ws.OpText, []byte(msgs[len(msgs)-1][5:]))
	if err != nil || !bytes.Equal(tail, last[:len(last)-len(rest)]) {
		t.Fatalf("the stream ends with %d bytes, error %v; want the %d bytes that were written", len(tail), err, len(last)-len(rest))
	}
	err = sc.Write(rest, patience)
	codeIs(t, err, holdfast.CodeUnavailable)
}

// TestEmptyWrites: nothing is not the rest of a message.
func TestEmptyWrites(t *testing.T) {
	c, sc, heard := narrow(t, Options{})
	msgs, rest := jam(t, sc)
	if n, err := sc.TryWrite(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := sc.Write(nil, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	c.send(join(frame(ws.OpPing, true, "p"), text("after ping")))
	within(t, "the text behind the ping", heard)
	go func() { _ = sc.Write(rest, patience) }()
	c.expect(append(msgs, "pong p")...)
}

// TestInterleaving: a peer that reads in jerks and pings all the time, a writer that goes over from TryWrite to Write
// and back, and a close from elsewhere. The client takes the stream apart: every frame whole, every message in order.
func TestInterleaving(t *testing.T) {
	const messages = 3000
	ready := make(chan *conn, 1)
	h := NewHandler(func(_ context.Context, tc transport.Conn) {
		c := tc.(*conn)
		_ = c.w.conn.(*net.TCPConn).SetWriteBuffer(writeBuffer)
		ready <- c
		_ = c.Receive(func([]byte) error { return nil })
	}, Options{})
	c := dial(t, startServer(t, h, false))
	_ = c.nc.(*net.TCPConn).SetReadBuffer(readBuffer)
	sc := within(t, "the connection", ready)

	var all sync.WaitGroup
	all.Go(func() { writeMany(t, sc, messages) })
	stop := make(chan struct{})
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				// Fails at the end, when the server has gone.
				_, _ = c.nc.Write(frame(ws.OpPing, true, fmt.Sprint(i)))
			}
		}
	})
	pongs := 0
	func() {
		defer all.Wait()
		defer close(stop)
		pongs = readMany(t, c, messages)
	}()
	if pongs < 10 {
		t.Errorf("only %d pongs among %d messages", pongs, messages)
	}
	t.Logf("%d pongs among %d messages", pongs, messages)
}

func numbered(i int) string { return fmt.Sprintf("%06d %s", i, strings.Repeat("n", i*37%5000)) }

// writeMany writes the messages in batches, and closes behind the last.
func writeMany(t *testing.T, c *conn, messages int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < messages; {
		var p []byte
		for range 1 + rng.IntN(8) {
			if i < messages {
				p = c.AppendMessage(p, []byte(numbered(i)))
				i++
			}
		}
		for tries := rng.IntN(50); len(p) > 0 && tries >= 0; tries-- {
			n, err := c.TryWrite(p)
			if err != nil {
				t.Errorf("TryWrite: %v", err)
				return
			}
			p = p[n:]
		}
		if err := c.Write(p, patience); err != nil {
			t.Errorf("Write: %v", err)
			return
		}
	}
	c.Close(holdfast.CloseRestart, "")
}

func readMany(t *testing.T, c *client, messages int) (pongs int) {
	t.Helper()
	next := 0
	for {
		switch got := c.next(); {
		case strings.HasPrefix(got, "pong "):
			pongs++
		case got == "close 1012":
			if next != messages {
				t.Fatalf("closed after %d messages", next)
			}
			c.send(closing(1012, ""))
			return pongs
		case got == "text "+numbered(next):
			next++
		default:
			t.Fatalf("message %d is %.80q", next, got)
		}
	}
}

// TestSlowReader: the server keeps nothing for a peer that does not read; what is not taken is with the caller.
func TestSlowReader(t *testing.T) {
	c, sc, _ := narrow(t, Options{})
	msgs, rest := jam(t, sc)
	// More than a kernel takes that finds some room after all.
	rest = sc.AppendMessage(rest, make([]byte, 16<<20))
	for range 1000 {
		n, err := sc.TryWrite(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
		if len(rest) == 0 {
			t.Fatal("the socket was not full")
		}
	}
	begun := time.Now()
	err := sc.Write(rest, 30*time.Millisecond)
	codeIs(t, err, holdfast.CodeUnavailable)
	if d := time.Since(begun); d < 20*time.Millisecond || d > patience/2 {
		t.Fatalf("Write waited %v", d)
	}
	// Nothing can go on in the middle of a message.
	c.expect(msgs[:len(msgs)-1]...)
}

// TestAllocations: neither writing nor receiving a message in one piece allocates.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget on purpose")
	}
	heard := make(chan struct{})
	serve, conns := hold(t, func(transport.Conn, []byte) error {
		heard <- struct{}{}
		return nil
	})
	c := dial(t, start(t, serve, Options{}))
	sc := within(t, "the connection", conns)
	p := sc.AppendMessage(nil, bytes.Repeat([]byte("m"), 200))
	into := make([]byte, len(p))
	write := testing.AllocsPerRun(500, func() {
		if n, err := sc.TryWrite(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		_, _ = io.ReadFull(c.br, into)
	})
	msg := text("hello")
	receive := testing.AllocsPerRun(500, func() {
		_, _ = c.nc.Write(msg)
		<-heard
	})
	dst := make([]byte, 0, 1000)
	frame := testing.AllocsPerRun(500, func() { dst = sc.AppendMessage(dst[:0], into) })
	t.Logf("allocations per TryWrite %v, per message received %v, per AppendMessage %v", write, receive, frame)
	if write > 0 || receive > 0 || frame > 0 {
		t.Error("want none")
	}
	close(sc.leave)
}
