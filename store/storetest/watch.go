package storetest

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func watchCases() []testCase {
	return []testCase{
		{"Watch/Items", testWatchItems},
		{"Watch/ReadableWhenShown", testWatchReadable},
		{"Watch/OrderAndCompleteness", testWatchOrder},
		{"Watch/Stop", testWatchStop},
	}
}

// recorder collects changes.
type recorder struct {
	mu      sync.Mutex
	changes []driver.Change
}

func (r *recorder) add(c driver.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
}

func (r *recorder) take() []driver.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	cs := r.changes
	r.changes = nil
	return cs
}

// testWatchItems needs an engine that neither repeats nor leaves out, which every engine does while it has one node
// and no trouble. A change has been shown when the operation has returned.
func testWatchItems(e *env) {
	var rec recorder
	defer e.Watch(rec.add)()
	r := e.apply(s1, entries(withID("m"), state("k", `1`)))
	items := rec.take()
	page := e.read(s1, driver.Query{}).Entries
	same(e, "append", items, []driver.Change{{Session: s1, Epoch: r.Epoch, Items: []driver.Item{{Entry: &page[0]}, {Entry: &page[1]}}}})

	e.apply(s1, entries(withID("m"), withID("n")))
	if items = rec.take(); len(items) != 1 || len(items[0].Items) != 1 || items[0].Items[0].Entry.ID != "n" {
		e.Fatalf("append with a duplicate: %+v", items)
	}
	run := e.open(s1, "r")
	opened := e.run(s1, run.Run, 0)
	same(e, "open", rec.take(), []driver.Change{{Session: s1, Epoch: r.Epoch, Items: []driver.Item{{Entry: &opened}}}})

	fs := text("a", "b", "c")
	e.apply(s1, grow(run, 0, fs[:1]...))
	g := e.apply(s1, grow(run, 0, fs...)).Run
	got := rec.take()
	same(e, "repeats are not shown", got[1:], []driver.Change{{Session: s1, Epoch: r.Epoch,
		Items: []driver.Item{{Fragments: &driver.NewFragments{Run: run.Run, First: 2, Fragments: fs[1:], Tag: g.Tag}}}}})
	e.apply(s1, end(run, holdfast.RunComplete))
	got = rec.take()
	want := &driver.Ended{Run: run.Run, Status: holdfast.RunComplete, Fragments: 3, Tag: g.Tag, Data: json.RawMessage(`{"tokens":3}`)}
	want.At = got[0].Items[0].End.At
	same(e, "end", got, []driver.Change{{Session: s1, Epoch: r.Epoch, Items: []driver.Item{{End: want}}}})
	if want.At.Before(g.Changed) {
		e.Fatalf("ended at %v, before the last fragment at %v", want.At, g.Changed)
	}

	e.apply(s1, end(run, holdfast.RunComplete))
	e.apply(s1, opening("r"))
	e.apply(s1, entries(withID("m")))
	e.refused(holdfast.CodeEnded, s1, grow(run, 3, text("x")...))
	e.apply(s1, driver.Trim{Before: 2})
	same(e, "what writes nothing readers can see", rec.take(), []driver.Change(nil))
	e.remove(s1)
	same(e, "delete", rec.take(), []driver.Change{{Session: s1, Deleted: true}})
	e.remove(s1)
	same(e, "delete nothing", rec.take(), []driver.Change(nil))
}

// testWatchReadable checks that what the watcher is told of can be read, before the writer itself returns. The reader
// is another goroutine, as the watcher must not call the engine.
func testWatchReadable(e *env) {
	shown := make(chan holdfast.Offset, 100)
	defer e.Watch(func(c driver.Change) {
		for _, i := range c.Items {
			shown <- i.Entry.Offset
		}
	})()
	done := make(chan error, 1)
	go func() {
		for o := range shown {
			i, err := e.Info(e.ctx(), s1)
			if err != nil || i.Head < o {
				done <- fmt.Errorf("shown offset %d, but the head is %d (%v)", o, i.Head, err)
				return
			}
		}
		done <- nil
	}()
	for range 100 {
		e.add(s1, message(`1`))
	}
	close(shown)
	if err := <-done; err != nil {
		e.Fatal(err)
	}
}

// testWatchOrder rebuilds sessions from the changes alone, under concurrent writers.
func testWatchOrder(e *env) {
	var rec recorder
	defer e.Watch(rec.add)()
	const sessions, writers, each = 4, 8, 25
	e.parallel(sessions*writers, func(w int) error {
		s := holdfast.SessionID(fmt.Sprint("s", w%sessions))
		op, err := e.Apply(e.ctx(), s, opening(fmt.Sprint("r", w)))
		if err != nil {
			return err
		}
		for i := range each {
			if _, err := e.Apply(e.ctx(), s, grow(op.Run, int64(i), text("x")...)); err != nil {
				return err
			}
			if _, err := e.Apply(e.ctx(), s, entries(message(`1`))); err != nil {
				return err
			}
		}
		_, err = e.Apply(e.ctx(), s, end(op.Run, holdfast.RunComplete))
		return err
	})
	heads := map[holdfast.SessionID]holdfast.Offset{}
	runs := map[driver.RunRef]holdfast.FragmentNo{}
	ended := map[driver.RunRef]bool{}
	for _, c := range rec.take() {
		for _, i := range c.Items {
			switch {
			case i.Entry != nil:
				if i.Entry.Offset != heads[c.Session]+1 {
					e.Fatalf("%s: entry %d after %d", c.Session, i.Entry.Offset, heads[c.Session])
				}
				heads[c.Session]++
			case i.Fragments != nil:
				ref := driver.RunRef{Session: c.Session, Run: i.Fragments.Run}
				if i.Fragments.First != runs[ref]+1 || ended[ref] {
					e.Fatalf("%v: fragment %d after %d, ended %v", ref, i.Fragments.First, runs[ref], ended[ref])
				}
				runs[ref] += holdfast.FragmentNo(len(i.Fragments.Fragments))
			case i.End != nil:
				ended[driver.RunRef{Session: c.Session, Run: i.End.Run}] = true
			}
		}
	}
	for s, head := range heads {
		same(e, "head", head, e.info(s).Head)
	}
	same(e, "ended runs", len(ended), sessions*writers)
}

func testWatchStop(e *env) {
	var rec recorder
	stop := e.Watch(rec.add)
	e.add(s1, message(`1`))
	stop()
	stop()
	rec.take()
	e.add(s1, message(`2`))
	same(e, "after stop", len(rec.take()), 0)
	defer e.Watch(rec.add)()
	stop()
	e.add(s1, message(`3`))
	same(e, "another watcher", len(rec.take()), 1)
}
