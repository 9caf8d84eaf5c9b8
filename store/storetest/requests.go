package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func requestCases() []testCase {
	return []testCase{
		{"Request/Answered", testAnswered},
		{"Request/FirstAnswerCounts", testFirstAnswer},
		{"Request/Expired", testExpired},
		{"Request/Withdrawn", testWithdrawn},
		{"Request/EndsWithItsRun", testRequestOfRun},
		{"Request/Kept", testRequestKept},
		{"Request/Refused", testRequestRefused},
		{"Request/Deleted", testRequestDeleted},
		{"Request/Watched", testRequestWatched},
	}
}

func asking(id string) driver.OpenRequest {
	return driver.OpenRequest{ID: id, Within: time.Hour, Default: json.RawMessage(`"no"`), Data: json.RawMessage(`{"text":"go on?"}`)}
}

func settling(o holdfast.Offset, id string, from holdfast.Sender) driver.SettleRequest {
	return driver.SettleRequest{Request: o, State: holdfast.RequestAnswered, ID: id, From: from, Data: json.RawMessage(`"yes"`)}
}

func withdrawing(o holdfast.Offset) driver.SettleRequest {
	return driver.SettleRequest{Request: o, State: holdfast.RequestWithdrawn}
}

// request returns how a request stands, which is the same wherever it is asked for.
func (e *env) request(o holdfast.Offset) holdfast.Request {
	e.Helper()
	r, err := e.Request(e.ctx(), s1, o)
	if err != nil {
		e.Fatal(err)
	}
	for _, open := range e.info(s1).Requests {
		if open.Offset == o {
			same(e, "in info", open, r)
			return r
		}
	}
	if !r.State.Settled() {
		e.Fatalf("request %+v is not in info", r)
	}
	return r
}

// says returns what the event at an offset says.
func (e *env) says(o holdfast.Offset) holdfast.RequestEvent {
	e.Helper()
	entries := e.read(s1, driver.Query{After: o - 1, Limit: 1}).Entries
	if len(entries) == 0 || entries[0].Offset != o {
		e.Fatalf("nothing stands at %d", o)
	}
	ev, ok := entries[0].RequestEvent()
	if !ok {
		e.Fatalf("at %d stands %s", o, entries[0].Data)
	}
	same(e, "author", entries[0].From, holdfast.Sender{User: ev.User, Client: ev.Client})
	return ev
}

func testAnswered(e *env) {
	e.add(s1, message(`0`))
	op := asking("q")
	op.To = []holdfast.UserID{"ann", "bob"}
	r := e.apply(s1, op)
	open := r.Request
	same(e, "opened", open, holdfast.Request{Offset: 2, ID: "q", To: op.To, At: open.At, By: open.At.Add(time.Hour), State: holdfast.RequestOpen})
	same(e, "written", r.Entries[0].Offset, holdfast.Offset(2))
	same(e, "as read", e.request(2), open)
	same(e, "event", e.says(2), holdfast.RequestEvent{ID: "q", State: holdfast.RequestOpen, To: op.To, By: open.By.UnixMilli(), Default: op.Default, Data: op.Data})
	same(e, "sessions", waitingIn(e), []holdfast.SessionID{s1})
	e.again()
	same(e, "stays open", e.request(2), open)
	before := e.dump(s1)
	again := e.apply(s1, asking("q"))
	same(e, "repeated", []any{again.Request, again.Entries[0].Offset, again.Entries[0].Duplicate}, []any{open, holdfast.Offset(2), true})
	same(e, "writes nothing", e.dump(s1), before)

	a := e.apply(s1, settling(2, "a", ann))
	want := open
	want.State, want.Settled, want.SettledAt, want.From = holdfast.RequestAnswered, 3, a.Request.SettledAt, ann
	same(e, "answered", []any{a.Request, a.Lost, a.Entries[0].Offset, a.Entries[0].Duplicate}, []any{want, false, holdfast.Offset(3), false})
	same(e, "outcome", e.says(3), holdfast.RequestEvent{Offset: 2, ID: "q", State: holdfast.RequestAnswered, User: "ann", Client: "phone", Data: json.RawMessage(`"yes"`)})
	same(e, "sessions", len(waitingIn(e)), 0)
	e.again()
	same(e, "stays answered", e.request(2), want)
	before = e.dump(s1)
	again = e.apply(s1, settling(2, "a", ann))
	same(e, "its repeat", []any{again.Request, again.Lost, again.Entries[0].Offset, again.Entries[0].Duplicate}, []any{want, false, holdfast.Offset(3), true})
	same(e, "opening again", e.apply(s1, asking("q")).Request, want)
	same(e, "write nothing", e.dump(s1), before)
	same(e, "feed", feedIDs(e.feed("", 10)), []string{"chat:1/q@2", "chat:1/a@3"})
}

// testFirstAnswer: of 64 answers at once one counts, and all are told which.
func testFirstAnswer(e *env) {
	o := e.apply(s1, asking("q")).Request.Offset
	results := make([]driver.Result, 64)
	e.parallel(len(results), func(i int) (err error) {
		from := holdfast.Sender{User: holdfast.UserID(fmt.Sprint("u", i%8)), Client: holdfast.ClientID(fmt.Sprint("c", i))}
		op := settling(o, fmt.Sprint("c", i, ":1"), from)
		op.Data = json.RawMessage(fmt.Sprint(i))
		results[i], err = e.Apply(e.ctx(), s1, op)
		return err
	})
	won := 0
	for i, r := range results {
		same(e, "request", r.Request, results[0].Request)
		same(e, "place", r.Entries[0].Offset, holdfast.Offset(2))
		if r.Lost == r.Entries[0].Duplicate && !r.Lost {
			won++
			same(e, "what counts", string(e.says(2).Data), fmt.Sprint(i))
		}
	}
	same(e, "winners", won, 1)
	same(e, "head", e.info(s1).Head, holdfast.Offset(2))
	e.again()
	same(e, "later", e.request(o), results[0].Request)
}

func testExpired(e *env) {
	early := e.apply(s1, asking("early")).Request
	before := e.dump(s1)
	same(e, "early", e.apply(s1, driver.SettleRequest{Request: early.Offset, State: holdfast.RequestExpired}).Request, early)
	same(e, "writes nothing", e.dump(s1), before)
	for i, op := range []driver.SettleRequest{
		{State: holdfast.RequestExpired, Data: json.RawMessage(`"forged"`)},
		settling(0, "late", ann),
		withdrawing(0),
	} {
		ask := asking(fmt.Sprint("q", i))
		ask.Within = time.Millisecond
		open := e.apply(s1, ask).Request
		e.pass(open.By)
		e.again()
		op.Request = open.Offset
		r := e.apply(s1, op)
		same(e, "state", []any{r.Request.State, r.Request.From, r.Lost}, []any{holdfast.RequestExpired, holdfast.Sender{}, i > 0})
		ev := e.says(r.Request.Settled)
		same(e, "its default", []any{ev.State, string(ev.Data), ev.User}, []any{holdfast.RequestExpired, `"no"`, holdfast.UserID("")})
		again := e.apply(s1, op)
		same(e, "again", []any{again.Request, again.Lost, again.Entries[0].Duplicate}, []any{r.Request, i > 0, true})
		e.again()
		same(e, "stays", e.request(open.Offset), r.Request)
	}
	ask := asking("without a default")
	ask.Within, ask.Default = time.Millisecond, nil
	open := e.apply(s1, ask).Request
	e.pass(open.By)
	r := e.apply(s1, driver.SettleRequest{Request: open.Offset, State: holdfast.RequestExpired})
	same(e, "nothing", len(e.says(r.Request.Settled).Data), 0)
	hour := e.apply(s1, driver.OpenRequest{ID: "default time"}).Request
	same(e, "an hour", hour.By.Sub(hour.At), driver.DefaultRequestTime)
}

func testWithdrawn(e *env) {
	o := e.apply(s1, asking("q")).Request.Offset
	op := withdrawing(o)
	op.ID, op.Data = "w", json.RawMessage(`"changed my mind"`)
	r := e.apply(s1, op)
	same(e, "state", []any{r.Request.State, r.Lost}, []any{holdfast.RequestWithdrawn, false})
	same(e, "why", string(e.says(2).Data), `"changed my mind"`)
	same(e, "its repeat", e.apply(s1, op).Lost, false)
	late := e.apply(s1, settling(o, "a", ann))
	same(e, "an answer", []any{late.Request, late.Lost, late.Entries[0].Offset}, []any{r.Request, true, holdfast.Offset(2)})
	same(e, "head", e.info(s1).Head, holdfast.Offset(2))
}

// testRequestOfRun: a request is withdrawn in the step that ends its run, unless it outlives it.
func testRequestOfRun(e *env) {
	for i, ending := range []func(r holdfast.RunInfo) driver.Op{
		func(r holdfast.RunInfo) driver.Op { return end(r, holdfast.RunComplete) },
		func(r holdfast.RunInfo) driver.Op {
			return driver.EndRun{Run: r.Run, Status: holdfast.RunInterrupted, Force: true}
		},
		func(r holdfast.RunInfo) driver.Op {
			e.apply(s1, stopping(fmt.Sprint("x", r.Run), r.Run))
			return driver.SettleStop{Run: r.Run, ID: fmt.Sprint("x", r.Run)}
		},
	} {
		run := e.open(s1, fmt.Sprint("r", i))
		var os []holdfast.Offset
		for k, change := range []func(*driver.OpenRequest){
			func(*driver.OpenRequest) {},
			func(op *driver.OpenRequest) { op.Outlives = true },
			func(op *driver.OpenRequest) { op.Run, op.Fence = 0, 0 },
			func(op *driver.OpenRequest) { op.Fence = 0 },
		} {
			op := asking(fmt.Sprint("q", i, k))
			op.Run, op.Fence = run.Run, run.Fence
			change(&op)
			r := e.apply(s1, op)
			same(e, "run", []any{r.Request.Run, r.Request.Outlives}, []any{op.Run, op.Outlives})
			os = append(os, r.Request.Offset)
		}
		op := ending(run)
		head := e.info(s1).Head
		if i == 2 {
			ask := asking("too late")
			ask.Run = run.Run
			e.refused(holdfast.CodeStopped, s1, ask)
		}
		res := e.apply(s1, op)
		if res.Run.Run != run.Run || !res.Run.Status.Ended() {
			e.Fatalf("the answer to the end is %+v", res)
		}
		e.again()
		var states []holdfast.RequestState
		for _, o := range os {
			states = append(states, e.request(o).State)
		}
		w, open := holdfast.RequestWithdrawn, holdfast.RequestOpen
		same(e, "states", states, []holdfast.RequestState{w, open, open, w})
		same(e, "events", []holdfast.RequestState{e.says(e.request(os[0]).Settled).State, e.says(e.request(os[3]).Settled).State},
			[]holdfast.RequestState{w, w})
		if settled := e.request(os[0]).Settled; settled <= head {
			e.Fatalf("withdrawn at %d, the head was %d", settled, head)
		}
		ask := asking("too late")
		ask.Run = run.Run
		code := holdfast.CodeEnded
		if i == 2 {
			code = holdfast.CodeStopped
		}
		e.refused(code, s1, ask)
		same(e, "the outliving one", e.apply(s1, settling(os[1], fmt.Sprint("a", i), ann)).Request.State, holdfast.RequestAnswered)
	}
}

// testRequestKept: an open request stays when what is older and younger is trimmed, and its session is not dropped for its age.
func testRequestKept(e *env) {
	e.add(s1, message(`0`))
	open := e.apply(s1, asking("q")).Request
	e.add(s1, message(`1`), message(`2`))
	i := e.info(s1)
	e.refused(holdfast.CodeConflict, s1, driver.Expire{Epoch: i.Epoch, Head: i.Head})
	e.apply(s1, driver.Trim{Before: 5})
	e.again()
	same(e, "left", offsets(e.read(s1, every()).Entries), offs(2))
	same(e, "open", e.request(2), open)
	same(e, "what it asks", string(e.says(2).Data), `{"text":"go on?"}`)
	e.apply(s1, settling(2, "a", ann))
	e.apply(s1, driver.Trim{Before: 6})
	e.again()
	same(e, "nothing is left", len(e.read(s1, every()).Entries), 0)
	r := e.request(2)
	same(e, "known for as long as the session is", []any{r.State, r.From, r.Settled}, []any{holdfast.RequestAnswered, ann, holdfast.Offset(5)})
	same(e, "and its opening", e.apply(s1, asking("q")).Request, r)
	i = e.info(s1)
	e.apply(s1, driver.Expire{Epoch: i.Epoch, Head: i.Head})
	_, err := e.Request(e.ctx(), s1, 2)
	e.code(holdfast.CodeNotFound, err)
}

func testRequestRefused(e *env) {
	_, err := e.Request(e.ctx(), "nothing", 1)
	e.code(holdfast.CodeNotFound, err)
	e.refused(holdfast.CodeNotFound, "nothing", settling(1, "a", ann))
	e.add(s1, withID("m"))
	_, err = e.Request(e.ctx(), s1, 1)
	e.code(holdfast.CodeNotFound, err)
	e.refused(holdfast.CodeNotFound, s1, settling(1, "a", ann))
	e.refused(holdfast.CodeConflict, s1, asking("m"))
	e.refused(holdfast.CodeInvalid, s1, driver.OpenRequest{})
	long := asking("long")
	long.Within = driver.MaxRequestTime + 1
	e.refused(holdfast.CodeInvalid, s1, long)
	run := e.open(s1, "r")
	ask := asking("q")
	ask.Run, ask.Fence = run.Run, run.Fence+1
	e.refused(holdfast.CodeFenced, s1, ask)
	ask = asking("q")
	ask.To = []holdfast.UserID{"bob"}
	o := e.apply(s1, ask).Request.Offset
	e.refused(holdfast.CodeForbidden, s1, settling(o, "a", ann))
	e.refused(holdfast.CodeConflict, s1, settling(o, "m", holdfast.Sender{}))
	e.refused(holdfast.CodeInvalid, s1, driver.SettleRequest{Request: o, State: "gone"})
	same(e, "the backend may", e.apply(s1, settling(o, "", holdfast.Sender{})).Request.State, holdfast.RequestAnswered)
	for i := range driver.MaxOpenRequests {
		e.apply(s1, asking(fmt.Sprint("n", i)))
	}
	e.refused(holdfast.CodeTooLarge, s1, asking("one too many"))
	e.apply(s1, withdrawing(e.info(s1).Requests[7].Offset))
	e.apply(s1, asking("one too many"))
}

func testRequestDeleted(e *env) {
	open := e.apply(s1, asking("q")).Request
	settled := e.apply(s1, asking("other")).Request
	e.apply(s1, settling(settled.Offset, "a", ann))
	e.remove(s1)
	same(e, "sessions", len(waitingIn(e)), 0)
	for _, o := range []holdfast.Offset{open.Offset, settled.Offset} {
		_, err := e.Request(e.ctx(), s1, o)
		e.code(holdfast.CodeNotFound, err)
	}
	e.add(s1, message(`1`))
	e.refused(holdfast.CodeNotFound, s1, settling(open.Offset, "b", ann))
}

// testRequestWatched: the events come with how the request stands, those of a run's end after the end.
func testRequestWatched(e *env) {
	var rec recorder
	defer e.Watch(rec.add)()
	run := e.open(s1, "r")
	ask := asking("q")
	ask.Run = run.Run
	open := e.apply(s1, ask).Request
	other := e.apply(s1, asking("other")).Request
	answered := e.apply(s1, settling(other.Offset, "a", ann)).Request
	e.apply(s1, end(run, holdfast.RunComplete))
	changes := rec.take()
	if len(changes) != 5 {
		e.Fatalf("changes: %+v", changes)
	}
	same(e, "opened", []any{changes[1].Items[0].Entry.Offset, changes[1].Items[0].Request}, []any{open.Offset, &open})
	same(e, "answered", []any{changes[3].Items[0].Entry.Offset, changes[3].Items[0].Request}, []any{answered.Settled, &answered})
	last := changes[4].Items
	if len(last) != 2 || last[0].End == nil || last[1].Request == nil {
		e.Fatalf("the end: %+v", last)
	}
	r := e.request(open.Offset)
	same(e, "withdrawn", []any{last[1].Entry.Offset, last[1].Request}, []any{r.Settled, &r})
}
