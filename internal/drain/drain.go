// Package drain says over what time the clients of a server that leaves should go, from what it cost to take them in.
package drain

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Pace measures how fast this server attaches clients. All methods may be called at any time. The zero value has measured
// nothing.
type Pace struct {
	// mean is the smoothed time that an attach takes, in nanoseconds; 0 before the first.
	mean atomic.Int64
}

const (
	// unmeasured is what an attach is supposed to take before one was measured.
	unmeasured = time.Millisecond
	// share is the part of the cores that clients who come back may keep busy: the others go on being served meanwhile, and
	// what an attach has others do (reading the store, writing) is not in its time.
	share = 0.25
	// slowest and fastest bound what is believed: a measure may have been taken in a bad moment, and accepting a connection costs
	// more than attaching it, some of it in proxies.
	slowest, fastest = 100.0, 2_000.0
)

// Attached takes the time of one attach, from the hello to the answer.
func (p *Pace) Attached(took time.Duration) {
	mean := p.mean.Load()
	if mean == 0 {
		mean = int64(took)
	}
	// A sample that is lost to another one at the same time is no loss.
	p.mean.Store(max(1, mean+(int64(took)-mean)/16))
}

// Rate is how many clients may come in a second.
func (p *Pace) Rate() float64 {
	mean := time.Duration(p.mean.Load())
	if mean == 0 {
		mean = unmeasured
	}
	rate := share * float64(runtime.GOMAXPROCS(0)) / mean.Seconds()
	return min(fastest, max(slowest, rate))
}

// Spread is the time over which n clients should come.
func (p *Pace) Spread(n int) time.Duration {
	return time.Duration(float64(n) / p.Rate() * float64(time.Second))
}
