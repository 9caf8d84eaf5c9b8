package faults

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo is an upstream that sends back what it gets, and tells of each connection that ends.
func echo(t *testing.T) (addr string, ended <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 10)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				_, err := io.Copy(c, c)
				_ = c.Close()
				ends <- err
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().String(), ends
}

func proxied(t *testing.T) (p *Proxy, dial func() net.Conn, ended <-chan error) {
	t.Helper()
	addr, ended := echo(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = New(l, addr)
	t.Cleanup(func() { _ = p.Close() })
	return p, func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}, ended
}

// say sends a text and waits for it to come back.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestPassesOn(t *testing.T) {
	p, dial, ended := proxied(t)
	c := dial()
	say(t, c, "hello")
	if n := len(p.Links()); n != 1 {
		t.Errorf("%d links, want 1", n)
	}
	// An orderly end passes as one, in both directions.
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %v, want EOF", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("upstream saw %v", err)
	}
}

func TestCutResetsBothSides(t *testing.T) {
	p, dial, ended := proxied(t)
	c := dial()
	say(t, c, "hello")
	p.Links()[0].Cut()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v, want a reset", err)
	}
	if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("upstream saw %v, want a reset", err)
	}
	say(t, dial(), "a new connection works")
}

func TestCutAfterCutsInTheMiddle(t *testing.T) {
	p, dial, _ := proxied(t)
	c := dial()
	say(t, c, "hello")
	p.Links()[0].CutAfter(3)
	if _, err := io.WriteString(c, "abcdef"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if len(got) > 3 || err == nil {
		t.Errorf("the client got %q and %v, want at most 3 bytes and a reset", got, err)
	}
}

func TestBlackholeSwallowsAndStaysOpen(t *testing.T) {
	p, dial, ended := proxied(t)
	c := dial()
	say(t, c, "hello")
	p.Links()[0].Blackhole()
	if _, err := io.WriteString(c, "into the void"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errTimeout(err)) {
		t.Errorf("the client got %d bytes and %v, want silence", n, err)
	}
	// Even the client's end does not reach the server.
	_ = c.Close()
	select {
	case err := <-ended:
		t.Errorf("upstream noticed: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	say(t, dial(), "a new connection works")
}

func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return errors.New("not a timeout")
}

func TestThrottle(t *testing.T) {
	p, dial, _ := proxied(t)
	p.Throttle(2000)
	start := time.Now()
	say(t, dial(), string(make([]byte, 1000)))
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("1000 bytes at 2000 a second took %v", took)
	}
}

func TestDelayAndRefuse(t *testing.T) {
	p, dial, _ := proxied(t)
	p.SetDelay(30 * time.Millisecond)
	start := time.Now()
	say(t, dial(), "hello")
	if took := time.Since(start); took < 60*time.Millisecond {
		t.Errorf("a round trip of twice 30 ms took %v", took)
	}
	p.SetRefuse(true)
	// The reset may come while the client still dials.
	c, err := net.Dial("tcp", p.Addr().String())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused connection saw %v, want a reset", err)
	}
}

func TestFindByTheAddressThatUpstreamSees(t *testing.T) {
	p, dial, _ := proxied(t)
	say(t, dial(), "one")
	l := p.Links()[0]
	if got, ok := p.Find(l.server.LocalAddr().String()); !ok || got != l {
		t.Error("the link is not found")
	}
	if _, ok := p.Find("127.0.0.1:1"); ok {
		t.Error("a link is found that is none")
	}
}

// A server that gives a silent connection up, in order, ends the link, whatever the client did meanwhile.
func TestBlackholeEndsWithTheServer(t *testing.T) {
	for name, leave := range map[string]func(net.Conn){
		"the client stays": func(net.Conn) {},
		"the client left":  func(c net.Conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			up, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer up.Close()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			p := New(l, up.Addr().String())
			defer p.Close()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			server, err := up.Accept()
			if err != nil {
				t.Fatal(err)
			}
			link, ok := p.Find(server.RemoteAddr().String())
			for !ok {
				link, ok = p.Find(server.RemoteAddr().String())
			}
			link.Blackhole()
			leave(c)
			_ = server.Close()
			select {
			case <-link.Done():
			case <-time.After(5 * time.Second):
				t.Error("the link lives on without a server")
			}
		})
	}
}
