package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How the program treats memory. What limits the connections of one machine is memory, and most connections are idle: what
// a burst of connections left behind is given back to the system when it is over, instead of at the next collection,
// which an idle program puts off.
const (
	// tidyEvery is how often is looked, quietBytes how much an idle server may allocate in that time, burstBytes how much
	// must have been allocated since the last time for it to be worth the while.
	tidyEvery  = 5 * time.Second
	quietBytes = 8 << 20
	burstBytes = 32 << 20
)

// tidy gives memory back after bursts, until ctx ends.
func tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	tidied, last := uint64(0), uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := allocated()
		if now-last < quietBytes && now-tidied > burstBytes {
			debug.FreeOSMemory()
			tidied = now
		}
		last = now
	}
}

// allocated is how many bytes the program has ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
