package lease

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Grace decides which stops were not heeded in time. Like leases, waits are not stored: a server that starts gives each
// stop that it finds requested one full term. It is not safe for concurrent use.
type Grace struct {
	term  time.Duration
	stops map[target]*wait
}

// target is what a stop is for; a target has one stop at a time. Answers is 0 where there is a run.
type target struct {
	session      holdfast.SessionID
	run, answers holdfast.Offset
}

type wait struct {
	id    string
	until time.Time
}

// Overdue is a stop to be settled.
type Overdue struct {
	Session holdfast.SessionID
	driver.SettleStop
}

// NewGrace returns an empty table with the given term.
func NewGrace(term time.Duration) *Grace {
	return &Grace{term: term, stops: map[target]*wait{}}
}

func targetOf(s holdfast.SessionID, stop *driver.StopInfo) target {
	if stop.Run != 0 {
		return target{session: s, run: stop.Run}
	}
	return target{session: s, answers: stop.Answers}
}

// See takes note of how a stop stands: one that is requested has a full term from when it is first seen, one that is settled is
// forgotten. A stop whose run has come is waited for anew: only now there is somebody to tell.
func (g *Grace) See(s holdfast.SessionID, stop *driver.StopInfo, now time.Time) {
	at := targetOf(s, stop)
	if stop.Run != 0 {
		delete(g.stops, target{session: s, answers: stop.Answers})
	}
	if stop.State != holdfast.StopRequested {
		delete(g.stops, at)
		return
	}
	if w := g.stops[at]; w == nil || w.id != stop.ID {
		g.stops[at] = &wait{stop.ID, now.Add(g.term)}
	}
}

// Ended forgets the stop of a run.
func (g *Grace) Ended(r driver.RunRef) { delete(g.stops, target{session: r.Session, run: r.Run}) }

// Drop forgets all stops of a session.
func (g *Grace) Drop(s holdfast.SessionID) {
	for at := range g.stops {
		if at.session == s {
			delete(g.stops, at)
		}
	}
}

// Over returns the stops whose terms are over, and gives each another one: settling it may fail, and is then tried again.
func (g *Grace) Over(now time.Time) []Overdue {
	var out []Overdue
	for at, w := range g.stops {
		if now.Before(w.until) {
			continue
		}
		w.until = now.Add(g.term)
		out = append(out, Overdue{at.session, driver.SettleStop{Run: at.run, Answers: at.answers, ID: w.id}})
	}
	return out
}
