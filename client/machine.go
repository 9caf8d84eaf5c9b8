package client

import (
	"math"
	"time"

	"github.com/holdfast/holdfast"
)

// Phase is what a client is about.
type Phase uint8

// The phases.
const (
	// Idle: Run has not been called.
	Idle Phase = iota
	// Dialing: a connection is being opened.
	Dialing
	// Attaching: the connection is open, and the server has not said welcome.
	Attaching
	// Live: the server said welcome; entries flow.
	Live
	// Waiting: before the next dial.
	Waiting
	// Over: the client has ended for good.
	Over
)

// String returns the name of the phase, for logs.
func (p Phase) String() string {
	return [...]string{"idle", "dialing", "attaching", "live", "waiting", "over"}[p]
}

// eventKind is what happens to a client.
type eventKind uint8

const (
	started  eventKind = iota // Run was called
	opened                    // the connection is open
	welcomed                  // the server said welcome
	settled                   // the connection has lived for stableAfter
	broken                    // the connection, or the attempt to make one, ended
	due                       // the wait is over
	woken                     // the application says that the network may be back
	stopped                   // Run's context ended
)

type event struct {
	kind eventKind
	now  time.Time
	// chance is a random number in [0, 1).
	chance float64

	// With broken. code is 0 if nobody said why. told: the server said when to come back, by after and spread.
	code          holdfast.CloseCode
	told          bool
	after, spread time.Duration
	// fatal: whatever the code, there is no sense in coming back.
	fatal bool
}

// order is what is to be done next. wait belongs to Waiting, fresh (fetch a new token) to the next dial.
type order struct {
	phase Phase
	wait  time.Duration
	fresh bool
}

// The times of coming back.
const (
	firstBackoff = 250 * time.Millisecond
	shortCap     = 3 * time.Second  // in the first minute
	longCap      = 20 * time.Second // after it
	longAfter    = time.Minute
	stableAfter  = 5 * time.Second
)

// machine decides when to dial. It is pure: the shell around it does what the orders say.
type machine struct {
	phase Phase
	// fails counts the attempts since the connection was last stable.
	fails int
	// downSince is when the last connection ended; zero before the first, and while one is stable.
	downSince time.Time
	// refreshed: a token that was refused has been replaced once since the last welcome.
	refreshed bool
	// fresh: the next dial needs a new token.
	fresh bool
}

type transition func(*machine, event) order

// transitions is the whole machine. What is not in it changes nothing.
var transitions = map[Phase]map[eventKind]transition{
	Idle:      {started: (*machine).dial, stopped: (*machine).end},
	Dialing:   {opened: (*machine).attach, broken: (*machine).retry, stopped: (*machine).end},
	Attaching: {welcomed: (*machine).welcome, broken: (*machine).retry, stopped: (*machine).end},
	Live:      {settled: (*machine).calm, broken: (*machine).retry, stopped: (*machine).end},
	Waiting:   {due: (*machine).dial, woken: (*machine).hurry, stopped: (*machine).end},
}

// on takes an event and says what to do.
func (m *machine) on(e event) order {
	next, ok := transitions[m.phase][e.kind]
	if !ok {
		return order{phase: m.phase}
	}
	o := next(m, e)
	m.phase = o.phase
	return o
}

func (m *machine) dial(event) order {
	fresh := m.fresh
	m.fresh = false
	return order{phase: Dialing, fresh: fresh}
}

// hurry dials at once; the times between further attempts begin small again.
func (m *machine) hurry(e event) order {
	m.fails = 0
	return m.dial(e)
}

func (m *machine) attach(event) order { return order{phase: Attaching} }

func (m *machine) welcome(event) order {
	m.refreshed = false
	return order{phase: Live}
}

// calm forgets earlier failures. Not before: a server that takes connections and drops them must not be hammered.
func (m *machine) calm(event) order {
	m.fails, m.downSince = 0, time.Time{}
	return order{phase: Live}
}

func (m *machine) end(event) order { return order{phase: Over} }

// retry decides by the range of the close code whether to come back, and when.
func (m *machine) retry(e event) order {
	switch {
	case e.fatal:
		return order{phase: Over}
	case e.code == holdfast.CloseUnauthorized && !m.refreshed:
		// The token may just have expired on the way, or its key been rotated: one fresh one is tried.
		m.refreshed = true
		return order{phase: Dialing, fresh: true}
	case e.code != 0 && !e.code.Reconnect():
		return order{phase: Over}
	case e.code == holdfast.CloseExpired:
		m.fresh = true
	}
	if m.downSince.IsZero() {
		m.downSince = e.now
	}
	wait := m.backoff(e)
	if e.told {
		wait = e.after + time.Duration(e.chance*float64(e.spread))
	}
	m.fails++
	return order{phase: Waiting, wait: wait}
}

// backoff is random between nothing and a bound that doubles, so that clients which lost one server do not come back
// together.
func (m *machine) backoff(e event) time.Duration {
	most := shortCap
	if e.now.Sub(m.downSince) >= longAfter {
		most = longCap
	}
	bound := float64(firstBackoff) * math.Pow(2, float64(m.fails))
	return time.Duration(e.chance * min(bound, float64(most)))
}
