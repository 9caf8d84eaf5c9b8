package storetest

import (
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func turnCases() []testCase {
	return []testCase{
		{"Turns/Queue", testTurnsQueue},
		{"Turns/ServersRules", testTurnsServersRules},
		{"Turns/Lapse", testTurnsLapse},
		{"Turns/Interrupt", testTurnsInterrupt},
		{"Turns/Kept", testTurnsKept},
		{"Turns/Watched", testTurnsWatched},
		{"Turns/Interleaved", testTurnsInterleaved},
	}
}

func saying(ids ...string) (op driver.Append) {
	for _, id := range ids {
		op.Entries = append(op.Entries, driver.NewEntry{Kind: holdfast.KindMessage, ID: id, From: ann, Data: json.RawMessage(`{"a":"<"}`), Feed: true})
	}
	return op
}

func rules(p holdfast.TurnPolicy) driver.SetTurns {
	return driver.SetTurns{Rules: driver.TurnRules{Policy: p, Limit: 3, Wait: time.Minute}}
}

// became is what became of each message of an append.
func became(r driver.Result) (out []holdfast.TurnState) {
	for _, w := range r.Entries {
		out = append(out, w.State)
	}
	return out
}

// testTurnsQueue: what waits is all there, wherever the engine is opened again, and comes in the order of its turns.
func testTurnsQueue(e *env) {
	set := e.apply(s1, rules(holdfast.TurnQueue))
	same(e, "rules", set.Turns.Rules, rules(holdfast.TurnQueue).Rules)
	same(e, "what becomes of a batch", became(e.apply(s1, saying("a", "b", "c"))), []holdfast.TurnState{"", holdfast.TurnQueued, holdfast.TurnQueued})
	before := e.info(s1).Turns
	e.again()
	same(e, "after opening it again", e.info(s1).Turns, before)
	held := before.Queue[0]
	same(e, "held", held, driver.Held{ID: "b", From: ann, At: held.At, Data: json.RawMessage(`{"a":"<"}`), Feed: true})
	waiting, err := e.Waiting(e.ctx(), "", 10)
	if err != nil || len(waiting) != 1 || waiting[0].Session != s1 {
		e.Fatalf("sessions in which something waits: %+v, %v", waiting, err)
	}
	same(e, "repeats", became(e.apply(s1, saying("c", "a"))), []holdfast.TurnState{holdfast.TurnQueued, ""})
	run := e.apply(s1, answering("r", before.Turn.Message)).Run
	e.again()
	e.apply(s1, end(run, holdfast.RunComplete))
	after := e.info(s1).Turns
	e.again()
	same(e, "the next one's turn", e.info(s1).Turns, after)
	if len(after.Queue) != 1 || after.Turn.Message != run.Run+1 {
		e.Fatalf("the turns stand as %+v", after)
	}
	r := e.apply(s1, driver.EditQueue{ID: "e", From: ann, Do: holdfast.TurnWithdrawn, Of: driver.HeldRef{User: "ann", ID: "c"}})
	e.again()
	same(e, "a withdrawn message", became(e.apply(s1, saying("c"))), []holdfast.TurnState{holdfast.TurnWithdrawn})
	same(e, "nobody waits", e.info(s1).Turns.Queue, []driver.Held(nil))
	again := e.apply(s1, driver.EditQueue{ID: "e", From: ann, Do: holdfast.TurnWithdrawn, Of: driver.HeldRef{User: "ann", ID: "c"}})
	same(e, "a repeated command", []any{again.Entries[0].Offset, again.Entries[0].Duplicate}, []any{r.Entries[0].Offset, true})
	e.apply(s1, driver.EndTurn{Message: after.Turn.Message})
	if waiting, _ = e.Waiting(e.ctx(), "", 10); len(waiting) != 0 {
		e.Fatalf("something waits still: %+v", waiting)
	}
	same(e, "the feed", feedIDs(e.feed("", 10)), []string{"chat:1/a@2", "chat:1/r@5", "chat:1/b@6"})
}

// testTurnsServersRules: the rules of an append hold in a session that has none, from its first message on, and no longer than they
// are given.
func testTurnsServersRules(e *env) {
	op := saying("a", "b")
	op.Turns = driver.TurnRules{Policy: holdfast.TurnQueue}
	same(e, "in a new session", became(e.apply(s1, op)), []holdfast.TurnState{"", holdfast.TurnQueued})
	e.again()
	same(e, "without them", became(e.apply(s1, saying("c"))), []holdfast.TurnState{""})
	same(e, "all are in the log", messages(e, s1), []string{"a", "b", "c"})
	e.apply(s1, rules(holdfast.TurnReject))
	e.apply(s1, saying("d"))
	e.refused(holdfast.CodeConflict, s1, withRules(saying("e"), driver.TurnRules{Policy: holdfast.TurnParallel}))
}

func withRules(op driver.Append, r driver.TurnRules) driver.Append {
	op.Turns = r
	return op
}

func messages(e *env, s holdfast.SessionID) (ids []string) {
	e.Helper()
	for _, en := range e.read(s, every()).Entries {
		if en.Kind == holdfast.KindMessage {
			ids = append(ids, en.ID)
		}
	}
	return ids
}

// testTurnsLapse: a turn's time is judged by the engine's clock; asking too early does nothing.
func testTurnsLapse(e *env) {
	set := rules(holdfast.TurnQueue)
	e.apply(s1, set)
	e.apply(s1, saying("a"))
	turn := e.info(s1).Turns.Turn
	before := e.dump(s1)
	same(e, "too early", e.apply(s1, driver.EndTurn{Message: turn.Message, Lapsed: true}).Turns.Turn, turn)
	same(e, "and nothing is written", e.dump(s1), before)
	e.apply(s1, driver.EndTurn{Message: turn.Message})
	set.Rules.Wait = 50 * time.Millisecond
	e.apply(s1, set)
	e.apply(s1, saying("b", "c", "d"))
	turn = e.info(s1).Turns.Turn
	e.again()
	e.pass(turn.Until)
	r := e.apply(s1, driver.EndTurn{Message: turn.Message, Lapsed: true})
	if r.Turns.Turn.Message <= turn.Message || len(r.Turns.Queue) != 1 {
		e.Fatalf("after its time: %+v", r.Turns)
	}
	same(e, "repeated", e.apply(s1, driver.EndTurn{Message: turn.Message, Lapsed: true}).Turns, r.Turns)
	e.pass(r.Turns.Turn.Until)
	same(e, "who sends then is behind those who wait", became(e.apply(s1, saying("e"))), []holdfast.TurnState{holdfast.TurnQueued})
	same(e, "the log", messages(e, s1), []string{"a", "b", "c", "d"})
}

// testTurnsInterrupt: all that is open is asked to stop, each run once.
func testTurnsInterrupt(e *env) {
	e.apply(s1, rules(holdfast.TurnInterrupt))
	one, two := e.open(s1, "one"), e.open(s1, "two")
	e.apply(s1, driver.RequestStop{ID: "x", From: ann, Run: one.Run})
	e.apply(s1, saying("a"))
	e.again()
	open := e.info(s1).Open
	same(e, "stops", []string{open[0].Stop.ID, open[1].Stop.ID}, []string{"x", "holdfast:interrupt:3"})
	same(e, "in the sender's name", open[1].Stop.From, ann)
	e.apply(s1, end(one, holdfast.RunStopped))
	same(e, "one run is open yet", messages(e, s1), []string(nil))
	e.apply(s1, driver.SettleStop{Run: two.Run, ID: open[1].Stop.ID})
	same(e, "let in", messages(e, s1), []string{"a"})
}

// testTurnsKept: a session with messages that wait is not dropped for its age, and goes with all of them when it is deleted.
func testTurnsKept(e *env) {
	e.apply(s1, rules(holdfast.TurnQueue))
	e.apply(s1, saying("a", "b"))
	info := e.info(s1)
	e.refused(holdfast.CodeConflict, s1, driver.Expire{Epoch: info.Epoch, Head: info.Head})
	e.apply(s1, driver.Trim{Before: info.Head + 1})
	e.again()
	same(e, "after a trim", len(e.info(s1).Turns.Queue), 1)
	same(e, "the state stays", e.states(s1)[0].Key, holdfast.TurnsKey)
	e.remove(s1)
	e.again()
	same(e, "deleted", e.info(s1), driver.Info{})
	same(e, "and written again", became(e.apply(s1, saying("a", "b"))), []holdfast.TurnState{"", ""})
}

// testTurnsWatched: watchers are told whose turn begins, and until when an answer is waited for.
func testTurnsWatched(e *env) {
	var items []driver.Item
	stop := e.Watch(func(c driver.Change) { items = append(items, c.Items...) })
	defer stop()
	e.apply(s1, rules(holdfast.TurnQueue))
	e.apply(s1, saying("a", "b"))
	turn := e.info(s1).Turns.Turn
	e.apply(s1, driver.EndTurn{Message: turn.Message})
	next := e.info(s1).Turns.Turn
	var told []driver.Turn
	for _, it := range items {
		if it.Turn != nil {
			same(e, "the entry", it.Entry.Offset, it.Turn.Message)
			told = append(told, *it.Turn)
		}
	}
	same(e, "turns", told, []driver.Turn{turn, next})
}
