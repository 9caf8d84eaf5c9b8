package conn

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// awaitStore waits, before a client is attached, until the store is there. A server that takes another one's place verifies
// clients while that one still has the store; false means that it took too long, and the client was told to come back.
func (c *Conn) awaitStore(ctx context.Context) bool {
	if c.cfg.Open == nil {
		return true
	}
	select {
	case <-c.cfg.Open:
		return true
	default:
	}
	timer := time.NewTimer(c.cfg.HelloTimeout)
	defer timer.Stop()
	select {
	case <-c.cfg.Open:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	c.bye(holdfast.CloseOverload, "the server is not ready yet", time.Second, 2*time.Second)
	return false
}

// Leaving tells the lane that the server is about to say goodbye: from now on a store that cannot be used is none's fault, and
// who needs it is told to go.
func (l *Lane) Leaving() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaving = true
}

func (l *Lane) isLeaving() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leaving
}

// Move tells the lane's clients to have another connection stand by, each at a time of its own within spread.
func (l *Lane) Move(spread time.Duration) {
	l.mu.Lock()
	all := slices.Clone(l.conns)
	l.mu.Unlock()
	for _, c := range all {
		c.move(spread)
	}
}

// move tells the client to have another connection stand by. One that cannot be heard, or is in a request, cannot do that; it finds
// out by the goodbye.
func (c *Conn) move(spread time.Duration) {
	if c.stands() == attached && c.reach == transport.Both {
		c.push(&wire.Move{Spread: spread.Milliseconds()})
	}
}
