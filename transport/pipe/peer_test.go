package pipe

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

// TestSlowPeerOnTheClock: in a bubble of fake time a Write waits exactly its timeout, and is woken by a peer that reads.
func TestSlowPeerOnTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := New(Options{Buffer: 10})
		msg := c.AppendMessage(nil, []byte("hello world"))
		if n, err := c.TryWrite(msg); n != 10 || err != nil || p.Pending() != 10 {
			t.Fatalf("TryWrite: %d, %v; %d pending", n, err, p.Pending())
		}
		begun := time.Now()
		go func() {
			<-time.After(3 * time.Second)
			if got, err := p.Next(t.Context()); err != nil || string(got) != "hello world" {
				t.Errorf("Next: %q, %v", got, err)
			}
		}()
		if err := c.Write(msg[10:], 5*time.Second); err != nil || time.Since(begun) != 3*time.Second {
			t.Fatalf("Write: %v after %v", err, time.Since(begun))
		}
		synctest.Wait()

		p.SetBuffer(0)
		begun = time.Now()
		err := c.Write(msg, 2*time.Second)
		if holdfast.CodeOf(err) != holdfast.CodeUnavailable || time.Since(begun) != 2*time.Second {
			t.Fatalf("Write to a stalled peer: %v after %v", err, time.Since(begun))
		}
		p.SetBuffer(100)
		if n, err := c.TryWrite(msg); n != len(msg) || err != nil {
			t.Fatalf("nothing had gone out, so that writing goes on: %d, %v", n, err)
		}
	})
}

// TestWriteBreaksInMessage: a Write that times out in a message leaves a connection that is of no more use.
func TestWriteBreaksInMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := New(Options{Buffer: 10})
		msg := c.AppendMessage(nil, []byte("hello world"))
		if err := c.Write(msg, time.Second); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Fatal(err)
		}
		if _, err := p.Next(t.Context()); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if err := p.Send(nil); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Fatal(err)
		}
	})
}

// TestCloseInMessage: the code follows the rest of the message, or never comes.
func TestCloseInMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, finish := range map[string]bool{"finished": true, "left": false} {
			c, p := New(Options{Buffer: 10})
			msg := c.AppendMessage(nil, []byte("hello world"))
			n, _ := c.TryWrite(msg)
			c.Close(holdfast.CloseKicked, "x")
			p.SetBuffer(100)
			if finish {
				if n, err := c.TryWrite(msg[n:]); n != 5 || err != nil {
					t.Fatal(name, n, err)
				}
				if got, err := p.Next(t.Context()); string(got) != "hello world" {
					t.Fatal(name, got, err)
				}
			}
			begun := time.Now()
			_, err := p.Next(t.Context())
			var closed *Closed
			if errors.As(err, &closed) != finish || !finish && time.Since(begun) != closeTimeout {
				t.Fatalf("%s: %v after %v", name, err, time.Since(begun))
			}
		}
	})
}

func TestNextEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := New(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Next(ctx); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
	})
}

// TestSendKeepsNoHold: what Send was given may be used again.
func TestSendKeepsNoHold(t *testing.T) {
	c, p := New(Options{})
	msg := []byte("first")
	_ = p.Send(msg)
	copy(msg, "xxxxx")
	_ = p.Send(msg)
	p.Close(holdfast.CloseNormal, "")
	var got []string
	if err := c.Receive(func(m []byte) error { got = append(got, string(m)); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"first", "xxxxx"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		info := transport.Info{Transport: "embedded", Remote: netip.MustParseAddrPort("192.0.2.1:2"), Path: "/x"}
		ctx, cancel := context.WithCancel(t.Context())
		p := Start(ctx, func(ctx context.Context, c transport.Conn) {
			if c.Info() != info {
				t.Errorf("info %+v", c.Info())
			}
			<-ctx.Done()
			c.Close(holdfast.CloseRestart, "")
		}, Options{Info: info})
		synctest.Wait()
		select {
		case <-p.Done():
			t.Fatal("done before serve was")
		default:
		}
		cancel()
		<-p.Done()
		var closed *Closed
		if _, err := p.Next(t.Context()); !errors.As(err, &closed) || closed.Code != holdfast.CloseRestart {
			t.Fatal(err)
		}
	})
}
