package storetest

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func deleteCases() []testCase {
	return []testCase{
		{"Delete/AllGone", testDelete},
		{"Delete/NewEpoch", testNewEpoch},
		{"Delete/NotThere", testDeleteNothing},
		{"Delete/Expire", testExpire},
	}
}

func (e *env) remove(s holdfast.SessionID) {
	e.Helper()
	if err := e.Delete(e.ctx(), s); err != nil {
		e.Fatal(err)
	}
}

// furnish writes one of everything.
func (e *env) furnish(s holdfast.SessionID) holdfast.RunInfo {
	e.Helper()
	e.add(s, withID("m"), state("k", `1`), state("k", `2`))
	run := e.open(s, "r")
	e.apply(s, grow(run, 0, text("a", "b")...))
	ended := e.open(s, "e")
	e.apply(s, grow(ended, 0, text("c")...))
	e.apply(s, end(ended, holdfast.RunComplete))
	return run
}

func testDelete(e *env) {
	run := e.furnish(s1)
	e.furnish("chat:2")
	other := e.dump("chat:2")
	e.remove(s1)
	same(e, "info", e.info(s1), driver.Info{})
	same(e, "page", e.read(s1, driver.Query{}), driver.Page{})
	same(e, "states", len(e.states(s1)), 0)
	_, err := e.Run(e.ctx(), s1, run.Run, 0)
	e.code(holdfast.CodeNotFound, err)
	for o := holdfast.Offset(0); o < 7; o++ {
		if _, ok := e.tag(s1, o); ok {
			e.Fatalf("a tag at %d", o)
		}
	}
	e.refused(holdfast.CodeNotFound, s1, grow(run, 2, text("x")...))
	open, err := e.OpenRuns(e.ctx(), driver.RunRef{}, 10)
	if err != nil || len(open) != 1 || open[0].Session != "chat:2" {
		e.Fatalf("open runs: %+v, %v", open, err)
	}
	same(e, "the other session", e.dump("chat:2"), other)
}

func testNewEpoch(e *env) {
	e.furnish(s1)
	old := e.dump(s1)
	e.remove(s1)
	r := e.apply(s1, entries(withID("m")))
	if r.Epoch == old.Page.Info.Epoch || r.Epoch == "" {
		e.Fatalf("epoch %q after %q", r.Epoch, old.Page.Info.Epoch)
	}
	w := r.Entries[0]
	if w.Offset != 1 || w.Duplicate || w.Tag == old.Page.Entries[0].Tag {
		e.Fatalf("first entry of the new life: %+v", w)
	}
	if again := e.apply(s1, opening("r")); again.Entries[0].Duplicate || again.Run.Fragments != 0 || again.Run.Fence != 1 {
		e.Fatalf("a run of the old life: %+v", again)
	}
	e.add(s1, state("k", `3`))
	same(e, "offsets", offsets(e.read(s1, driver.Query{}).Entries), offs(1, 2, 3))
	same(e, "body", e.run(s1, 2, 0).Run.Body.Text(""), "")
	i := e.info(s1)
	same(e, "info", []int64{int64(i.First), i.Entries, int64(len(i.Open))}, []int64{1, 3, 1})
	e.refused(holdfast.CodeConflict, s1, driver.Append{Entries: []driver.NewEntry{message(`1`)}, IfEpoch: old.Page.Info.Epoch})
}

func testDeleteNothing(e *env) {
	e.remove("nothing")
	e.add(s1, message(`1`))
	e.remove(s1)
	e.remove(s1)
}

func testExpire(e *env) {
	run := e.furnish(s1)
	seen := e.info(s1)
	op := driver.Expire{Epoch: seen.Epoch, Head: seen.Head}
	e.refused(holdfast.CodeConflict, s1, op) // a run is open
	e.apply(s1, end(run, holdfast.RunComplete))
	e.refused(holdfast.CodeConflict, s1, driver.Expire{Epoch: seen.Epoch, Head: seen.Head - 1})
	e.refused(holdfast.CodeConflict, s1, driver.Expire{Epoch: "aaaaaaaaaa", Head: seen.Head})
	var rec recorder
	defer e.Watch(rec.add)()
	e.apply(s1, op)
	same(e, "info", e.info(s1), driver.Info{})
	same(e, "change", rec.take(), []driver.Change{{Session: s1, Deleted: true}})
	e.apply(s1, op)
	if r := e.apply(s1, entries(withID("m"))); r.Epoch == seen.Epoch || r.Entries[0].Offset != 1 || r.Entries[0].Duplicate {
		e.Fatalf("the next life: %+v", r)
	}
	e.refused(holdfast.CodeConflict, s1, op)
}
