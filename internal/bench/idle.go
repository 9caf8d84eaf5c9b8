package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// IdleOptions are those of [Idle]. The zero value is the standard measurement.
type IdleOptions struct {
	// Connections is how many there are. Default: 15,000. Each costs a descriptor on both sides.
	Connections int
	// Settle is how long nothing happens before memory is looked at. Default: 20 s.
	Settle time.Duration
}

// Idle measures what connections cost that do nothing: each signed in as a user of its own and reading a session of its own.
// Then each must still receive what is written to its session.
func Idle(ctx context.Context, t *Target, o IdleOptions) (*Report, error) {
	def(&o.Connections, 15_000)
	def(&o.Settle, 20*time.Second)
	r := newReport("idle", map[string]any{"connections": o.Connections, "settle": o.Settle.String()})
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	s := &idleRun{Report: r, o: o, target: t, api: backend}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	return r, s.measure(ctx)
}

type idleRun struct {
	*Report
	o      IdleOptions
	target *Target
	api    *api
	before usage
	live   atomic.Int64
	heard  atomic.Int64
}

func (s *idleRun) session(i int) holdfast.SessionID {
	return holdfast.SessionID(fmt.Sprintf("idle-%d", i))
}

func (s *idleRun) message(i, n int) []byte { return fmt.Appendf(nil, `{"session":%d,"n":%d}`, i, n) }

// prepare gives each session its first message, and looks at the server without connections.
func (s *idleRun) prepare(ctx context.Context) error {
	err := each(ctx, s.o.Connections, 64, func(ctx context.Context, i int) error {
		_, err := s.api.append(ctx, s.session(i), s.message(i, 1))
		return err
	})
	if err != nil {
		return err
	}
	s.api.close()
	s.before, err = s.settled(ctx)
	return err
}

// settled looks at the server after some quiet.
func (s *idleRun) settled(ctx context.Context) (usage, error) {
	if err := pause(ctx, s.o.Settle); err != nil {
		return usage{}, err
	}
	return s.target.usage()
}

func (s *idleRun) measure(ctx context.Context) error {
	crew := newCrew(ctx)
	swarm := newSwarm(s.target)
	begun := time.Now()
	for i := range s.o.Connections {
		crew.work(func(ctx context.Context) error { return s.connection(ctx, swarm, i) })
	}
	err := s.watch(crew.ctx, begun)
	crew.stop(err)
	if waited := crew.wait(); err == nil {
		err = waited
	}
	return err
}

// connection lives until it has received the second message.
func (s *idleRun) connection(ctx context.Context, swarm *swarm, i int) error {
	token, err := s.target.userToken(holdfast.UserID(fmt.Sprint("user-", i)))
	if err != nil {
		return err
	}
	l, err := swarm.open(ctx, token, holdfast.ClientID(fmt.Sprint("client-", i)), wire.Sub{Session: s.session(i), Last: 1})
	if err != nil {
		return err
	}
	defer l.conn.Abort()
	state := client.NewState(s.session(i), true)
	err = l.read(ctx, func(_ wire.Type, msg []byte) error {
		f, err := wire.DecodeServer(msg)
		if err != nil {
			return err
		}
		change, err := state.Apply(f)
		switch {
		case err != nil:
			return err
		case change.Kind == client.CaughtUp:
			s.live.Add(1)
		case change.Kind == client.Added && change.Offset == 2:
			return errDone
		}
		return nil
	})
	if err != nil {
		return err
	}
	entries := state.Entries()
	if len(entries) != 2 || string(entries[0].Data) != string(s.message(i, 1)) || string(entries[1].Data) != string(s.message(i, 2)) {
		s.fail(violation("session %d: received %d entries, or others than were written", i, len(entries)))
	}
	s.heard.Add(1)
	return nil
}

func (s *idleRun) watch(ctx context.Context, begun time.Time) error {
	all := int64(s.o.Connections)
	if err := s.until(ctx, &s.live, all); err != nil {
		return err
	}
	s.add("all connected after", time.Since(begun).Seconds(), "s")
	connected, err := s.target.usage()
	if err != nil {
		return err
	}
	s.add("server CPU per connection made", float64((connected.cpu-s.before.cpu).Microseconds())/float64(all), "us")
	if err := s.memory(ctx); err != nil {
		return err
	}
	err = each(ctx, s.o.Connections, 64, func(ctx context.Context, i int) error {
		_, err := s.api.append(ctx, s.session(i), s.message(i, 2))
		return err
	})
	if err != nil {
		return err
	}
	if err := s.until(ctx, &s.heard, all); err != nil {
		s.fail(violation("%d of %d connections received the message: %v", s.heard.Load(), all, err))
	}
	s.add("connections that received a message afterwards", float64(s.heard.Load()), "")
	return nil
}

// memory looks at the server twice: as it is after some quiet, and after a collection of garbage and the same quiet again,
// for the Go runtime collects by itself only every two minutes when nothing happens.
func (s *idleRun) memory(ctx context.Context) error {
	per := func(u usage) float64 { return float64(u.rss-s.before.rss) / kib / float64(s.o.Connections) }
	quiet, err := s.settled(ctx)
	if err != nil {
		return err
	}
	s.add("server RSS before", float64(s.before.rss)/kib/kib, "MiB")
	s.add("server RSS with all", float64(quiet.rss)/kib/kib, "MiB")
	s.atMost("server RSS per connection", per(quiet), 8, "KiB")
	if !s.target.collect(ctx) {
		return nil
	}
	collected, err := s.settled(ctx)
	if err != nil {
		return err
	}
	s.add("server RSS per connection, garbage collected", per(collected), "KiB")
	s.add("server CPU while idle", 100*float64(collected.cpu-quiet.cpu)/float64(s.o.Settle), "% of a core")
	return nil
}

// until waits for a counter, as long as something happens at least every 30 s.
func (s *idleRun) until(ctx context.Context, n *atomic.Int64, want int64) error {
	return waitFor(ctx, want, n.Load)
}

// waitFor waits until a counter reaches a value; 30 s without any progress are an error.
func waitFor(ctx context.Context, want int64, now func() int64) error {
	const patience = 30 * time.Second
	last, moved := int64(-1), time.Now()
	for {
		n := now()
		if n >= want {
			return nil
		}
		if n != last {
			last, moved = n, time.Now()
		}
		if time.Since(moved) > patience {
			return holdfast.Errorf(holdfast.CodeUnavailable, "stuck at %d of %d for %v", n, want, patience)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
