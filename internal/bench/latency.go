package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencies counts durations in buckets that are at most 1.6 % wide: 64 for each power of two of microseconds. It may be
// written to by many goroutines.
type latencies struct {
	counts [32 * perPower]atomic.Uint64
	most   atomic.Int64
}

const perPower = 64

func bucketOf(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < perPower {
		return int(us)
	}
	power := bits.Len64(us) - 7 // us>>power is in 64..127
	return min((power+1)*perPower+int(us>>power)-perPower, 32*perPower-1)
}

// ceiling is the largest duration of a bucket.
func ceiling(bucket int) time.Duration {
	if bucket < perPower {
		return time.Duration(bucket+1) * time.Microsecond
	}
	power, place := bucket/perPower-1, bucket%perPower+perPower
	return time.Duration(uint64(place+1)<<power) * time.Microsecond
}

func (l *latencies) add(d time.Duration) {
	l.counts[bucketOf(d)].Add(1)
	for {
		most := l.most.Load()
		if int64(d) <= most || l.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// quantile returns the duration that a share q of all did not exceed.
func (l *latencies) quantile(q float64) time.Duration {
	total := uint64(0)
	for i := range l.counts {
		total += l.counts[i].Load()
	}
	left := uint64(q * float64(total))
	for i := range l.counts {
		n := l.counts[i].Load()
		if n > left {
			return min(ceiling(i), time.Duration(l.most.Load()))
		}
		left -= n
	}
	return time.Duration(l.most.Load())
}

// report adds the usual figures. bound is what the 99th percentile should not be over; 0 for none.
func (l *latencies) report(r *Report, what string, bound time.Duration) {
	r.add(what+" p50", ms(l.quantile(0.5)), "ms")
	if p99 := ms(l.quantile(0.99)); bound > 0 {
		r.atMost(what+" p99", p99, ms(bound), "ms")
	} else {
		r.add(what+" p99", p99, "ms")
	}
	r.add(what+" max", ms(time.Duration(l.most.Load())), "ms")
}
