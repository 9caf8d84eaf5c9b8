package tail_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

const session = holdfast.SessionID("chat-1")

// world is a session that is written to, and readers of it. What is committed is published later, or twice, as on an engine
// that several nodes share; and readers come, go, lag and come back in between.
type world struct {
	t    *rapid.T
	log  *memory.Driver
	tail *tail.Tail
	// committed waits to be published.
	committed []driver.Change
	published []driver.Change
	runs      []holdfast.RunInfo
	readers   []*reader
	n         int
}

type reader struct {
	way   *tail.Reader
	state *client.State
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, log: memory.New(memory.Options{}), tail: tail.New(session)}
	w.log.Watch(func(ch driver.Change) { w.committed = append(w.committed, ch) })
	return w
}

func (w *world) apply(op driver.Op) driver.Result {
	res, err := w.log.Apply(context.Background(), session, op)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// spice is what makes a text hard to join with others as it is encoded, or too large for that.
func (w *world) spice() string {
	switch rapid.IntRange(0, 19).Draw(w.t, "spice") {
	case 0:
		return `,"d":"` + "\\\"\n\u2028é"
	case 1:
		return "🙂\x00</script>"
	case 2:
		return strings.Repeat("ä ", 1500) // two of them are over wire.MaxPiece
	case 3:
		return strings.Repeat("long ", 12_000) // a few of them are more than a tail remembers
	}
	return ""
}

// write does one thing to the session.
func (w *world) write() {
	w.n++
	switch kind := rapid.IntRange(0, 9).Draw(w.t, "write"); {
	case kind < 2:
		w.apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: json.RawMessage(fmt.Sprint(w.n))}}})
	case kind == 2:
		key := rapid.SampledFrom([]string{"a", "b"}).Draw(w.t, "key")
		w.apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: key, Data: json.RawMessage(fmt.Sprint(w.n))}}})
	case kind == 3 && len(w.runs) < 3:
		res := w.apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint(w.n)}})
		w.runs = append(w.runs, res.Run)
	case kind == 5 && rapid.IntRange(0, 4).Draw(w.t, "drop") == 0:
		w.drop()
	case kind == 4 && len(w.runs) > 0:
		r := w.runs[0]
		w.runs = w.runs[1:]
		w.apply(driver.EndRun{Run: r.Run, Fence: r.Fence, Status: holdfast.RunComplete})
	case len(w.runs) > 0:
		r := w.runs[rapid.IntRange(0, len(w.runs)-1).Draw(w.t, "run")]
		var frags []holdfast.Fragment
		for i := range rapid.IntRange(1, 3).Draw(w.t, "fragments") {
			f := holdfast.Fragment{Part: rapid.SampledFrom([]string{"", "", "", "p"}).Draw(w.t, "part"), Text: fmt.Sprintf("%d.%d ", w.n, i) + w.spice()}
			if rapid.IntRange(0, 9).Draw(w.t, "event") == 0 {
				f = holdfast.Fragment{Event: json.RawMessage(fmt.Sprint(w.n))}
			}
			frags = append(frags, f)
		}
		w.apply(driver.AppendFragments{Run: r.Run, Fence: r.Fence, After: driver.AnyFragment, Fragments: frags})
	}
}

// drop loses the session, or what is old of it.
func (w *world) drop() {
	info, err := w.log.Info(context.Background(), session)
	if err != nil {
		w.t.Fatal(err)
	}
	if info.Head == 0 || rapid.Bool().Draw(w.t, "delete") {
		w.runs = nil
		if err := w.log.Delete(context.Background(), session); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.apply(driver.Trim{Before: holdfast.Offset(rapid.Uint64Range(1, uint64(info.Head)+1).Draw(w.t, "before"))})
}

// busy is the log while it is written to between any two reads of one reader, and what was written is published or not yet.
type busy struct{ w *world }

func (b busy) between() {
	if rapid.IntRange(0, 3).Draw(b.w.t, "between") == 0 {
		b.w.write()
		b.w.publish()
	}
}

func (b busy) Info(ctx context.Context, s holdfast.SessionID) (driver.Info, error) {
	defer b.between()
	return b.w.log.Info(ctx, s)
}

func (b busy) Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (driver.Page, error) {
	defer b.between()
	return b.w.log.Read(ctx, s, q)
}

func (b busy) Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error) {
	defer b.between()
	return b.w.log.Run(ctx, s, run, after)
}

func (b busy) States(ctx context.Context, s holdfast.SessionID) ([]holdfast.Entry, error) {
	defer b.between()
	return b.w.log.States(ctx, s)
}

func (b busy) TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error) {
	defer b.between()
	return b.w.log.TagAt(ctx, s, o)
}

// publish brings some of what is committed to the tail, sometimes an old change once more, or word that one was missed.
func (w *world) publish() {
	for len(w.committed) > 0 && rapid.IntRange(0, 3).Draw(w.t, "publish") > 0 {
		ch := w.committed[0]
		w.committed = w.committed[1:]
		w.published = append(w.published, ch)
		if rapid.IntRange(0, 19).Draw(w.t, "left out") == 0 {
			ch = driver.Change{Session: ch.Session, Epoch: ch.Epoch} // the engine only knows that it missed something
		}
		w.tail.Publish(&ch)
	}
	if len(w.published) > 0 && rapid.IntRange(0, 9).Draw(w.t, "again") == 0 {
		w.tail.Publish(&w.published[rapid.IntRange(0, len(w.published)-1).Draw(w.t, "which")])
	}
	if rapid.IntRange(0, 19).Draw(w.t, "quiet") == 0 {
		w.tail.Forget()
	}
}

func (w *world) join() {
	last := rapid.IntRange(1, 5).Draw(w.t, "last")
	w.readers = append(w.readers, &reader{tail.NewReader(w.tail, nil, last), client.NewState(session, true)})
}

// comeBack is a dropped connection: what the client has seen counts, not what the server had given.
func (w *world) comeBack(r *reader) {
	cursor := r.state.Cursor()
	r.state.Resubscribe()
	r.way = tail.NewReader(w.tail, cursor, 5)
}

// read gives a reader one batch; every frame must fit what it has.
func (w *world) read(r *reader, log tail.Log, size int) (more bool) {
	b, ok := r.way.Live(size)
	if !ok {
		var err error
		if b, err = r.way.CatchUp(context.Background(), log, size); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, frame := range b.Frames {
		f, err := wire.DecodeServer(frame)
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := r.state.Apply(f); err != nil {
			w.t.Fatalf("%s does not fit: %v", frame, err)
		}
	}
	return b.More
}

// settle publishes everything and lets a reader read until there is no more.
func (w *world) settle(r *reader) {
	for len(w.committed) > 0 {
		w.tail.Publish(&w.committed[0])
		w.committed = w.committed[1:]
	}
	for rounds := 0; w.read(r, w.log, 1000) || !r.state.Live(); rounds++ {
		if rounds > 10_000 {
			w.t.Fatal("the reader never gets there")
		}
	}
}

// check compares what a reader holds, from the beginning of its snapshot on, with the log.
func (w *world) check(r *reader) {
	page, err := w.log.Read(context.Background(), session, driver.Query{Limit: 100_000, MaxBytes: 1 << 30})
	if err != nil {
		w.t.Fatal(err)
	}
	held := map[holdfast.Offset]holdfast.Entry{}
	for _, e := range r.state.Entries() {
		held[e.Offset] = e
	}
	for _, want := range page.Entries {
		got, ok := held[want.Offset]
		if want.Offset >= r.state.First() && !ok {
			w.t.Fatalf("entry %d is missing", want.Offset)
		}
		if ok {
			w.same(&want, &got)
		}
	}
	// Without the tag of an entry before which the snapshot began, the cursors are the same.
	if diff := cmp.Diff(page.Info.Cursor(), *r.state.Cursor(), cmpopts.EquateEmpty()); diff != "" {
		w.t.Fatalf("the cursor differs from the log's: %s", diff)
	}
}

func (w *world) same(want, got *holdfast.Entry) {
	if want.Kind != got.Kind || want.Tag != got.Tag || string(want.Data) != string(got.Data) {
		w.t.Fatalf("entry %d is %v, want %v", want.Offset, got, want)
	}
	if want.Run == nil {
		return
	}
	if want.Run.Status != got.Run.Status || want.Run.Fragments != got.Run.Fragments {
		w.t.Fatalf("run %d is %s with %d fragments, want %s with %d", want.Offset, got.Run.Status, got.Run.Fragments, want.Run.Status, want.Run.Fragments)
	}
	for _, part := range []string{"", "p"} {
		if a, b := want.Run.Body.Text(part), got.Run.Body.Text(part); a != b {
			w.t.Fatalf("run %d has the text %q, want %q", want.Offset, b, a)
		}
	}
}

// Whatever is written, published late, twice or not at all, and however readers come, lag, drop and come back: each ends
// with exactly the log, and no frame on the way fails to fit.
func TestReadersEndWithTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(5, 80).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 5:
				w.write()
			case step == 5:
				w.publish()
			case step == 6 && len(w.readers) < 4:
				w.join()
			case len(w.readers) > 0:
				r := w.readers[rapid.IntRange(0, len(w.readers)-1).Draw(t, "reader")]
				if step == 7 {
					w.comeBack(r)
				}
				w.read(r, busy{w}, rapid.SampledFrom([]int{1, 50, 100_000}).Draw(t, "size"))
			}
		}
		// So that there is a log, and an entry that all have.
		w.apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: json.RawMessage("0")}}})
		w.join()
		for _, r := range w.readers {
			w.settle(r)
		}
		for _, r := range w.readers {
			w.settle(r)
			w.check(r)
		}
	})
}

// A run of a megabyte comes in pieces, so that a slow line is seen to be alive.
func TestLargeRunsComeInPieces(t *testing.T) {
	log := memory.New(memory.Options{})
	apply := func(op driver.Op) driver.Result {
		res, err := log.Apply(t.Context(), session, op)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	run := apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "a"}}).Run
	for range 1000 {
		var frags []holdfast.Fragment
		for range 10 {
			frags = append(frags, holdfast.Fragment{Text: "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"})
		}
		apply(driver.AppendFragments{Run: run.Run, Fence: run.Fence, After: driver.AnyFragment, Fragments: frags})
	}
	apply(driver.EndRun{Run: run.Run, Fence: run.Fence, Status: holdfast.RunComplete})
	state := client.NewState(session, true)
	r := tail.NewReader(tail.New(session), nil, 15)
	for !state.Live() {
		b, ok := r.Live(1 << 16)
		if !ok {
			var err error
			if b, err = r.CatchUp(t.Context(), log, 1<<16); err != nil {
				t.Fatal(err)
			}
		}
		for _, frame := range b.Frames {
			if len(frame) > wire.MaxPiece+200 {
				t.Fatalf("a frame has %d bytes", len(frame))
			}
			f, err := wire.DecodeServer(frame)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := state.Apply(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := state.Entries()[0].Run
	if got.Status != holdfast.RunComplete || len(got.Body.Text("")) != 1_000_000 {
		t.Errorf("the run is %s with %d bytes", got.Status, len(got.Body.Text("")))
	}
}
