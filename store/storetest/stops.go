package storetest

import (
	"encoding/json"
	"fmt"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func stopCases() []testCase {
	return []testCase{
		{"Stop/StoppedByItsProducer", testStopped},
		{"Stop/Outcomes", testStopOutcomes},
		{"Stop/SettledByTheServer", testStopSettled},
		{"Stop/TooLate", testStopTooLate},
		{"Stop/OneOfARun", testOneStop},
		{"Stop/BeforeItsRun", testStopWaits},
		{"Stop/GivenUpBeforeItsRun", testStopArmed},
		{"Stop/TooManyWait", testStopsOverflow},
		{"Stop/Refused", testStopRefused},
		{"Stop/Deleted", testStopDeleted},
		{"Stop/Watched", testStopWatched},
	}
}

var ann = holdfast.Sender{User: "ann", Client: "phone"}

func stopping(id string, run holdfast.Offset) driver.RequestStop {
	return driver.RequestStop{ID: id, From: ann, Run: run}
}

func answering(id string, answers holdfast.Offset) driver.OpenRunOp {
	op := opening(id)
	op.Answers = answers
	return op
}

// stop checks how a stop stands by its id.
func (e *env) stop(id string, run, answers holdfast.Offset, state holdfast.StopState) driver.StopInfo {
	e.Helper()
	s, err := e.Stop(e.ctx(), s1, ann.User, id)
	if err != nil {
		e.Fatal(err)
	}
	same(e, "stop", s, driver.StopInfo{Stop: holdfast.Stop{ID: id, From: ann, At: s.At, State: state}, Run: run, Answers: answers})
	return s
}

// event checks the event of a stop.
func (e *env) event(o holdfast.Offset, from holdfast.Sender, s driver.StopInfo) {
	e.Helper()
	got := e.read(s1, driver.Query{After: o - 1, Limit: 1}).Entries[0]
	same(e, "offset and kind", fmt.Sprint(got.Offset, got.Kind, got.From), fmt.Sprint(o, holdfast.KindEvent, from))
	var data struct {
		Stop struct {
			ID           string
			Run, Answers holdfast.Offset
			State        holdfast.StopState
			U            holdfast.UserID
			C            holdfast.ClientID
		}
	}
	if err := json.Unmarshal(got.Data, &data); err != nil {
		e.Fatal(err)
	}
	d := data.Stop
	same(e, "event", driver.StopInfo{Stop: holdfast.Stop{ID: d.ID, From: holdfast.Sender{User: d.U, Client: d.C}, At: s.At, State: d.State},
		Run: d.Run, Answers: d.Answers}, s)
}

// again closes the engine and opens it again if what it holds stays.
func (e *env) again() {
	e.Helper()
	if e.harness.Durable {
		e.reopen()
	}
}

func testStopped(e *env) {
	e.add(s1, message(`0`))
	run := e.apply(s1, answering("r", 1)).Run
	same(e, "answers", []holdfast.Offset{run.Answers, e.info(s1).Open[0].Answers, e.run(s1, 2, 0).Run.Answers}, offs(1, 1, 1))
	run = e.apply(s1, grow(run, 0, text("a", "b")...)).Run
	e.again()
	r := e.apply(s1, stopping("x", 2))
	s := e.stop("x", 2, 1, holdfast.StopRequested)
	same(e, "result", r.Stop, s)
	same(e, "run", r.Run.Stop, s.Stop)
	same(e, "open", e.info(s1).Open, []holdfast.RunInfo{r.Run})
	same(e, "entry", e.run(s1, 2, 0).Run.Stop, s.Stop)
	if w := r.Entries[0]; w.Offset != 3 || w.Duplicate {
		e.Fatalf("the event stands at %+v", w)
	}
	e.event(3, ann, s)
	e.again()
	same(e, "the producer is told", e.refused(holdfast.CodeStopped, s1, grow(run, 2, text("c")...)).Run, &r.Run)
	e.refused(holdfast.CodeStopped, s1, grow(run, 1, text("b", "c")...))
	e.refused(holdfast.CodeStopped, s1, grow(run, driver.AnyFragment, text("c")...))
	e.refused(holdfast.CodeStopped, s1, grow(run, 9, text("c")...))
	e.refused(holdfast.CodeStopped, s1, grow(run, 2))
	same(e, "a repeat", e.apply(s1, grow(run, 0, text("a", "b")...)).Repeated, 2)

	over := opening("r")
	over.TakeOver = true
	run = e.apply(s1, over).Run
	e.refused(holdfast.CodeStopped, s1, grow(run, 2, text("c")...))
	ended := e.apply(s1, end(run, holdfast.RunStopped))
	s.State = holdfast.StopStopped
	same(e, "outcome", []any{ended.Run.Status, ended.Run.Stop, ended.Stop}, []any{holdfast.RunStopped, s.Stop, s})
	e.again()
	e.stop("x", 2, 1, holdfast.StopStopped)
	e.event(4, holdfast.Sender{}, s)
	full := e.run(s1, 2, 0).Run
	same(e, "ended", []any{full.Stop, full.Answers, full.Body.Text("")}, []any{s.Stop, holdfast.Offset(1), "ab"})
	same(e, "known", e.apply(s1, opening("r")).Run, ended.Run)
	if he := e.refused(holdfast.CodeStopped, s1, grow(run, 2, text("c")...)); he.Run.Stop != s.Stop {
		e.Fatalf("the error's run: %+v", he.Run)
	}
	before := e.dump(s1)
	same(e, "repeated end", e.apply(s1, end(run, holdfast.RunStopped)).Run, ended.Run)
	again := e.apply(s1, stopping("x", 2))
	same(e, "repeated stop", []any{again.Stop, again.Run, again.Entries[0].Offset, again.Entries[0].Duplicate},
		[]any{s, ended.Run, holdfast.Offset(3), true})
	same(e, "repeats write nothing", e.dump(s1), before)
	same(e, "feed", feedIDs(e.feed("", 10)), []string{"chat:1/x@3", "chat:1/r@2", "chat:1/@4"})
}

// testStopOutcomes: what becomes of a stop when the run ends.
func testStopOutcomes(e *env) {
	for i, c := range []struct {
		status, ended holdfast.RunStatus
		force         bool
		state         holdfast.StopState
	}{
		{holdfast.RunStopped, holdfast.RunStopped, false, holdfast.StopStopped},
		{holdfast.RunStopped, holdfast.RunStopped, true, holdfast.StopStopped},
		{holdfast.RunComplete, holdfast.RunComplete, false, holdfast.StopTooLate},
		{holdfast.RunFailed, holdfast.RunFailed, false, holdfast.StopTooLate},
		{holdfast.RunInterrupted, holdfast.RunInterrupted, false, holdfast.StopTooLate},
		{holdfast.RunInterrupted, holdfast.RunStopped, true, holdfast.StopUnreachable},
	} {
		id := fmt.Sprint(i)
		run := e.open(s1, id)
		e.apply(s1, stopping(id, run.Run))
		op := end(run, c.status)
		op.Force = c.force
		r := e.apply(s1, op)
		same(e, id, []any{r.Run.Status, r.Run.Stop.State}, []any{c.ended, c.state})
		s := e.stop(id, run.Run, 0, c.state)
		e.event(run.Run+2, holdfast.Sender{}, s)
		items := e.feed("", 100)
		last := items[len(items)-2]
		same(e, "end in the feed", []any{last.End(), last.Entry.Run.Stop}, []any{true, s.Stop})
	}
	e.again()
	same(e, "none is open", len(e.info(s1).Open), 0)
}

func testStopSettled(e *env) {
	run := e.open(s1, "r")
	e.apply(s1, grow(run, 0, text("a")...))
	e.refused(holdfast.CodeConflict, s1, driver.SettleStop{Run: 1, ID: "x"})
	e.apply(s1, stopping("x", 1))
	e.refused(holdfast.CodeConflict, s1, driver.SettleStop{Run: 1, ID: "y"})
	e.again()
	r := e.apply(s1, driver.SettleStop{Run: 1, ID: "x"})
	same(e, "run", []any{r.Run.Status, r.Run.Fragments}, []any{holdfast.RunStopped, holdfast.FragmentNo(1)})
	s := e.stop("x", 1, 0, holdfast.StopUnreachable)
	same(e, "result", r.Stop, s)
	e.event(3, holdfast.Sender{}, s)
	before := e.dump(s1)
	same(e, "again", e.apply(s1, driver.SettleStop{Run: 1, ID: "x"}).Stop, s)
	e.apply(s1, end(run, holdfast.RunStopped))
	same(e, "the producer hears of it late", e.dump(s1), before)
	e.refused(holdfast.CodeStopped, s1, grow(run, 1, text("b")...))
	e.refused(holdfast.CodeEnded, s1, end(run, holdfast.RunComplete))
	other := e.open(s1, "other")
	e.apply(s1, end(other, holdfast.RunStopped))
	e.refused(holdfast.CodeEnded, s1, driver.SettleStop{Run: other.Run, ID: "x"})
	e.refused(holdfast.CodeNotFound, s1, driver.SettleStop{Run: 3, ID: "x"})
}

func testStopTooLate(e *env) {
	e.add(s1, message(`0`))
	run := e.apply(s1, answering("r", 1)).Run
	e.apply(s1, end(run, holdfast.RunComplete))
	e.apply(s1, stopping("a", 2))
	s := e.stop("a", 2, 1, holdfast.StopTooLate)
	e.event(3, ann, s)
	e.again()
	before := e.dump(s1)
	same(e, "again", e.apply(s1, stopping("a", 2)).Stop, s)
	same(e, "which wrote nothing", e.dump(s1), before)
	e.apply(s1, driver.RequestStop{ID: "b", From: ann, Answers: 1})
	e.event(4, ann, e.stop("b", 2, 1, holdfast.StopTooLate))
	if stop := e.run(s1, 2, 0).Run.Stop; stop.State != "" {
		e.Fatalf("an ended run got the stop %+v", stop)
	}
	e.apply(s1, driver.Trim{Before: 3})
	e.apply(s1, driver.RequestStop{ID: "c", From: ann, Answers: 1})
	e.stop("c", 2, 1, holdfast.StopTooLate)
	same(e, "a stop outlives what it was for", e.apply(s1, stopping("a", 2)).Stop, s)
	e.refused(holdfast.CodeNotFound, s1, stopping("d", 2))
}

// testOneStop: whoever asks again gets the stop that the run has.
func testOneStop(e *env) {
	e.add(s1, message(`0`))
	run := e.apply(s1, answering("r", 1)).Run
	first := e.apply(s1, stopping("x", 2))
	for _, op := range []driver.RequestStop{{ID: "y", From: ann, Run: 2}, {ID: "x", From: holdfast.Sender{User: "bob"}, Answers: 1}, {ID: "x", Run: 2}} {
		before := e.dump(s1)
		r := e.apply(s1, op)
		same(e, "the first one", []any{r.Stop, r.Run, r.Entries[0].Offset}, []any{first.Stop, first.Run, holdfast.Offset(3)})
		same(e, "nothing is written", e.dump(s1), before)
	}
	_, err := e.Stop(e.ctx(), s1, ann.User, "y")
	e.code(holdfast.CodeNotFound, err)
	e.apply(s1, end(run, holdfast.RunStopped))
	before := e.dump(s1)
	same(e, "after the end", e.apply(s1, stopping("y", 2)).Stop, e.stop("x", 2, 1, holdfast.StopStopped))
	same(e, "nothing is written", e.dump(s1), before)
	// Of the runs that answer a message it is the latest open one, then the latest.
	a, b := e.apply(s1, answering("a", 1)).Run, e.apply(s1, answering("b", 1)).Run
	e.apply(s1, end(b, holdfast.RunComplete))
	same(e, "open", e.apply(s1, driver.RequestStop{ID: "z", From: ann, Answers: 1}).Run.Run, a.Run)
	e.apply(s1, end(a, holdfast.RunStopped))
	same(e, "latest", e.apply(s1, driver.RequestStop{ID: "zz", From: ann, Answers: 1}).Run.Run, b.Run)
}

func waitingIn(e *env) []holdfast.SessionID {
	e.Helper()
	infos, err := e.Waiting(e.ctx(), "", 10)
	if err != nil {
		e.Fatal(err)
	}
	var ids []holdfast.SessionID
	for _, i := range infos {
		same(e, "info", i, e.info(i.Session))
		ids = append(ids, i.Session)
	}
	return ids
}

func testStopWaits(e *env) {
	e.add(s1, message(`0`))
	op := driver.RequestStop{ID: "x", From: ann, Answers: 1}
	r := e.apply(s1, op)
	s := e.stop("x", 0, 1, holdfast.StopRequested)
	same(e, "result", []any{r.Stop, r.Run}, []any{s, holdfast.RunInfo{}})
	e.event(2, ann, s)
	e.again()
	same(e, "waits", e.info(s1).Stops, []driver.StopInfo{s})
	same(e, "again", e.apply(s1, op).Stop, s)
	op.ID = "y"
	same(e, "by another id", e.apply(s1, op).Stop, s)
	e.add("a", message(`0`))
	e.apply("a", driver.RequestStop{ID: "x", Answers: 1})
	same(e, "sessions", waitingIn(e), []holdfast.SessionID{"a", s1})
	rest, err := e.Waiting(e.ctx(), "a", 10)
	if err != nil || len(rest) != 1 || rest[0].Session != s1 {
		e.Fatalf("after a: %+v, %v", rest, err)
	}
	e.open(s1, "answers nothing")
	run := e.apply(s1, answering("r", 1)).Run
	s.Run = run.Run
	same(e, "opened with it", []any{run.Stop, run.Status, e.run(s1, run.Run, 0).Run.Stop}, []any{s.Stop, holdfast.RunOpen, s.Stop})
	e.again()
	e.stop("x", run.Run, 1, holdfast.StopRequested)
	same(e, "waits no more", len(e.info(s1).Stops), 0)
	same(e, "sessions", waitingIn(e), []holdfast.SessionID{"a"})
	e.refused(holdfast.CodeStopped, s1, grow(run, 0, text("a")...))
	e.refused(holdfast.CodeNotFound, s1, driver.SettleStop{Answers: 1, ID: "x"})
	e.apply(s1, end(run, holdfast.RunStopped))
	e.stop("x", run.Run, 1, holdfast.StopStopped)
	next := e.apply(s1, answering("next", 1)).Run
	same(e, "the next answer is free", []any{next.Status, next.Stop.State}, []any{holdfast.RunOpen, holdfast.StopState("")})
}

// testStopArmed: a stop that was given up before its run came still stops it.
func testStopArmed(e *env) {
	e.add(s1, message(`0`))
	e.apply(s1, driver.RequestStop{ID: "x", From: ann, Answers: 1})
	e.refused(holdfast.CodeNotFound, s1, driver.SettleStop{Answers: 1, ID: "y"})
	e.apply(s1, driver.SettleStop{Answers: 1, ID: "x"})
	s := e.stop("x", 0, 1, holdfast.StopUnreachable)
	e.event(3, holdfast.Sender{}, s)
	before := e.dump(s1)
	same(e, "again", e.apply(s1, driver.SettleStop{Answers: 1, ID: "x"}).Stop, s)
	same(e, "which writes nothing", e.dump(s1), before)
	e.again()
	r := e.apply(s1, answering("r", 1))
	s = e.stop("x", 4, 1, holdfast.StopStopped)
	same(e, "opened and ended", []any{r.Run.Run, r.Run.Status, r.Run.Stop}, []any{holdfast.Offset(4), holdfast.RunStopped, s.Stop})
	e.event(5, holdfast.Sender{}, s)
	e.again()
	i := e.info(s1)
	same(e, "nothing is left", []int{len(i.Open), len(i.Stops), len(waitingIn(e))}, []int{0, 0, 0})
	got := e.run(s1, 4, 0)
	same(e, "entry", got.Run, &holdfast.Run{Status: holdfast.RunStopped, Fence: 1, Answers: 1, Stop: s.Stop})
	same(e, "opening again", e.apply(s1, answering("r", 1)).Run, r.Run)
	e.refused(holdfast.CodeStopped, s1, grow(r.Run, 0, text("a")...))
	same(e, "feed", feedIDs(e.feed("", 10)), []string{"chat:1/x@2", "chat:1/@3", "chat:1/r@4", "chat:1/@5"})
}

func testStopsOverflow(e *env) {
	e.fill(s1, driver.MaxWaitingStops+2)
	id := func(i int) string { return fmt.Sprint("x", i) }
	ask := func(i int) { e.apply(s1, driver.RequestStop{ID: id(i), From: ann, Answers: holdfast.Offset(i)}) }
	for i := 1; i <= driver.MaxWaitingStops; i++ {
		ask(i)
	}
	e.apply(s1, driver.SettleStop{Answers: 2, ID: id(2)})
	head := e.info(s1).Head
	ask(driver.MaxWaitingStops + 1)
	s := e.stop(id(1), 0, 1, holdfast.StopUnreachable)
	e.event(head+2, holdfast.Sender{}, s)
	ask(driver.MaxWaitingStops + 2) // the second one's outcome was told before
	same(e, "head", e.info(s1).Head, head+3)
	same(e, "waiting", len(e.info(s1).Stops), driver.MaxWaitingStops)
	same(e, "the oldest", e.info(s1).Stops[0].ID, id(3))
	e.again()
	same(e, "forgotten", e.apply(s1, answering("r", 1)).Run.Status, holdfast.RunOpen)
	same(e, "waited for", e.apply(s1, answering("s", 3)).Run.Stop.ID, id(3))
}

func testStopRefused(e *env) {
	e.refused(holdfast.CodeNotFound, "nothing", stopping("x", 1))
	e.refused(holdfast.CodeNotFound, "nothing", driver.RequestStop{ID: "x", Answers: 1})
	e.refused(holdfast.CodeNotFound, "nothing", answering("r", 1))
	n := withID("m")
	n.From = ann
	e.add(s1, n)
	run := e.open(s1, "r")
	e.refused(holdfast.CodeInvalid, s1, stopping("", run.Run))
	e.refused(holdfast.CodeInvalid, s1, driver.RequestStop{ID: "x"})
	e.refused(holdfast.CodeInvalid, s1, driver.SettleStop{ID: "x"})
	e.refused(holdfast.CodeConflict, s1, stopping("m", run.Run))
	e.refused(holdfast.CodeNotFound, s1, stopping("x", 1))
	e.refused(holdfast.CodeNotFound, s1, stopping("x", 3))
	e.refused(holdfast.CodeNotFound, s1, driver.RequestStop{ID: "x", From: ann, Answers: 3})
	for _, id := range []string{"m", "x"} {
		_, err := e.Stop(e.ctx(), s1, ann.User, id)
		e.code(holdfast.CodeNotFound, err)
	}
	_, err := e.Stop(e.ctx(), "nothing", ann.User, "x")
	e.code(holdfast.CodeNotFound, err)
	e.apply(s1, stopping("x", run.Run))
	_, err = e.Stop(e.ctx(), s1, "bob", "x")
	e.code(holdfast.CodeNotFound, err)
	// An id that was a stop's is taken.
	n.ID = "x"
	if w := e.apply(s1, entries(n)).Entries[0]; !w.Duplicate || w.Offset != 3 {
		e.Fatalf("appending with the id of a stop: %+v", w)
	}
}

func testStopDeleted(e *env) {
	e.add(s1, message(`0`), message(`1`))
	e.apply(s1, driver.RequestStop{ID: "x", From: ann, Answers: 1})
	run := e.apply(s1, answering("r", 2)).Run
	e.apply(s1, stopping("y", run.Run))
	e.remove(s1)
	same(e, "sessions", len(waitingIn(e)), 0)
	_, err := e.Stop(e.ctx(), s1, ann.User, "x")
	e.code(holdfast.CodeNotFound, err)
	e.add(s1, message(`0`), message(`1`))
	for _, answers := range offs(1, 2) {
		if r := e.apply(s1, answering(fmt.Sprint(answers), answers)).Run; r.Stop.State != "" {
			e.Fatalf("a new session's run has the stop %+v", r.Stop)
		}
	}
	e.again()
	same(e, "runs", len(e.info(s1).Open), 2)
}

// testStopWatched: the end and the event of the outcome are told together, in this order.
func testStopWatched(e *env) {
	var rec recorder
	defer e.Watch(rec.add)()
	e.add(s1, message(`0`))
	run := e.apply(s1, answering("r", 1)).Run
	e.apply(s1, stopping("x", run.Run))
	asked := e.stop("x", 2, 1, holdfast.StopRequested)
	e.apply(s1, end(run, holdfast.RunStopped))
	s := e.stop("x", 2, 1, holdfast.StopStopped)
	changes := rec.take()
	if len(changes) != 4 {
		e.Fatalf("changes: %+v", changes)
	}
	request, settled := changes[2].Items, changes[3].Items
	if len(request) != 1 || len(settled) != 2 {
		e.Fatalf("request %+v, end %+v", request, settled)
	}
	same(e, "request", []any{request[0].Entry.Offset, request[0].Stop}, []any{holdfast.Offset(3), &asked})
	same(e, "end", []any{settled[0].End.Status, settled[0].End.Stop}, []any{holdfast.RunStopped, s.Stop})
	same(e, "event", []any{settled[1].Entry.Offset, settled[1].Stop}, []any{holdfast.Offset(4), &s})

	e.add(s1, message(`0`))
	e.apply(s1, driver.RequestStop{ID: "y", From: ann, Answers: 5})
	e.apply(s1, driver.SettleStop{Answers: 5, ID: "y"})
	e.apply(s1, answering("late", 5))
	changes = rec.take()
	last := changes[len(changes)-1].Items
	if len(last) != 3 || last[0].Entry == nil || last[1].End == nil || last[2].Stop == nil {
		e.Fatalf("a run that was stopped before: %+v", last)
	}
	same(e, "opened", []any{last[0].Entry.Run.Status, last[0].Entry.Run.Stop.State}, []any{holdfast.RunOpen, holdfast.StopRequested})
	same(e, "stopped", last[2].Stop.State, holdfast.StopStopped)
}
