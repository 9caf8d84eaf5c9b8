// Package schedule decides which event of a feed is sent next to one receiver, and when. It is pure: no goroutine, clock,
// chance, socket or store; whoever runs it gives it the time, carries out what it says and tells it how that went.
//
// # The feed is the queue
//
// The table follows the feed with one cursor. The first event of a session that it comes to opens a [lane], and as long as
// the lane is there, later events of the session are left in the feed: the lane only remembers up to where there are some.
// So events of a session go out one after another, sessions go out side by side, and what is held in memory does not grow
// with what waits. A lane that fails waits for its next attempt without being in anybody's way. How many lanes there may
// be is bounded; at the bound the table stops following the feed, where nothing is lost.
//
// # What survives a crash
//
// Two things are stored: the [Table.Place], before which every event is done with, and a [Record] of each lane that is
// behind it. A new lane holds the place back. One that has failed is recorded first, and the place then passes it. After a
// crash the feed is followed again from the place: what was sent since then is sent again, and nothing is left out.
package schedule

import (
	"container/heap"
	"time"

	"github.com/holdfast/holdfast"
)

// Policy says how often and how long an event is tried, and how much is done at a time.
type Policy struct {
	// Waits has the most that is waited after the first failure, the second, and so on. An event that fails once more than
	// there are waits is given up.
	Waits []time.Duration
	// MaxAge gives up an event that fails and is older.
	MaxAge time.Duration
	// Slots is how many attempts are made at once. Lanes is how many sessions may be behind at once.
	Slots, Lanes int
}

// lane is what is due to one session. Its events are those after the cursor after, up to seen.
type lane struct {
	session     holdfast.SessionID
	after, seen string

	// The event under way. fails counts its failures, attempts those of them that count against it.
	fails, attempts int
	due, tried      time.Time
	unwell          bool // the last failure was the receiver's and perhaps not the event's

	busy, retry bool
	asked       string // up to where the attempt under way looks for an event
	// stored: there is a record, so that the place need not wait for this lane.
	stored bool
	// then is what Settled makes of the lane.
	then  func()
	index int // among those that wait, or -1
}

func (l *lane) pending() bool { return l.seen > l.after }

// Table is the lanes of one receiver. It is not safe for concurrent use.
type Table struct {
	policy   Policy
	scanned  string
	lanes    map[holdfast.SessionID]*lane
	fresh    map[*lane]struct{} // those that are not stored
	ready    []*lane            // to be tried now, in this order
	waiting  byDue              // to be tried at their time
	disabled bool

	busy, retrying int
	retryNext      bool // who goes first if both a retry and a ready lane can
	paused         time.Time
	outage         outage
}

// Record is what is stored of a lane.
type Record struct {
	Session     holdfast.SessionID
	After, Seen string
	Fails       int
	Attempts    int
	Due         time.Time
	Unwell      bool
}

// New returns a table that goes on at a place with the lanes that were recorded.
func New(p Policy, place string, records []Record) *Table {
	t := &Table{policy: p, scanned: place, lanes: map[holdfast.SessionID]*lane{}, fresh: map[*lane]struct{}{}}
	for _, r := range records {
		l := &lane{session: r.Session, after: r.After, seen: max(r.Seen, place), fails: r.Fails, attempts: r.Attempts,
			due: r.Due, unwell: r.Unwell, stored: true, index: -1}
		t.lanes[r.Session] = l
		heap.Push(&t.waiting, l)
		if r.Unwell {
			// Whether the receiver is back since then is found out at once, and not by each session's schedule.
			t.outage.on, t.outage.wait = true, firstProbe
		}
	}
	return t
}

// Room reports whether the table can take more of the feed.
func (t *Table) Room() bool {
	return !t.disabled && len(t.fresh) < 2*t.policy.Slots && len(t.lanes) < t.policy.Lanes
}

// ScannedTo is the cursor after which the feed is to be read on.
func (t *Table) ScannedTo() string { return t.scanned }

// Scanned tells of the next item of the feed, and whether it is an event for this receiver.
func (t *Table) Scanned(cursor string, s holdfast.SessionID, wanted bool) {
	before := t.scanned
	t.scanned = cursor
	if !wanted {
		return
	}
	if l := t.lanes[s]; l != nil {
		l.seen = max(l.seen, cursor)
		return
	}
	l := &lane{session: s, after: before, seen: cursor, index: -1}
	t.lanes[s] = l
	t.fresh[l] = struct{}{}
	t.ready = append(t.ready, l)
}

// Place is the cursor up to which every event is done with or belongs to a lane that is stored.
func (t *Table) Place() string {
	place := t.scanned
	for l := range t.fresh {
		place = min(place, l.after)
	}
	return place
}

// Behind is how many sessions have events that are not done with.
func (t *Table) Behind() int { return len(t.lanes) }

// Busy reports whether an attempt is under way.
func (t *Table) Busy() bool { return t.busy > 0 }

// Disable stops all attempts, until Enable.
func (t *Table) Disable() { t.disabled = true }

// Enable undoes Disable.
func (t *Table) Enable() { t.disabled = false }

// Disabled reports whether attempts are stopped.
func (t *Table) Disabled() bool { return t.disabled }

// Task is an attempt to be made: with the first event of the session after one cursor and not after another.
type Task struct {
	Session     holdfast.SessionID
	After, Seen string
	// Failed is how often that event has failed.
	Failed int
	// probe: it is tried out of turn to find out whether the receiver is back.
	probe bool
}

// Next returns the next attempt to be made now. It is under way until Done and then Settled are called for its session.
func (t *Table) Next(now time.Time) (Task, bool) {
	if t.disabled || t.busy >= t.policy.Slots || now.Before(t.paused) {
		return Task{}, false
	}
	due := len(t.waiting) > 0 && !t.waiting[0].due.After(now) && t.retrying < t.retrySlots()
	switch {
	case due && (t.retryNext || len(t.ready) == 0):
		t.retryNext = false
		return t.begin(heap.Pop(&t.waiting).(*lane), now, false), true
	case len(t.ready) > 0:
		t.retryNext = true
		l := t.ready[0]
		t.ready = t.ready[1:]
		return t.begin(l, now, false), true
	}
	if l := t.outage.candidate(t, now); l != nil {
		heap.Remove(&t.waiting, l.index)
		return t.begin(l, now, true), true
	}
	return Task{}, false
}

// retrySlots is how many attempts may be repetitions: a receiver that hangs on some events must not keep the others from
// being sent.
func (t *Table) retrySlots() int { return max(1, t.policy.Slots/2) }

func (t *Table) begin(l *lane, now time.Time, probe bool) Task {
	l.busy, l.tried, l.retry, l.asked = true, now, l.fails > 0, l.seen
	t.busy++
	if l.retry {
		t.retrying++
	}
	return Task{Session: l.session, After: l.after, Seen: l.seen, Failed: l.fails, probe: probe}
}

// Wake returns when Next may have something that it does not have now, if nothing else happens; zero for never.
func (t *Table) Wake(now time.Time) time.Time {
	if t.disabled || t.busy >= t.policy.Slots {
		return time.Time{}
	}
	var at time.Time
	if len(t.waiting) > 0 && t.retrying < t.retrySlots() {
		at = t.waiting[0].due
	}
	if probe := t.outage.wake(t); !probe.IsZero() && (at.IsZero() || probe.Before(at)) {
		at = probe
	}
	if now.Before(t.paused) && (at.IsZero() || at.Before(t.paused)) {
		at = t.paused
	}
	return at
}

// byDue is a heap of lanes by the time at which they are due.
type byDue []*lane

func (b byDue) Len() int           { return len(b) }
func (b byDue) Less(i, j int) bool { return b[i].due.Before(b[j].due) }

func (b byDue) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].index, b[j].index = i, j
}

// Push implements heap.Interface.
func (b *byDue) Push(x any) {
	l := x.(*lane)
	l.index = len(*b)
	*b = append(*b, l)
}

// Pop implements heap.Interface.
func (b *byDue) Pop() any {
	all := *b
	l := all[len(all)-1]
	l.index = -1
	*b = all[:len(all)-1]
	return l
}
