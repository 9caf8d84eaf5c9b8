package webhook

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
)

// tidyEvery is how often dead letters that are too old are looked for.
const tidyEvery = time.Hour

// replay sends the dead letters again that somebody asked for, one after another in the order of the feed, and drops those
// that are too old, until ctx ends.
func (s *sender) replay(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		if err := s.replayAll(ctx); err != nil {
			s.fault(ctx, "sending dead letters again failed", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		case <-tick.C:
		}
	}
}

func (s *sender) replayAll(ctx context.Context) error {
	dropped := 0
	oldest := s.opts.Now().Add(-s.opts.LetterAge).UnixMilli()
	err := s.each(ctx, s.end.letters(), func(name, value string) error {
		var l Letter
		if err := json.Unmarshal([]byte(value), &l); err != nil {
			return err
		}
		switch {
		case l.Again:
			return s.resend(ctx, name, &l)
		case l.Died < oldest:
			dropped++
			return s.remove(ctx, name)
		}
		return nil
	})
	if dropped > 0 {
		s.opts.Logger.Warn("dead letters were dropped because of their age", "endpoint", s.end.Name, "letters", dropped)
	}
	return err
}

// resend sends one letter again. It is removed if the receiver takes it, and else stays, until somebody asks again.
func (s *sender) resend(ctx context.Context, name string, l *Letter) error {
	s.mu.Lock()
	disabled := s.table.Disabled()
	s.mu.Unlock()
	if disabled {
		return nil // it stays marked, and is sent when the endpoint is enabled
	}
	from, _ := trace.Parse(l.Trace)
	a := s.post(ctx, &event{id: l.ID, body: []byte(l.Event), trace: from})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if a.result == schedule.Delivered {
		return s.remove(ctx, name)
	}
	l.Attempts, l.Again, l.Error, l.Died = l.Attempts+1, false, a.text, s.opts.Now().UnixMilli()
	s.opts.Logger.Warn("a dead letter was sent again and not taken", "endpoint", s.end.Name, "session", l.Session, "event", l.ID, "err", a.text)
	return s.put(ctx, name, l)
}
