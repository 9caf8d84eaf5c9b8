package tail_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// past is a session with a message (1), a run that is open with one fragment (2) and a message (3).
type past struct {
	t   *testing.T
	log *memory.Driver
	run holdfast.RunInfo
}

func newPast(t *testing.T) *past {
	p := &past{t: t, log: memory.New(memory.Options{})}
	p.message()
	p.run = p.apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "a"}}).Run
	p.run = p.apply(driver.AppendFragments{Run: p.run.Run, Fence: p.run.Fence, Fragments: []holdfast.Fragment{{Text: "x"}}}).Run
	p.message()
	return p
}

func (p *past) apply(op driver.Op) driver.Result {
	res, err := p.log.Apply(p.t.Context(), session, op)
	if err != nil {
		p.t.Fatal(err)
	}
	return res
}

func (p *past) message() {
	p.apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: json.RawMessage("1")}}})
}

func (p *past) end() {
	p.apply(driver.EndRun{Run: p.run.Run, Fence: p.run.Fence, Status: holdfast.RunComplete})
}

// outcome resumes with a cursor, and returns how. It fails if the reader is not live after one answer.
func (p *past) outcome(c *holdfast.Cursor) holdfast.Outcome {
	var outcome holdfast.Outcome
	r := tail.NewReader(tail.New(session), c, 10)
	for range 10 {
		b, ok := r.Live(1000)
		if !ok {
			var err error
			if b, err = r.CatchUp(context.Background(), p.log, 1000); err != nil {
				p.t.Fatal(err)
			}
		}
		for _, frame := range b.Frames {
			f, err := wire.DecodeServer(frame)
			if err != nil {
				p.t.Fatal(err)
			}
			switch f := f.(type) {
			case *wire.SubAnswer:
				if outcome != "" {
					p.t.Fatalf("answered %s, then %s", outcome, f.Outcome)
				}
				outcome = f.Outcome
			case *wire.Live:
				return outcome
			}
		}
	}
	p.t.Fatalf("answered %q and never caught up", outcome)
	return ""
}

// A resume is continuous only if the cursor is true in all it says.
func TestClause6_OnlyTrueCursorsContinue(t *testing.T) {
	const huge = ^holdfast.Offset(0)
	for name, test := range map[string]struct {
		then func(p *past)
		// change makes the cursor that is resumed with from the true one.
		change func(c *holdfast.Cursor)
		want   holdfast.Outcome
	}{
		"true":                        {want: holdfast.Continuous},
		"the run ended meanwhile":     {then: (*past).end, want: holdfast.Continuous},
		"another tag":                 {change: func(c *holdfast.Cursor) { c.Tag++ }, want: holdfast.Lost},
		"another epoch":               {change: func(c *holdfast.Cursor) { c.Epoch = "other" }, want: holdfast.Lost},
		"ahead of the log":            {change: func(c *holdfast.Cursor) { c.Offset++ }, want: holdfast.Lost},
		"at the highest offset":       {change: func(c *holdfast.Cursor) { c.Offset = huge }, want: holdfast.Lost},
		"ahead of the run":            {change: func(c *holdfast.Cursor) { c.Runs[0].Fragment++ }, want: holdfast.Lost},
		"far ahead of the run":        {change: func(c *holdfast.Cursor) { c.Runs[0].Fragment = ^holdfast.FragmentNo(0) }, want: holdfast.Lost},
		"another run":                 {change: func(c *holdfast.Cursor) { c.Runs[0].Tag++ }, want: holdfast.Lost},
		"a message for a run":         {change: func(c *holdfast.Cursor) { c.Runs[0].Run = 1 }, want: holdfast.Lost},
		"the end of an open run":      {change: func(c *holdfast.Cursor) { c.Runs = nil }, want: holdfast.Lost},
		"a run after its offset":      {change: func(c *holdfast.Cursor) { *c = c.With(holdfast.RunCursor{Run: 4}) }, want: holdfast.Lost},
		"a run at the last offset":    {change: func(c *holdfast.Cursor) { *c = c.With(holdfast.RunCursor{Run: huge}) }, want: holdfast.Lost},
		"from before the first write": {change: func(c *holdfast.Cursor) { *c = holdfast.Cursor{} }, want: holdfast.Continuous},
		"from before the first write, with a run": {
			change: func(c *holdfast.Cursor) { *c = holdfast.Cursor{Runs: []holdfast.RunCursor{{Run: 2}}} }, want: holdfast.Lost,
		},
		"trimmed to where it is": {then: func(p *past) { p.apply(driver.Trim{Before: 4}) }, want: holdfast.Continuous},
		"another tag, and all is trimmed": {
			then: func(p *past) { p.apply(driver.Trim{Before: 4}) }, change: func(c *holdfast.Cursor) { c.Tag++ }, want: holdfast.Lost,
		},
		"trimmed past it": {
			then: func(p *past) { p.message(); p.message(); p.apply(driver.Trim{Before: 5 + 1}) }, want: holdfast.Snapshot,
		},
		"its run ended and was trimmed": {
			then: func(p *past) { p.end(); p.apply(driver.Trim{Before: 3}) }, want: holdfast.Snapshot,
		},
		"deleted": {then: (*past).remove, want: holdfast.Lost},
		"deleted and begun anew": {
			then: func(p *past) { p.remove(); p.message(); p.message(); p.message() }, want: holdfast.Lost,
		},
		"deleted, from before the first write, with a run": {
			then: (*past).remove,
			change: func(c *holdfast.Cursor) {
				*c = holdfast.Cursor{Runs: []holdfast.RunCursor{{Run: 2, Fragment: 1, Tag: 1}}}
			},
			want: holdfast.Lost,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t)
			info, err := p.log.Info(t.Context(), session)
			if err != nil {
				t.Fatal(err)
			}
			c := info.Cursor()
			if test.then != nil {
				test.then(p)
			}
			if test.change != nil {
				test.change(&c)
			}
			if got := p.outcome(&c); got != test.want {
				t.Errorf("answered %s, want %s", got, test.want)
			}
		})
	}
}

func (p *past) remove() {
	if err := p.log.Delete(p.t.Context(), session); err != nil {
		p.t.Fatal(err)
	}
}
