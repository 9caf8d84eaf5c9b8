package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// asked is a session in which a run is open at 1 and a request stands at 2, as it may. Settled, its second event is at 3.
func asked(t *testing.T, state holdfast.RequestState, outlives bool) stopCase {
	t.Helper()
	c := stopCase{driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 3, Entries: 3}, scoped{ids: map[scopedID]Known{
		{"ann", "message"}: {Offset: 1}, {"", "r"}: {Offset: 1, Run: true},
	}}}
	c.info.Open = []holdfast.RunInfo{{Run: 1, ID: "r", Status: holdfast.RunOpen, Fence: 1, At: now, Changed: now}}
	if state == "" {
		return c
	}
	r := holdfast.Request{Offset: 2, ID: "q", Run: 1, Outlives: outlives, To: []holdfast.UserID{"ann", "bob"}, At: now.Add(-time.Minute),
		By: now.Add(time.Minute), State: state}
	c.look.ids[scopedID{"", "q"}] = Known{Offset: 2}
	ev := holdfast.RequestEvent{ID: "q", State: holdfast.RequestOpen, Default: json.RawMessage(`"no"`)}
	data, err := ev.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c.look.event = map[holdfast.Offset]holdfast.Entry{2: {Offset: 2, Kind: holdfast.KindEvent, Data: data}}
	if state == holdfast.RequestOpen {
		c.info.Requests = []holdfast.Request{r}
		return c
	}
	r.Settled, r.SettledAt = 3, now
	if state == holdfast.RequestAnswered {
		r.From = ann
		c.look.ids[scopedID{"ann", "first"}] = Known{Offset: 3}
	}
	c.look.ids[scopedID{RequestsScope, "2"}] = Known{Offset: 3, Request: &r}
	return c
}

// TestEveryRequestCell goes through every state of a request and every operation on it, before and from its deadline on. A cell is
// a code, or "=" and the state where nothing is written, or the state that it gets; "lost" says that it was another's doing.
func TestEveryRequestCell(t *testing.T) {
	answer := func(id string, u holdfast.UserID) driver.Op {
		return driver.SettleRequest{Request: 2, State: holdfast.RequestAnswered, ID: id, From: holdfast.Sender{User: u}, Data: json.RawMessage(`"yes"`)}
	}
	ops := []struct {
		name string
		late bool
		op   driver.Op
	}{
		{"answer", false, answer("new", "bob")},
		{"its answer again", false, answer("first", "ann")},
		{"answer late", true, answer("new", "bob")},
		{"of a stranger", false, answer("new", "eve")},
		{"withdraw", false, driver.SettleRequest{Request: 2, State: holdfast.RequestWithdrawn}},
		{"withdraw late", true, driver.SettleRequest{Request: 2, State: holdfast.RequestWithdrawn}},
		{"expire", false, driver.SettleRequest{Request: 2, State: holdfast.RequestExpired}},
		{"expire late", true, driver.SettleRequest{Request: 2, State: holdfast.RequestExpired}},
		{"open", false, driver.OpenRequest{ID: "q"}},
		{"run ends", false, driver.EndRun{Run: 1, Fence: 1, Status: holdfast.RunComplete}},
		{"run ends late", true, driver.EndRun{Run: 1, Fence: 1, Status: holdfast.RunComplete}},
	}
	const nf, a, e, w = "not_found", "= answered", "= expired", "= withdrawn"
	table := map[string][]string{
		"none":      {nf, nf, nf, nf, nf, nf, nf, nf, "open", "ended", "ended"},
		"open":      {"answered", "answered", "expired lost", "forbidden", "withdrawn", "expired lost", "= open", "expired", "= open", "ended withdrawn", "ended withdrawn"},
		"outlives":  {"answered", "answered", "expired lost", "forbidden", "withdrawn", "expired lost", "= open", "expired", "= open", "ended", "ended"},
		"answered":  {a + " lost", a, a + " lost", a + " lost", a + " lost", a + " lost", a + " lost", a + " lost", a, "ended", "ended"},
		"expired":   {e + " lost", e + " lost", e + " lost", e + " lost", e + " lost", e + " lost", e, e, e, "ended", "ended"},
		"withdrawn": {w + " lost", w + " lost", w + " lost", w + " lost", w, w, w + " lost", w + " lost", w, "ended", "ended"},
	}
	for name, row := range table {
		state, outlives := holdfast.RequestState(name), name == "outlives"
		switch name {
		case "none":
			state = ""
		case "outlives":
			state = holdfast.RequestOpen
		}
		for i, o := range ops {
			t.Run(name+"/"+o.name, func(t *testing.T) {
				c := asked(t, state, outlives)
				before := fmt.Sprintf("%+v", c.info)
				at := now
				if o.late {
					at = now.Add(time.Minute) // its deadline to the millisecond
				}
				out, err := Apply(c.info, Input{Session: "s", Op: o.op, Now: at}, c.look)
				if got := requestCell(&out, err); got != row[i] {
					t.Errorf("got %s, want %s (error %v)", got, row[i], err)
				}
				if after := fmt.Sprintf("%+v", c.info); after != before {
					t.Errorf("the state given was changed from %s to %s", before, after)
				}
				checkRequests(t, &out, c.info.Requests)
			})
		}
	}
}

func requestCell(out *Outcome, err error) string {
	var he *holdfast.Error
	if errors.As(err, &he) {
		return string(he.Code)
	}
	if err != nil {
		return err.Error()
	}
	cell := string(out.Result.Request.State)
	if out.Effects.End != nil {
		cell = "ended"
		for _, it := range out.Items {
			if it.Request != nil {
				cell += " " + string(it.Request.State)
			}
		}
	}
	if !out.Changed {
		cell = "= " + cell
	}
	if out.Result.Lost {
		cell += " lost"
	}
	return cell
}

// checkRequests checks what holds whatever happened: a request that is open no more has exactly one event that settled it, in the
// log, the feed and what watchers are told, and is known by its offset.
func checkRequests(t *testing.T, out *Outcome, before []holdfast.Request) {
	t.Helper()
	fx := &out.Effects
	if !out.Changed {
		if diff := cmp.Diff(Effects{}, *fx); diff != "" || len(out.Items) > 0 {
			t.Errorf("effects without a change: %s", diff)
		}
		return
	}
	gone := len(before) - len(out.Info.Requests)
	var told []holdfast.Request
	for _, it := range out.Items {
		if it.Request != nil && it.Request.State.Settled() {
			told = append(told, *it.Request)
			ev, ok := it.Entry.RequestEvent()
			if !ok || ev.Offset != it.Request.Offset || ev.State != it.Request.State || it.Entry.Offset != it.Request.Settled {
				t.Errorf("the event says %s of %+v", it.Entry.Data, it.Request)
			}
		}
	}
	if gone < 0 {
		gone = 0
	}
	if len(told) != gone || len(fx.Known) != gone {
		t.Fatalf("%d were settled, %d told and %d known", gone, len(told), len(fx.Known))
	}
	for i, k := range fx.Known {
		if k.User != RequestsScope || k.ID != fmt.Sprint(told[i].Offset) || k.Offset != told[i].Settled || cmp.Diff(*k.Request, told[i]) != "" {
			t.Errorf("known is %+v of %+v", k, told[i])
		}
	}
	if len(fx.Feed) != len(fx.Entries) {
		t.Errorf("%d of %d events are in the feed", len(fx.Feed), len(fx.Entries))
	}
}

// TestRequestEventSays pins what the events say: they are read by every client.
func TestRequestEventSays(t *testing.T) {
	info := driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 811}
	op := driver.OpenRequest{ID: "q<1", To: []holdfast.UserID{"anna"}, Within: time.Second, Default: json.RawMessage(`{"ok": false}`),
		Data: json.RawMessage(`{"html": "<b>"}`)}
	out, err := Apply(info, Input{Session: "s", Op: op, Now: now}, scoped{})
	if err != nil {
		t.Fatal(err)
	}
	const opened = `{"request":{"id":"q<1","state":"open","to":["anna"],"by":1700000001123,"default":{"ok":false},"data":{"html":"<b>"}}}`
	if got := string(out.Effects.Entries[0].Data); got != opened {
		t.Errorf("got %s", got)
	}
	answer := driver.SettleRequest{Request: 812, State: holdfast.RequestAnswered, ID: "c:1", From: holdfast.Sender{User: "anna", Client: "c"},
		Data: json.RawMessage(`true`)}
	out, err = Apply(out.Info, Input{Session: "s", Op: answer, Now: now}, scoped{})
	if err != nil {
		t.Fatal(err)
	}
	const settled = `{"request":{"o":812,"id":"q<1","state":"answered","u":"anna","c":"c","data":true}}`
	if got := string(out.Effects.Entries[0].Data); got != settled {
		t.Errorf("got %s", got)
	}
}

// TestExpiredByItsDefault: nobody's answer is the default, to the byte.
func TestExpiredByItsDefault(t *testing.T) {
	c := asked(t, holdfast.RequestOpen, false)
	out, err := Apply(c.info, Input{Session: "s", Op: driver.SettleRequest{Request: 2, State: holdfast.RequestExpired, Data: json.RawMessage(`"forged"`)},
		Now: now.Add(time.Hour)}, c.look)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out.Effects.Entries[0].Data), `{"request":{"o":2,"id":"q","state":"expired","data":"no"}}`; got != want {
		t.Errorf("got %s", got)
	}
	c.look.event = nil
	if _, err := Apply(c.info, Input{Session: "s", Op: driver.SettleRequest{Request: 2, State: holdfast.RequestExpired}, Now: now.Add(time.Hour)}, c.look); holdfast.CodeOf(err) != holdfast.CodeInternal {
		t.Errorf("without its event: %v", err)
	}
}

// TestRequestsRefused: what no request can be.
func TestRequestsRefused(t *testing.T) {
	stopping := asked(t, "", false)
	stopping.info.Open[0].Stop = holdfast.Stop{ID: "x", State: holdfast.StopRequested}
	ended := withRun(holdfast.RunComplete, holdfast.Stop{})
	full := asked(t, "", false)
	for i := range driver.MaxOpenRequests {
		full.info.Requests = append(full.info.Requests, holdfast.Request{Offset: holdfast.Offset(i + 1), State: holdfast.RequestOpen})
	}
	many := make([]holdfast.UserID, driver.MaxRequestTo+1)
	open := asked(t, holdfast.RequestOpen, false)
	for name, want := range map[string]struct {
		c    stopCase
		op   driver.Op
		code holdfast.Code
	}{
		"without an id":           {open, driver.OpenRequest{}, holdfast.CodeInvalid},
		"of another entry's id":   {open, driver.OpenRequest{ID: "r"}, holdfast.CodeConflict},
		"for ever":                {open, driver.OpenRequest{ID: "n", Within: driver.MaxRequestTime + 1}, holdfast.CodeInvalid},
		"for less than nothing":   {open, driver.OpenRequest{ID: "n", Within: -time.Second}, holdfast.CodeInvalid},
		"for no time":             {open, driver.OpenRequest{ID: "n", Within: time.Microsecond}, holdfast.CodeInvalid},
		"to too many":             {open, driver.OpenRequest{ID: "n", To: many}, holdfast.CodeTooLarge},
		"one too many":            {full, driver.OpenRequest{ID: "n"}, holdfast.CodeTooLarge},
		"that outlives nothing":   {open, driver.OpenRequest{ID: "n", Outlives: true}, holdfast.CodeInvalid},
		"with a fence of nothing": {open, driver.OpenRequest{ID: "n", Fence: 1}, holdfast.CodeInvalid},
		"of no run":               {open, driver.OpenRequest{ID: "n", Run: 9}, holdfast.CodeNotFound},
		"of another's run":        {open, driver.OpenRequest{ID: "n", Run: 1, Fence: 2}, holdfast.CodeFenced},
		"of an ended run":         {ended, driver.OpenRequest{ID: "n", Run: 2, Fence: 1}, holdfast.CodeEnded},
		"of a run to be stopped":  {stopping, driver.OpenRequest{ID: "n", Run: 1, Fence: 1}, holdfast.CodeStopped},
		"with data that is none":  {open, driver.OpenRequest{ID: "n", Data: json.RawMessage(`{`)}, holdfast.CodeInvalid},
		"settled as open":         {open, driver.SettleRequest{Request: 2, State: holdfast.RequestOpen}, holdfast.CodeInvalid},
		"settled by a message's id": {open, driver.SettleRequest{Request: 2, State: holdfast.RequestAnswered, ID: "message", From: ann},
			holdfast.CodeConflict},
		"answered with no JSON": {open, driver.SettleRequest{Request: 2, State: holdfast.RequestAnswered, Data: json.RawMessage(`{`)}, holdfast.CodeInvalid},
		"in no session":         {stopCase{}, driver.SettleRequest{Request: 2, State: holdfast.RequestAnswered}, holdfast.CodeNotFound},
	} {
		if out, err := Apply(want.c.info, Input{Session: "s", Op: want.op, Now: now}, want.c.look); holdfast.CodeOf(err) != want.code || out.Changed {
			t.Errorf("%s: %v, want %s", name, err, want.code)
		}
	}
	broken := errors.New("disk")
	open.look.err = broken
	for _, op := range []driver.Op{driver.OpenRequest{ID: "n"}, driver.SettleRequest{Request: 9, State: holdfast.RequestAnswered},
		driver.SettleRequest{Request: 2, State: holdfast.RequestAnswered, ID: "x"}, driver.SettleRequest{Request: 9, State: holdfast.RequestExpired}} {
		if out, err := Apply(open.info, Input{Session: "s", Op: op, Now: now}, open.look); !errors.Is(err, broken) || out.Changed {
			t.Errorf("%+v: %v", op, err)
		}
	}
}
