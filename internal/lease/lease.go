// Package lease decides which runs have lost their producers, which stops were not heeded, and which requests nobody answered. It is pure: no goroutine, clock, socket or store; whoever
// runs it gives it the time and carries out what it finds.
//
// A run that is open has a lease, which every append renews and every open pipe holds. When it lapses, the run is to be
// ended as interrupted, so that no reader waits for ever. Leases are not stored: a server that starts gives every run that
// it finds open one full term, which is what its producer needs to notice the restart and come back.
package lease

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Table is the leases of one node. It is not safe for concurrent use.
type Table struct {
	term time.Duration
	runs map[driver.RunRef]*entry
}

type entry struct {
	until time.Time
	holds int
}

// New returns an empty table of leases with the given term.
func New(term time.Duration) *Table {
	return &Table{term: term, runs: map[driver.RunRef]*entry{}}
}

// Renew gives a run a full term from now on; a run that is not in the table is put there.
func (t *Table) Renew(r driver.RunRef, now time.Time) {
	if e := t.runs[r]; e != nil {
		e.until = now.Add(t.term)
		return
	}
	t.runs[r] = &entry{until: now.Add(t.term)}
}

// Keep is Renew for a run that is in the table.
func (t *Table) Keep(r driver.RunRef, now time.Time) {
	if t.runs[r] != nil {
		t.Renew(r, now)
	}
}

// Hold keeps a run's lease until as many releases as holds.
func (t *Table) Hold(r driver.RunRef, now time.Time) {
	t.Renew(r, now)
	t.runs[r].holds++
}

// Release undoes one Hold. The lease then has a full term. It is harmless for a run that has ended.
func (t *Table) Release(r driver.RunRef, now time.Time) {
	if e := t.runs[r]; e != nil && e.holds > 0 {
		e.holds--
		e.until = now.Add(t.term)
	}
}

// Ended forgets a run.
func (t *Table) Ended(r driver.RunRef) { delete(t.runs, r) }

// Drop forgets all runs of a session.
func (t *Table) Drop(s holdfast.SessionID) {
	for x := range t.runs {
		if x.Session == s {
			delete(t.runs, x)
		}
	}
}

// Lapsed returns the runs whose leases have lapsed, and gives each another term: ending it may fail, and is then tried
// again.
func (t *Table) Lapsed(now time.Time) []driver.RunRef {
	var out []driver.RunRef
	for r, e := range t.runs {
		if e.holds == 0 && now.After(e.until) {
			e.until = now.Add(t.term)
			out = append(out, r)
		}
	}
	return out
}

// Len is how many runs have leases.
func (t *Table) Len() int { return len(t.runs) }
