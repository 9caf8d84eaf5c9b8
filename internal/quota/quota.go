// Package quota bounds how often somebody may do something, for many somebodies: a token bucket each, which is forgotten
// when it is full again.
//
// # Concurrency
//
// All methods may be called at any time.
package quota

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Quota holds the buckets.
type Quota struct {
	// Static after construction.
	rate  rate.Limit
	burst int
	now   func() time.Time

	// Guarded by mu.
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	// sweepAt is how many buckets there are when those that are full are next forgotten. It doubles with what is left, so
	// that the cost of looking is spread over the additions.
	sweepAt int
}

// leastSweep is below how many buckets nobody looks for full ones.
const leastSweep = 256

// New returns a quota of perSecond for long and burst at once, for each key, on the clock now.
func New(perSecond float64, burst int, now func() time.Time) *Quota {
	return &Quota{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: map[string]*rate.Limiter{}, sweepAt: leastSweep}
}

// Of returns the bucket of a key. It is to be used soon: one that is full may be replaced by another, as full.
func (q *Quota) Of(key string) *rate.Limiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.buckets[key]
	if b == nil {
		if len(q.buckets) >= q.sweepAt {
			q.sweepLocked()
		}
		b = rate.NewLimiter(q.rate, q.burst)
		q.buckets[key] = b
	}
	return b
}

// Take takes one from the bucket of a key, or says how long it will be until there is one.
func (q *Quota) Take(key string) (wait time.Duration, ok bool) {
	b, now := q.Of(key), q.now()
	r := b.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// Wait says how long it will be until there is one in the bucket of a key, and takes none; 0 if there is.
func (q *Quota) Wait(key string) time.Duration {
	missing := 1 - q.Of(key).TokensAt(q.now())
	return max(0, time.Duration(missing/float64(q.rate)*float64(time.Second)))
}

func (q *Quota) sweepLocked() {
	now := q.now()
	for key, b := range q.buckets {
		if b.TokensAt(now) >= float64(q.burst) {
			delete(q.buckets, key)
		}
	}
	q.sweepAt = max(leastSweep, 2*len(q.buckets))
}
