package conn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// Lane is a goroutine that writes to many connections without ever waiting for one of them. A server has one per core.
type Lane struct {
	// Static.
	index int
	// bell has room for one: it says that the inbox is not empty.
	bell chan struct{}
	// reads has room for the store reads that this lane's connections may have under way together.
	reads chan struct{}

	// Guarded by mu.
	mu     sync.Mutex
	topics []*hub.Topic
	ready  []*Conn
	conns  []*Conn
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
	return &Lane{index: index, bell: make(chan struct{}, 1), reads: make(chan struct{}, 16)}
}

// Changed implements [hub.Lane].
func (l *Lane) Changed(t *hub.Topic) {
	l.mu.Lock()
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
	l.mu.Lock()
	l.leaving = true
	all := slices.Clone(l.conns)
	l.mu.Unlock()
	for _, c := range all {
		c.leave(spread)
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
	defer l.pumps.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sweep()
			continue
		case <-l.bell:
		}
		for l.round(ctx) {
			select {
			case <-tick.C: // here too, or a lane that is never idle would never look
				l.sweep()
			default:
			}
		}
		l.last = fanout{bytes: l.last.bytes[:0]}
	}
}

// round wakes whom topics changed for and writes to all connections that are ready; false means that there were none.
func (l *Lane) round(ctx context.Context) bool {
	l.mu.Lock()
	l.turn.topics, l.topics = l.topics, l.turn.topics[:0]
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
	return len(l.turn.topics) > 0 || len(l.turn.ready) > 0
}

// sweep looks after time: hellos and takes that do not come, peers gone silent, beats, tokens that expire.
func (l *Lane) sweep() {
	l.mu.Lock()
	l.swept = append(l.swept, l.conns...)
	l.mu.Unlock()
	for _, c := range l.swept {
		c.tick(c.cfg.now())
	}
	clear(l.swept)
	l.swept = l.swept[:0]
}

// tick does what the time of day asks of one connection.
func (c *Conn) tick(now time.Time) {
	age := now.Sub(c.started)
	// In this order. lastIn is set before handling ends, and hidden between the two: a client that has just said that it is
	// seen again is never measured by the shorter beat without the word that said so.
	beat := c.beat()
	handling := c.handling.Load()
	silent := age - time.Duration(c.lastIn.Load())
	c.mu.Lock()
	end := c.out.end
	c.mu.Unlock()
	if end != nil {
		if now.Sub(end.since) > endTimeout {
			c.t.Abort()
		}
		return
	}
	switch c.stands() {
	case stranger:
		c.overdue(age, "hello", handling)
	case standby:
		c.overdue(age, "take", handling)
	case attached:
		c.keepAlive(age, silent, beat, handling)
		c.checkToken(now)
	}
}

// keepAlive pings, and ends a connection whose client, though it could speak, has been silent for too long.
func (c *Conn) keepAlive(age, silent, beat time.Duration, handling bool) {
	switch {
	case silent > beat*5/2 && !handling && c.reach == transport.Both:
		c.bye(holdfast.CloseTimeout, "nothing was heard from the client for too long", 0, 0)
	case age-time.Duration(c.lastOut.Load()) > beat-c.hurry(beat):
		c.lastOut.Store(int64(age))
		c.push(&wire.Ping{N: uint64(age / time.Millisecond)})
	}
}

// endTimeout is how long a goodbye may take to be written and answered before the socket is dropped.
const endTimeout = 3 * time.Second

// expiryNotice is how long before its end a token is said to expire.
const expiryNotice = 30 * time.Second

// expiryGrace is how long after its end a token still serves a connection that was told to refresh it.
const expiryGrace = 10 * time.Second

func (c *Conn) checkToken(now time.Time) {
	g := c.grant.Load()
	if g == nil || g.Expires.IsZero() {
		return
	}
	left := g.Expires.Sub(now)
	switch {
	case left < -expiryGrace:
		c.bye(holdfast.CloseExpired, "the token has expired", 0, 0)
	case left < expiryNotice && c.warned.Swap(g) != g:
		c.push(&wire.Expiring{In: max(left, 0).Milliseconds()})
	}
}

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
