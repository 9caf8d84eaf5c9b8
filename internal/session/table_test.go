package session

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// fake is a Lookup with what the table's session holds.
type fake struct {
	known map[string]Known
	ended map[holdfast.Offset]holdfast.RunInfo
	event map[holdfast.Offset]holdfast.Entry
	err   error
}

func (f fake) Known(_ holdfast.UserID, id string) (Known, bool, error) {
	k, ok := f.known[id]
	return k, ok, f.err
}

func (f fake) Latest(string) (Standing, bool, error) { return Standing{}, false, f.err }

func (f fake) Ended(o holdfast.Offset) (holdfast.RunInfo, bool, error) {
	r, ok := f.ended[o]
	return r, ok, f.err
}

func (f fake) Event(o holdfast.Offset) (holdfast.Entry, bool, error) {
	e, ok := f.event[o]
	return e, ok, f.err
}

func (f fake) Below(holdfast.Offset) iter.Seq2[Standing, error] {
	return func(yield func(Standing, error) bool) {
		if f.err != nil {
			yield(Standing{}, f.err)
		}
	}
}

var now = time.UnixMilli(1_700_000_000_123).UTC()

// situation is where a run may stand when an operation on offset 1 comes with fence 2 and, for fragments, three of them
// after number 1.
type situation struct {
	info driver.Info
	look fake
}

func situations() map[string]situation {
	base := driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 1, Entries: 1}
	run := holdfast.RunInfo{Run: 1, ID: "r", Status: holdfast.RunOpen, Fence: 2, At: now, Changed: now}
	with := func(change func(*holdfast.RunInfo)) holdfast.RunInfo {
		r := run
		change(&r)
		return r
	}
	open := func(r holdfast.RunInfo) situation {
		i := base
		i.Open = []holdfast.RunInfo{r}
		return situation{i, fake{known: map[string]Known{"r": {Offset: 1, Run: true}}}}
	}
	ended := func(r holdfast.RunInfo) situation {
		return situation{base, fake{known: map[string]Known{"r": {Offset: 1, Run: true, Ended: &r}}, ended: map[holdfast.Offset]holdfast.RunInfo{1: r}}}
	}
	trimmed := ended(with(func(r *holdfast.RunInfo) { r.Status = holdfast.RunComplete }))
	trimmed.look.ended = nil
	return map[string]situation{
		"no session":     {driver.Info{}, fake{}},
		"no entry":       {driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1}, fake{}},
		"a message":      {base, fake{known: map[string]Known{"r": {Offset: 1}}}},
		"open empty":     open(run),
		"open 1":         open(with(func(r *holdfast.RunInfo) { r.Fragments = 1 })),
		"open 2":         open(with(func(r *holdfast.RunInfo) { r.Fragments = 2 })),
		"open 4":         open(with(func(r *holdfast.RunInfo) { r.Fragments = 4 })),
		"open 9":         open(with(func(r *holdfast.RunInfo) { r.Fragments = 9 })),
		"open by later":  open(with(func(r *holdfast.RunInfo) { r.Fence, r.Fragments = 3, 1 })),
		"open by before": open(with(func(r *holdfast.RunInfo) { r.Fence, r.Fragments = 1, 1 })),
		"complete":       ended(with(func(r *holdfast.RunInfo) { r.Status = holdfast.RunComplete })),
		"stopped":        ended(with(func(r *holdfast.RunInfo) { r.Status = holdfast.RunStopped })),
		"complete later": ended(with(func(r *holdfast.RunInfo) { r.Status, r.Fence = holdfast.RunComplete, 3 })),
		"trimmed":        trimmed,
	}
}

func operations() map[string]driver.Op {
	fs := []holdfast.Fragment{{Text: "a"}, {Text: "b"}, {Text: "c"}}
	opening := driver.NewEntry{Kind: holdfast.KindRun, ID: "r"}
	return map[string]driver.Op{
		"open":        driver.OpenRunOp{Entry: opening},
		"take over":   driver.OpenRunOp{Entry: opening, TakeOver: true},
		"append":      driver.AppendFragments{Run: 1, Fence: 2, After: 1, Fragments: fs},
		"append any":  driver.AppendFragments{Run: 1, Fence: 2, After: driver.AnyFragment, Fragments: fs},
		"append none": driver.AppendFragments{Run: 1, Fence: 2, After: 1},
		"complete":    driver.EndRun{Run: 1, Fence: 2, Status: holdfast.RunComplete},
		"force":       driver.EndRun{Run: 1, Status: holdfast.RunComplete, Force: true},
	}
}

// TestEveryCell goes through every situation of a run and every operation on it. A cell is a code, or "=" where
// nothing is written, or what changes: f for fence, +n for n fragments, end, new.
func TestEveryCell(t *testing.T) {
	columns := []string{"open", "take over", "append", "append any", "append none", "complete", "force"}
	table := map[string][]string{
		"no session":     {"new", "new", "not_found", "not_found", "not_found", "not_found", "not_found"},
		"no entry":       {"new", "new", "not_found", "not_found", "not_found", "not_found", "not_found"},
		"a message":      {"conflict", "conflict", "not_found", "not_found", "not_found", "not_found", "not_found"},
		"open empty":     {"=", "f3", "gap", "+3", "gap", "end", "end"},
		"open 1":         {"=", "f3", "+3", "+3", "=", "end", "end"},
		"open 2":         {"=", "f3", "+2", "+3", "=", "end", "end"},
		"open 4":         {"=", "f3", "=", "+3", "=", "end", "end"},
		"open 9":         {"=", "f3", "=", "+3", "=", "end", "end"},
		"open by later":  {"=", "f4", "fenced", "fenced", "fenced", "fenced", "end"},
		"open by before": {"=", "f2", "fenced", "fenced", "fenced", "fenced", "end"},
		"complete":       {"=", "=", "run_ended", "run_ended", "run_ended", "=", "="},
		"stopped":        {"=", "=", "run_ended", "run_ended", "run_ended", "run_ended", "run_ended"},
		"complete later": {"=", "=", "fenced", "fenced", "fenced", "fenced", "="},
		"trimmed":        {"=", "=", "not_found", "not_found", "not_found", "not_found", "not_found"},
	}
	for name, s := range situations() {
		row, ok := table[name]
		if !ok {
			t.Errorf("no row for %q", name)
			continue
		}
		for i, column := range columns {
			t.Run(name+"/"+column, func(t *testing.T) {
				before := s.info
				before.Open = append([]holdfast.RunInfo(nil), s.info.Open...)
				in := Input{Session: "s", Op: operations()[column], Now: now, Epoch: "bbbbbbbbbb"}
				out, err := Apply(s.info, in, s.look)
				if got := cell(s.info, out, err); got != row[i] {
					t.Errorf("got %s, want %s (error %v)", got, row[i], err)
				}
				if diff := cmp.Diff(before, s.info); diff != "" {
					t.Errorf("the state given was changed:\n%s", diff)
				}
			})
		}
	}
	if len(table) != len(situations()) || len(columns) != len(operations()) {
		t.Error("the table is not complete")
	}
}

func cell(before driver.Info, out Outcome, err error) string {
	var he *holdfast.Error
	if errors.As(err, &he) {
		if run := he.Code == holdfast.CodeFenced || he.Code == holdfast.CodeEnded || he.Code == holdfast.CodeGap; run != (he.Run != nil) {
			return fmt.Sprintf("%s with run %v", he.Code, he.Run)
		}
		return string(he.Code)
	}
	fx := out.Effects
	switch {
	case err != nil:
		return err.Error()
	case !out.Changed:
		if diff := cmp.Diff(Effects{}, fx); diff != "" || len(out.Items) > 0 {
			return "effects without a change: " + diff
		}
		return "="
	case fx.End != nil:
		if out.Result.Run.Status != holdfast.RunComplete || len(out.Info.Open) != 0 {
			return "a wrong end"
		}
		return "end"
	case len(fx.Entries) > 0:
		return "new"
	case fx.Fragments != nil:
		return fmt.Sprintf("+%d", out.Result.Run.Fragments-before.Open[0].Fragments)
	}
	return fmt.Sprintf("f%d", out.Info.Open[0].Fence)
}

// TestLookupFails: an operation that cannot look something up has no effect.
func TestLookupFails(t *testing.T) {
	broken := errors.New("disk")
	info := driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 3}
	for name, op := range map[string]driver.Op{
		"id":    driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, ID: "x"}}},
		"state": driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: "x"}}},
		"open":  driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "x"}},
		"run":   driver.AppendFragments{Run: 1},
		"end":   driver.EndRun{Run: 1, Status: holdfast.RunComplete},
		"trim":  driver.Trim{Before: 2},
	} {
		out, err := Apply(info, Input{Session: "s", Op: op, Now: now}, fake{err: broken})
		if !errors.Is(err, broken) || out.Changed {
			t.Errorf("%s: %v, changed %v", name, err, out.Changed)
		}
	}
}

// TestTagStays pins tags: readers keep them in positions, over releases of the program.
func TestTagStays(t *testing.T) {
	e := holdfast.Entry{Offset: 7, Kind: holdfast.KindMessage, At: now, ID: "id", From: holdfast.Sender{User: "u", Client: "c"}, Data: []byte(`{"a":1}`)}
	const want = holdfast.Tag(0xbdf801ed)
	got := TagOf("aaaaaaaaaa", &e)
	if got != want {
		t.Errorf("tag %#x, want %#x", got, want)
	}
	for name, change := range map[string]func(*holdfast.Entry){
		"offset": func(e *holdfast.Entry) { e.Offset++ },
		"kind":   func(e *holdfast.Entry) { e.Kind = holdfast.KindEvent },
		"at":     func(e *holdfast.Entry) { e.At = e.At.Add(time.Millisecond) },
		"id":     func(e *holdfast.Entry) { e.ID, e.From.User = "i", "du" },
		"client": func(e *holdfast.Entry) { e.From.Client = "d" },
		"key":    func(e *holdfast.Entry) { e.Key = "k" },
		"data":   func(e *holdfast.Entry) { e.Data = []byte(`{"a":2}`) },
	} {
		other := e
		change(&other)
		if TagOf("aaaaaaaaaa", &other) == got {
			t.Errorf("%s does not count", name)
		}
	}
	if TagOf("aaaaaaaaab", &e) == got {
		t.Error("the epoch does not count")
	}
	grown := e
	grown.First, grown.Run = 3, &holdfast.Run{Fragments: 9}
	if TagOf("aaaaaaaaaa", &grown) != got {
		t.Error("what changes in an entry counts")
	}
}
