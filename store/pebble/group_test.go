package pebble

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// deleting stands for Driver.Delete among operations.
type deleting struct{ driver.Op }

// answered is what both engines must say alike; tags, times and epochs are their own.
type answered struct {
	Code    holdfast.Code
	Written []holdfast.Offset
	Dup     []bool
	Run     holdfast.RunInfo
	Again   int
}

func answerOf(r driver.Result, err error) answered {
	a := answered{Code: holdfast.CodeOf(err), Again: r.Repeated, Run: r.Run}
	for _, w := range r.Entries {
		a.Written, a.Dup = append(a.Written, w.Offset), append(a.Dup, w.Duplicate)
	}
	return a
}

// together has the committer take all operations at once, so that they become one batch.
func together(d *Driver, s holdfast.SessionID, ops []driver.Op) []answered {
	requests := make([]*request, len(ops))
	for i, op := range ops {
		requests[i] = &request{session: s, op: session.Own(op), done: make(chan struct{})}
		if _, ok := op.(deleting); ok {
			requests[i].other = func(c *committer) error { return c.deleteSession(s) }
		}
	}
	d.queue.mu.Lock()
	d.queue.wait = append(d.queue.wait, requests...)
	d.queue.signal()
	d.queue.mu.Unlock()
	out := make([]answered, len(ops))
	for i, r := range requests {
		<-r.done
		out[i] = answerOf(r.result, r.err)
	}
	return out
}

// TestOneBatch gives random operations on one session to the committer in one batch, and to the memory engine one by
// one. An operation must see all that came before it in its own batch, and nothing that the batch has deleted.
func TestOneBatch(t *testing.T) {
	d := opener(t, Options{Sync: driver.DurableProcess, CachedSessions: 2})().(*Driver)
	defer d.Close()
	model := memory.New(memory.Options{})
	defer model.Close()
	ctx := context.Background()
	play := 0
	rapid.Check(t, func(rt *rapid.T) {
		play++
		s := holdfast.SessionID(fmt.Sprint("s", play))
		for range rapid.IntRange(1, 3).Draw(rt, "batches") {
			ops := rapid.SliceOfN(rapid.Custom(drawOp), 2, 14).Draw(rt, "ops")
			want := make([]answered, len(ops))
			for i, op := range ops {
				if _, ok := op.(deleting); ok {
					want[i] = answerOf(driver.Result{}, model.Delete(ctx, s))
				} else {
					want[i] = answerOf(model.Apply(ctx, s, op))
				}
			}
			alike(rt, together(d, s, ops), want)
			for _, fn := range []func(driver.Driver) (any, error){
				func(d driver.Driver) (any, error) { return d.Read(ctx, s, driver.Query{Limit: 1000}) },
				func(d driver.Driver) (any, error) { return d.States(ctx, s) },
			} {
				got, err1 := fn(d)
				want, err2 := fn(model)
				if err1 != nil || err2 != nil {
					rt.Fatal(err1, err2)
				}
				alike(rt, got, want)
			}
		}
	})
}

func alike(rt *rapid.T, got, want any) {
	rt.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(holdfast.RunInfo{}, "At", "Changed"),
		cmpopts.IgnoreFields(holdfast.Entry{}, "At", "Tag"), cmpopts.IgnoreFields(driver.Info{}, "Epoch", "HeadTag", "Created", "Changed")); diff != "" {
		rt.Fatal(diff)
	}
}

// drawOp draws from few offsets, ids and keys, so that operations meet.
func drawOp(rt *rapid.T) driver.Op {
	offset := holdfast.Offset(rapid.IntRange(1, 4).Draw(rt, "offset"))
	id := rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "id")
	switch rapid.IntRange(0, 9).Draw(rt, "op") {
	case 0, 1:
		return driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, ID: id}}}
	case 2:
		return driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: "k", ID: id}}}
	case 3, 4:
		return driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id}}
	case 5, 6:
		return driver.AppendFragments{Run: offset, Fence: 1, After: driver.AnyFragment, Fragments: []holdfast.Fragment{{Text: id + "."}}}
	case 7:
		return driver.EndRun{Run: offset, Fence: 1, Status: holdfast.RunComplete}
	case 8:
		return driver.Trim{Before: offset}
	}
	return deleting{}
}
