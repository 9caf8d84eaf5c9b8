package bench

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// swarm makes many connections to one server.
type swarm struct {
	target *Target
	dialer *ws.Dialer
	// slots bounds the dials under way.
	slots chan struct{}
	gen   atomic.Uint64
}

// atOnce is how many dials are under way at a time: enough to keep both sides busy, and fewer than the kernel queues for a
// program that listens (4096 mostly); a connection that finds the queue full waits a second.
const atOnce = 512

func newSwarm(t *Target) *swarm {
	s := &swarm{target: t, dialer: ws.NewDialer(ws.DialOptions{}), slots: make(chan struct{}, atOnce)}
	s.gen.Store(uint64(time.Now().UnixMilli()))
	return s
}

// line is one connection that reads one session.
type line struct {
	conn    *ws.ClientConn
	session holdfast.SessionID
}

// open connects and says hello. token is the user's, client its id.
func (s *swarm) open(ctx context.Context, token string, client holdfast.ClientID, subs ...wire.Sub) (*line, error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	conn, err := s.dialer.Dial(ctx, s.target.url+"/v1/ws/1")
	if err != nil {
		return nil, err
	}
	hello := &wire.Hello{
		Version: wire.Version, Token: token, Client: client, Gen: holdfast.Generation(s.gen.Add(1)), Agent: "holdfast-bench", Subs: subs,
	}
	if err := conn.Write(wire.AppendClient(nil, hello)); err != nil {
		return nil, err
	}
	l := &line{conn: conn}
	if len(subs) > 0 {
		l.session = subs[0].Session
	}
	return l, nil
}

// errDone, returned by a line's callback, ends its reading in order.
var errDone = errors.New("done")

// read calls fn with each frame that is about sessions, and answers pings, until fn returns an error, the connection or
// ctx ends. msg is valid during the call.
func (l *line) read(ctx context.Context, fn func(t wire.Type, msg []byte) error) error {
	defer context.AfterFunc(ctx, l.conn.Abort)()
	for {
		msg, err := l.conn.Read()
		if err != nil {
			return err
		}
		switch t := typeOf(msg); t {
		case wire.TypePing:
			err = l.pong(msg)
		case wire.TypeBye:
			return violation("the server said goodbye: %s", msg)
		case wire.TypeWelcome, wire.TypePong:
		default:
			err = fn(t, msg)
		}
		if err == errDone {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (l *line) pong(msg []byte) error {
	f, err := wire.DecodeServer(msg)
	if err != nil {
		return err
	}
	return l.conn.Write(wire.AppendClient(nil, &wire.Pong{N: f.(*wire.Ping).N}))
}

// crew runs many goroutines and gathers what went wrong. The first error ends all, by the context.
type crew struct {
	parent, ctx context.Context
	stop        context.CancelCauseFunc
	all         sync.WaitGroup
}

func newCrew(parent context.Context) *crew {
	ctx, stop := context.WithCancelCause(parent)
	return &crew{parent: parent, ctx: ctx, stop: stop}
}

// work runs fn in a goroutine of its own, which wait waits for.
func (c *crew) work(fn func(ctx context.Context) error) {
	c.all.Go(func() {
		if err := fn(c.ctx); err != nil && c.ctx.Err() == nil {
			c.stop(err)
		}
	})
}

// wait waits for all and returns the first error.
func (c *crew) wait() error {
	c.all.Wait()
	err := context.Cause(c.ctx)
	c.stop(nil)
	if err == context.Canceled { // stopped without an error: only whoever stopped the whole has one
		return c.parent.Err()
	}
	return err
}

// each runs fn for 0 to n-1, on so many goroutines at a time, until one fails.
func each(ctx context.Context, n, workers int, fn func(ctx context.Context, i int) error) error {
	c := newCrew(ctx)
	var next atomic.Int64
	for range min(workers, n) {
		c.work(func(ctx context.Context) error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := fn(ctx, i); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return c.wait()
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
