package pebble

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// share runs fn b.N times in all on n goroutines and reports how many a second, and how long one took at most in 50
// and 99 of 100 cases. fn gets the number of its goroutine and counts up for itself.
func share(b *testing.B, n int, fn func(worker, i int)) {
	var left atomic.Int64
	left.Store(int64(b.N))
	times := make([][]time.Duration, n)
	var wg sync.WaitGroup
	before := cpu()
	b.ResetTimer()
	for w := range n {
		wg.Go(func() {
			for i := 0; left.Add(-1) >= 0; i++ {
				start := time.Now()
				fn(w, i)
				times[w] = append(times[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
	all := slices.Sorted(func(yield func(time.Duration) bool) {
		for _, ts := range times {
			for _, t := range ts {
				if !yield(t) {
					return
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
}

// cpu is the processor time that the program has used; unlike throughput it hardly depends on what else the machine does.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkAppend(b *testing.B) {
	data := json.RawMessage(`{"text":"` + strings.Repeat("x", 180) + `"}`)
	for _, writers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			d := opener(b, Options{})()
			defer d.Close()
			share(b, writers, func(w, i int) {
				n := driver.NewEntry{Kind: holdfast.KindMessage, ID: fmt.Sprintf("%d.%d", w, i), Data: data}
				apply(b, d, holdfast.SessionID(fmt.Sprint("s", (w+i*writers)%1000)), driver.Append{Entries: []driver.NewEntry{n}})
			})
		})
	}
}

// BenchmarkFragments has producers that append single fragments to a run each, and begin a new one after 300.
func BenchmarkFragments(b *testing.B) {
	for _, runs := range []int{100, 1000} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			d := opener(b, Options{})()
			defer d.Close()
			open := make([]holdfast.RunInfo, runs)
			share(b, runs, func(w, i int) {
				s := holdfast.SessionID(fmt.Sprint("s", w))
				if i%300 == 0 {
					if i > 0 {
						apply(b, d, s, driver.EndRun{Run: open[w].Run, Fence: 1, Status: holdfast.RunComplete})
					}
					open[w] = apply(b, d, s, driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint(i)}}).Run
				}
				open[w] = apply(b, d, s, driver.AppendFragments{Run: open[w].Run, Fence: 1, After: int64(open[w].Fragments),
					Fragments: []holdfast.Fragment{{Text: "four "}}}).Run
			})
		})
	}
}

func BenchmarkTailRead(b *testing.B) {
	for _, entries := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			d := opener(b, Options{Sync: driver.DurableProcess})()
			defer d.Close()
			fill(b, d, "s", entries)
			b.ResetTimer()
			for b.Loop() {
				p, err := d.Read(context.Background(), "s", driver.Query{Before: 1 << 62, Limit: 15})
				if err != nil || len(p.Entries) != 15 {
					b.Fatal(len(p.Entries), err)
				}
			}
		})
	}
}

func fill(t testing.TB, d driver.Driver, s holdfast.SessionID, entries int) {
	ns := make([]driver.NewEntry, min(entries, 1000))
	for i := range ns {
		ns[i] = driver.NewEntry{Kind: holdfast.KindMessage, Data: json.RawMessage(`{"text":"` + strings.Repeat("x", 180) + `"}`)}
	}
	for n := 0; n < entries; n += len(ns) {
		apply(t, d, s, driver.Append{Entries: ns})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, sessions := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			open := opener(b, Options{Dir: b.TempDir(), Sync: driver.DurableProcess})
			d := open()
			var wg sync.WaitGroup
			for w := range 10 {
				wg.Go(func() {
					for i := w; i < sessions; i += 10 {
						apply(b, d, holdfast.SessionID(fmt.Sprint("session:", i)), driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage}}})
					}
				})
			}
			wg.Wait()
			_ = d.Close()
			b.ResetTimer()
			for b.Loop() {
				d := open()
				b.StopTimer()
				_ = d.Close()
				b.StartTimer()
			}
		})
	}
}
