package storetest

import (
	"fmt"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func feedCases() []testCase {
	return []testCase{
		{"Feed/Order", testFeed},
		{"Feed/Atomic", testFeedAtomic},
		{"Feed/Trim", testFeedTrim},
		{"Feed/BadCursor", testFeedCursor},
		{"Feed/Consumers", testConsumers},
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
	e.add(s1, fed("5"))
	same(e, "numbers go on", feedIDs(e.feed(items[3].Cursor, 10)), []string{"chat:1/5@5"})
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
