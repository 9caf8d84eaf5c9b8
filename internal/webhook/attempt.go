package webhook

import (
	"context"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
	"github.com/holdfast/holdfast/store/driver"
)

// findPage is how many items of a session are looked at together for the next event.
const findPage = 8

// attempt makes one attempt and stores what follows from it. posting may end before ctx, and then the attempt was none.
func (s *sender) attempt(ctx, posting context.Context, task schedule.Task) {
	defer s.wake(s.kick)
	e, err := s.find(ctx, task)
	o := schedule.Outcome{Result: schedule.Nothing, Chance: s.chance()}
	var a answer
	switch {
	case err != nil:
		o.Result = schedule.Later
		s.fault(posting, "reading an event failed", err)
	case e != nil:
		a = s.post(posting, e)
		o.Result, o.RetryAfter, o.Cursor, o.At = a.result, a.retryAfter, e.cursor, e.at
		if posting.Err() != nil && a.result != schedule.Delivered {
			o.Result, e = schedule.Later, nil
		}
	}
	fx, round := s.done(task, e, &a, o)
	if !s.carryOut(ctx, s.steps(task, e, &a, fx, round)) {
		return
	}
	s.mu.Lock()
	s.table.Settled(task.Session, s.opts.Now())
	s.mu.Unlock()
}

// done tells the table of the outcome, and the log of what is not as it should be.
func (s *sender) done(task schedule.Task, e *event, a *answer, o schedule.Outcome) (fx schedule.Effect, round int) {
	now := s.opts.Now()
	s.mu.Lock()
	failing := s.table.Failing()
	fx = s.table.Done(task.Session, o, now)
	failed := s.table.Failing()
	if e != nil {
		s.stats.note(a, now)
	}
	if fx.Disable {
		s.place.Disabled = a.text // run stores it, at once
	}
	round = s.place.Round
	s.mu.Unlock()
	switch {
	case failed && !failing:
		s.opts.Logger.Error("a webhook receiver fails as a whole; it is asked again until it is back", "endpoint", s.end.Name, "err", a.text)
	case failing && !failed:
		s.opts.Logger.Info("a webhook receiver is back", "endpoint", s.end.Name)
	}
	if e != nil {
		s.tell(task, e, a, fx, failed)
	}
	return fx, round
}

// find returns the first event between the task's cursors; nil if there is none.
func (s *sender) find(ctx context.Context, task schedule.Task) (*event, error) {
	s.mu.Lock()
	since := s.place.Since
	s.mu.Unlock()
	after := task.After
	for {
		items, err := s.opts.Log.FeedOf(ctx, task.Session, after, findPage)
		if holdfast.CodeOf(err) == holdfast.CodeLost {
			s.opts.Logger.Error("events were dropped by the feed's retention before a webhook endpoint had them",
				"endpoint", s.end.Name, "session", task.Session, "after", after)
			items, err = s.opts.Log.FeedOf(ctx, task.Session, "", findPage)
		}
		if err != nil {
			return nil, err
		}
		for i := range items {
			it := &items[i]
			if it.Cursor > task.Seen {
				return nil, nil
			}
			if after = it.Cursor; it.At().UnixMilli() >= since && s.end.wants(it) {
				return s.event(it), nil
			}
		}
		if len(items) < findPage {
			return nil, nil
		}
	}
}

// tell logs what is not as it should be. Contents are not logged.
// While the whole receiver fails, that was said once.
func (s *sender) tell(task schedule.Task, e *event, a *answer, fx schedule.Effect, failing bool) {
	log := s.opts.Logger.With("endpoint", s.end.Name, "session", e.session, "event", e.id)
	for _, id := range e.trace.Attrs() {
		log = log.With(id)
	}
	switch {
	case fx.Disable:
		log.Error("the webhook endpoint answered 410 Gone and is disabled: it gets nothing until it is enabled", "url", s.end.shown())
	case fx.Dead:
		log.Error("an event was given up and is a dead letter now", "attempts", task.Failed+1, "err", a.text)
	case a.result != schedule.Delivered && !failing:
		log.Warn("a webhook delivery failed and will be repeated", "attempts", task.Failed+1, "in", fx.Wait.Round(time.Millisecond), "err", a.text)
	}
}

// steps are the writes of an effect, in their order.
func (s *sender) steps(task schedule.Task, e *event, a *answer, fx schedule.Effect, round int) (all []func(context.Context) error) {
	if fx.Dead {
		l := Letter{ID: e.id, Type: e.typ, Session: e.session, Cursor: e.cursor, Event: string(e.body), Attempts: task.Failed + 1,
			At: e.at.UnixMilli(), Died: s.opts.Now().UnixMilli(), Error: a.text, Trace: e.trace.String()}
		all = append(all, func(ctx context.Context) error { return s.put(ctx, s.end.letterName(l.ID), &l) })
	}
	if fx.Store != nil {
		r := recordOf(fx.Store, round)
		all = append(all, func(ctx context.Context) error { return s.put(ctx, s.end.laneName(task.Session), &r) })
	}
	if fx.Forget {
		all = append(all, func(ctx context.Context) error { return s.remove(ctx, s.end.laneName(task.Session)) })
	}
	return all
}

// carryOut does the steps, each until it succeeds. false: ctx ended first, or the store went to another server, and the lane must not go on.
func (s *sender) carryOut(ctx context.Context, steps []func(context.Context) error) bool {
	for _, step := range steps {
		for {
			err := step(ctx)
			if err == nil {
				break
			}
			s.fault(ctx, "storing the state of a delivery failed", err)
			if ctx.Err() != nil || s.left(err) {
				return false
			}
		}
	}
	return true
}

var _ Log = driver.Driver(nil)
