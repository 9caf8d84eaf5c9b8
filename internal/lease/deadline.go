package lease

import (
	"time"

	"github.com/holdfast/holdfast"
)

// Deadlines decides which requests nobody answered in time. Unlike leases and graces, deadlines are stored, with their requests: a
// server that starts goes by those that it finds. There may be many of them, waiting for days; so as long as none is due, to ask costs
// nothing. It is not safe for concurrent use.
type Deadlines struct {
	by map[Due]time.Time
	// next is not after the earliest of by.
	next time.Time
}

// Due is a request to be settled as expired.
type Due struct {
	Session holdfast.SessionID
	Request holdfast.Offset
}

// again is how long after it was due a request is due once more: settling it may fail, or the engine's clock be behind.
const again = 2 * time.Second

// NewDeadlines returns an empty table.
func NewDeadlines() *Deadlines { return &Deadlines{by: map[Due]time.Time{}} }

// See takes note of how a request stands: one that is settled is forgotten.
func (d *Deadlines) See(s holdfast.SessionID, r *holdfast.Request) {
	at := Due{s, r.Offset}
	if r.State.Settled() {
		delete(d.by, at)
		return
	}
	d.set(at, r.By)
}

func (d *Deadlines) set(at Due, by time.Time) {
	if len(d.by) == 0 || by.Before(d.next) {
		d.next = by
	}
	d.by[at] = by
}

// Forget forgets a request that is not there.
func (d *Deadlines) Forget(at Due) { delete(d.by, at) }

// Drop forgets all requests of a session.
func (d *Deadlines) Drop(s holdfast.SessionID) {
	for at := range d.by {
		if at.Session == s {
			delete(d.by, at)
		}
	}
}

// Over returns the requests whose deadlines are over. Each is due again a little later, unless it is seen to be settled.
func (d *Deadlines) Over(now time.Time) (due []Due) {
	if len(d.by) == 0 || now.Before(d.next) {
		return nil
	}
	d.next = now.Add(again)
	for at, by := range d.by {
		if !now.Before(by) {
			due = append(due, at)
			by = now.Add(again)
			d.by[at] = by
		}
		if by.Before(d.next) {
			d.next = by
		}
	}
	return due
}

// Len is how many requests wait.
func (d *Deadlines) Len() int { return len(d.by) }
