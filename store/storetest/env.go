package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// env is a test with an open engine.
type env struct {
	testing.TB
	driver.Driver
	harness Harness
}

const s1 = holdfast.SessionID("chat:1")

// every is the query for a whole session.
func every() driver.Query { return driver.Query{Limit: 1 << 20, MaxBytes: 1 << 30} }

func (e *env) ctx() context.Context { return context.Background() }

// apply performs an operation that must succeed.
func (e *env) apply(s holdfast.SessionID, op driver.Op) driver.Result {
	e.Helper()
	r, err := e.Apply(e.ctx(), s, op)
	if err != nil {
		e.Fatalf("%T: %v", op, err)
	}
	return r
}

// refused performs an operation that must fail with a code, and returns the error.
func (e *env) refused(code holdfast.Code, s holdfast.SessionID, op driver.Op) *holdfast.Error {
	e.Helper()
	before := e.dump(s)
	_, err := e.Apply(e.ctx(), s, op)
	e.code(code, err)
	same(e, "session after a refused operation", e.dump(s), before)
	he, _ := err.(*holdfast.Error)
	return he
}

func (e *env) code(code holdfast.Code, err error) {
	e.Helper()
	if holdfast.CodeOf(err) != code {
		e.Fatalf("got error %v, want code %q", err, code)
	}
}

func message(data string) driver.NewEntry {
	return driver.NewEntry{Kind: holdfast.KindMessage, Data: json.RawMessage(data)}
}

func withID(id string) driver.NewEntry {
	n := message(`{"text":"hi"}`)
	n.ID = id
	return n
}

func state(key, data string) driver.NewEntry {
	return driver.NewEntry{Kind: holdfast.KindState, Key: key, Data: json.RawMessage(data)}
}

func entries(ns ...driver.NewEntry) driver.Append { return driver.Append{Entries: ns} }

// add appends entries that must be new and returns where they stand.
func (e *env) add(s holdfast.SessionID, ns ...driver.NewEntry) []driver.Written {
	e.Helper()
	r := e.apply(s, entries(ns...))
	for _, w := range r.Entries {
		if w.Duplicate {
			e.Fatalf("new entry was taken for a duplicate: %+v", w)
		}
	}
	return r.Entries
}

// fill appends n messages.
func (e *env) fill(s holdfast.SessionID, n int) {
	e.Helper()
	ns := make([]driver.NewEntry, n)
	for i := range ns {
		ns[i] = message(fmt.Sprintf(`{"n":%d}`, i))
	}
	e.add(s, ns...)
}

func opening(id string) driver.OpenRunOp {
	return driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id, Data: json.RawMessage(`{"model":"m"}`)}}
}

// open opens a new run.
func (e *env) open(s holdfast.SessionID, id string) holdfast.RunInfo {
	e.Helper()
	return e.apply(s, opening(id)).Run
}

func text(ts ...string) []holdfast.Fragment {
	fs := make([]holdfast.Fragment, len(ts))
	for i, t := range ts {
		fs[i] = holdfast.Fragment{Text: t}
	}
	return fs
}

func grow(run holdfast.RunInfo, after int64, fs ...holdfast.Fragment) driver.AppendFragments {
	return driver.AppendFragments{Run: run.Run, Fence: run.Fence, After: after, Fragments: fs}
}

func end(run holdfast.RunInfo, status holdfast.RunStatus) driver.EndRun {
	return driver.EndRun{Run: run.Run, Fence: run.Fence, Status: status, Data: json.RawMessage(`{"tokens":3}`)}
}

func (e *env) info(s holdfast.SessionID) driver.Info {
	e.Helper()
	i, err := e.Info(e.ctx(), s)
	if err != nil {
		e.Fatal(err)
	}
	return i
}

func (e *env) read(s holdfast.SessionID, q driver.Query) driver.Page {
	e.Helper()
	p, err := e.Read(e.ctx(), s, q)
	if err != nil {
		e.Fatal(err)
	}
	return p
}

func (e *env) run(s holdfast.SessionID, o holdfast.Offset, after holdfast.FragmentNo) holdfast.Entry {
	e.Helper()
	r, err := e.Run(e.ctx(), s, o, after)
	if err != nil {
		e.Fatal(err)
	}
	return r
}

func (e *env) states(s holdfast.SessionID) []holdfast.Entry {
	e.Helper()
	es, err := e.States(e.ctx(), s)
	if err != nil {
		e.Fatal(err)
	}
	return es
}

func (e *env) tag(s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool) {
	e.Helper()
	t, ok, err := e.TagAt(e.ctx(), s, o)
	if err != nil {
		e.Fatal(err)
	}
	return t, ok
}

// contents is all that can be read of a session.
type contents struct {
	Page   driver.Page
	States []holdfast.Entry
	Tags   map[holdfast.Offset]holdfast.Tag
}

func (e *env) dump(s holdfast.SessionID) contents {
	e.Helper()
	c := contents{Page: e.read(s, every()), States: e.states(s), Tags: map[holdfast.Offset]holdfast.Tag{}}
	for o := holdfast.Offset(1); o <= c.Page.Info.Head; o++ {
		if t, ok := e.tag(s, o); ok {
			c.Tags[o] = t
		}
	}
	return c
}

// reopen closes the engine and opens it again.
func (e *env) reopen() {
	e.Helper()
	if err := e.Close(); err != nil {
		e.Fatalf("closing: %v", err)
	}
	e.Driver = e.harness.Open()
}

// pass writes to another session until the engine's clock has moved beyond t.
func (e *env) pass(t time.Time) {
	e.Helper()
	for w := e.add("clock", message(`1`))[0]; !w.At.After(t); {
		w = e.add("clock", message(`1`))[0]
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func offsets(es []holdfast.Entry) []holdfast.Offset {
	var os []holdfast.Offset
	for _, e := range es {
		os = append(os, e.Offset)
	}
	return os
}

// firsts returns which offsets each entry covers.
func firsts(es []holdfast.Entry) []string {
	var out []string
	for _, e := range es {
		out = append(out, fmt.Sprintf("%d-%d", e.First, e.Offset))
	}
	return out
}

func offs(os ...holdfast.Offset) []holdfast.Offset { return os }
