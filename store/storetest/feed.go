package storetest

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func feedCases() []testCase {
	return []testCase{
		{"Feed/Order", testFeed},
		{"Feed/Atomic", testFeedAtomic},
		{"Feed/EndsOfRuns", testFeedEnds},
		{"Feed/OfOneSession", testFeedOf},
		{"Feed/Tell", testTell},
		{"Feed/Trace", testFeedTrace},
		{"Feed/Trim", testFeedTrim},
		{"Feed/BadCursor", testFeedCursor},
		{"Feed/Consumers", testConsumers},
		{"Feed/ListOfConsumers", testConsumersList},
	}
}

func fed(id string) driver.NewEntry {
	n := withID(id)
	n.Feed = true
	return n
}

func (e *env) feed(after string, limit int) []driver.FeedItem {
	e.Helper()
	items, err := e.Feed(e.ctx(), after, limit)
	if err != nil {
		e.Fatal(err)
	}
	return items
}

func feedIDs(items []driver.FeedItem) []string {
	var ids []string
	for _, i := range items {
		ids = append(ids, fmt.Sprintf("%s/%s@%d", i.Session, i.Entry.ID, i.Entry.Offset))
	}
	return ids
}

func testFeed(e *env) {
	same(e, "empty", len(e.feed("", 10)), 0)
	e.add("a", fed("1"), withID("2"), fed("3"))
	e.add("b", fed("1"))
	run := opening("r")
	run.Entry.Feed = true
	e.apply("a", run)
	e.add("a", fed("4"))
	items := e.feed("", 10)
	same(e, "items", feedIDs(items), []string{"a/1@1", "a/3@3", "b/1@1", "a/r@4", "a/4@5"})
	page := e.read("a", driver.Query{}).Entries
	same(e, "entry", items[1].Entry, page[2])
	same(e, "run as it was opened", items[3].Entry, page[3])
	same(e, "epoch", items[0].Epoch, e.info("a").Epoch)
	for i := range items {
		if i > 0 && items[i].Cursor <= items[i-1].Cursor {
			e.Fatalf("cursors do not grow: %q, %q", items[i-1].Cursor, items[i].Cursor)
		}
		same(e, "after a cursor", feedIDs(e.feed(items[i].Cursor, 10)), feedIDs(items[i+1:]))
	}
	same(e, "limit", feedIDs(e.feed(items[0].Cursor, 2)), feedIDs(items[1:3]))
	e.remove("a")
	same(e, "deletion leaves the feed", e.feed("", 10), items)
}

func testFeedAtomic(e *env) {
	e.add(s1, fed("1"))
	e.apply(s1, entries(fed("1"), fed("2")))
	same(e, "a duplicate is not fed again", feedIDs(e.feed("", 10)), []string{"chat:1/1@1", "chat:1/2@2"})
	bad := driver.Append{Entries: []driver.NewEntry{fed("3")}, IfEpoch: "aaaaaaaaaa"}
	e.refused(holdfast.CodeConflict, s1, bad)
	same(e, "nor what was refused", len(e.feed("", 10)), 2)
}

// testFeedEnds: each end of a run is in the feed once, where it happened, and nothing else about the run is.
func testFeedEnds(e *env) {
	statuses := []holdfast.RunStatus{holdfast.RunComplete, holdfast.RunStopped, holdfast.RunFailed, holdfast.RunInterrupted}
	var want []string
	for _, status := range statuses {
		op := opening(string(status))
		op.Entry.From = holdfast.Sender{User: "u", Client: "c"}
		run := e.apply(s1, op).Run
		e.add(s1, fed("before "+string(status)))
		run = e.apply(s1, grow(run, 0, text("a", "b")...)).Run
		last := end(run, status)
		last.Force = status == holdfast.RunInterrupted
		if last.Force {
			last.Fence = 0
		}
		e.apply(s1, last)
		e.apply(s1, last)
		e.add(s1, fed("after "+string(status)))
		want = append(want, "before "+string(status), string(status), "after "+string(status))
	}
	run := e.open(s1, "open")
	e.refused(holdfast.CodeFenced, s1, driver.EndRun{Run: run.Run, Fence: 9, Status: holdfast.RunComplete})
	var got []string
	for _, i := range e.feed("", 100) {
		got = append(got, i.Entry.ID)
		if !i.End() {
			continue
		}
		full := e.run(s1, i.Entry.Offset, 0)
		same(e, "status", string(i.Entry.Run.Status), i.Entry.ID)
		same(e, "two fragments", i.Entry.Run.Fragments, holdfast.FragmentNo(2))
		same(e, "time", i.At(), i.Ended)
		full.Run.Body, full.First, i.Entry.First = nil, 0, 0
		same(e, "the run without its body", i.Entry, full)
	}
	same(e, "order", got, want)
	if e.harness.Durable {
		before := e.feed("", 100)
		e.reopen()
		same(e, "after reopening", e.feed("", 100), before)
	}
}

// testTell: what is told stands in the feed in its order, with what is set with it, and nowhere else.
func testTell(e *env) {
	note := func(data string) driver.NewEntry {
		return driver.NewEntry{Kind: holdfast.KindEvent, From: ann, Data: json.RawMessage(data)}
	}
	tell := func(s holdfast.SessionID, value string, entries ...driver.NewEntry) {
		e.Helper()
		e.apply(s, driver.Tell{Entries: entries, Consumers: []driver.ConsumerValue{{Name: "p/" + string(s), Value: value}}})
	}
	tell("new", "1", note(`{"n":1}`))
	same(e, "a session is not made by it", []any{e.info("new"), len(e.sessions("", "", 10))}, []any{driver.Info{}, 0})
	e.add(s1, fed("m"))
	before := e.dump(s1)
	tell(s1, "2", note(`{"n":2}`), note(`{"n":3}`))
	same(e, "nor changed", e.dump(s1), before)
	e.add(s1, fed("n"))
	items := e.feed("", 10)
	same(e, "order", feedIDs(items), []string{"new/@0", "chat:1/m@1", "chat:1/@0", "chat:1/@0", "chat:1/n@2"})
	it := items[3]
	same(e, "item", it.Entry, holdfast.Entry{Tag: it.Entry.Tag, Kind: holdfast.KindEvent, At: it.Entry.At, From: ann, Data: json.RawMessage(`{"n":3}`)})
	same(e, "epochs", []holdfast.Epoch{items[0].Epoch, it.Epoch}, []holdfast.Epoch{"", e.info(s1).Epoch})
	of, err := e.FeedOf(e.ctx(), s1, items[1].Cursor, 10)
	e.code("", err)
	same(e, "of the session", of, items[2:])
	tell("new", "", note(`{"n":4}`))
	if e.harness.Durable {
		e.reopen()
		same(e, "after reopening", e.feed("", 4), items[:4])
	}
	values, err := e.Consumers(e.ctx(), "p/", "", 10)
	e.code("", err)
	same(e, "what was set", values, []driver.ConsumerValue{{Name: "p/" + string(s1), Value: "2"}})
	for _, bad := range []driver.NewEntry{message(`1`), {Kind: holdfast.KindEvent}, {Kind: holdfast.KindEvent, ID: "x", Data: json.RawMessage(`1`)}} {
		e.refused(holdfast.CodeInvalid, s1, driver.Tell{Entries: []driver.NewEntry{bad}})
	}
	e.refused(holdfast.CodeInvalid, s1, driver.Tell{})
	e.remove(s1)
	same(e, "deletion leaves it", len(e.feed("", 10)), 6)
}

// testFeedTrace: items bear the trace of the operation that wrote them, and of no other.
func testFeedTrace(e *env) {
	traced := func(trace string, op driver.Op) driver.Result {
		e.Helper()
		r, err := e.Apply(driver.WithTrace(e.ctx(), trace), s1, op)
		e.code("", err)
		return r
	}
	traced("1", entries(fed("a"), fed("b")))
	e.add(s1, fed("c"))
	run := traced("2", opening("r")).Run
	traced("3", driver.RequestStop{ID: "x", From: ann, Run: run.Run})
	traced("4", end(run, holdfast.RunStopped))
	traced("5", driver.Tell{Entries: []driver.NewEntry{{Kind: holdfast.KindEvent, From: ann, Data: json.RawMessage(`{"n":1}`)}}})
	e.apply(s1, entries(fed("d")))
	traces := func() (out []string) {
		for _, i := range e.feed("", 100) {
			out = append(out, i.Trace)
		}
		return out
	}
	want := []string{"1", "1", "", "3", "4", "4", "5", ""}
	same(e, "traces", traces(), want)
	if e.harness.Durable {
		e.reopen()
		same(e, "after reopening", traces(), want)
	}
}

func testFeedOf(e *env) {
	of := func(s holdfast.SessionID, after string, limit int) []string {
		e.Helper()
		items, err := e.FeedOf(e.ctx(), s, after, limit)
		if err != nil {
			e.Fatal(err)
		}
		return feedIDs(items)
	}
	same(e, "empty", len(of("a", "", 10)), 0)
	e.add("a", fed("1"), withID("2"), fed("3"))
	e.add("ab", fed("x"))
	run := e.open("a", "r")
	e.add("b", fed("y"))
	e.apply("a", end(run, holdfast.RunComplete))
	all := e.feed("", 10)
	same(e, "all", of("a", "", 10), []string{"a/1@1", "a/3@3", "a/r@4"})
	same(e, "after one of its own", of("a", all[0].Cursor, 10), []string{"a/3@3", "a/r@4"})
	same(e, "after one of another's", of("a", all[2].Cursor, 10), []string{"a/r@4"})
	same(e, "after the last", len(of("a", all[4].Cursor, 10)), 0)
	same(e, "limit", of("a", "", 2), []string{"a/1@1", "a/3@3"})
	same(e, "no limit, nothing", len(of("a", "", 0)), 0)
	same(e, "a session whose name begins so", of("ab", "", 10), []string{"ab/x@1"})
	items, err := e.FeedOf(e.ctx(), "a", "", 10)
	e.code("", err)
	same(e, "the items are the feed's", items, []driver.FeedItem{all[0], all[1], all[4]})
	_, err = e.FeedOf(e.ctx(), "a", "x", 10)
	e.code(holdfast.CodeInvalid, err)
	e.remove("a")
	same(e, "deletion leaves the feed", of("a", "", 10), []string{"a/1@1", "a/3@3", "a/r@4"})
	e.pass(all[4].At())
	if err := e.TrimFeed(e.ctx(), e.add("clock", message(`1`))[0].At); err != nil {
		e.Fatal(err)
	}
	same(e, "all dropped", len(of("a", "", 10)), 0)
	_, err = e.FeedOf(e.ctx(), "a", all[0].Cursor, 10)
	e.code(holdfast.CodeLost, err)
	e.add("a", fed("5"))
	same(e, "it goes on", of("a", all[4].Cursor, 10), []string{"a/5@1"})
}

func testFeedTrim(e *env) {
	old := e.add(s1, fed("1"), fed("2"))
	e.pass(old[0].At)
	young := e.add(s1, fed("3"), fed("4"))
	items := e.feed("", 10)
	if err := e.TrimFeed(e.ctx(), young[0].At); err != nil {
		e.Fatal(err)
	}
	same(e, "what is left", feedIDs(e.feed("", 10)), []string{"chat:1/3@3", "chat:1/4@4"})
	same(e, "from the last one dropped", feedIDs(e.feed(items[1].Cursor, 10)), []string{"chat:1/3@3", "chat:1/4@4"})
	_, err := e.Feed(e.ctx(), items[0].Cursor, 10)
	e.code(holdfast.CodeLost, err)
	e.pass(young[0].At)
	at := e.add("clock", message(`1`))[0].At
	if err := e.TrimFeed(e.ctx(), at); err != nil {
		e.Fatal(err)
	}
	same(e, "all dropped", len(e.feed("", 10)), 0)
	same(e, "from the end", len(e.feed(items[3].Cursor, 10)), 0)
	if e.harness.Durable {
		e.reopen()
	}
	run := e.open("clock", "r")
	opened := e.info("clock").Changed
	e.pass(opened)
	ended := e.apply("clock", end(run, holdfast.RunComplete))
	if err := e.TrimFeed(e.ctx(), opened.Add(1)); err != nil {
		e.Fatal(err)
	}
	same(e, "an end is as old as the end", feedIDs(e.feed("", 10)), []string{fmt.Sprintf("clock/r@%d", ended.Run.Run)})
	e.add(s1, fed("5"))
	same(e, "numbers go on", feedIDs(e.feed(items[3].Cursor, 10)),
		[]string{fmt.Sprintf("clock/r@%d", ended.Run.Run), "chat:1/5@5"})
	_, err = e.Feed(e.ctx(), items[1].Cursor, 10)
	e.code(holdfast.CodeLost, err)
}

func testFeedCursor(e *env) {
	e.add(s1, fed("1"))
	good := e.feed("", 1)[0].Cursor
	for _, bad := range []string{"x", ".", "0", good + "0", good[1:], good[:len(good)-1] + "9", "é" + good} {
		_, err := e.Feed(e.ctx(), bad, 10)
		e.code(holdfast.CodeInvalid, err)
	}
}

func testConsumers(e *env) {
	get := func(name string) string {
		e.Helper()
		v, err := e.Consumer(e.ctx(), name)
		if err != nil {
			e.Fatal(err)
		}
		return v
	}
	set := func(name, value string) {
		e.Helper()
		if err := e.SetConsumer(e.ctx(), name, value); err != nil {
			e.Fatal(err)
		}
	}
	same(e, "unknown", get("hook"), "")
	set("hook", "1")
	set("hook2", "2")
	set("hook", "3")
	same(e, "values", get("hook")+get("hook2"), "32")
	set("hook2", "")
	same(e, "empty", get("hook2"), "")
	if e.harness.Durable {
		e.reopen()
		same(e, "after reopening", get("hook"), "3")
	}
}

func testConsumersList(e *env) {
	set := func(name, value string) {
		e.Helper()
		if err := e.SetConsumer(e.ctx(), name, value); err != nil {
			e.Fatal(err)
		}
	}
	list := func(prefix, after string, limit int) (got []string) {
		e.Helper()
		all, err := e.Consumers(e.ctx(), prefix, after, limit)
		if err != nil {
			e.Fatal(err)
		}
		for _, c := range all {
			got = append(got, fmt.Sprintf("%s=%.3s", c.Name, c.Value))
		}
		return got
	}
	same(e, "none", len(list("", "", 10)), 0)
	for _, name := range []string{"b", "a/2", "a/1", "a/3", "a"} {
		set(name, "v"+name)
	}
	same(e, "all", list("", "", 10), []string{"a=va", "a/1=va/", "a/2=va/", "a/3=va/", "b=vb"})
	same(e, "prefix", list("a/", "", 10), []string{"a/1=va/", "a/2=va/", "a/3=va/"})
	same(e, "after", list("a/", "a/1", 10), []string{"a/2=va/", "a/3=va/"})
	same(e, "after the prefix", len(list("a/", "b", 10)), 0)
	same(e, "limit", list("a/", "", 2), []string{"a/1=va/", "a/2=va/"})
	set("a/2", "")
	same(e, "removed", list("a/", "", 10), []string{"a/1=va/", "a/3=va/"})
	large := strings.Repeat("x", driver.MaxConsumersBytes)
	set("a/1", large)
	same(e, "large values come one by one", list("a/", "", 10), []string{"a/1=xxx"})
	same(e, "the next one", list("a/", "a/1", 10), []string{"a/3=va/"})
}
