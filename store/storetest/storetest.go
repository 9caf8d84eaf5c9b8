// Package storetest is the definition of a correct engine: a suite that every implementation of driver.Driver must
// pass. An engine's own test calls [Run] with a function that opens it.
//
// # What the suite decides where the contract leaves a choice
//
//   - Read returns what a trim had to keep (open runs, runs that ended after it, latest states) although it stands
//     before Info.First. Such an entry covers its own offset alone; the first entry at or after Info.First covers from
//     Info.First on.
//   - A run that an earlier trim kept because it was open stays after its end, until the next trim.
//   - A trim and a take-over are not announced to the watcher: they show no reader anything new.
//   - A trim does not move Info.Changed: it is not a write.
//   - An append of an ID that opened a run is a duplicate; opening a run with the ID of another entry is
//     holdfast.CodeConflict, because there is no run to return.
//   - A producer that was fenced off is told so even if the run has ended since, whatever status it names.
//   - Appending no fragments to a run checks fence and number and writes nothing.
//   - The tag of a state that was replaced after a trim had kept it is not kept.
//   - Where a message is let in because another's turn has ended, it comes after the end in the log and in the feed; the state that
//     shows the queue comes last.
//   - A limit of 0 or less in Sessions, OpenRuns and Feed returns nothing.
package storetest

import (
	"testing"

	"github.com/holdfast/holdfast/store/driver"
)

// Harness is one engine with data of its own. It runs on the real clock.
type Harness struct {
	// Open opens the engine. The suite closes it, and, if Durable is set, opens it again on the same data.
	Open func() driver.Driver
	// Durable says that what was written is there after Close and Open.
	Durable bool
}

// Run runs the suite. It calls make for each test; what make needs to clean up it registers on t, and it fails t if the
// engine cannot be had.
func Run(t *testing.T, make func(t testing.TB) Harness) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			h := make(t)
			e := &env{TB: t, harness: h, Driver: h.Open()}
			t.Cleanup(func() { _ = e.Close() })
			c.test(e)
		})
	}
	t.Run("Model", func(t *testing.T) { runModel(t, make) })
}

type testCase struct {
	name string
	test func(*env)
}

func cases() []testCase {
	all := [][]testCase{appendCases(), stateCases(), runCases(), stopCases(), requestCases(), turnCases(), compactionCases(), readCases(), trimCases(), deleteCases(),
		listCases(), feedCases(), watchCases(), concurrencyCases(), lifeCases()}
	var out []testCase
	for _, cs := range all {
		out = append(out, cs...)
	}
	return out
}
