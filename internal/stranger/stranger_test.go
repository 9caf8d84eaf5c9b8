package stranger_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/internal/stranger"
)

const limit, idle = 10 * time.Second, 2 * time.Minute

// pipes is a listener whose connections are pipes: they hold nothing, so a peer that does not read makes the writer wait.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), over: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.over) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

// site knows who shows a token, has a long answer for everybody, and hands connections over.
func site(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		stranger.Known(r.Context())
	}
	switch r.URL.Path {
	case "/long":
		_, _ = w.Write(bytes.Repeat([]byte("x"), 128<<10))
	case "/body":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/hijack":
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		go func() { // ends when the peer closes
			_, _ = io.Copy(io.Discard, rw)
			_ = c.Close()
		}()
	}
}

func bounded() *http.Server {
	s := &http.Server{
		Handler: http.HandlerFunc(site), ReadHeaderTimeout: limit, ReadTimeout: limit, IdleTimeout: idle, ErrorLog: log.New(io.Discard, "", 0),
	}
	stranger.Bound(s, limit)
	return s
}

// lives says how long a connection lived over which somebody does something.
func lives(t *testing.T, do func(net.Conn)) (age time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, l := bounded(), newPipes()
		var served sync.WaitGroup
		served.Go(func() { _ = s.Serve(l) })
		began, c := time.Now(), l.dial()
		_ = c.SetReadDeadline(began.Add(time.Hour)) // rather than for ever
		do(c)
		age = time.Since(began)
		_ = c.Close()
		_ = s.Close()
		served.Wait()
	})
	return age
}

func toTheEnd(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		toTheEnd(c)
	}
}

const get = " HTTP/1.1\r\nHost: x\r\n\r\n"

// slowly reads a byte each second.
func slowly(c net.Conn) {
	go func() { _, _ = io.WriteString(c, strings.Repeat("GET /long"+get, 10)) }() // ends with c
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for one := make([]byte, 1); ; <-tick.C {
		if _, err := c.Read(one); err != nil {
			return
		}
	}
}

// again makes a request each so often, and reads the answers.
func again(every time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		gone := make(chan struct{})
		go func() { // ends with c
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				_, _ = io.WriteString(c, "GET /"+get)
				select {
				case <-tick.C:
				case <-gone:
					return
				}
			}
		}()
		toTheEnd(c)
		close(gone)
	}
}

func TestStrangersGo(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(net.Conn)
		most time.Duration
	}{
		"silent":                        {toTheEnd, limit},
		"silent after a request":        {says("GET /" + get), limit},
		"half a header after one":       {says("GET /" + get + "GET / HTTP/1.1\r\n"), limit},
		"a body that does not come":     {says("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"), limit + time.Second},
		"reads an answer very slowly":   {slowly, limit + time.Second},
		"one request after another":     {again(3 * time.Second), 2 * limit},
		"a request just before the end": {again(limit - time.Second), 2 * limit},
	} {
		t.Run(name, func(t *testing.T) {
			if age := lives(t, tc.do); age < limit || age > tc.most {
				t.Errorf("it lived for %v, want %v to %v", age, limit, tc.most)
			}
		})
	}
}

func TestOthersStay(t *testing.T) {
	known := "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: yes\r\n\r\n"
	for name, tc := range map[string]struct {
		do   func(net.Conn)
		want time.Duration
	}{
		"who has shown a token":              {says(known), idle},
		"who shows it in the second request": {says("GET /" + get + known), idle},
		"a connection that a handler took over": {func(c net.Conn) {
			_, _ = io.WriteString(c, "GET /hijack"+get)
			_ = c.SetReadDeadline(time.Now().Add(10 * limit))
			toTheEnd(c)
		}, 10 * limit},
	} {
		t.Run(name, func(t *testing.T) {
			if age := lives(t, tc.do); age != tc.want {
				t.Errorf("it lived for %v, want %v", age, tc.want)
			}
		})
	}
}

// HTTP/2 needs no request to keep a connection.
func TestStrangersGoFromHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		s := httptest.NewUnstartedServer(nil)
		_ = s.Listener.Close()
		s.Listener, s.Config, s.EnableHTTP2 = l, bounded(), true
		s.StartTLS()
		defer s.Close()
		began := time.Now()
		c := tls.Client(l.dial(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err := c.HandshakeContext(context.Background()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		})
		toTheEnd(c)
		if age := time.Since(began); age != limit {
			t.Errorf("it lived for %v, want %v", age, limit)
		}
		_ = c.Close()
		all.Wait()
	})
}
