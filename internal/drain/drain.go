// Package drain says over what time the clients of a server that leaves should go, from what it cost to take them in.
package drain

import (
	"sync"
	"time"
)

// Pace measures how fast this server attaches clients. All methods may be called at any time. The zero value has measured
// nothing.
type Pace struct {
	mu sync.Mutex
	// ended is when the last attach was done; spent is the time that the last count of them took of this server.
	ended time.Time
	spent time.Duration
	count int
}

const (
	// unmeasured is what an attach is supposed to take before one was measured.
	unmeasured = time.Millisecond
	// share is the part of what the server can do that clients who come back may ask of it: the others go on being served
	// meanwhile, and what an attach has others do (reading the store, writing) is not in its time.
	share = 0.5
	// slowest and fastest bound what is believed: a measure may have been taken in a bad moment, and accepting a connection costs
	// more than attaching it, some of it in proxies.
	slowest, fastest = 100.0, 2_000.0
	// longest is the most that one attach counts for: what takes longer waits for something else.
	longest = 100 * time.Millisecond
	// memory is how many attaches count; those before are forgotten.
	memory = 512
)

// Attached takes the time of one attach, from the hello to the answer, that is done now. Of attaches beside each other each
// is slow, because it waits for the others, and all of them together are not: what counts is the time since the one before was
// done, if that is less.
func (p *Pace) Attached(now time.Time, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if since := now.Sub(p.ended); since >= 0 {
		took = min(took, since)
	}
	p.ended = now
	if p.count >= 2*memory {
		p.count, p.spent = p.count/2, p.spent/2
	}
	p.count, p.spent = p.count+1, p.spent+min(max(0, took), longest)
}

// Rate is how many clients may come in a second.
func (p *Pace) Rate() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	mean := unmeasured
	if p.count > 0 {
		mean = max(1, p.spent/time.Duration(p.count))
	}
	return min(fastest, max(slowest, share/mean.Seconds()))
}

// Spread is the time over which n clients should come.
func (p *Pace) Spread(n int) time.Duration {
	return time.Duration(float64(n) / p.Rate() * float64(time.Second))
}
