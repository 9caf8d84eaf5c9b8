package client

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// world is a session, written to at random, and a reader of it whose connection is cut at random: the server's own way of
// reading on at one end, a strict State at the other.
type world struct {
	t      *rapid.T
	db     *memory.Driver
	tail   *tail.Tail
	reader *tail.Reader
	state  *State
	writes int
	fences map[holdfast.Offset]holdfast.Fence
	epoch  holdfast.Epoch
}

const inWorld = holdfast.SessionID("s")

func (w *world) apply(op driver.Op) driver.Result {
	w.writes++
	res, err := w.db.Apply(context.Background(), inWorld, op)
	if err != nil {
		w.t.Fatal(err)
	}
	if res.Epoch != w.epoch {
		w.epoch, w.fences = res.Epoch, map[holdfast.Offset]holdfast.Fence{}
	}
	return res
}

func (w *world) data() json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"n":%d}`, w.writes)) }

func (w *world) write() {
	entry := func(e driver.NewEntry) { w.apply(driver.Append{Entries: []driver.NewEntry{e}}) }
	switch rapid.IntRange(0, 2).Draw(w.t, "kind") {
	case 0:
		entry(driver.NewEntry{Kind: holdfast.KindMessage, Data: w.data()})
	case 1:
		key := rapid.SampledFrom([]string{"a", "b"}).Draw(w.t, "key")
		entry(driver.NewEntry{Kind: holdfast.KindState, Key: key, Data: w.data()})
	case 2:
		res := w.apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint("run", w.writes)}})
		w.fences[res.Run.Run] = res.Run.Fence
	}
}

// run returns one of the open runs.
func (w *world) run() (holdfast.Offset, bool) {
	var runs []holdfast.Offset
	for o := range w.fences {
		runs = append(runs, o)
	}
	if len(runs) == 0 {
		return 0, false
	}
	slices.Sort(runs)
	return rapid.SampledFrom(runs).Draw(w.t, "run"), true
}

func (w *world) grow() {
	o, ok := w.run()
	if !ok {
		return
	}
	var fragments []holdfast.Fragment
	for range rapid.IntRange(1, 6).Draw(w.t, "fragments") {
		f := holdfast.Fragment{Part: rapid.SampledFrom([]string{"", "p"}).Draw(w.t, "part"), Text: fmt.Sprint("t", w.writes, " ")}
		if rapid.IntRange(0, 4).Draw(w.t, "event") == 0 {
			f.Text, f.Event = "", w.data()
		}
		fragments = append(fragments, f)
	}
	w.apply(driver.AppendFragments{Run: o, Fence: w.fences[o], After: driver.AnyFragment, Fragments: fragments})
}

func (w *world) end() {
	if o, ok := w.run(); ok {
		w.apply(driver.EndRun{Run: o, Fence: w.fences[o], Status: holdfast.RunComplete, Data: w.data()})
		delete(w.fences, o)
	}
}

// cut begins a new connection with the state's cursor.
func (w *world) cut() {
	w.reader = tail.NewReader(w.tail, w.state.Cursor(), rapid.IntRange(1, 8).Draw(w.t, "last"))
	w.state.Resubscribe()
}

// read gives the state the next frames, and says whether there are more.
func (w *world) read(max int) bool {
	b, ok := w.reader.Live(max)
	if !ok {
		var err error
		if b, err = w.reader.CatchUp(context.Background(), w.db, max); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, frame := range b.Frames {
		f, err := wire.DecodeServer(frame)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.state.Apply(f); err != nil {
			w.t.Fatalf("%s: %v", frame, err)
		}
	}
	return b.More
}

// settle reads to the end and compares what is held with what is in the store.
func (w *world) settle() {
	for w.read(1<<20) || !w.reader.AtEnd() {
	}
	if !w.state.Live() {
		w.t.Fatal("not live at the end")
	}
	ctx := context.Background()
	page, err := w.db.Read(ctx, inWorld, driver.Query{After: 0, Limit: 1 << 20, MaxBytes: 1 << 30})
	if err != nil {
		w.t.Fatal(err)
	}
	if d := cmp.Diff(page.Info.Cursor(), *w.cursor(page.Info.Head), cmpopts.EquateEmpty()); d != "" {
		w.t.Fatalf("the cursor is not that of the store: %s", d)
	}
	latest := map[string]holdfast.Offset{}
	for _, e := range page.Entries {
		latest[e.Key] = e.Offset
	}
	var want, got []holdfast.Entry
	for _, e := range page.Entries {
		superseded := e.Kind == holdfast.KindState && latest[e.Key] != e.Offset
		open := e.Run != nil && !e.Run.Status.Ended()
		if (e.Offset >= w.state.First() || open || e.Kind == holdfast.KindState) && !superseded {
			want = append(want, normal(e))
		}
	}
	for _, e := range w.state.Entries() {
		if i := slices.IndexFunc(want, func(x holdfast.Entry) bool { return x.Offset == e.Offset }); i >= 0 {
			got = append(got, normal(e))
		} else if e.Offset >= w.state.First() && e.Offset >= page.Info.First {
			w.t.Fatalf("holds entry %d, which is not there", e.Offset)
		}
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		w.t.Fatal(d)
	}
}

// cursor is the state's, also where it cannot be sent because nothing came after a snapshot.
func (w *world) cursor(head holdfast.Offset) *holdfast.Cursor {
	c := w.state.Cursor()
	if c == nil {
		w.t.Fatalf("no cursor at head %d", head)
	}
	return c
}

// normal is an entry without what readers are not told.
func normal(e holdfast.Entry) holdfast.Entry {
	e.First, e.At = 0, e.At.UTC()
	if e.Run != nil {
		run := *e.Run
		run.Fence, run.Body = 0, nil
		for _, seg := range e.Run.Body {
			seg.Lens = nil
			run.Body = append(run.Body, seg)
		}
		e.Run = &run
	}
	return e
}

func TestAnyLogAndAnyCutsGiveTheSameContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, db: memory.New(memory.Options{}), tail: tail.New(inWorld), state: NewState(inWorld, true)}
		w.fences = map[holdfast.Offset]holdfast.Fence{}
		w.db.Watch(func(ch driver.Change) { w.tail.Publish(&ch) })
		w.cut()
		w.write()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 15).Draw(t, "step") {
			case 0, 1, 2:
				w.write()
			case 3, 4, 5, 6:
				w.grow()
			case 7:
				w.end()
			case 8, 9, 10:
				w.read(rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(t, "max"))
			case 11, 12:
				w.cut()
			case 13:
				w.settle()
			case 14:
				w.tail.Forget()
			case 15:
				if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
					if err := w.db.Delete(context.Background(), inWorld); err != nil {
						t.Fatal(err)
					}
					w.write()
				}
			}
		}
		w.settle()
	})
}
