package conn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/wire"
)

// Lane is a goroutine that writes to many connections without ever waiting for one of them. A server has one per core.
type Lane struct {
	// Static.
	index int
	// bell has room for one: it says that the inbox is not empty.
	bell chan struct{}
	// Delivered is told, after each round of writing, how long ago the first change was that was written in it. Set before
	// Run; nil: nobody is.
	Delivered func(time.Duration)
	// reads has room for the store reads that this lane's connections may have under way together.
	reads chan struct{}
	// pumping is how many pumps there are.
	pumping atomic.Int32

	// Guarded by mu.
	mu     sync.Mutex
	topics []*hub.Topic
	ready  []*Conn
	conns  []*Conn
	// changed is when the first of topics did, zero if there are none.
	changed time.Time
	// leaving: the server stops.
	leaving bool

	// Owned by Run. turn is what is under way; its arrays change places with the lists above.
	turn struct {
		topics []*hub.Topic
		ready  []*Conn
	}
	scratch []byte
	woken   []hub.Reader
	last    fanout
	swept   []*Conn
	// doomed are those whose time is over, and who are ended some at a time.
	doomed []*Conn
	// later are the subs whose texts are held back; alarm goes off at alarmAt, when the first of them is due.
	later   []*sub
	alarm   *time.Timer
	alarmAt time.Time
	pumps   sync.WaitGroup
}

// fanout is what the lane wrote last, if it was nothing but what follows one place in one tail. In a burst thousands of
// connections stand at the same place: then the bytes are gathered and framed once.
type fanout struct {
	// carriage is the transport that bytes is framed for.
	carriage string
	from     tail.Place
	after    tail.Reader
	bytes    []byte
	more     bool
}

// NewLane returns a lane with its number among the server's.
func NewLane(index int) *Lane {
	l := &Lane{index: index, bell: make(chan struct{}, 1), reads: make(chan struct{}, 16), alarm: time.NewTimer(time.Hour)}
	l.alarm.Stop()
	return l
}

// Changed implements [hub.Lane].
func (l *Lane) Changed(t *hub.Topic) {
	l.mu.Lock()
	if len(l.topics) == 0 {
		l.changed = time.Now()
	}
	l.topics = append(l.topics, t)
	l.mu.Unlock()
	l.ring()
}

// enqueue puts a connection on the list. The connection's owner is queued, so it is there once.
func (l *Lane) enqueue(c *Conn) {
	l.mu.Lock()
	l.ready = append(l.ready, c)
	l.mu.Unlock()
	l.ring()
}

func (l *Lane) ring() {
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

func (l *Lane) add(c *Conn) {
	l.mu.Lock()
	c.at = len(l.conns)
	l.conns = append(l.conns, c)
	leaving := l.leaving
	l.mu.Unlock()
	if leaving {
		c.leave(0)
	}
}

// Leave tells the lane's connections, and those that still come, to come back within a time, and ends them. Connections do
// not watch a context for that: it would cost each of many some hundred bytes.
func (l *Lane) Leave(spread time.Duration) {
	l.Leaving()
	l.mu.Lock()
	all := slices.Clone(l.conns)
	l.mu.Unlock()
	for _, c := range all {
		c.leave(spread)
	}
}

// seeOffEvery is how far apart clients are told to go that are to go one after the other.
const seeOffEvery = 5 * time.Millisecond

// SeeOff tells the lane's connections to come back, one after the other within a time, while they are still shown what happens. Each
// has another connection stand by some time before. It returns when all were told, or ctx ends.
func (l *Lane) SeeOff(ctx context.Context, within, standBy time.Duration) {
	l.mu.Lock()
	all := slices.Clone(l.conns)
	l.mu.Unlock()
	began := time.Now()
	// due is how many are, of all, some time after the first.
	due := func(took time.Duration) int {
		switch {
		case took < 0:
			return 0
		case took >= within:
			return len(all)
		}
		return int(float64(len(all)) * took.Seconds() / within.Seconds())
	}
	tick := time.NewTicker(seeOffEvery)
	defer tick.Stop()
	for moved, told := 0, 0; told < len(all); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		took := time.Since(began)
		for n := due(took); moved < n; moved++ {
			all[moved].move(0)
		}
		for n := due(took - standBy); told < n; told++ {
			all[told].leave(0)
		}
	}
}

func (l *Lane) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.conns) - 1
	l.conns[c.at], l.conns[last].at = l.conns[last], c.at
	l.conns[last] = nil
	l.conns = l.conns[:last]
}

// Run writes until ctx ends, and then waits for its pumps, which end with their connections.
func (l *Lane) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer l.alarm.Stop()
	defer l.pumps.Wait()
	for {
		if !l.wait(ctx, tick.C) {
			return
		}
		for busy := true; busy; {
			some := l.endSome()
			busy = l.round(ctx) || some
			select {
			case <-tick.C: // here too, or a lane that is never idle would never look
				l.sweep()
			case <-l.alarm.C:
				l.wakeLater()
			default:
			}
		}
		l.last = fanout{bytes: l.last.bytes[:0]}
	}
}

// wait waits until there is something to do; false if ctx has ended.
func (l *Lane) wait(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		l.sweep()
	case <-l.alarm.C:
		l.wakeLater()
	case <-l.bell:
	}
	return true
}

// round wakes whom topics changed for and writes to all connections that are ready; false means that there were none.
func (l *Lane) round(ctx context.Context) bool {
	l.mu.Lock()
	l.turn.topics, l.topics = l.topics, l.turn.topics[:0]
	changed := l.changed
	l.mu.Unlock()
	for i, t := range l.turn.topics {
		l.woken = t.Wake(l.index, l.woken)
		l.turn.topics[i] = nil
	}
	l.mu.Lock()
	l.turn.ready, l.ready = l.ready, l.turn.ready[:0]
	l.mu.Unlock()
	for i, c := range l.turn.ready {
		l.flush(ctx, c)
		l.turn.ready[i] = nil
	}
	if len(l.turn.topics) > 0 && l.Delivered != nil {
		l.Delivered(time.Since(changed))
	}
	return len(l.turn.topics) > 0 || len(l.turn.ready) > 0
}

// endTimeout is how long a goodbye may take to be written and answered before the socket is dropped.
const endTimeout = 3 * time.Second

// expiryNotice is how long before its end a token is said to expire.
const expiryNotice = 30 * time.Second

// expiryGrace is how long after its end a token still serves a connection that was told to refresh it.
const expiryGrace = 10 * time.Second

// push queues a frame that nobody asked for; unlike answer it never waits.
func (c *Conn) push(f wire.ServerFrame) {
	frame := wire.Append(make([]byte, 0, 32), f) // a ping fits in
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.owner == closed || c.out.end != nil {
		return
	}
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
}
