package storetest

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func trimCases() []testCase {
	return []testCase{
		{"Trim/Drops", testTrim},
		{"Trim/All", testTrimAll},
		{"Trim/Keeps", testTrimKeeps},
		{"Trim/Refused", testTrimRefused},
		{"Trim/NothingToDo", testTrimNothing},
	}
}

func testTrim(e *env) {
	e.fill(s1, 10)
	before := e.info(s1)
	r := e.apply(s1, driver.Trim{Before: 4})
	same(e, "epoch", r.Epoch, before.Epoch)
	want := before
	want.First, want.Entries, want.Bytes = 4, 7, before.Bytes-3*int64(len(`{"n":0}`))
	same(e, "info", e.info(s1), want)
	p := e.read(s1, driver.Query{})
	same(e, "entries", firsts(p.Entries), []string{"4-4", "5-5", "6-6", "7-7", "8-8", "9-9", "10-10"})
	same(e, "a query from before first", offsets(e.read(s1, driver.Query{After: 1, Limit: 2}).Entries), offs(4, 5))
	for o := holdfast.Offset(1); o <= 10; o++ {
		if _, ok := e.tag(s1, o); ok != (o >= 4) {
			e.Fatalf("tag at %d: %v", o, ok)
		}
	}
	if w := e.add(s1, message(`1`))[0]; w.Offset != 11 {
		e.Fatalf("offset %d after a trim", w.Offset)
	}
}

func testTrimAll(e *env) {
	ws := e.add(s1, message(`1`), message(`2`))
	e.apply(s1, driver.Trim{Before: 3})
	i := e.info(s1)
	same(e, "info", i, driver.Info{Session: s1, Epoch: i.Epoch, First: 3, Head: 2, HeadTag: ws[1].Tag, Created: ws[0].At, Changed: ws[1].At})
	same(e, "entries", len(e.read(s1, driver.Query{}).Entries), 0)
	if _, ok := e.tag(s1, 2); ok {
		e.Fatal("the tag of a head that was trimmed")
	}
	w := e.add(s1, message(`3`))[0]
	same(e, "offset", w.Offset, holdfast.Offset(3))
	same(e, "entries", firsts(e.read(s1, driver.Query{}).Entries), []string{"3-3"})
}

func testTrimKeeps(e *env) {
	e.add(s1, message(`1`), state("old", `1`), state("k", `1`)) // 1, 2, 3
	a, b := e.open(s1, "a"), e.open(s1, "b")                    // 4, 5
	e.apply(s1, grow(a, 0, text("x", "y")...))
	e.apply(s1, end(b, holdfast.RunComplete))
	e.fill(s1, 3)              // 6, 7, 8
	e.add(s1, state("k", `2`)) // 9; 3 is a hole
	e.fill(s1, 1)              // 10
	e.apply(s1, driver.Trim{Before: 10})
	kept := []string{"2-2", "4-4", "9-9", "10-10"}
	same(e, "entries", firsts(e.read(s1, driver.Query{}).Entries), kept)
	same(e, "backward", firsts(e.read(s1, driver.Query{Before: 11}).Entries), kept)
	same(e, "states", offsets(e.states(s1)), offs(2, 9))
	same(e, "run", e.run(s1, 4, 0).Run.Body.Text(""), "xy")
	_, err := e.Run(e.ctx(), s1, 5, 0)
	e.code(holdfast.CodeNotFound, err)
	i := e.info(s1)
	same(e, "info", []int64{int64(i.First), i.Entries, int64(len(i.Open))}, []int64{10, 4, 1})

	// What is kept goes on as before.
	e.apply(s1, grow(a, 2, text("z")...))
	e.apply(s1, end(a, holdfast.RunComplete))
	same(e, "run", e.run(s1, 4, 2).Run.Body.Text(""), "z")
	e.add(s1, state("old", `2`)) // 11 replaces 2
	same(e, "entries", firsts(e.read(s1, driver.Query{}).Entries), []string{"4-4", "9-9", "10-10", "11-11"})
	if _, ok := e.tag(s1, 2); ok {
		e.Fatal("the tag of a state that was replaced below first")
	}
	e.apply(s1, driver.Trim{Before: 10})
	same(e, "the ended run goes with the next trim", firsts(e.read(s1, driver.Query{}).Entries), []string{"9-9", "10-10", "11-11"})
	e.refused(holdfast.CodeNotFound, s1, end(a, holdfast.RunComplete))
	same(e, "bytes", e.info(s1).Bytes, int64(len(`2`)+len("k")+len(`{"n":0}`)+len(`2`)+len("old")))
}

func testTrimRefused(e *env) {
	e.fill(s1, 3)
	e.refused(holdfast.CodeInvalid, s1, driver.Trim{Before: 5})
	e.refused(holdfast.CodeInvalid, "nothing", driver.Trim{Before: 2})
	e.apply(s1, driver.Trim{Before: 4})
}

func testTrimNothing(e *env) {
	e.fill(s1, 3)
	e.apply(s1, driver.Trim{Before: 3})
	before := e.dump(s1)
	for _, o := range offs(0, 1, 2, 3) {
		e.apply(s1, driver.Trim{Before: o})
		same(e, "session", e.dump(s1), before)
	}
	e.apply("nothing", driver.Trim{Before: 1})
	same(e, "a trim makes no session", e.info("nothing"), driver.Info{})
}
