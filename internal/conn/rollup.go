package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// rollup is a wish, of the reader or of who opened a run, that texts come in fewer and larger frames. The texts wait in the log, not
// here: the reader is only looked at again later.
type rollup struct {
	// own is the window that the reader asked for. The larger one applies, of that and of the runs' that have something for it.
	own time.Duration
	// sent is when the reader was last given something.
	sent time.Time
	// held: the sub is in its lane's list, to be looked at when it is due.
	held bool
	due  time.Time
}

func newRollup(ms int) *rollup {
	if ms <= 0 {
		return nil
	}
	return &rollup{own: time.Duration(min(ms, wire.MaxRollup)) * time.Millisecond}
}

// near is how close to its end a window counts as over, so that readers whose windows end together are served together.
const near = 5 * time.Millisecond

// ripe takes those out of a list of subs that are to have what follows later. A pump does not ask: its socket is slow, and texts
// are joined there anyway.
func (l *Lane) ripe(dirty []*sub) []*sub {
	n := 0
	for _, s := range dirty {
		if s.rollup == nil && !s.reader.Tail().Rolls() || !l.holds(s) {
			dirty[n] = s
			n++
		}
	}
	clear(dirty[n:])
	return dirty[:n]
}

// holds reports whether a sub is to be looked at later. Its first text after a while goes out at once: only what follows within
// the window waits, and nothing but texts does.
func (l *Lane) holds(s *sub) bool {
	if s.rollup == nil {
		s.rollup = &rollup{} // a run's is the first that matters here
	}
	now, r := s.conn.cfg.now(), s.rollup
	if r.sent.Add(holdfast.MaxRollup).Sub(now) <= near {
		r.sent = now
		return false
	}
	// Cleared first: what comes after the look is not slept through.
	s.dirty.Store(false)
	window, ok := s.reader.MayWait()
	due := r.sent.Add(max(window, r.own))
	if !ok || due.Sub(now) <= near {
		if s.dirty.Swap(true) {
			return true // woken meanwhile, it is on the connection's list again, which is looked at before the connection is let go of
		}
		r.sent = now
		return false
	}
	if !r.held {
		r.held = true
		l.later = append(l.later, s)
	}
	r.due = due
	l.wakeAt(due, now)
	return true
}

// wakeAt sets the alarm, unless it goes off before.
func (l *Lane) wakeAt(due, now time.Time) {
	if l.alarmAt.IsZero() || due.Before(l.alarmAt) {
		l.alarmAt = due
		l.alarm.Reset(due.Sub(now))
	}
}

// wakeLater wakes the subs that are due.
func (l *Lane) wakeLater() {
	l.alarmAt = time.Time{}
	n := 0
	for _, s := range l.later {
		now, due := s.conn.cfg.now(), s.rollup.due
		if due.Sub(now) > near {
			l.later[n] = s
			n++
			l.wakeAt(due, now)
			continue
		}
		s.rollup.held = false
		s.Wake()
	}
	clear(l.later[n:])
	l.later = l.later[:n]
}
