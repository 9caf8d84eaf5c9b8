package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// scoped is a Lookup that knows ids by their scopes too.
type scoped struct {
	fake
	ids map[scopedID]Known
}

func (s scoped) Known(user holdfast.UserID, id string) (Known, bool, error) {
	k, ok := s.ids[scopedID{user, id}]
	return k, ok, s.err
}

var ann = holdfast.Sender{User: "ann", Client: "a1"}

// stopCase is a session in which a message stands at 1, and a run that answers it at 2 or no run.
type stopCase struct {
	info driver.Info
	look scoped
}

// stopCases are all places where the target of a stop may be.
func stopCases() map[string]stopCase {
	none := holdfast.Stop{}
	with := func(state holdfast.StopState) holdfast.Stop {
		return holdfast.Stop{ID: "first", From: ann, At: now, State: state}
	}
	out := map[string]stopCase{"no session": {}, "no run": waiting(), "trimmed": trimmedRun()}
	for status, stops := range map[holdfast.RunStatus][]holdfast.Stop{
		holdfast.RunOpen:        {none, with(holdfast.StopRequested)},
		holdfast.RunComplete:    {none, with(holdfast.StopTooLate)},
		holdfast.RunFailed:      {none, with(holdfast.StopTooLate)},
		holdfast.RunInterrupted: {none, with(holdfast.StopTooLate)},
		holdfast.RunStopped:     {none, with(holdfast.StopStopped), with(holdfast.StopUnreachable)},
	} {
		for _, s := range stops {
			out[strings.TrimSuffix(string(status)+" "+string(s.State), " ")] = withRun(status, s)
		}
	}
	for _, state := range []holdfast.StopState{holdfast.StopRequested, holdfast.StopUnreachable} {
		out["waits "+string(state)] = waiting(driver.StopInfo{Stop: with(state), Answers: 1})
	}
	return out
}

func withRun(status holdfast.RunStatus, stop holdfast.Stop) stopCase {
	r := holdfast.RunInfo{Run: 2, ID: "r", Status: status, Fence: 1, Fragments: 2, At: now, Changed: now, Answers: 1, Stop: stop}
	c := stopCase{driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 3, Entries: 3}, scoped{ids: map[scopedID]Known{
		{AnswersScope, "1"}: {Offset: 2, Run: true}, {"", "r"}: {Offset: 2, Run: true}, {"ann", "message"}: {Offset: 1},
	}}}
	if stop.State != "" {
		s := stopOf(&r)
		c.look.ids[scopedID{"ann", "first"}] = Known{Offset: 3, Stop: &s}
	}
	if status == holdfast.RunOpen {
		c.info.Open = []holdfast.RunInfo{r}
		return c
	}
	c.look.ids[scopedID{"", "r"}] = Known{Offset: 2, Run: true, Ended: &r}
	c.look.ended = map[holdfast.Offset]holdfast.RunInfo{2: r}
	return c
}

func trimmedRun() stopCase {
	c := withRun(holdfast.RunComplete, holdfast.Stop{})
	c.look.ended = nil
	return c
}

func waiting(stops ...driver.StopInfo) stopCase {
	c := stopCase{driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 1, Entries: 1, Stops: stops}, scoped{ids: map[scopedID]Known{}}}
	for i := range stops {
		c.look.ids[scopedID{stops[i].From.User, stops[i].ID}] = Known{Offset: 1, Stop: &stops[i]}
	}
	return c
}

var stopColumns = []string{"stop", "stop answer", "again", "append", "repeat", "beat", "complete", "end stopped", "lapse",
	"settle", "settle answer", "take over", "answer"}

func stopOps() map[string]driver.Op {
	opening := driver.NewEntry{Kind: holdfast.KindRun, ID: "r"}
	other := driver.NewEntry{Kind: holdfast.KindRun, ID: "other"}
	fs := []holdfast.Fragment{{Text: "a"}, {Text: "b"}}
	return map[string]driver.Op{
		"stop":          driver.RequestStop{ID: "new", From: ann, Run: 2},
		"stop answer":   driver.RequestStop{ID: "new", From: ann, Answers: 1},
		"again":         driver.RequestStop{ID: "first", From: ann, Answers: 1},
		"append":        driver.AppendFragments{Run: 2, Fence: 1, After: 1, Fragments: fs},
		"repeat":        driver.AppendFragments{Run: 2, Fence: 1, Fragments: fs},
		"beat":          driver.AppendFragments{Run: 2, Fence: 1, After: 2},
		"complete":      driver.EndRun{Run: 2, Fence: 1, Status: holdfast.RunComplete},
		"end stopped":   driver.EndRun{Run: 2, Fence: 1, Status: holdfast.RunStopped},
		"lapse":         driver.EndRun{Run: 2, Status: holdfast.RunInterrupted, Force: true},
		"settle":        driver.SettleStop{Run: 2, ID: "first"},
		"settle answer": driver.SettleStop{Answers: 1, ID: "first"},
		"take over":     driver.OpenRunOp{Entry: opening, TakeOver: true, Answers: 1},
		"answer":        driver.OpenRunOp{Entry: other, Answers: 1},
	}
}

// TestEveryStop goes through every place where the target of a stop may be and every operation on it. A cell is a code, or
// what was written: "+1" a fragment, the status with which the run ended, "open" for a new run, "f2" for a take-over, each with
// what the stop is then; "=" for nothing, with the stop that was answered.
func TestEveryStop(t *testing.T) {
	const nf = "not_found"
	none, too := "run_ended", "= too_late"
	ended := func(append, complete, stopped, lapse string) []string {
		return []string{"too_late", "too_late", "too_late", append, append, append, complete, stopped, lapse, "run_ended", nf, "=", "open"}
	}
	stopped := func(state, append, complete, stopped string) []string {
		s := "= " + state
		return []string{s, s, s, append, append, append, complete, stopped, none, s, nf, "=", "open"}
	}
	table := map[string][]string{
		"no session": {nf, nf, nf, nf, nf, nf, nf, nf, nf, nf, nf, nf, nf},
		"no run":     {nf, "requested", "requested", nf, nf, nf, nf, nf, nf, nf, nf, "open", "open"},
		"trimmed":    {nf, "too_late", "too_late", nf, nf, nf, nf, nf, nf, nf, nf, "=", "open"},

		"open": {"requested", "requested", "requested", "+1", "=", "=", "complete", "stopped", "interrupted", "conflict", nf, "f2", "open"},
		"open requested": {"= requested", "= requested", "= requested", "stopped", "=", "stopped", "complete too_late", "stopped stopped",
			"stopped unreachable", "stopped unreachable", nf, "f2", "open"},

		"complete":             ended(none, "=", none, none),
		"failed":               ended(none, none, none, none),
		"interrupted":          ended(none, none, none, "="),
		"stopped":              ended(none, none, "=", none),
		"complete too_late":    stopped("too_late", none, "=", none),
		"failed too_late":      stopped("too_late", none, none, none),
		"interrupted too_late": append(stopped("too_late", none, none, none)[:8], "=", too, nf, "=", "open"),
		"stopped stopped":      stopped("stopped", "stopped", none, "="),
		"stopped unreachable":  stopped("unreachable", "stopped", none, "="),

		"waits requested": {nf, "= requested", "= requested", nf, nf, nf, nf, nf, nf, nf, "unreachable", "open requested", "open requested"},
		"waits unreachable": {nf, "= unreachable", "= unreachable", nf, nf, nf, nf, nf, nf, nf, "= unreachable", "stopped stopped",
			"stopped stopped"},
	}
	for name, c := range stopCases() {
		row, ok := table[name]
		if !ok || len(row) != len(stopColumns) {
			t.Errorf("the row for %q has %d cells", name, len(row))
			continue
		}
		for i, column := range stopColumns {
			t.Run(name+"/"+column, func(t *testing.T) {
				before := fmt.Sprintf("%+v", c.info)
				out, err := Apply(c.info, Input{Session: "s", Op: stopOps()[column], Now: now, Epoch: "bbbbbbbbbb"}, c.look)
				if got := stopCell(&out, err); got != row[i] {
					t.Errorf("got %s, want %s (error %v)", got, row[i], err)
				}
				if after := fmt.Sprintf("%+v", c.info); after != before {
					t.Errorf("the state given was changed from %s to %s", before, after)
				}
				checkStop(t, &out)
			})
		}
	}
	if len(table) != len(stopCases()) || len(stopColumns) != len(stopOps()) {
		t.Error("the table is not complete")
	}
}

func stopCell(out *Outcome, err error) string {
	var he *holdfast.Error
	if errors.As(err, &he) {
		return string(he.Code)
	}
	fx, what := &out.Effects, ""
	switch {
	case err != nil:
		return err.Error()
	case !out.Changed:
		what = "="
	case fx.End != nil:
		what = string(fx.End.Info.Status)
	case fx.Fragments != nil:
		what = "+1"
	case len(fx.Entries) > 0 && fx.Entries[0].Kind == holdfast.KindRun:
		what = strings.TrimSuffix("open "+string(fx.Runs[0].Stop.State), " ")
	case len(fx.Runs) > 0 && fx.Runs[0].Fence > 1:
		what = fmt.Sprintf("f%d", fx.Runs[0].Fence)
	}
	if s := out.Result.Stop.State; s != "" {
		what = strings.TrimPrefix(what+" "+string(s), " ")
	}
	return what
}

// checkStop checks what holds whatever happened: the event, what watchers are told, the id and the run agree.
func checkStop(t *testing.T, out *Outcome) {
	t.Helper()
	fx, stop := &out.Effects, out.Result.Stop
	if !out.Changed {
		if diff := cmp.Diff(Effects{}, *fx); diff != "" || len(out.Items) > 0 {
			t.Errorf("effects without a change: %s", diff)
		}
		return
	}
	if stop.State == "" {
		return
	}
	event := fx.Entries[len(fx.Entries)-1]
	if diff := cmp.Diff(event, fx.Feed[len(fx.Feed)-1]); diff != "" || event.Kind != holdfast.KindEvent || len(fx.Feed) != 1 {
		t.Errorf("the event of the stop is %+v, in the feed: %s", event, diff)
	}
	if diff := cmp.Diff(string(stopData(&stop)), string(event.Data)); diff != "" {
		t.Error(diff)
	}
	last := out.Items[len(out.Items)-1]
	if diff := cmp.Diff(driver.Item{Entry: &event, Stop: &stop}, last); diff != "" {
		t.Error(diff)
	}
	if known := fx.Known[len(fx.Known)-1]; *known.Stop != stop || known.ID != stop.ID || known.User != stop.From.User {
		t.Errorf("its id stands for %+v", known)
	}
	if end := fx.End; end != nil {
		told := out.Items[len(out.Items)-2].End
		if end.Info.Stop != stop.Stop || told == nil || told.Stop != stop.Stop || told.Status != end.Info.Status {
			t.Errorf("the end is told as %+v, the stop is %+v", told, stop)
		}
	}
	if len(fx.Runs) > 0 && fx.Runs[0].Stop != stop.Stop {
		t.Errorf("the run has the stop %+v", fx.Runs[0].Stop)
	}
}

// TestStopsRefused: what no stop can be.
func TestStopsRefused(t *testing.T) {
	c := withRun(holdfast.RunOpen, holdfast.Stop{})
	for name, want := range map[string]struct {
		op   driver.Op
		code holdfast.Code
	}{
		"without an id":           {driver.RequestStop{From: ann, Run: 2}, holdfast.CodeInvalid},
		"without a target":        {driver.RequestStop{ID: "x", From: ann}, holdfast.CodeInvalid},
		"with two targets":        {driver.RequestStop{ID: "x", From: ann, Run: 2, Answers: 1}, holdfast.CodeInvalid},
		"settling nothing":        {driver.SettleStop{ID: "x"}, holdfast.CodeInvalid},
		"id of a message":         {driver.RequestStop{ID: "message", From: ann, Run: 2}, holdfast.CodeConflict},
		"a message":               {driver.RequestStop{ID: "x", From: ann, Run: 1}, holdfast.CodeNotFound},
		"past the head":           {driver.RequestStop{ID: "x", From: ann, Answers: 4}, holdfast.CodeNotFound},
		"answering what is ahead": {driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun}, Answers: 4}, holdfast.CodeNotFound},
	} {
		if out, err := Apply(c.info, Input{Session: "s", Op: want.op, Now: now}, c.look); holdfast.CodeOf(err) != want.code || out.Changed {
			t.Errorf("%s: %v, want %s", name, err, want.code)
		}
	}
	broken := errors.New("disk")
	c.look.err = broken
	for _, op := range []driver.Op{driver.RequestStop{ID: "x", From: ann, Run: 2}, driver.RequestStop{ID: "x", From: ann, Answers: 3}, driver.SettleStop{Run: 3, ID: "x"}} {
		if out, err := Apply(c.info, Input{Session: "s", Op: op, Now: now}, c.look); !errors.Is(err, broken) || out.Changed {
			t.Errorf("%+v: %v", op, err)
		}
	}
}

// TestStopEventSays pins what the event of a stop says: it is read by every client.
func TestStopEventSays(t *testing.T) {
	s := driver.StopInfo{Stop: holdfast.Stop{ID: "x\"<", From: ann, At: now, State: holdfast.StopTooLate}, Run: 806, Answers: 805}
	const want = `{"stop":{"id":"x\"\u003c","run":806,"answers":805,"state":"too_late","u":"ann","c":"a1"}}`
	if got := string(stopData(&s)); got != want {
		t.Errorf("got %s", got)
	}
}
