package schedule

import (
	"container/heap"
	"time"

	"github.com/holdfast/holdfast"
)

// Result says how an attempt went.
type Result int

// The results of an attempt, a closed set.
const (
	// Nothing: there was no event between the task's cursors.
	Nothing Result = iota
	// Later: the attempt could not be made; it is made again soon.
	Later
	// Delivered: the receiver has the event.
	Delivered
	// Refused: the receiver does not take this event.
	Refused
	// Unwell: the receiver failed, or did not answer in time. That may be this event's doing, or not.
	Unwell
	// Unreachable: there was nobody to give the event to, so that it is not the event's doing.
	Unreachable
	// Limited: the receiver wants less at a time. It is not the event's doing.
	Limited
	// Gone: the receiver wants nothing more, ever.
	Gone
)

// Outcome is an attempt that was made.
type Outcome struct {
	Result Result
	// Cursor and At are the event's; not with Nothing and Later.
	Cursor string
	At     time.Time
	// RetryAfter is how long the receiver asked to wait; 0 if it did not.
	RetryAfter time.Duration
	// Chance is from 0 to less than 1, and other each time.
	Chance float64
}

// Effect is what is to be stored before Settled is called, in this order.
type Effect struct {
	// Dead: the event is given up and becomes a dead letter.
	Dead bool
	// Disable: the receiver is gone, and nothing is sent to it any more.
	Disable bool
	// Store is a lane's record to be stored; Forget: the lane's record is to be removed.
	Store  *Record
	Forget bool
	// Wait is how long the lane waits now, for the log.
	Wait time.Duration
}

const (
	// laterWait is how soon an attempt is made that could not be made.
	laterWait = time.Second
	// limitedPause is how long the whole receiver is left alone at most when it wants less at a time: a receiver that is
	// wrong about it must not stop everything for long.
	limitedPause = time.Minute
)

// Done tells how the attempt with a session went. The lane stays under way until Settled.
func (t *Table) Done(s holdfast.SessionID, o Outcome, now time.Time) Effect {
	l := t.lanes[s]
	if l == nil || !l.busy {
		panic("schedule: Done without a task")
	}
	probe := t.outage.probing == l
	t.outage.done(t, l, o.Result, now)
	switch o.Result {
	case Nothing:
		return t.advance(l, l.asked, false)
	case Later:
		l.then = func() { l.due = now.Add(laterWait) }
		return Effect{}
	case Delivered:
		return t.advance(l, o.Cursor, false)
	case Gone:
		t.disabled = true
		l.then = func() {}
		return Effect{Disable: true}
	}
	return t.failed(l, o, now, probe)
}

// failed decides whether the event is tried again.
func (t *Table) failed(l *lane, o Outcome, now time.Time, probe bool) Effect {
	r := l.record()
	r.Fails++
	if (o.Result == Refused || o.Result == Unwell) && !probe {
		r.Attempts++
	}
	if r.Attempts > len(t.policy.Waits) || now.Sub(o.At) >= t.policy.MaxAge {
		return t.advance(l, o.Cursor, true)
	}
	// Full jitter: receivers that come back are not met by everybody at once.
	wait := max(time.Duration(o.Chance*float64(t.most(r.Fails))), o.RetryAfter)
	if o.Result == Limited {
		t.paused = now.Add(min(wait, limitedPause))
	}
	r.Due, r.Unwell = now.Add(wait), o.Result != Refused
	l.then = func() {
		l.fails, l.attempts, l.due, l.unwell = r.Fails, r.Attempts, r.Due, r.Unwell
		t.hold(l)
	}
	return Effect{Store: &r, Wait: wait}
}

// most is the most that is waited after so many failures.
func (t *Table) most(fails int) time.Duration {
	if len(t.policy.Waits) == 0 {
		return laterWait // only failures that do not count come here
	}
	return t.policy.Waits[min(fails, len(t.policy.Waits))-1]
}

// advance brings a lane behind an event that is done with.
func (t *Table) advance(l *lane, cursor string, dead bool) Effect {
	fx := Effect{Dead: dead}
	apply := func() {
		l.after = max(l.after, cursor)
		l.fails, l.attempts, l.due, l.unwell = 0, 0, time.Time{}, false
	}
	switch {
	case !l.stored && dead:
		// The place must not pass the event before its letter is stored.
		l.then = apply
	case !l.stored:
		apply()
		l.then = func() {}
	case max(l.after, cursor) < l.seen:
		r := l.record()
		r.After, r.Fails, r.Attempts, r.Due, r.Unwell = max(l.after, cursor), 0, 0, time.Time{}, false
		fx.Store = &r
		l.then = apply
	default:
		// Nothing is left, so that the lane may stand where the feed was read to, and hold the place from there on: an
		// event that is read while the record is being removed would else be passed by the place and forgotten.
		apply()
		l.after = max(l.after, t.scanned)
		l.stored = false
		t.fresh[l] = struct{}{}
		l.then = func() {}
		fx.Forget = true
	}
	return fx
}

// hold notes that a lane is stored.
func (t *Table) hold(l *lane) {
	l.stored = true
	delete(t.fresh, l)
}

func (l *lane) record() Record {
	return Record{Session: l.session, After: l.after, Seen: l.seen, Fails: l.fails, Attempts: l.attempts, Due: l.due, Unwell: l.unwell}
}

// Settled ends what Next began: the effect of Done is stored.
func (t *Table) Settled(s holdfast.SessionID, now time.Time) {
	l := t.lanes[s]
	l.then()
	l.then, l.busy = nil, false
	t.busy--
	if l.retry {
		t.retrying--
	}
	switch {
	case !l.pending():
		delete(t.lanes, s)
		delete(t.fresh, l)
	case l.due.After(now):
		heap.Push(&t.waiting, l)
	default:
		t.ready = append(t.ready, l)
	}
}
