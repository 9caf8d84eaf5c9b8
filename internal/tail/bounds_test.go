package tail_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// countingLog counts the runs that are read.
type countingLog struct {
	*memory.Driver
	runs int
}

func (l *countingLog) Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error) {
	l.runs++
	return l.Driver.Run(ctx, s, run, after)
}

// A cursor that names many runs costs a bounded number of reads at a time, and brings the reader up to date all the same.
func TestManyRunsAreReadAFewAtATime(t *testing.T) {
	for name, tc := range map[string]struct {
		runs    int
		text    string
		outcome holdfast.Outcome
	}{
		"few":   {5, "x", holdfast.Continuous},
		"many":  {64, "x", holdfast.Continuous},
		"large": {40, strings.Repeat("x", 60<<10), holdfast.Continuous},
		"more":  {65, "x", holdfast.Snapshot},
		"most":  {256, "x", holdfast.Snapshot},
	} {
		t.Run(name, func(t *testing.T) {
			log := &countingLog{Driver: memory.New(memory.Options{})}
			cursor := endedRuns(t, log, tc.runs, tc.text)
			state := client.NewStateAt(session, cursor, true)
			state.Resubscribe()
			r := tail.NewReader(tail.New(session), &cursor, 1000)
			var outcome holdfast.Outcome
			for !state.Live() {
				log.runs = 0
				b, ok := r.Live(1 << 16)
				if !ok {
					var err error
					if b, err = r.CatchUp(t.Context(), log, 1<<16); err != nil {
						t.Fatal(err)
					}
				}
				if log.runs > 64 || outcome != "" && log.runs > 16 {
					t.Errorf("%d runs were read at once", log.runs)
				}
				size := 0
				for _, frame := range b.Frames {
					size += len(frame)
					f, err := wire.DecodeServer(frame)
					if err != nil {
						t.Fatal(err)
					}
					if a, ok := f.(*wire.SubAnswer); ok {
						outcome = a.Outcome
					}
					if _, err := state.Apply(f); err != nil {
						t.Fatal(err)
					}
				}
				if size > 200<<10 {
					t.Errorf("%d KiB were gathered at once", size>>10)
				}
			}
			if outcome != tc.outcome {
				t.Errorf("answered %s, want %s", outcome, tc.outcome)
			}
			if c := state.Cursor(); len(c.Runs) != 0 || int(c.Offset) != tc.runs {
				t.Errorf("the reader ends at %v", c)
			}
		})
	}
}

// endedRuns writes runs that end, and returns the cursor of a reader who left when all had just been opened.
func endedRuns(t *testing.T, log *countingLog, n int, text string) holdfast.Cursor {
	apply := func(op driver.Op) driver.Result {
		res, err := log.Apply(t.Context(), session, op)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	var open []holdfast.RunInfo
	for i := range n {
		open = append(open, apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint(i)}}).Run)
	}
	info, err := log.Info(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	cursor := info.Cursor()
	for _, r := range open {
		apply(driver.AppendFragments{Run: r.Run, Fence: r.Fence, After: driver.AnyFragment, Fragments: []holdfast.Fragment{{Text: text}}})
		apply(driver.EndRun{Run: r.Run, Fence: r.Fence, Status: holdfast.RunComplete})
	}
	return cursor
}
