package storetest

import (
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func runCases() []testCase {
	return []testCase{
		{"Run/Life", testRunLife},
		{"Run/OpenAgain", testOpenAgain},
		{"Run/OpenWithoutID", testOpenWithoutID},
		{"Run/OpenRefused", testOpenRefused},
		{"Run/TakeOver", testTakeOver},
		{"Run/Numbering", testNumbering},
		{"Run/Refused", testRunRefused},
		{"Run/EndAgain", testEndAgain},
		{"Run/Force", testForce},
		{"Run/Rollup", testRollup},
	}
}

func testRunLife(e *env) {
	e.add(s1, message(`0`))
	r := e.apply(s1, opening("r1"))
	w := r.Entries[0]
	same(e, "opened", r.Run, holdfast.RunInfo{Run: 2, ID: "r1", Status: holdfast.RunOpen, Fence: 1, At: w.At, Changed: w.At})
	same(e, "open entry", e.run(s1, 2, 0), holdfast.Entry{Offset: 2, First: 2, Tag: w.Tag, Kind: holdfast.KindRun, At: w.At, ID: "r1",
		Data: json.RawMessage(`{"model":"m"}`), Run: &holdfast.Run{Status: holdfast.RunOpen, Fence: 1}})

	fs := []holdfast.Fragment{{Text: "Hel"}, {Text: "lo"}, {Part: "think", Text: "hm"}, {Event: json.RawMessage(`{"tool":1}`)}}
	g := e.apply(s1, grow(r.Run, 0, fs...)).Run
	var tag holdfast.Tag
	for i := range fs {
		tag = holdfast.ChainTag(tag, &fs[i])
	}
	same(e, "grown", g, holdfast.RunInfo{Run: 2, ID: "r1", Status: holdfast.RunOpen, Fence: 1, Fragments: 4, Tag: tag, Bytes: 17, TextBytes: 7,
		At: w.At, Changed: g.Changed})
	i := e.info(s1)
	same(e, "open in info", i.Open, []holdfast.RunInfo{g})
	same(e, "bytes", i.Bytes, int64(1+2+len(`{"model":"m"}`)+17))
	same(e, "changed", i.Changed, g.Changed)
	same(e, "fragments", e.run(s1, 2, 0).Run.Body.Fragments(), fs)
	same(e, "in a page", e.read(s1, driver.Query{After: 1}).Entries[0], e.run(s1, 2, 0))

	ended := e.apply(s1, end(g, holdfast.RunComplete)).Run
	g.Status = holdfast.RunComplete
	same(e, "ended", ended, g)
	i = e.info(s1)
	same(e, "open", len(i.Open), 0)
	same(e, "entries and bytes", []int64{i.Entries, i.Bytes}, []int64{2, int64(1 + 2 + 13 + 17 + len(`{"tokens":3}`))})
	got := e.run(s1, 2, 0)
	same(e, "compact", got.Run, &holdfast.Run{Status: holdfast.RunComplete, Fence: 1, Fragments: 4, Tag: tag, End: json.RawMessage(`{"tokens":3}`),
		Body: got.Run.Body})
	same(e, "fragments after the end", got.Run.Body.Fragments(), fs)
	if t, ok := e.tag(s1, 2); !ok || t != w.Tag || got.Tag != w.Tag {
		e.Fatal("the tag of a run changed")
	}
	same(e, "head's tag", i.HeadTag, w.Tag)
}

// testRollup: the window of a run is there for as long as the run is open, and is the one that the run was opened with.
func testRollup(e *env) {
	const window = 100 * time.Millisecond
	open := opening("r1")
	open.Rollup = window
	r := e.apply(s1, open).Run
	same(e, "opened", r.Rollup, window)
	again := opening("r1")
	again.Rollup, again.TakeOver = holdfast.MaxRollup, true
	r = e.apply(s1, again).Run
	same(e, "taken over", r.Rollup, window)
	g := e.apply(s1, grow(r, 0, text("a")...)).Run
	e.apply(s1, driver.RequestStop{ID: "x", From: ann, Run: r.Run})
	same(e, "grown, in the session, in the log", []time.Duration{g.Rollup, e.info(s1).Open[0].Rollup, e.run(s1, 1, 0).Run.Rollup},
		[]time.Duration{window, window, window})
	ended := e.apply(s1, end(g, holdfast.RunStopped)).Run
	same(e, "ended", []time.Duration{ended.Rollup, e.run(s1, 1, 0).Run.Rollup, e.apply(s1, opening("r1")).Run.Rollup}, []time.Duration{0, 0, 0})
	for _, bad := range []time.Duration{-time.Millisecond, holdfast.MaxRollup + 1, time.Microsecond} {
		open = opening("r2")
		open.Rollup = bad
		e.refused(holdfast.CodeInvalid, s1, open)
	}
}

func testOpenAgain(e *env) {
	a := e.apply(s1, opening("r1"))
	e.apply(s1, grow(a.Run, 0, text("x")...))
	other := opening("r1")
	other.Entry.Data = nil
	b := e.apply(s1, other)
	want := a.Entries[0]
	want.Duplicate = true
	same(e, "written", b.Entries, []driver.Written{want})
	same(e, "as it stands", b.Run, e.info(s1).Open[0])
	ann := opening("r1")
	ann.Entry.From.User = "ann"
	if r := e.apply(s1, ann); r.Run.Run != 2 || r.Entries[0].Duplicate {
		e.Fatalf("another user's id: %+v", r)
	}
	e.apply(s1, end(a.Run, holdfast.RunStopped))
	c := e.apply(s1, opening("r1"))
	if c.Run.Status != holdfast.RunStopped || !c.Entries[0].Duplicate || c.Run.Fragments != 1 {
		e.Fatalf("opening of an ended run: %+v", c)
	}
	takeOver := opening("r1")
	takeOver.TakeOver = true
	same(e, "an ended run cannot be taken over", e.apply(s1, takeOver).Run, c.Run)
	if w := e.apply(s1, entries(withID("r1"))).Entries[0]; !w.Duplicate || w.Offset != 1 {
		e.Fatalf("appending with the id of a run: %+v", w)
	}
}

func testOpenWithoutID(e *env) {
	a, b := e.apply(s1, opening("")), e.apply(s1, opening(""))
	if a.Run.Run != 1 || b.Run.Run != 2 || b.Entries[0].Duplicate {
		e.Fatalf("%+v, %+v", a, b)
	}
	same(e, "open", len(e.info(s1).Open), 2)
}

func testOpenRefused(e *env) {
	e.add(s1, withID("m"))
	e.refused(holdfast.CodeConflict, s1, opening("m"))
	op := opening("r")
	op.Entry.Kind = holdfast.KindMessage
	e.refused(holdfast.CodeInvalid, s1, op)
	op = opening("r")
	op.Entry.Key = "k"
	e.refused(holdfast.CodeInvalid, s1, op)
}

func testTakeOver(e *env) {
	a := e.open(s1, "r1")
	e.apply(s1, grow(a, 0, text("x")...))
	op := opening("r1")
	op.TakeOver = true
	b := e.apply(s1, op)
	if b.Run.Fence != 2 || b.Run.Fragments != 1 || !b.Entries[0].Duplicate {
		e.Fatalf("taken over: %+v", b)
	}
	err := e.refused(holdfast.CodeFenced, s1, grow(a, 1, text("old")...))
	same(e, "the error says how it stands", err.Run, &b.Run)
	e.refused(holdfast.CodeFenced, s1, end(a, holdfast.RunComplete))
	if e.run(s1, 1, 0).Run.Fence != 2 {
		e.Fatal("the entry's fence")
	}
	e.apply(s1, grow(b.Run, 1, text("new")...))
	e.apply(s1, end(b.Run, holdfast.RunComplete))
	// The old producer must not take the other's end for its own.
	e.refused(holdfast.CodeFenced, s1, end(a, holdfast.RunComplete))
	e.refused(holdfast.CodeFenced, s1, grow(a, 1, text("old")...))
	// TakeOver on what is not there opens it.
	op = opening("r2")
	op.TakeOver = true
	if r := e.apply(s1, op); r.Run.Fence != 1 || r.Entries[0].Duplicate {
		e.Fatalf("take-over of nothing: %+v", r)
	}
}

func testNumbering(e *env) {
	run := e.open(s1, "r")
	body := func() string { return e.run(s1, run.Run, 0).Run.Body.Text("") }
	check := func(op driver.AppendFragments, repeated int, want string) {
		e.Helper()
		r := e.apply(s1, op)
		if r.Repeated != repeated || body() != want {
			e.Fatalf("repeated %d, body %q; want %d, %q", r.Repeated, body(), repeated, want)
		}
		same(e, "fragments", r.Run.Fragments, holdfast.FragmentNo(len(want)))
	}
	check(grow(run, 0, text("a", "b")...), 0, "ab")
	check(grow(run, 0, text("a", "b")...), 2, "ab")
	check(grow(run, 1, text("b", "c", "d")...), 1, "abcd")
	check(grow(run, 0, text("a")...), 1, "abcd")
	check(grow(run, 4, text("e")...), 0, "abcde")
	check(grow(run, driver.AnyFragment, text("f")...), 0, "abcdef")
	check(grow(run, driver.AnyFragment, text("g")...), 0, "abcdefg")
	before := e.dump(s1)
	check(grow(run, 7), 0, "abcdefg")
	check(grow(run, 3), 0, "abcdefg")
	check(grow(run, driver.AnyFragment), 0, "abcdefg")
	same(e, "nothing written by repeats", e.dump(s1), before)
	err := e.refused(holdfast.CodeGap, s1, grow(run, 8, text("x")...))
	if err.Run == nil || err.Run.Fragments != 7 {
		e.Fatalf("gap: %+v", err.Run)
	}
	e.refused(holdfast.CodeInvalid, s1, grow(run, -2, text("x")...))
}

func testRunRefused(e *env) {
	e.add(s1, message(`0`), state("k", `1`), state("k", `2`))
	run := e.open(s1, "r")
	for _, o := range offs(0, 1, 2, 3, 5, 1<<63) {
		bad := run
		bad.Run = o
		e.refused(holdfast.CodeNotFound, s1, grow(bad, 0, text("x")...))
		e.refused(holdfast.CodeNotFound, s1, end(bad, holdfast.RunComplete))
		_, err := e.Run(e.ctx(), s1, o, 0)
		e.code(holdfast.CodeNotFound, err)
	}
	e.refused(holdfast.CodeNotFound, "nothing", grow(run, 0, text("x")...))
	e.refused(holdfast.CodeNotFound, "nothing", end(run, holdfast.RunComplete))
	_, err := e.Run(e.ctx(), "nothing", 1, 0)
	e.code(holdfast.CodeNotFound, err)
	for _, fence := range []holdfast.Fence{0, 2} {
		bad := run
		bad.Fence = fence
		e.refused(holdfast.CodeFenced, s1, grow(bad, 0, text("x")...))
		e.refused(holdfast.CodeFenced, s1, grow(bad, driver.AnyFragment, text("x")...))
		e.refused(holdfast.CodeFenced, s1, end(bad, holdfast.RunComplete))
	}
	for _, status := range []holdfast.RunStatus{"", holdfast.RunOpen, "done"} {
		e.refused(holdfast.CodeInvalid, s1, end(run, status))
	}
	e.apply(s1, end(run, holdfast.RunFailed))
	if he := e.refused(holdfast.CodeEnded, s1, grow(run, 0, text("x")...)); he.Run.Status != holdfast.RunFailed {
		e.Fatalf("ended: %+v", he.Run)
	}
	e.refused(holdfast.CodeEnded, s1, grow(run, driver.AnyFragment, text("x")...))
}

func testEndAgain(e *env) {
	run := e.open(s1, "r")
	e.apply(s1, grow(run, 0, text("a")...))
	first := e.apply(s1, end(run, holdfast.RunComplete))
	before := e.dump(s1)
	again := end(run, holdfast.RunComplete)
	again.Data = json.RawMessage(`"other"`)
	same(e, "repeat", e.apply(s1, again), first)
	same(e, "session", e.dump(s1), before)
	for _, status := range []holdfast.RunStatus{holdfast.RunStopped, holdfast.RunFailed, holdfast.RunInterrupted} {
		if err := e.refused(holdfast.CodeEnded, s1, end(run, status)); err.Run.Status != holdfast.RunComplete {
			e.Fatalf("ended: %+v", err.Run)
		}
	}
}

func testForce(e *env) {
	run := e.open(s1, "r")
	op := end(run, holdfast.RunInterrupted)
	op.Fence, op.Force = 0, true
	r := e.apply(s1, op)
	same(e, "status", r.Run.Status, holdfast.RunInterrupted)
	same(e, "the fence stays", r.Run.Fence, holdfast.Fence(1))
	same(e, "repeat", e.apply(s1, op), r)
	op.Status = holdfast.RunComplete
	e.refused(holdfast.CodeEnded, s1, op)
	e.refused(holdfast.CodeEnded, s1, end(run, holdfast.RunComplete))
	e.refused(holdfast.CodeEnded, s1, grow(run, 0, text("a")...))
}
