package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/lease"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
)

// requests settles the requests that nobody answered in time, and wakes who waits for an answer.
type requests struct {
	now func() time.Time

	// Guarded by mu.
	mu        sync.Mutex
	deadlines *lease.Deadlines
	// waiting has, for each request, the channels of who waits for it to be settled.
	waiting map[lease.Due]map[chan struct{}]struct{}
}

func (q *requests) init(now func() time.Time) {
	q.now, q.deadlines, q.waiting = now, lease.NewDeadlines(), map[lease.Due]map[chan struct{}]struct{}{}
}

// found notes the deadlines of the requests that are open.
func (q *requests) found(info *driver.Info) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range info.Requests {
		q.deadlines.See(info.Session, &info.Requests[i])
	}
}

func (q *requests) changed(ch *driver.Change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if ch.Deleted {
		q.deadlines.Drop(ch.Session)
		for at := range q.waiting {
			if at.Session == ch.Session {
				q.wake(at)
			}
		}
		return
	}
	for i := range ch.Items {
		r := ch.Items[i].Request
		if r == nil {
			continue
		}
		q.deadlines.See(ch.Session, r)
		if r.State.Settled() {
			q.wake(lease.Due{Session: ch.Session, Request: r.Offset})
		}
	}
}

// wake is called with the lock held.
func (q *requests) wake(at lease.Due) {
	for ch := range q.waiting[at] {
		close(ch)
	}
	delete(q.waiting, at)
}

// settled returns a channel that is closed when the request is settled, or its session deleted. It must be asked for before the request
// is looked at, and let go of by release. Of what another node settles on a shared engine it may know nothing.
func (q *requests) settled(s holdfast.SessionID, o holdfast.Offset) (settled <-chan struct{}, release func()) {
	at, ch := lease.Due{Session: s, Request: o}, make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting[at] == nil {
		q.waiting[at] = map[chan struct{}]struct{}{}
	}
	q.waiting[at][ch] = struct{}{}
	return ch, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.waiting[at], ch)
		if len(q.waiting[at]) == 0 {
			delete(q.waiting, at)
		}
	}
}

// due settles the requests whose deadlines are over.
func (q *requests) due(ctx context.Context, db *store.Store, log *slog.Logger) {
	q.mu.Lock()
	over := q.deadlines.Over(q.now())
	q.mu.Unlock()
	for _, d := range over {
		q.expire(ctx, db, log, d)
	}
}

// expire is harmless where somebody has answered meanwhile, and where the engine's clock is behind ours: then it is asked once more.
func (q *requests) expire(ctx context.Context, db *store.Store, log *slog.Logger, d lease.Due) {
	res, err := db.Apply(ctx, d.Session, driver.SettleRequest{Request: d.Request, State: holdfast.RequestExpired})
	switch holdfast.CodeOf(err) {
	case "":
		if res.Request.State == holdfast.RequestExpired && !res.Entries[0].Duplicate {
			log.Info("nobody answered a request in time", "session", d.Session, "request", d.Request)
		}
		if res.Request.State.Settled() {
			q.forget(d)
		}
	case holdfast.CodeNotFound:
		q.forget(d)
	default:
		log.Error("a request that nobody answered in time cannot be settled", "session", d.Session, "request", d.Request, "err", err)
	}
}

func (q *requests) forget(d lease.Due) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deadlines.Forget(d)
}
