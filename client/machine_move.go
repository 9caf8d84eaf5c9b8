package client

import (
	"time"

	"github.com/holdfast/holdfast"
)

// What a live connection does where the server is about to leave: another socket stands by, and takes over at the goodbye.

// movePause is between two tries to have another socket stand by.
const movePause = time.Second

// move has another socket stand by, at some time that is this client's own, so that not all come at once.
func move(m machine, e event, at moment) (machine, []effect) {
	if m.second.n == 0 {
		m.moveAt = at.now + share(e.spread, at.chance)
	}
	return m, nil
}

func (m machine) standBy(at moment) (machine, []effect) {
	m.moveAt = never
	if m.mem.spent(at.now) {
		return m, nil
	}
	m.mem.dials++
	m.second = standby{n: m.mem.dials, since: at.now}
	return m, []effect{{kind: doDial, n: m.second.n}}
}

// movedOpened: one that cannot stand by takes over at once.
func movedOpened(m machine, e event, at moment) (machine, []effect) {
	hello := effect{kind: doHello, n: e.n, standby: !e.single}
	since := m.second.since
	if m.second.n == 0 {
		since = at.now
	}
	if e.single {
		return attach(e.n, since, m.mem, at, drop(m.n, unsaid), hello)
	}
	m.second = standby{n: e.n, since: since, asked: true}
	return m, []effect{hello}
}

// movedClosed: the first lives on; until it ends there is another try.
func (m machine) movedClosed(at moment) (machine, []effect) {
	second := m.theSecond()
	if !second.asked {
		m.mem = m.mem.spend(at.now)
	}
	m.second, m.moveAt = standby{}, at.now+movePause
	return m, []effect{drop(second.n, unsaid)}
}

func movedUnauthorized(m machine, e event, at moment) (machine, []effect) {
	if e.terminal {
		return m.end(at, holdfast.CloseUnauthorized, e.reason)
	}
	return m.movedClosed(at)
}
