package client

import (
	"time"

	"github.com/holdfast/holdfast"
)

// instant is a moment by the wall clock, since the Unix epoch. The clock that a suspended machine stops would not show that
// it slept. 0 is no moment at all, never one that does not come.
type instant = time.Duration

const never = instant(1<<63 - 1)

// moment is that of an event: the clock, and a random number in [0, 1).
type moment struct {
	now    instant
	chance float64
}

// stateName says what a connection is about. The names are those of testdata/machine.json.
type stateName string

const (
	inIdle stateName = "idle"
	// inDialing: a socket is being opened.
	inDialing stateName = "dialing"
	// inAttaching: it is open, and the server has not said welcome.
	inAttaching stateName = "attaching"
	inLive      stateName = "live"
	// inDoubt: a ping is out, and there may be a second socket beside the first.
	inDoubt   stateName = "doubt"
	inWaiting stateName = "waiting"
	// inAsleep: nobody looks, and it let go on purpose. No Go program is hidden, but the table is the same for all clients.
	inAsleep stateName = "asleep"
	inEnded  stateName = "ended"
)

// machine is the life of a client's connection: a value, whose step gives the next one.
type machine struct {
	name stateName
	mem  memo

	// In dialing, attaching, live and doubt: the number of the dial, and, on the way, when it began.
	n     uint64
	since instant

	// In all states with a deadline but live. gateAt, in dialing: then it is slow, and the gate says whether it is worth
	// waiting for.
	until, gateAt instant

	// In live and doubt: when something was last heard and said, how long silence is normal while somebody looks and while
	// nobody does, and whether the connection has proved itself, so that what was before it is forgotten.
	heard, sent instant
	beat, rest  time.Duration
	stable      bool

	// In doubt: when the ping was sent, and from when on the answer is late. certain: all speaks against the connection.
	askedAt, lateAt instant
	certain         bool
	// In doubt, and in live where the server is about to leave: the second socket, and, in live, when to dial it.
	second standby
	moveAt instant

	// In waiting: why, whether the gate was asked, and how long the server wants no dial, 0 if it did not say. In ended: why.
	reason string
	asking bool
	told   time.Duration
	code   holdfast.CloseCode
}

// standby is the socket that is tried beside the first; n is 0 where there is none. asked: hello was said on it.
type standby struct {
	n     uint64
	since instant
	asked bool
}

// memo is what outlives the single states. Its slice is never written to in place.
type memo struct {
	// attempts counts failures since the connection was last stable, or the client was woken: the exponent of the backoff.
	attempts int
	// outageAt is when the outage began; 0 while there is none.
	outageAt instant
	// refusals is how often the token was refused since the last welcome.
	refusals int
	// dials counts all so far. Each dials its own path, since Firefox delays repeated dials of one URL after failures.
	dials uint64
	// failed is when dials failed of late: browsers delay the dials of a page that has failed too often.
	failed []instant
	// slammed: what failed last was no dial, but a connection that had been accepted.
	slammed bool
	// approvedAt is when the gate last said yes; 0 once it has said no, or a connection has proved it right.
	approvedAt instant
	// redialAt is when a slow dial was last given up because the gate answered.
	redialAt instant
	// wakeUntil: until then a dial that fails at once is only a radio that has not woken yet; rung is how often it has.
	wakeUntil instant
	rung      int
	// hiddenAt is since when nobody looks, 0 while somebody does; linger is how long the connection is kept then.
	hiddenAt instant
	linger   time.Duration
	// rtt is the smoothed round trip; 0 before the first.
	rtt time.Duration
}

// eventKind is what happens to a connection.
type eventKind string

const (
	// The application wants a connection, does not, or wants the next attempt now.
	onConnect    eventKind = "connect"
	onDisconnect eventKind = "disconnect"
	onRetry      eventKind = "retry"
	// Something happened after which the old connection is not to be trusted, or a new one may succeed. certain: so much
	// that the old one is hardly alive. hidden: nobody looks all the same.
	onWake eventKind = "wake"
	// Nobody looks any more; the connection is kept for linger.
	onHidden eventKind = "hidden"
	// The page is put away: to come back (park), or for good.
	onSleep eventKind = "sleep"
	// An answer is overdue, or the network is said to be gone.
	onSuspect eventKind = "suspect"
	// It has been live for a while, and all that was asked for is there.
	onStable eventKind = "stable"
	// Whether the server takes connections (ok); if not, perhaps when to ask again (after).
	onGate eventKind = "gate"
	// There is no token for the n-th dial. terminal: asking again would not help. dialed: a socket had been opened meanwhile.
	onUnauthorized eventKind = "unauthorized"
	// The n-th socket is open, and there is a token. single: a hello on it always attaches, it cannot stand by.
	onOpened   eventKind = "opened"
	onReady    eventKind = "ready"
	onWelcomed eventKind = "welcomed"
	onHeard    eventKind = "heard"
	// The answer to the latest ping.
	onPong eventKind = "pong"
	onSent eventKind = "sent"
	// The server of the n-th socket is about to leave: another is to stand by within spread.
	onMove eventKind = "move"
	// The n-th socket ended, or the server said goodbye on it. told: it said when to come back, by after and spread.
	onClosed eventKind = "closed"
	// The deadline of the state has passed.
	onTimer eventKind = "timer"
)

type event struct {
	kind eventKind
	// n is the number of the dial that the event is about; 0 if it is about none.
	n uint64

	// Whether, with the kinds that say so.
	certain, hidden, park, ok, terminal, dialed, single, told bool
	// How long, with the kinds that say so (move: spread), welcomed (beat, rest, rtt) and pong (rtt).
	linger, after, spread, beat, rest, rtt time.Duration
	// Why, with unauthorized and closed.
	code   holdfast.CloseCode
	reason string
}

// effectKind is what is to be done.
type effectKind string

const (
	// Get a token, and open a socket on the n-th path: at the same time, or after it if there was no token the last time.
	// Answered by opened, closed or unauthorized.
	doDial effectKind = "dial"
	// Say hello. Answered by welcomed, or ready if it is to stand by, or closed.
	doHello effectKind = "hello"
	// Let the one that stands by take over. Answered by welcomed or closed.
	doTake effectKind = "take"
	// Answered by pong.
	doPing effectKind = "ping"
	// Ask over HTTP whether the server takes connections. Answered by gate.
	doGate effectKind = "gate"
	// Let go of the socket, without waiting for it to close: a dead one takes up to a minute.
	doDrop effectKind = "drop"
)

// farewell is how a socket is let go of.
type farewell string

const (
	unsaid  farewell = ""
	leaving farewell = "leave"
	parking farewell = "park"
)

type effect struct {
	kind effectKind
	n    uint64
	// standby belongs to hello, bye to drop.
	standby bool
	bye     farewell
}
