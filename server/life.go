package server

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/store/driver"
)

// Run serves until ctx ends, then lets the connections leave and stops everything. It returns the first fault of a part
// that cannot go on, and ends then too; nil after ctx ended. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return holdfast.Errorf(holdfast.CodeConflict, "the server is running, or has run, already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fault := make(chan error, 1)
	fail := func(err error) {
		select {
		case fault <- err:
		default: // the first counts
		}
		cancel()
	}
	lanes := s.startLanes(ctx)
	p := newParts(ctx, fail)
	if err := s.start(ctx, p); err != nil && ctx.Err() == nil {
		p.failed(err)
	}
	<-ctx.Done()
	s.stop(p)
	lanes()
	select {
	case err := <-fault:
		return err
	default:
		return nil
	}
}

// stop lets the connections leave, and stops the parts.
func (s *Server) stop(p *parts) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
	defer cancel()
	succeeded := false
	if s.opts.Successor != nil && s.is() == serving && p.healthy() {
		// All is served meanwhile: whatever comes to the other server from then on waits there.
		succeeded = s.opts.Successor(ctx)
	}
	s.phase.Store(uint32(leaving))
	spread := s.pace.Spread(s.hub.Count())
	if succeeded && s.opts.Relay == nil {
		// All clients are to go in the same moment, and to stand by there before it.
		s.move(ctx, ease*spread)
	}
	s.halt()
	for _, l := range s.lanes {
		l.Leaving()
	}
	if succeeded {
		s.handOver(ctx, p)
		s.seeOff(ctx, spread)
	}
	for _, l := range s.lanes {
		l.Leave(spread)
	}
	p.stop()
	s.await(ctx)
}

// handOver gives the store to the one that waits for it, and returns when that one has it. Only then are clients told to go there: for as
// long as it opens the store it has nothing for them, and thousands that come at that moment would only hold it up.
func (s *Server) handOver(ctx context.Context, p *parts) {
	began := time.Now()
	p.letGo()
	stopped := time.Since(began)
	if err := s.closeStore(); err != nil {
		s.opts.Logger.Error("closing the store", "err", err)
	}
	closed := time.Since(began)
	if s.opts.Taken != nil {
		ctx, cancel := context.WithTimeout(ctx, takenTime)
		defer cancel()
		s.opts.Taken(ctx)
	}
	s.opts.Logger.Info("let go of the store", "stopping", stopped.Round(time.Millisecond), "closed", closed.Round(time.Millisecond),
		"taken", time.Since(began).Round(time.Millisecond))
}

// seeOff has the clients go to the server that has the store now, one after the other, while they are shown here what is
// written there: thousands who go at once wait for each other. Whoever is left is told so after it.
func (s *Server) seeOff(ctx context.Context, spread time.Duration) {
	if s.opts.Relay == nil {
		return
	}
	spread, standBy := seeOffTimes(spread, timeLeft(ctx), s.opts.HelloTimeout)
	s.logTakeOver(spread)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var relay, lanes sync.WaitGroup
	relay.Go(func() { // ends with ctx, and is waited for below
		defer cancel()
		if err := s.opts.Relay(ctx, func(ch driver.Change) { s.hub.Publish(&ch) }); err != nil {
			s.opts.Logger.Warn("what the other server writes cannot be shown here; all clients are told to go", "err", err)
		}
	})
	for _, l := range s.lanes {
		lanes.Go(func() { l.SeeOff(ctx, spread, standBy) })
	}
	lanes.Wait()
	cancel()
	relay.Wait()
}

// seeOffTimes returns over what time clients are seen off who would come back over spread, and how long each stands by before, with so
// much time left to drain, and with so much for their hello.
func seeOffTimes(spread, left, hello time.Duration) (within, standBy time.Duration) {
	standBy = min(standByTime, left/4, hello/2)
	// A fifth is for those who do not go by themselves.
	return min(ease*spread, longestSeeOff, left/5*4-standBy), standBy
}

// timeLeft is the time until ctx's deadline, and as good as endless without one.
func timeLeft(ctx context.Context) time.Duration {
	end, bounded := ctx.Deadline()
	if !bounded {
		return math.MaxInt64
	}
	return max(0, time.Until(end))
}

// longestSeeOff is over what time clients are seen off at most: whoever has not come to the other server when the grace is over is taken
// there for gone.
const longestSeeOff = presence.Grace * 2 / 3

// ease is how much more time clients take who are served meanwhile than those who are not: what they go through is work for others
// too, and nobody waits for it.
const ease = 8

// takenTime is how long another server's opening of the store is waited for. It takes some milliseconds, or more where much was written
// of late; and before it is open, clients have nothing to go to.
const takenTime = 3 * time.Second

// standByTime is how long it takes, at most, from a client's dial until its connection stands by.
const standByTime = time.Second

// move has the clients dial the server that takes this one's place, and serves them meanwhile. It returns when they stand by there, as
// far as one can know.
func (s *Server) move(ctx context.Context, spread time.Duration) {
	// Those that stand by are not kept for longer than the time for hello.
	spread = min(spread, s.opts.Drain/2, s.opts.HelloTimeout/2)
	s.logTakeOver(spread)
	for _, l := range s.lanes {
		l.Move(spread)
	}
	timer := time.NewTimer(spread + standByTime)
	defer timer.Stop()
	tick := time.NewTicker(standByTime / 20)
	defer tick.Stop()
	for s.hub.Count() > 0 {
		select {
		case <-tick.C:
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		break
	}
}

func (s *Server) logTakeOver(spread time.Duration) {
	s.opts.Logger.Info("another server takes over", "connections", s.hub.Count(), "spread", spread.Round(time.Millisecond))
}

// Halted is closed when this server takes no more requests, whoever else may: a little before its connections are told to go, and
// some time before Run returns. Whoever serves HTTP for it closes the connections that wait for another request then
// ([http.Server.SetKeepAlivesEnabled]), so that a backend does not come here with the next one only to be sent away.
func (s *Server) Halted() <-chan struct{} { return s.stopping }

// halt ends what waits, and the writing.
func (s *Server) halt() {
	s.phase.Store(uint32(gone))
	s.once.Do(func() { close(s.stopping) })
}

// await waits for the connections, which were told to go, and ends those that do not.
func (s *Server) await(ctx context.Context) {
	// One after the other, within one time: those that wait in the second have been told to go already.
	for _, carriage := range []interface {
		Shutdown(context.Context) error
		Wait()
	}{s.ws, s.http} {
		if err := carriage.Shutdown(ctx); err != nil {
			s.opts.Logger.Warn("shutting down", "err", err)
			carriage.Wait()
		}
	}
}

// startLanes starts the goroutines that write to connections, and returns a function that ends them and waits: when no
// connection is left.
func (s *Server) startLanes(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var lanes sync.WaitGroup
	for _, l := range s.lanes {
		lanes.Go(func() { l.Run(ctx) })
	}
	return func() {
		cancel()
		lanes.Wait()
	}
}

// opener is a store that is opened when the one who has it lets go of it; see package pending.
type opener interface {
	Open(ctx context.Context) error
}

// start opens the store, if it is not open, and starts the parts.
func (s *Server) start(ctx context.Context, p *parts) error {
	if runner, ok := s.opts.Auth.(interface{ Run(context.Context) error }); ok {
		p.start(runner.Run) // those who stand by are verified, too
	}
	if later, ok := s.opts.Store.(opener); ok {
		s.phase.Store(uint32(waiting))
		if err := later.Open(ctx); err != nil {
			return err
		}
	}
	if err := s.revoked.Load(ctx); err != nil {
		return err
	}
	if err := s.startClocks(ctx, p.start); err != nil {
		return err
	}
	if err := s.recallMembers(ctx); err != nil {
		return err
	}
	p.start(func(ctx context.Context) error { s.store.Sweep(ctx); return nil })
	p.start(s.sweep)
	p.start(s.attend)
	if s.rooms.Noted != nil {
		p.start(s.noteMembers)
	}
	p.start(s.tidyRevocations)
	if s.opts.OnMessage != nil {
		p.startCaller(s.deliver)
	}
	if s.hooks != nil {
		p.startCaller(s.hooks.Run)
	}
	close(s.open)
	s.phase.Store(uint32(serving))
	return nil
}

// closeStore closes the store, once.
func (s *Server) closeStore() error {
	s.closing.Do(func() { s.closed = s.store.Close() })
	return s.closed
}
