package conn

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
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
	// reads has room for the store reads that this lane's connections may have under way together.
	reads chan struct{}

	// Guarded by mu.
	mu     sync.Mutex
	topics []*hub.Topic
	ready  []*Conn
	conns  map[*Conn]struct{}

	// Owned by Run.
	scratch []byte
	woken   []hub.Reader
	last    fanout
	pumps   sync.WaitGroup
}

// fanout is what the lane wrote last, if it was nothing but what follows one place in one tail. In a burst thousands of
// connections stand at the same place: then the bytes are gathered and framed once.
type fanout struct {
	from  tail.Place
	after tail.Reader
	bytes []byte
	more  bool
}

// NewLane returns a lane with its number among the server's.
func NewLane(index int) *Lane {
	return &Lane{index: index, bell: make(chan struct{}, 1), reads: make(chan struct{}, 16), conns: map[*Conn]struct{}{}}
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
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
}

func (l *Lane) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// Run writes until ctx ends, and then waits for its pumps, which end with their connections.
func (l *Lane) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	defer l.pumps.Wait()
	var topics []*hub.Topic
	var ready []*Conn
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sweep()
			continue
		case <-l.bell:
		}
		for {
			l.mu.Lock()
			topics, l.topics = l.topics, topics[:0]
			l.mu.Unlock()
			for i, t := range topics {
				l.woken = t.Wake(l.index, l.woken)
				topics[i] = nil
			}
			l.mu.Lock()
			ready, l.ready = l.ready, ready[:0]
			l.mu.Unlock()
			if len(topics) == 0 && len(ready) == 0 {
				break
			}
			for i, c := range ready {
				l.flush(ctx, c)
				ready[i] = nil
			}
		}
		l.last = fanout{bytes: l.last.bytes[:0]}
	}
}

// sweep looks after time: hellos that do not come, peers gone silent, beats, tokens that expire.
func (l *Lane) sweep() {
	l.mu.Lock()
	all := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		c.tick(c.cfg.now())
	}
}

// tick does what the time of day asks of one connection.
func (c *Conn) tick(now time.Time) {
	age := now.Sub(c.started)
	silent := age - time.Duration(c.lastIn.Load())
	c.mu.Lock()
	end := c.out.end
	c.mu.Unlock()
	switch {
	case end != nil:
		if now.Sub(end.since) > endTimeout {
			c.t.Abort()
		}
	case !c.greeted.Load():
		if age > c.cfg.HelloTimeout {
			c.bye(holdfast.CloseTimeout, "no hello came in time", 0, 0)
		}
	case silent > c.cfg.Beat*5/2:
		c.bye(holdfast.CloseTimeout, "nothing was heard from the client for too long", 0, 0)
	case age-time.Duration(c.lastOut.Load()) > c.beat:
		c.lastOut.Store(int64(age))
		c.push(&wire.Ping{N: uint64(age / time.Millisecond)})
	default:
		c.checkToken(now)
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
	frame := wire.Append(nil, f)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.owner == closed || c.out.end != nil {
		return
	}
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
}
