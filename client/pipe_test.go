package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// peer is a pipe's client side as a Conn. As with a socket, what was sent before Close arrives, Abort or not.
type peer struct {
	*pipe.Peer
	closed atomic.Bool
}

func (p *peer) Close(code holdfast.CloseCode, reason string) {
	p.closed.Store(true)
	p.Peer.Close(code, reason)
}

func (p *peer) Abort() {
	if !p.closed.Load() {
		p.Peer.Abort()
	}
}

func (p *peer) Read() ([]byte, error) {
	msg, err := p.Next(context.Background())
	var closed *pipe.Closed
	if errors.As(err, &closed) {
		return nil, &ws.CloseError{Code: closed.Code, Reason: closed.Reason}
	}
	return msg, err
}

func (p *peer) Write(msgs ...[]byte) error {
	for _, m := range msgs {
		if err := p.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// scene is a client in a bubble of its own clock, and the connections it makes, as the server sees them.
type scene struct {
	t      *testing.T
	client *Client
	cancel context.CancelFunc
	// run starts the client; its hello then has what was subscribed to before.
	run   func()
	ended chan error
	dials chan *far
	// beforeHello is called with each connection before the client can write. May be nil.
	beforeHello func(*far)

	// Guarded by mu.
	mu     sync.Mutex
	urls   []string
	tokens []string // to give out; the last one again and again
	down   bool
	phases []Phase
	// gates counts the questions at the gate.
	gates int
}

// far is one connection.
type far struct {
	t      *testing.T
	conn   transport.Conn
	frames chan wire.ClientFrame
}

func inScene(t *testing.T, f func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, ended: make(chan error, 1), dials: make(chan *far, 100), tokens: []string{"token"}}
		ctx, cancel := context.WithCancel(t.Context())
		s.cancel = cancel
		c, err := New(Options{URL: "http://server/", ClientID: "c", Token: s.token, Dial: s.dial, Ready: s.ready, OnPhase: s.phase})
		if err != nil {
			t.Fatal(err)
		}
		s.client = c
		s.run = sync.OnceFunc(func() { go func() { s.ended <- c.Run(ctx) }() })
		// Deferred, since a client that outlives a test that failed would keep the bubble's clock going for ever.
		defer func() {
			cancel()
			s.run()
			if err := <-s.ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		f(s)
	})
}

func (s *scene) token(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := s.tokens[0]
	if len(s.tokens) > 1 {
		s.tokens = s.tokens[1:]
	}
	return token, nil
}

func (s *scene) phase(p Phase, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = append(s.phases, p)
}

// ready is the gate.
func (s *scene) ready(context.Context, string) (bool, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gates++
	return !s.down, 0
}

func (s *scene) dial(ctx context.Context, url string) (Conn, error) {
	s.mu.Lock()
	s.urls = append(s.urls, url)
	down := s.down
	s.mu.Unlock()
	if down {
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "the server is down")
	}
	greeted := make(chan struct{})
	p := pipe.Start(context.Background(), func(_ context.Context, c transport.Conn) {
		f := &far{t: s.t, conn: c, frames: make(chan wire.ClientFrame, 100)}
		if s.beforeHello != nil {
			s.beforeHello(f)
		}
		close(greeted)
		s.dials <- f
		defer close(f.frames)
		_ = c.Receive(func(msg []byte) error {
			frame, err := wire.DecodeClient(msg)
			if err != nil {
				s.t.Errorf("the client sent %s: %v", msg, err)
			}
			f.frames <- frame
			return err
		})
	}, pipe.Options{})
	<-greeted
	return &peer{Peer: p}, nil
}

func (f *far) send(frames ...wire.ServerFrame) {
	f.t.Helper()
	var out []byte
	for _, frame := range frames {
		out = f.conn.AppendMessage(out, wire.Append(nil, frame))
	}
	if err := f.conn.Write(out, time.Second); err != nil {
		f.t.Errorf("server write: %v", err)
	}
}

// want takes the next frame of the client, which must be of type T.
func want[T wire.ClientFrame](f *far) T {
	f.t.Helper()
	frame, open := <-f.frames
	if !open {
		f.t.Fatalf("the connection ended, want %T", *new(T))
	}
	got, ok := frame.(T)
	if !ok {
		f.t.Fatalf("the client sent %#v, want %T", frame, got)
	}
	return got
}

// next takes the next connection; accept greets it too.
func (s *scene) next() *far {
	s.run()
	return <-s.dials
}

func (s *scene) accept() (*far, *wire.Hello) {
	s.t.Helper()
	f := s.next()
	h := want[*wire.Hello](f)
	f.send(&wire.Welcome{Conn: "x", User: "u", Beat: 25000, Max: 1000})
	return f, h
}

func (f *far) bye(b wire.Bye) {
	f.send(&b)
	f.conn.Close(b.Code, b.Reason)
}
