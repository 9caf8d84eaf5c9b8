package storetest

import (
	"encoding/json"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func stateCases() []testCase {
	return []testCase{
		{"State/LatestStays", testStates},
		{"State/Holes", testHoles},
		{"State/WithinOneAppend", testStatesWithin},
		{"State/Counts", testStateCounts},
	}
}

func testStates(e *env) {
	old := e.add(s1, state("a", `1`), state("b", `1`))
	e.add(s1, message(`0`))
	ws := e.add(s1, state("a", `2`))
	got := e.states(s1)
	same(e, "offsets", offsets(got), offs(2, 4))
	same(e, "latest", string(got[1].Data), `2`)
	if t, ok := e.tag(s1, 1); !ok || t != old[0].Tag {
		e.Fatalf("the replaced state's tag: %v, %v", t, ok)
	}
	if t, ok := e.tag(s1, 4); !ok || t != ws[0].Tag {
		e.Fatalf("the latest state's tag: %v, %v", t, ok)
	}
	if es := e.states("nothing"); len(es) != 0 {
		e.Fatalf("states of no session: %v", es)
	}
}

func testHoles(e *env) {
	for range 3 {
		e.add(s1, state("a", `1`)) // 1 to 3, the first two replaced
	}
	e.add(s1, message(`0`), state("b", `1`), state("b", `2`), message(`0`)) // 4, (5), 6, 7
	e.add(s1, state("a", `2`))                                              // 8, and 3 becomes a hole
	want := []string{"1-4", "5-6", "7-7", "8-8"}
	same(e, "forward", firsts(e.read(s1, driver.Query{}).Entries), want)
	same(e, "backward", firsts(e.read(s1, driver.Query{Before: 9}).Entries), want)
	same(e, "from within a hole", firsts(e.read(s1, driver.Query{After: 2}).Entries), want)
	same(e, "from the end of a hole", firsts(e.read(s1, driver.Query{After: 4}).Entries), want[1:])
	same(e, "one", firsts(e.read(s1, driver.Query{After: 4, Limit: 1}).Entries), want[1:2])
	same(e, "one backward", firsts(e.read(s1, driver.Query{Before: 7, Limit: 1}).Entries), want[1:2])
	same(e, "states", firsts(e.states(s1)), []string{"5-6", "8-8"})
	e.apply(s1, driver.Trim{Before: 3})
	same(e, "not below first", firsts(e.read(s1, driver.Query{}).Entries), []string{"3-4", "5-6", "7-7", "8-8"})
}

func testStatesWithin(e *env) {
	ws := e.add(s1, state("a", `1`), state("a", `2`), state("a", `3`))
	p := e.read(s1, driver.Query{})
	same(e, "entries", firsts(p.Entries), []string{"1-3"})
	for i, w := range ws {
		if t, ok := e.tag(s1, holdfast.Offset(i+1)); !ok || t != w.Tag {
			e.Fatalf("tag %d: %v, %v", i+1, t, ok)
		}
	}
	same(e, "count", p.Info.Entries, int64(1))
}

func testStateCounts(e *env) {
	id := state("a", `"first"`)
	id.ID = "s1"
	e.add(s1, id)
	e.add(s1, state("a", `2`))
	i := e.info(s1)
	same(e, "entries and bytes", []int64{i.Entries, i.Bytes}, []int64{1, 2})
	if w := e.apply(s1, entries(id)).Entries[0]; !w.Duplicate || w.Offset != 1 {
		e.Fatalf("repeat of a state that was replaced: %+v", w)
	}
	n := driver.NewEntry{Kind: holdfast.KindEvent, ID: "12", From: holdfast.Sender{User: "u", Client: "c"}, Data: json.RawMessage(`"x"`)}
	e.add(s1, n)
	same(e, "bytes", e.info(s1).Bytes, int64(2+2+1+1+3))
}
