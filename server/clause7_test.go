package server_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// nobody lets nobody in; the tests here use no sockets.
type nobody struct{}

func (nobody) Verify(context.Context, string) (holdfast.Grant, error) {
	return holdfast.Grant{}, holdfast.Errorf(holdfast.CodeUnauthorized, "nobody is let in")
}

// inBubble runs a server without sockets under simulated time.
func inBubble(t *testing.T, db driver.Driver, test func(t *testing.T, srv *server.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if db == nil {
			db = memory.New(memory.Options{})
		}
		srv, err := server.New(server.Options{Auth: nobody{}, Store: db, Lease: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- srv.Run(ctx) }() // ends with ctx, received below
		synctest.Wait()
		test(t, srv)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
}

func open(t *testing.T, srv *server.Server, o server.RunOptions) *server.Run {
	t.Helper()
	run, err := srv.Session("chat-1").OpenRun(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func status(t *testing.T, srv *server.Server, run *server.Run) holdfast.RunStatus {
	t.Helper()
	page, err := srv.Session("chat-1").Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries[run.Info().Run-1].Run.Status
}

func wantStatus(t *testing.T, srv *server.Server, run *server.Run, want holdfast.RunStatus) {
	t.Helper()
	if got := status(t, srv, run); got != want {
		t.Errorf("the run is %s, want %s", got, want)
	}
}

func TestClause7_ARunWithoutItsProducerEnds(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		for range 4 {
			<-time.After(29 * time.Second)
			if _, err := run.WriteString("still here "); err != nil {
				t.Fatal(err)
			}
		}
		wantStatus(t, srv, run, holdfast.RunOpen)
		<-run.Context().Done()
		wantStatus(t, srv, run, holdfast.RunInterrupted)
		if cause := context.Cause(run.Context()); holdfast.CodeOf(cause) != holdfast.CodeEnded {
			t.Errorf("the producer was told %v, want %s", cause, holdfast.CodeEnded)
		}
		if _, err := run.WriteString("too late"); holdfast.CodeOf(err) != holdfast.CodeEnded {
			t.Errorf("writing to the ended run: %v, want %s", err, holdfast.CodeEnded)
		}
	})
}

func TestClause7_ALaterProducerGoesOnAndTheEarlierIsFenced(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		first := open(t, srv, server.RunOptions{ID: "a"})
		if _, err := first.WriteString("prefix "); err != nil {
			t.Fatal(err)
		}
		second := open(t, srv, server.RunOptions{ID: "a", TakeOver: true})
		<-first.Context().Done()
		if _, err := first.WriteString("zombie "); holdfast.CodeOf(err) != holdfast.CodeFenced {
			t.Errorf("the earlier producer wrote: %v, want %s", err, holdfast.CodeFenced)
		}
		if _, err := second.WriteString("and new"); err != nil {
			t.Fatal(err)
		}
		if err := second.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		page, err := srv.Session("chat-1").Read(t.Context(), driver.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if got := page.Entries[0].Run.Body.Text(""); got != "prefix and new" {
			t.Errorf("the text is %q", got)
		}
	})
}

// keep is a store that outlives its server, as a folder on disk does.
type keep struct{ driver.Driver }

func (keep) Close() error { return nil }

func TestClause7_AfterARestartARunHasOneFullTerm(t *testing.T) {
	db := keep{memory.New(memory.Options{})}
	var run *server.Run
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		run = open(t, srv, server.RunOptions{ID: "a"})
		<-time.After(20 * time.Second)
	})
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		<-time.After(29 * time.Second)
		wantStatus(t, srv, run, holdfast.RunOpen)
		<-time.After(3 * time.Second)
		wantStatus(t, srv, run, holdfast.RunInterrupted)
	})
}

func TestOnMessageIsRepeatedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memory.New(memory.Options{})
		var got []string
		fails := 3
		srv, err := server.New(server.Options{Auth: nobody{}, Store: db, Logger: slog.New(slog.DiscardHandler),
			OnMessage: func(_ context.Context, m server.Message) error {
				if fails--; fails >= 0 {
					return errors.New("not now")
				}
				got = append(got, m.ID)
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- srv.Run(ctx) }() // ends with ctx, received below
		for _, id := range []string{"m1", "m2"} {
			_, err := db.Apply(t.Context(), "chat-1", driver.Append{Entries: []driver.NewEntry{{
				Kind: holdfast.KindMessage, ID: id, From: holdfast.Sender{User: "anna"}, Data: []byte("1"), Feed: true}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(10 * time.Second)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if len(got) != 2 || got[0] != "m1" || got[1] != "m2" {
			t.Errorf("the handler got %q, want m1 and m2, once each", got)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
}

// hasty is an engine on which every run is ended, by somebody else, before the producer has heard that it is open.
type hasty struct{ driver.Driver }

func (d hasty) Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error) {
	res, err := d.Driver.Apply(ctx, s, op)
	if _, ok := op.(driver.OpenRunOp); ok && err == nil {
		_, err = d.Driver.Apply(ctx, s, driver.EndRun{Run: res.Run.Run, Status: holdfast.RunStopped, Force: true})
	}
	return res, err
}

// A run that ends at once ends its producer's context too.
func TestClause7_AnEndBeforeTheProducerKnows(t *testing.T) {
	inBubble(t, hasty{memory.New(memory.Options{})}, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		synctest.Wait()
		if err := context.Cause(run.Context()); holdfast.CodeOf(err) != holdfast.CodeEnded {
			t.Errorf("the run's context: %v", err)
		}
	})
}

func TestClause7_ABeatKeepsTheLease(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		for range 4 {
			<-time.After(20 * time.Second)
			if err := run.Beat(); err != nil {
				t.Fatal(err)
			}
		}
		wantStatus(t, srv, run, holdfast.RunOpen)
		if n := run.Info().Fragments; n != 0 {
			t.Errorf("beats wrote %d fragments", n)
		}
		<-time.After(40 * time.Second)
		wantStatus(t, srv, run, holdfast.RunInterrupted)
		if err := run.Beat(); holdfast.CodeOf(err) != holdfast.CodeEnded {
			t.Errorf("the beat of a run that has ended: %v", err)
		}
	})
}
