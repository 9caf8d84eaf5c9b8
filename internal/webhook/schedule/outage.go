package schedule

import (
	"container/heap"
	"time"

	"github.com/holdfast/holdfast"
)

const (
	// outageFailures is how many failures in a row, of more than one session, mean that it is the receiver and not the
	// events. Nobody being there means it at once.
	outageFailures = 5
	// firstProbe and lastProbe are the first and the longest time between two attempts out of turn.
	firstProbe = time.Second
	lastProbe  = 30 * time.Second
	// wakeSpread is the time over which the lanes that waited for a receiver are tried when it is back.
	wakeSpread = 5 * time.Second
)

// outage is what is known of a receiver that fails as a whole. Without it, every session would find out by its own schedule
// that the receiver is back, some of them hours late.
type outage struct {
	on bool
	// The failures since the last success: how many, of which session the first was, and whether others failed too.
	failures int
	first    holdfast.SessionID
	several  bool

	// While on.
	probeAt time.Time
	wait    time.Duration
	probing *lane
}

// done learns from an attempt.
func (o *outage) done(t *Table, l *lane, r Result, now time.Time) {
	probe := o.probing == l
	if probe {
		o.probing = nil
	}
	switch r {
	case Delivered, Refused, Limited, Gone:
		// It answers, whatever it says.
		if o.on {
			t.tryAll(now)
		}
		*o = outage{}
	case Unwell, Unreachable:
		o.failures++
		if o.first == "" {
			o.first = l.session
		}
		o.several = o.several || o.first != l.session
		switch {
		case probe:
			o.wait = min(2*o.wait, lastProbe)
			o.probeAt = now.Add(o.wait)
		case !o.on && (r == Unreachable || o.several && o.failures >= outageFailures):
			o.on, o.wait, o.probeAt = true, firstProbe, now.Add(firstProbe)
		}
	default:
		if probe {
			o.probeAt = now.Add(o.wait)
		}
	}
}

// candidate returns the lane to be tried out of turn now, or nil: the one that was not tried for longest, so that an event
// that the receiver never takes does not stand for all.
func (o *outage) candidate(t *Table, now time.Time) (best *lane) {
	if !o.on || o.probing != nil || now.Before(o.probeAt) {
		return nil
	}
	for _, l := range t.waiting {
		if l.unwell && (best == nil || l.tried.Before(best.tried)) {
			best = l
		}
	}
	if o.probing = best; best == nil {
		o.probeAt = now.Add(o.wait)
	}
	return best
}

// wake returns when the next attempt out of turn is due; zero for never.
func (o *outage) wake(t *Table) time.Time {
	if !o.on || o.probing != nil || len(t.waiting) == 0 {
		return time.Time{}
	}
	return o.probeAt
}

// tryAll brings the lanes forward that wait because the receiver was unwell.
func (t *Table) tryAll(now time.Time) {
	n := time.Duration(0)
	for _, l := range t.waiting {
		if l.unwell {
			n++
		}
	}
	i := time.Duration(0)
	for _, l := range t.waiting {
		if !l.unwell {
			continue
		}
		if at := now.Add(wakeSpread * i / n); at.Before(l.due) {
			l.due = at
		}
		i++
	}
	heap.Init(&t.waiting)
}

// Failing reports whether the receiver as a whole seems to fail.
func (t *Table) Failing() bool { return t.outage.on }
