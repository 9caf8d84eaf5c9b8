package server

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// handlerConsumer is the name under which the store keeps how far Options.OnMessage has come.
const handlerConsumer = "server.OnMessage"

// deliver calls Options.OnMessage with what the feed has, from where it was, until ctx ends. The cursor is stored after
// the call: a crash in between repeats it.
func (s *Server) deliver(ctx context.Context) error {
	at, err := s.store.Consumer(ctx, handlerConsumer)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		rung := s.feed.next()
		items, err := s.store.Feed(ctx, at, 100)
		if holdfast.CodeOf(err) == holdfast.CodeLost {
			s.opts.Logger.Error("messages were dropped by the feed's retention before OnMessage had them", "after", at)
			at = ""
			continue
		}
		if err != nil {
			s.opts.Logger.Error("reading the feed failed", "err", err)
			pause(ctx, nil, time.Second)
			continue
		}
		for i := range items {
			if !items[i].End() && items[i].Entry.Kind == holdfast.KindMessage && !s.deliverOne(ctx, &items[i]) {
				return nil
			}
			at = items[i].Cursor
		}
		if len(items) == 0 {
			// The bell rings for this node's messages; the pause finds those of others on a shared engine.
			pause(ctx, rung, 5*time.Second)
		}
	}
	return nil
}

// deliverOne calls the handler until it succeeds. false: ctx ended first.
func (s *Server) deliverOne(ctx context.Context, it *driver.FeedItem) bool {
	m := Message{
		Session: it.Session, Offset: it.Entry.Offset, ID: it.Entry.ID, From: it.Entry.From, At: it.Entry.At, Data: it.Entry.Data,
	}
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 30*time.Second) {
		err := s.opts.OnMessage(ctx, m)
		if err == nil {
			if err := s.store.SetConsumer(ctx, handlerConsumer, it.Cursor); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("the place of OnMessage in the feed cannot be stored; messages will be repeated", "err", err)
			}
			return true
		}
		s.opts.Logger.Warn("OnMessage failed and will be called again", "session", m.Session, "offset", m.Offset, "err", err, "in", wait)
		pause(ctx, nil, wait/2+rand.N(wait/2))
	}
	return false
}

// pause waits for a while, or until ctx ends or rung is closed, if it is not nil.
func pause(ctx context.Context, rung <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-rung:
	case <-t.C:
	}
}
