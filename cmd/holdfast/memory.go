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
	// must have been allocated since the last time for it to be worth the while: that, or a quarter of what is in use if it
	// is more, since the work grows with it. The pings of 15,000 connections come to burstBytes in a minute and a half.
	tidyEvery  = 5 * time.Second
	quietBytes = 8 << 20
	burstBytes = 16 << 20
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
		now, live := allocated()
		if now-last < quietBytes && now-tidied > max(burstBytes, live/4) {
			debug.FreeOSMemory()
			tidied = now
		}
		last = now
	}
}

// allocated is how many bytes the program has ever allocated, and how many of them the last collection found in use.
func allocated() (ever, live uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
