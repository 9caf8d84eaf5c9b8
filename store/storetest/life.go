package storetest

import (
	"errors"
	"fmt"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func lifeCases() []testCase {
	return []testCase{
		{"Life/Durability", testDurability},
		{"Life/Reopen", testReopen},
		{"Life/Closed", testClosed},
		{"Life/CloseAmongWriters", testCloseAmong},
	}
}

func testDurability(e *env) {
	if d := e.Durability(); d == "" || (d == driver.DurableMemory) == e.harness.Durable {
		e.Fatalf("durability %q of an engine whose harness says durable: %v", d, e.harness.Durable)
	}
}

func testReopen(e *env) {
	if !e.harness.Durable {
		e.Skip("the engine keeps nothing")
	}
	run := e.furnish(s1)
	e.furnish("trimmed")
	e.apply("trimmed", driver.Trim{Before: 4})
	e.furnish("gone")
	e.remove("gone")
	e.add(s1, fed("f"))
	before, trimmed, feed := e.dump(s1), e.dump("trimmed"), e.feed("", 10)
	e.reopen()
	same(e, "session", e.dump(s1), before)
	same(e, "trimmed session", e.dump("trimmed"), trimmed)
	same(e, "deleted session", e.info("gone"), driver.Info{})
	same(e, "feed", e.feed("", 10), feed)
	same(e, "list", e.sessions("", "", 10), []holdfast.SessionID{s1, "trimmed"})

	// All goes on where it stopped.
	if w := e.apply(s1, entries(withID("m"))).Entries[0]; !w.Duplicate {
		e.Fatal("ids are forgotten")
	}
	if r := e.apply(s1, opening("e")); r.Run.Status != holdfast.RunComplete {
		e.Fatalf("run %+v", r.Run)
	}
	if r := e.apply(s1, grow(run, 1, text("b", "c")...)); r.Repeated != 1 || r.Run.Fragments != 3 {
		e.Fatalf("fragments: %+v", r)
	}
	e.apply(s1, end(run, holdfast.RunComplete))
	e.add(s1, state("k", `3`), fed("g"))
	same(e, "body", e.run(s1, run.Run, 0).Run.Body.Text(""), "abc")
	same(e, "head", e.info(s1).Head, before.Page.Info.Head+2)
	same(e, "states", len(e.states(s1)), 1)
	same(e, "feed goes on", len(e.feed(feed[len(feed)-1].Cursor, 10)), 2)
	after := e.dump(s1)
	e.reopen()
	same(e, "session after another time", e.dump(s1), after)
}

func testClosed(e *env) {
	e.add(s1, message(`1`))
	if err := e.Close(); err != nil {
		e.Fatal(err)
	}
	_, err1 := e.Apply(e.ctx(), s1, entries(message(`1`)))
	_, err2 := e.Read(e.ctx(), s1, driver.Query{})
	_, err3 := e.Info(e.ctx(), s1)
	_, err4 := e.Sessions(e.ctx(), "", "", 1)
	_, err5 := e.Feed(e.ctx(), "", 1)
	_, err6 := e.Consumer(e.ctx(), "x")
	err7 := e.SetConsumer(e.ctx(), "x", "y")
	err8 := e.Delete(e.ctx(), s1)
	_, err9 := e.OpenRuns(e.ctx(), driver.RunRef{}, 1)
	for _, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9} {
		e.code(holdfast.CodeUnavailable, err)
	}
	if err := e.Close(); err != nil {
		e.Fatalf("closing again: %v", err)
	}
}

// testCloseAmong closes under writers: each write was done or refused, and Close returns.
func testCloseAmong(e *env) {
	started := make(chan struct{}, 8)
	closed := make(chan error, 1)
	go func() {
		for range 8 {
			<-started
		}
		closed <- e.Close()
	}()
	acked := make([]int, 8)
	e.parallel(8, func(w int) error {
		for i := 0; ; i++ {
			_, err := e.Apply(e.ctx(), s1, entries(withID(fmt.Sprintf("%d.%d", w, i))))
			if holdfast.CodeOf(err) == holdfast.CodeUnavailable {
				return nil
			}
			if err != nil {
				return err
			}
			if acked[w]++; acked[w] == 3 {
				started <- struct{}{}
			}
		}
	})
	if err := errors.Join(<-closed); err != nil {
		e.Fatal(err)
	}
	if !e.harness.Durable {
		return
	}
	e.Driver = e.harness.Open()
	for w, n := range acked {
		for i := range n {
			if r := e.apply(s1, entries(withID(fmt.Sprintf("%d.%d", w, i)))); !r.Entries[0].Duplicate {
				e.Fatalf("acknowledged write %d.%d is gone", w, i)
			}
		}
	}
}
