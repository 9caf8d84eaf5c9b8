package webhook

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
)

const (
	// scanPage is how many items of the feed are read at once.
	scanPage = 64
	// flushEvery is how long the place may lag behind: what is sent again after a crash.
	flushEvery = 200 * time.Millisecond
	// blindPoll is how often the feed is looked at if nobody tells of changes, and after a fault of the store.
	blindPoll = time.Second
	// drain is how long attempts under way may take when the server stops.
	drain = 2 * time.Second
)

// sender delivers to one endpoint.
type sender struct {
	// Static after construction.
	*Dispatcher
	end    Endpoint
	client *http.Client
	// kick wakes run: an attempt has ended. again wakes replay. commands are carried out by run.
	kick, again chan struct{}
	commands    chan command

	// Owned by run, and before it by load.
	attempts sync.WaitGroup
	flushed  place // as it is stored
	flushAt  time.Time
	lost     bool // what the feed has dropped was told of
	// working ends when attempts must have ended; posting ends, besides, before a command.
	working, posting context.Context
	stopPosting      context.CancelFunc

	// ending is set by run when it is over but for the attempts under way.
	ending atomic.Bool

	// Guarded by mu.
	mu    sync.Mutex
	table *schedule.Table
	place place // At is that of the table, and not kept here
	stats stats
}

// command is something that run does while nothing is under way.
type command struct {
	do   func(ctx context.Context) error
	done chan error
}

func newSender(d *Dispatcher, end Endpoint) *sender {
	rt := d.opts.Transport
	if rt == nil {
		rt = newTransport(d.opts.Concurrency + 1) // and one for replay
	}
	return &sender{Dispatcher: d, end: end, client: newClient(rt), kick: make(chan struct{}, 1), again: make(chan struct{}, 1),
		commands: make(chan command), table: schedule.New(d.opts.schedule(), "", nil)}
}

// load reads what is stored. An endpoint that is new begins with what happens from now on.
func (s *sender) load(ctx context.Context) error {
	text, err := s.opts.Log.Consumer(ctx, s.end.placeName())
	if err != nil {
		return err
	}
	p := place{Since: s.opts.Now().UnixMilli()}
	if text == "" {
		if err := s.put(ctx, s.end.placeName(), &p); err != nil {
			return err
		}
	} else if err := json.Unmarshal([]byte(text), &p); err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the place of webhook endpoint %s in the store is damaged", s.end.Name)
	}
	records, err := s.storedLanes(ctx, p.Round)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed, s.place, s.table = p, p, schedule.New(s.opts.schedule(), p.At, records)
	if p.Disabled != "" {
		s.table.Disable()
		s.opts.Logger.Error("the webhook endpoint is disabled and gets nothing until it is enabled", "endpoint", s.end.Name, "why", p.Disabled)
	}
	return nil
}

// storedLanes reads the lanes of a round and removes those of others, which a crash has left.
func (s *sender) storedLanes(ctx context.Context, round int) (records []schedule.Record, err error) {
	err = s.each(ctx, s.end.lanes(), func(name, value string) error {
		var r laneRecord
		if err := json.Unmarshal([]byte(value), &r); err != nil {
			return holdfast.Wrap(holdfast.CodeInternal, err, "the record %s of webhook endpoint %s is damaged", name, s.end.Name)
		}
		if r.Round != round {
			return s.remove(ctx, name)
		}
		records = append(records, r.lane())
		return nil
	})
	return records, err
}

// run follows the feed and makes attempts until ctx ends.
func (s *sender) run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	// Attempts may go on for a while after ctx, so that what a receiver is just taking is not sent to it again.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.working = working
	s.posting, s.stopPosting = context.WithCancel(working)
	for ctx.Err() == nil {
		var changed <-chan struct{}
		if s.opts.Changed != nil {
			changed = s.opts.Changed() // before the feed is read, else an item between the two would be slept through
		}
		more := s.scan(ctx)
		s.begin()
		if err := s.flush(ctx); err != nil {
			s.fault(ctx, "storing the place failed", err)
		}
		s.pause(ctx, changed, more)
	}
	s.ending.Store(true)
	// Now, and when they are over: the store may not be there for as long as a receiver may take.
	s.flushNow(ctx)
	limit := time.AfterFunc(drain, stop)
	defer limit.Stop()
	s.attempts.Wait()
	s.stopPosting()
	s.flushNow(ctx)
}

// flushNow is flush after the end of ctx.
func (s *sender) flushNow(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	s.flushAt = time.Time{}
	err := s.flush(last)
	if err != nil && !s.left(err) {
		s.opts.Logger.Error("webhooks: storing the place failed", "endpoint", s.end.Name, "err", err)
	}
}

// pause waits until there is something to do; not if there is more in the feed.
func (s *sender) pause(ctx context.Context, changed <-chan struct{}, more bool) {
	now := s.opts.Now()
	s.mu.Lock()
	room, at := s.table.Room(), s.table.Wake(now)
	moved := s.table.Place() != s.flushed.At
	s.mu.Unlock()
	if !room {
		changed = nil
	}
	wait := time.Minute
	switch {
	case more:
		wait = 0
	case s.opts.Changed == nil || s.lost:
		wait = blindPoll
	}
	if !at.IsZero() {
		wait = min(wait, max(at.Sub(now), 0))
	}
	if moved {
		wait = min(wait, max(s.flushAt.Sub(now), 0))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-s.kick:
	case <-timer.C:
	case c := <-s.commands:
		c.done <- s.obey(ctx, c)
	}
}

// obey carries out a command when no attempt is under way. Those that are, are broken off: a receiver that hangs must not
// keep the operator waiting.
func (s *sender) obey(ctx context.Context, c command) error {
	s.stopPosting()
	s.attempts.Wait()
	s.posting, s.stopPosting = context.WithCancel(s.working)
	return c.do(ctx)
}

// scan reads on in the feed. more: there may be more, and room for it.
func (s *sender) scan(ctx context.Context) (more bool) {
	s.mu.Lock()
	room, after, since := s.table.Room(), s.table.ScannedTo(), s.place.Since
	s.mu.Unlock()
	if !room {
		return false
	}
	items, err := s.opts.Log.Feed(ctx, after, scanPage)
	if holdfast.CodeOf(err) == holdfast.CodeLost {
		if !s.lost {
			s.opts.Logger.Error("events were dropped by the feed's retention before a webhook endpoint had them", "endpoint", s.end.Name, "after", after)
		}
		s.lost = true // until something follows, there is no cursor to go on from
		items, err = s.opts.Log.Feed(ctx, "", scanPage)
	}
	if err != nil {
		s.fault(ctx, "reading the feed failed", err)
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range items {
		if !s.table.Room() {
			return false
		}
		s.lost = false
		it := &items[i]
		s.table.Scanned(it.Cursor, it.Session, it.At().UnixMilli() >= since && s.end.wants(it))
	}
	return len(items) == scanPage
}

// fault logs a fault of the store and waits, so that it is not asked again at once.
func (s *sender) fault(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || s.left(err) {
		return
	}
	s.opts.Logger.Error("webhooks: "+what, "endpoint", s.end.Name, "err", err)
	timer := time.NewTimer(blindPoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// left reports whether an error is that of a store that another server has by now: it makes the attempt again.
func (s *sender) left(err error) bool {
	return s.ending.Load() && holdfast.CodeOf(err) == holdfast.CodeUnavailable
}

// begin starts the attempts that are due, each on a goroutine of its own; run waits for them.
func (s *sender) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		task, ok := s.table.Next(s.opts.Now())
		if !ok {
			return
		}
		working, posting := s.working, s.posting
		s.attempts.Go(func() { s.attempt(working, posting, task) })
	}
}

// flush stores the place if it has moved and was not stored just now.
func (s *sender) flush(ctx context.Context) error {
	now := s.opts.Now()
	s.mu.Lock()
	p := s.place
	p.At = s.table.Place()
	s.mu.Unlock()
	if p == s.flushed || p.Disabled == s.flushed.Disabled && now.Before(s.flushAt) {
		return nil
	}
	if err := s.put(ctx, s.end.placeName(), &p); err != nil {
		return err
	}
	s.flushed, s.flushAt = p, now.Add(flushEvery)
	return nil
}

func (s *sender) wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // it is awake already
	}
}
