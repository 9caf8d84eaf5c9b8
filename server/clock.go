package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
)

// A clock looks after what comes due in sessions: leases of runs and graces of stops, deadlines of requests, turns. It is told what
// waits when the server starts, and of all changes from then on, and looks again and again whether a time is over. Whether it
// is, the engine judges: asking too early, or twice, does nothing, and what goes wrong is asked again at the next look.
//
// found and changed may be called at any time, and are quick. due is called by one goroutine, a part of the server that
// [Server.Run] waits for, and may take the time that the store takes.
type clock interface {
	// found takes note of what waits in a session of the store.
	found(info *driver.Info)
	changed(ch *driver.Change)
	// due does what is due now.
	due(ctx context.Context, db *store.Store, log *slog.Logger)
}

var _, _, _ clock = (*leases)(nil), (*requests)(nil), (*turns)(nil)

// startClocks tells the clocks what the store has, and starts them. Each is a part of its own: a lease is not to lapse late because
// there are many requests. Called before anything else is served.
func (s *Server) startClocks(ctx context.Context, part func(func(context.Context) error)) error {
	if err := s.leases.load(ctx, s.store); err != nil {
		return err
	}
	clocks := []clock{&s.leases, &s.requests, &s.turns}
	if err := s.find(ctx, clocks); err != nil {
		return err
	}
	for i, grain := range []time.Duration{lookAtLeases, time.Second, time.Second} {
		part(func(ctx context.Context) error {
			return every(ctx, grain, func() { clocks[i].due(ctx, s.store, s.opts.Logger) })
		})
	}
	return nil
}

// find goes through the sessions of the store in which something waits.
func (s *Server) find(ctx context.Context, clocks []clock) error {
	var after holdfast.SessionID
	for {
		page, err := s.store.Waiting(ctx, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			after = page[i].Session
			for _, c := range clocks {
				c.found(&page[i])
			}
		}
	}
}

// every calls look after each pause, until ctx ends.
func every(ctx context.Context, pause time.Duration, look func()) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			look()
		}
	}
}
