package storetest

import (
	"context"
	"encoding/json"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func appendCases() []testCase {
	return []testCase{
		{"Append/NumbersFromOne", testAppend},
		{"Append/EntryAsWritten", testAppendKeeps},
		{"Append/OwnsItsData", testAppendOwns},
		{"Append/Duplicate", testDuplicate},
		{"Append/DuplicateWithinOne", testDuplicateWithin},
		{"Append/DuplicateScope", testDuplicateScope},
		{"Append/DuplicateOutlivesTrim", testDuplicateOutlivesTrim},
		{"Append/IfEpoch", testIfEpoch},
		{"Append/Refused", testAppendRefused},
		{"Append/ContextEnded", testContext},
	}
}

func testAppend(e *env) {
	same(e, "info of a session that was never written to", e.info(s1), driver.Info{})
	same(e, "page of it", e.read(s1, driver.Query{}), driver.Page{})
	r := e.apply(s1, entries(message(`1`), message(`2`)))
	if len(r.Epoch) != holdfast.EpochLen {
		e.Fatalf("epoch %q, want %d bytes", r.Epoch, holdfast.EpochLen)
	}
	r2 := e.apply(s1, entries(message(`3`)))
	if r2.Epoch != r.Epoch {
		e.Fatalf("epoch changed from %q to %q", r.Epoch, r2.Epoch)
	}
	ws := append(r.Entries, r2.Entries...)
	for i, w := range ws {
		if w.Offset != holdfast.Offset(i+1) || w.Duplicate || w.At.IsZero() {
			e.Fatalf("entry %d: %+v", i, w)
		}
		if t, ok := e.tag(s1, w.Offset); !ok || t != w.Tag {
			e.Fatalf("TagAt(%d) = %v, %v; want %v", w.Offset, t, ok, w.Tag)
		}
	}
	if _, ok := e.tag(s1, 4); ok {
		e.Fatal("a tag past the head")
	}
	if _, ok := e.tag(s1, 0); ok {
		e.Fatal("a tag at offset 0")
	}
	i := e.info(s1)
	same(e, "info", i, driver.Info{Session: s1, Epoch: r.Epoch, First: 1, Head: 3, HeadTag: ws[2].Tag, Entries: 3, Bytes: 3,
		Created: ws[0].At, Changed: ws[2].At})
	if other := e.apply("chat:2", entries(message(`1`))); other.Epoch == r.Epoch || other.Entries[0].Offset != 1 {
		e.Fatalf("another session is not its own: %+v", other)
	}
}

func testAppendKeeps(e *env) {
	ns := []driver.NewEntry{
		{Kind: holdfast.KindMessage, ID: "a", From: holdfast.Sender{User: "ann", Client: "c1"}, Data: json.RawMessage(`{"x":[1,2]}`)},
		{Kind: holdfast.KindEvent, ID: "b", Data: json.RawMessage(`"joined"`)},
		{Kind: holdfast.KindState, Key: "progress", Data: json.RawMessage(`0.5`)},
		{Kind: holdfast.KindMessage},
	}
	ws := e.add(s1, ns...)
	var want []holdfast.Entry
	for i, n := range ns {
		want = append(want, holdfast.Entry{Offset: ws[i].Offset, First: ws[i].Offset, Tag: ws[i].Tag, Kind: n.Kind, At: ws[i].At,
			ID: n.ID, From: n.From, Key: n.Key, Data: n.Data})
	}
	same(e, "entries", e.read(s1, driver.Query{}).Entries, want)
	if ms := ws[0].At.Nanosecond() % 1e6; ms != 0 {
		e.Fatalf("At is finer than milliseconds: %v", ws[0].At)
	}
}

func testAppendOwns(e *env) {
	n := message(`{"a":1}`)
	e.add(s1, n)
	copy(n.Data, `XXXXXXX`)
	run := e.open(s1, "r")
	fs := []holdfast.Fragment{{Event: json.RawMessage(`{"b":2}`)}}
	e.apply(s1, grow(run, 0, fs...))
	copy(fs[0].Event, `XXXXXXX`)
	same(e, "data", string(e.read(s1, driver.Query{}).Entries[0].Data), `{"a":1}`)
	same(e, "event", string(e.run(s1, run.Run, 0).Run.Body[0].Event), `{"b":2}`)
}

func testDuplicate(e *env) {
	first := e.add(s1, withID("m1"))[0]
	e.add(s1, message(`2`))
	other := withID("m1")
	other.Data = json.RawMessage(`"different"`)
	before := e.dump(s1)
	r := e.apply(s1, entries(other))
	first.Duplicate = true
	same(e, "result of the repeat", r.Entries, []driver.Written{first})
	same(e, "session", e.dump(s1), before)

	mixed := e.apply(s1, entries(withID("m2"), withID("m1"), withID("m3")))
	if w := mixed.Entries; w[0].Offset != 3 || w[1] != first || w[2].Offset != 4 || w[0].Duplicate || w[2].Duplicate {
		e.Fatalf("mixed: %+v", w)
	}
}

func testDuplicateWithin(e *env) {
	r := e.apply(s1, entries(withID("m"), withID("n"), withID("m")))
	want := r.Entries[0]
	want.Duplicate = true
	same(e, "third", r.Entries[2], want)
	if h := e.info(s1).Head; h != 2 {
		e.Fatalf("head %d", h)
	}
}

func testDuplicateScope(e *env) {
	as := func(u holdfast.UserID, c holdfast.ClientID) driver.NewEntry {
		n := withID("same")
		n.From = holdfast.Sender{User: u, Client: c}
		return n
	}
	ws := e.add(s1, as("", ""), as("ann", "c1"), as("bob", "c1"))
	same(e, "offsets", []holdfast.Offset{ws[0].Offset, ws[1].Offset, ws[2].Offset}, offs(1, 2, 3))
	// The scope is the user, not the client.
	if w := e.apply(s1, entries(as("ann", "c2"))).Entries[0]; !w.Duplicate || w.Offset != 2 {
		e.Fatalf("ann's other client: %+v", w)
	}
	if w := e.apply("chat:2", entries(as("ann", "c1"))).Entries[0]; w.Duplicate {
		e.Fatal("the scope of an id is one session")
	}
	// Entries without an ID are never duplicates.
	if w := e.apply(s1, entries(message(`1`), message(`1`))).Entries; w[0].Duplicate || w[1].Duplicate {
		e.Fatal("entries without an id taken for duplicates")
	}
}

func testDuplicateOutlivesTrim(e *env) {
	first := e.add(s1, withID("m1"))[0]
	run := e.open(s1, "r1")
	e.apply(s1, grow(run, 0, text("a", "b")...))
	e.apply(s1, end(run, holdfast.RunComplete))
	e.fill(s1, 3)
	ended := e.apply(s1, opening("r1"))
	e.apply(s1, driver.Trim{Before: 4})
	first.Duplicate = true
	same(e, "result", e.apply(s1, entries(withID("m1"))).Entries, []driver.Written{first})
	same(e, "opening of a run that was trimmed", e.apply(s1, opening("r1")), ended)
	if ended.Run.Status != holdfast.RunComplete || ended.Run.Fragments != 2 {
		e.Fatalf("ended run: %+v", ended.Run)
	}
}

func testIfEpoch(e *env) {
	e.refused(holdfast.CodeConflict, s1, driver.Append{Entries: []driver.NewEntry{message(`1`)}, IfEpoch: "aaaaaaaaaa"})
	r := e.apply(s1, entries(message(`1`)))
	e.apply(s1, driver.Append{Entries: []driver.NewEntry{message(`2`)}, IfEpoch: r.Epoch})
	e.refused(holdfast.CodeConflict, s1, driver.Append{Entries: []driver.NewEntry{message(`3`)}, IfEpoch: "aaaaaaaaaa"})
}

func testAppendRefused(e *env) {
	e.add(s1, message(`1`))
	for name, op := range map[string]driver.Op{
		"nothing":           driver.Append{},
		"run":               entries(message(`1`), driver.NewEntry{Kind: holdfast.KindRun}),
		"unknown kind":      entries(message(`1`), driver.NewEntry{Kind: "x"}),
		"state without key": entries(message(`1`), driver.NewEntry{Kind: holdfast.KindState}),
		"message with key":  entries(message(`1`), driver.NewEntry{Kind: holdfast.KindMessage, Key: "k"}),
		"nil":               nil,
	} {
		if err := e.refused(holdfast.CodeInvalid, s1, op); err.Message == "" {
			e.Errorf("%s: no message", name)
		}
	}
	_, err := e.Apply(e.ctx(), "bad id\x00", entries(message(`1`)))
	e.code(holdfast.CodeInvalid, err)
}

func testContext(e *env) {
	ctx, cancel := context.WithCancel(e.ctx())
	cancel()
	if _, err := e.Apply(ctx, s1, entries(message(`1`))); err == nil {
		e.Fatal("no error with a context that has ended")
	}
	if _, err := e.Read(ctx, s1, driver.Query{}); err == nil {
		e.Fatal("no error reading with a context that has ended")
	}
}
