package client

import (
	"time"

	"github.com/holdfast/holdfast"
)

// The life of a client's connection, as a pure function: machine and event in, new machine and effects out.
//
//	       ┌────── waiting <── backoff, the gate's no, or as the server said ──┐
//	     timer,       ^                                                        │ closed
//	     wake, gate   │ no token, no socket                                    │
//	       └──────> dialing ────opened────> attaching ────welcomed────────> live
//	    idle ──connect─^  ^                    ^                             │ wake, silence: ping
//	                      │ no answer: drop    │ the second is ready         v
//	                      └────────────────────┴────────────────────────── doubt ──pong──> live
//
// From everywhere: disconnect leads to idle, hidden for long or put away to asleep, and a code that says so to ended.
//
// One socket is attached at a time. In doubt there may be a second one, which stands by: it takes over if it is ready
// before the first has answered, and else it is dropped, and nobody has noticed. A server that is about to leave says so, and
// then a live one has a second, too, which takes over when the server says goodbye.
//
// Each state but idle, asleep and ended has a deadline, so none can be a place to stay for ever; each effect is answered
// by an event or by the deadline. It is the machine of the browser client: testdata/machine.json holds both to the same
// traces. What the table at the end does not have tells nothing new in a state; a test says so pair by pair.

const (
	// gateTimeout: a gate that has not answered by then never will; a little more than its request may take.
	gateTimeout = 1500 * time.Millisecond
	// slowAfter is from when on a dial is slow, gatePause the time between two questions at the gate meanwhile.
	slowAfter = time.Second
	gatePause = 200 * time.Millisecond
	// young: a dial that is younger survives a wake.
	young = time.Second
)

// step takes one event.
func (m machine) step(e event, at moment) (machine, []effect) {
	// What a socket says that was dropped meanwhile counts no more.
	if e.n != 0 && !m.holds(e.n) {
		return m, nil
	}
	if c := table[m.name][e.kind]; c != nil {
		return c(m, e, at)
	}
	return m, nil
}

// deadline is when the timer event is due: never in a state that may last.
func (m machine) deadline() instant {
	switch m.name {
	case inLive:
		return min(m.silentAt(), m.sent+m.currentBeat(), m.mem.parkAt(), m.moveAt)
	case inDialing:
		return min(m.until, m.gateAt)
	case inDoubt:
		if m.second.n == 0 {
			return min(m.until, m.lateAt)
		}
		return m.until
	case inAttaching, inWaiting:
		return m.until
	}
	return never
}

// sockets are the numbers of the dials whose sockets it holds.
func (m machine) sockets() (all []uint64) {
	switch m.name {
	case inDialing, inAttaching, inLive, inDoubt:
		all = append(all, m.n)
	}
	if (m.name == inDoubt || m.name == inLive) && m.second.n != 0 {
		all = append(all, m.second.n)
	}
	return all
}

func (m machine) holds(n uint64) bool {
	for _, held := range m.sockets() {
		if held == n {
			return true
		}
	}
	return false
}

// currentBeat is the beat that applies, silentAt when the other side has been silent for longer than is normal.
func (m machine) currentBeat() time.Duration {
	if m.mem.hiddenAt != 0 {
		return m.rest
	}
	return m.beat
}

func (m machine) silentAt() instant { return m.heard + m.currentBeat()*6/5 }

func (m memo) parkAt() instant {
	if m.hiddenAt == 0 {
		return never
	}
	return m.hiddenAt + m.linger
}

func drop(n uint64, bye farewell) effect { return effect{kind: doDrop, n: n, bye: bye} }

// drops lets go of all sockets.
func (m machine) drops(bye farewell) (all []effect) {
	for _, n := range m.sockets() {
		all = append(all, drop(n, bye))
	}
	return all
}

// On the way

const connectionLost = "connection lost"

// begin dials now, or asks the gate first.
func begin(mem memo, at moment, reason string, effects ...effect) (machine, []effect) {
	if !mem.needsGate(at.now) {
		return dial(mem, at, effects...)
	}
	m := machine{name: inWaiting, mem: mem, until: at.now + gateTimeout, reason: reason, asking: true}
	return m, append(effects, effect{kind: doGate})
}

func dial(mem memo, at moment, effects ...effect) (machine, []effect) {
	mem.dials++
	m := machine{name: inDialing, mem: mem, n: mem.dials, since: at.now,
		until: at.now + mem.dialTimeout(at.now), gateAt: at.now + slowAfter}
	return m, append(effects, effect{kind: doDial, n: m.n})
}

func wait(mem memo, until instant, reason string, effects ...effect) (machine, []effect) {
	return machine{name: inWaiting, mem: mem, until: until, reason: reason}, effects
}

// waitAsTold waits as the server says.
func waitAsTold(mem memo, at moment, told time.Duration, reason string, effects ...effect) (machine, []effect) {
	return machine{name: inWaiting, mem: mem, until: at.now + told, reason: reason, told: told}, effects
}

func backOff(mem memo, at moment, reason string, effects ...effect) (machine, []effect) {
	pause := mem.backoff(at)
	if mem.outageAt == 0 {
		mem.outageAt = at.now
	}
	mem.attempts++
	return wait(mem, at.now+pause, reason, effects...)
}

// anew begins as if nothing had failed before: the application asked for it.
func anew(m machine, _ event, at moment) (machine, []effect) {
	mem := m.mem
	mem.attempts, mem.refusals, mem.outageAt, mem.hiddenAt = 0, 0, 0, 0
	return begin(mem, at, connectionLost)
}

// parted is the memory once all sockets are let go of: browsers count those that were connecting as failed.
func (m machine) parted(at moment) memo {
	if m.name == inDialing || (m.name == inDoubt || m.name == inLive) && m.second.n != 0 && !m.second.asked {
		return m.mem.spend(at.now)
	}
	return m.mem
}

func hangUp(m machine, _ event, at moment) (machine, []effect) {
	return machine{name: inIdle, mem: m.parted(at)}, m.drops(leaving)
}

func fallAsleep(m machine, e event, at moment) (machine, []effect) {
	bye := parking
	if e.kind == onSleep && !e.park {
		bye = leaving
	}
	return machine{name: inAsleep, mem: m.parted(at)}, m.drops(bye)
}

func (m machine) end(at moment, code holdfast.CloseCode, reason string) (machine, []effect) {
	return machine{name: inEnded, mem: m.parted(at), code: code, reason: reason}, m.drops(unsaid)
}

// woken is what a wake changes, whatever the state.
func (m machine) woken(e event, at moment) machine {
	m.mem = m.mem.awake(at.now, e.kind == onWake && e.hidden)
	return m
}

func hide(m machine, e event, at moment) (machine, []effect) {
	if m.mem.hiddenAt == 0 {
		m.mem.hiddenAt = at.now
	}
	m.mem.linger = e.linger
	return m, nil
}

func attach(n uint64, since instant, mem memo, at moment, effects ...effect) (machine, []effect) {
	return machine{name: inAttaching, mem: mem, n: n, since: since, until: at.now + mem.dialTimeout(at.now)}, effects
}

func dialOpened(m machine, e event, at moment) (machine, []effect) {
	return attach(m.n, m.since, m.mem, at, effect{kind: doHello, n: e.n})
}

func (m machine) dialFailed(at moment, reason string) (machine, []effect) {
	mem := m.mem.spend(at.now)
	pause := mem.ladder(m.since, at)
	if pause == 0 {
		return backOff(mem, at, reason, m.drops(unsaid)...)
	}
	mem.rung++
	return wait(mem, at.now+pause, reason, m.drops(unsaid)...)
}

const noAnswer = "no answer in time"

func late(m machine, _ event, at moment) (machine, []effect) { return m.dialFailed(at, noAnswer) }

// slow is the deadline of a dial, or the time to ask whether it is worth waiting for.
func slow(m machine, e event, at moment) (machine, []effect) {
	if at.now >= m.until {
		return late(m, e, at)
	}
	m.gateAt = never
	return m, []effect{{kind: doGate}}
}

// gateBeside: a dial that was begun in a dead network does not notice that it healed; the gate does.
func gateBeside(m machine, e event, at moment) (machine, []effect) {
	switch {
	case m.gateAt < never:
		return m, nil
	case !e.ok:
		m.gateAt, m.mem.approvedAt = at.now+gatePause, 0
		return m, nil
	case !m.mem.mayRedial(at.now):
		m.gateAt = at.now + gatePause
		return m, nil
	}
	mem := m.mem.spend(at.now)
	mem.redialAt, mem.approvedAt = at.now, at.now
	mem.attempts++
	return dial(mem, at, m.drops(unsaid)...)
}

// isYoung: a negative age means that the clock was set back.
func isYoung(since instant, at moment) bool { return at.now >= since && at.now-since < young }

// redial: a dial that was begun before a sleep may never end: begin another.
func redial(m machine, e event, at moment) (machine, []effect) {
	next := m.woken(e, at)
	if isYoung(m.since, at) {
		return next, nil
	}
	return begin(next.mem.spend(at.now), at, connectionLost, m.drops(unsaid)...)
}

func greet(m machine, e event, at moment) (machine, []effect) {
	mem := m.mem
	mem.refusals, mem.rtt = 0, smoothed(mem.rtt, e.rtt)
	return machine{name: inLive, mem: mem, n: e.n, heard: at.now, sent: at.now, beat: e.beat, rest: e.rest, moveAt: never}, nil
}

func noToken(m machine, e event, at moment) (machine, []effect) {
	if e.terminal {
		return m.end(at, holdfast.CloseUnauthorized, e.reason)
	}
	mem := m.mem
	if e.dialed {
		mem = mem.spend(at.now)
	}
	return backOff(mem, at, e.reason, m.drops(unsaid)...)
}

// Waiting

func waited(m machine, e event, at moment) (machine, []effect) {
	switch {
	case m.mem.hiddenAt != 0 && at.now-m.mem.hiddenAt >= m.mem.linger/2:
		// Nobody looks: what a battery pays for every dial is worth nothing then.
		return fallAsleep(m, e, at)
	case m.asking:
		return gateAnswered(m, event{kind: onGate}, at)
	}
	return begin(m.mem, at, m.reason)
}

func gateAnswered(m machine, e event, at moment) (machine, []effect) {
	if !m.asking {
		return m, nil
	}
	mem := m.mem
	mem.approvedAt = at.now
	if !e.ok {
		mem.approvedAt = 0
	}
	until := m.mem.penance(at.now)
	left := mem.trust(at.now)
	switch {
	case !e.ok && e.after > 0:
		return waitAsTold(mem, at, e.after+mem.backoff(at), m.reason)
	case !e.ok && left > time.Millisecond:
		next, effects := backOff(mem, at, m.reason)
		if mem.hiddenAt == 0 {
			// Somebody looks: the gate is asked again when it would not be believed any more.
			next.until = min(next.until, at.now+left)
		}
		return next, effects
	case e.ok && until != 0:
		return wait(mem, until, m.reason)
	}
	return dial(mem, at)
}

// wakeWaiting dials at once, but for a wake when the server has said when to come, and the clock was not set back since.
func wakeWaiting(m machine, e event, at moment) (machine, []effect) {
	next := m.woken(e, at)
	if e.kind == onWake && m.told != 0 && m.until-at.now <= m.told {
		return next, nil
	}
	return begin(next.mem, at, connectionLost)
}

func wakeAsleep(m machine, e event, at moment) (machine, []effect) {
	next := m.woken(e, at)
	if next.mem.hiddenAt != 0 {
		return next, nil
	}
	return begin(next.mem, at, connectionLost)
}

// Alive, or not

// probe asks the other side for a sign of life, and gives it little time: it has an answer ready if it lives.
func probe(m machine, e event, at moment) (machine, []effect) {
	if e.kind == onWake || e.kind == onRetry {
		m = m.woken(e, at)
	}
	m.name, m.sent, m.askedAt = inDoubt, at.now, at.now
	// What has spoken since the wake is no victim of what was before.
	m.certain = e.kind == onWake && e.certain && at.now-m.heard >= young
	m.lateAt, m.until = at.now+m.mem.hedge(), at.now+m.mem.verdict()
	if m.certain {
		m.lateAt = at.now + headstart
	}
	return m, []effect{{kind: doPing, n: m.n}}
}

func (m machine) dialSecond(at moment, effects ...effect) (machine, []effect) {
	if m.mem.spent(at.now) {
		m.lateAt = never
		return m, effects
	}
	m.mem.dials++
	m.second = standby{n: m.mem.dials, since: at.now}
	return m, append(effects, effect{kind: doDial, n: m.second.n})
}

func doubtTimer(m machine, _ event, at moment) (machine, []effect) {
	if at.now < m.until {
		return m.dialSecond(at)
	}
	return m.succeed(at, noAnswer)
}

// succeed: the first socket is dead, or done, and the second takes its place, as far as it has come.
func (m machine) succeed(at moment, reason string) (machine, []effect) {
	second := m.second
	switch {
	case second.n == 0:
		return m.lost(at, reason)
	case second.asked:
		return takeOver(m, event{}, at)
	}
	next := machine{name: inDialing, mem: m.mem, n: second.n, since: second.since,
		until: at.now + m.mem.dialTimeout(at.now), gateAt: second.since + slowAfter}
	return next, []effect{drop(m.n, unsaid)}
}

// theSecond is what an event of a standby is about. No shell tells of one that is not there; the traces do, and say what then.
func (m machine) theSecond() standby {
	if m.second.n == 0 {
		return standby{n: m.n, asked: true}
	}
	return m.second
}

// takeOver: the server may still be busy with the hello; it takes frames in order, so what is said now comes after it.
func takeOver(m machine, _ event, at moment) (machine, []effect) {
	second := m.theSecond()
	return attach(second.n, second.since, m.mem, at, drop(m.n, unsaid), effect{kind: doTake, n: second.n})
}

// secondOpened: the second stands by while the first may still answer. But where that is late, and has not said a word since
// it was asked, hello says everything at once, which saves a round trip; so it does where a connection cannot stand by.
func secondOpened(m machine, e event, at moment) (machine, []effect) {
	standsBy := !e.single && (m.heard > m.askedAt || at.now < m.lateAt)
	hello := effect{kind: doHello, n: e.n, standby: standsBy}
	since := m.second.since
	if m.second.n == 0 {
		since = at.now
	}
	if !standsBy {
		return attach(e.n, since, m.mem, at, drop(m.n, unsaid), hello)
	}
	m.second = standby{n: e.n, since: since, asked: true}
	return m, []effect{hello}
}

func wakeInDoubt(m machine, e event, at moment) (machine, []effect) {
	m = m.woken(e, at)
	m.until = min(m.until, at.now+m.mem.verdict())
	if e.certain {
		m.certain, m.lateAt = true, min(m.lateAt, at.now+headstart)
	}
	second := m.second
	switch {
	case second.n == 0 || second.asked || isYoung(second.since, at):
		return m, nil
	}
	m.second, m.mem = standby{}, m.mem.spend(at.now)
	return m.dialSecond(at, drop(second.n, unsaid))
}

func answered(m machine, e event, at moment) (machine, []effect) {
	mem, second := m.mem, m.second
	var effects []effect
	if m.name == inDoubt && m.second.n != 0 {
		second = standby{}
		effects = append(effects, drop(m.second.n, unsaid))
		if !m.second.asked {
			mem = mem.spend(at.now)
		}
	}
	mem.rtt = smoothed(mem.rtt, e.rtt)
	return machine{name: inLive, mem: mem, n: m.n, heard: at.now, sent: m.sent, beat: m.beat, rest: m.rest,
		stable: m.stable, moveAt: m.moveAt, second: second}, effects
}

// heard: what a second says tells nothing of the first.
func heard(m machine, e event, at moment) (machine, []effect) {
	if e.n == m.n {
		m.heard = at.now
	}
	return m, nil
}

// heardInDoubt: frames that come while the pong is outstanding may be old ones out of a buffer, but a line that delivers gets
// time.
func heardInDoubt(m machine, e event, at moment) (machine, []effect) {
	if e.n == m.n {
		m.heard, m.until = at.now, at.now+m.mem.verdict()
	}
	return m, nil
}

func said(m machine, _ event, at moment) (machine, []effect) {
	m.sent = at.now
	return m, nil
}

// prove: by now nothing is being loaded any more, so that a round trip can be relied on.
func prove(m machine, _ event, at moment) (machine, []effect) {
	m.sent, m.stable, m.mem = at.now, true, m.mem.settle()
	return m, []effect{{kind: doPing, n: m.n}}
}

func beatOrProbe(m machine, e event, at moment) (machine, []effect) {
	switch {
	case at.now >= m.mem.parkAt():
		return fallAsleep(m, e, at)
	case at.now >= m.silentAt():
		return probe(m, e, at)
	case at.now >= m.moveAt:
		return m.standBy(at)
	case at.now < m.sent+m.currentBeat():
		return m, nil
	}
	m.sent = at.now
	return m, []effect{{kind: doPing, n: m.n}}
}

// The end of a socket

// part is what a close means, whether it came as a goodbye or as the socket's end.
func part(m machine, e event, at moment) (machine, []effect) {
	switch {
	case e.n == m.n:
	case m.name == inLive:
		return m.movedClosed(at)
	default:
		return m.secondFailed(at)
	}
	reason := e.reason
	if reason == "" {
		reason = connectionLost
	}
	refusals := m.mem.refusals + 1
	switch {
	case e.code == holdfast.CloseUnauthorized && refusals == 1:
		// The token may just have expired on the way, or its key been rotated: one fresh one is tried.
		mem := m.parted(at)
		mem.refusals = refusals
		return begin(mem, at, connectionLost, m.drops(unsaid)...)
	case !e.code.Reconnect():
		return m.end(at, e.code, reason)
	case m.name == inLive && m.second.n != 0:
		return m.succeed(at, reason)
	case e.told:
		return waitAsTold(m.parted(at), at, e.after+share(e.spread, at.chance), reason, m.drops(unsaid)...)
	case m.name == inDialing || m.name == inAttaching:
		return m.dialFailed(at, reason)
	case m.name == inDoubt:
		return m.succeed(at, reason)
	}
	return m.lost(at, reason)
}

// lost: a connection that was accepted and did not last counts as a failed dial, lest a server that does so be dialed on.
func (m machine) lost(at moment, reason string) (machine, []effect) {
	mem := m.mem
	if !m.stable {
		mem = mem.spend(at.now)
		mem.slammed = true
	}
	// What was cut while the client was stopped says nothing about the server.
	if cut := m.name == inDoubt && m.certain; cut || m.stable && mem.hiddenAt == 0 {
		return begin(mem, at, reason, m.drops(unsaid)...)
	}
	return backOff(mem, at, reason, m.drops(unsaid)...)
}

// secondFailed: the first may still answer; until the verdict there is another try, where the failure was only a sleepy radio.
func (m machine) secondFailed(at moment) (machine, []effect) {
	second := m.theSecond()
	if !second.asked {
		m.mem = m.mem.spend(at.now)
	}
	m.second, m.lateAt = standby{}, never
	if pause := m.mem.ladder(second.since, at); pause != 0 {
		m.lateAt = at.now + pause
		m.mem.rung++
	}
	return m, []effect{drop(second.n, unsaid)}
}

func secondUnauthorized(m machine, e event, at moment) (machine, []effect) {
	if e.terminal {
		return m.end(at, holdfast.CloseUnauthorized, e.reason)
	}
	return m.secondFailed(at)
}

// The table

type cell func(machine, event, moment) (machine, []effect)

var table = map[stateName]map[eventKind]cell{
	inIdle: {onConnect: anew},
	inDialing: {
		onDisconnect: hangUp, onRetry: redial, onWake: redial, onHidden: hide, onSleep: fallAsleep, onGate: gateBeside,
		onUnauthorized: noToken, onOpened: dialOpened, onClosed: part, onTimer: slow,
	},
	inAttaching: {
		onDisconnect: hangUp, onRetry: redial, onWake: redial, onHidden: hide, onSleep: fallAsleep, onWelcomed: greet,
		onClosed: part, onTimer: late,
	},
	inLive: {
		onDisconnect: hangUp, onRetry: probe, onWake: probe, onHidden: hide, onSleep: fallAsleep, onSuspect: probe,
		onStable: prove, onHeard: heard, onPong: answered, onSent: said, onMove: move,
		onUnauthorized: movedUnauthorized, onOpened: movedOpened, onClosed: part, onTimer: beatOrProbe,
	},
	inDoubt: {
		onDisconnect: hangUp, onWake: wakeInDoubt, onHidden: hide, onSleep: fallAsleep, onUnauthorized: secondUnauthorized,
		onOpened: secondOpened, onReady: takeOver, onHeard: heardInDoubt, onPong: answered, onSent: said, onClosed: part,
		onTimer: doubtTimer,
	},
	inWaiting: {
		onConnect: wakeWaiting, onDisconnect: hangUp, onRetry: wakeWaiting, onWake: wakeWaiting, onHidden: hide,
		onSleep: fallAsleep, onGate: gateAnswered, onTimer: waited,
	},
	inAsleep: {
		onConnect: wakeAsleep, onDisconnect: hangUp, onRetry: wakeAsleep, onWake: wakeAsleep, onHidden: hide,
	},
	inEnded: {onConnect: anew, onDisconnect: hangUp},
}
