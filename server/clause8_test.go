package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

var ann = holdfast.Sender{User: "ann", Client: "phone"}

func ask(t *testing.T, srv *server.Server, r server.StopRequest) driver.StopInfo {
	t.Helper()
	r.From = ann
	s, err := srv.Session("chat-1").Stop(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told returns what the events in the log say, which is what every device sees.
func told(t *testing.T, srv *server.Server) (events []string) {
	t.Helper()
	page, err := srv.Session("chat-1").Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Entries {
		if page.Entries[i].Kind == holdfast.KindEvent {
			events = append(events, string(page.Entries[i].Data))
		}
	}
	return events
}

func wantTold(t *testing.T, srv *server.Server, want ...string) {
	t.Helper()
	got := told(t, srv)
	for i := range want {
		want[i] = `{"stop":` + want[i] + `}`
	}
	if len(got) != len(want) {
		t.Fatalf("events %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("event %d is %s, want %s", i, got[i], want[i])
		}
	}
}

func wantCause(t *testing.T, run *server.Run, want holdfast.Code) {
	t.Helper()
	<-run.Context().Done()
	if got := holdfast.CodeOf(context.Cause(run.Context())); got != want {
		t.Errorf("the producer was told %s, want %s", got, want)
	}
}

func TestClause8_AStopReachesItsProducerAtOnceAndIsHeeded(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		if _, err := run.WriteString("so far"); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		if s := ask(t, srv, server.StopRequest{ID: "x", Run: 1}); s.State != holdfast.StopRequested || s.From != ann {
			t.Errorf("the stop is %+v", s)
		}
		wantCause(t, run, holdfast.CodeStopped)
		if late := time.Since(asked); late > 0 {
			t.Errorf("the producer was told after %s", late)
		}
		if s := run.Stop(); s.ID != "x" || s.State != holdfast.StopRequested {
			t.Errorf("the producer sees the stop %+v", s)
		}
		if _, err := run.WriteString("more"); holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("writing after the stop: %v", err)
		}
		if err := run.Beat(); holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("beating after the stop: %v", err)
		}
		if err := run.End(t.Context(), holdfast.RunStopped, nil); err != nil {
			t.Fatal(err)
		}
		if s := run.Stop(); s.State != holdfast.StopStopped {
			t.Errorf("afterwards the stop is %+v", s)
		}
		<-time.After(time.Minute)
		wantStatus(t, srv, run, holdfast.RunStopped)
		wantTold(t, srv, `{"id":"x","run":1,"state":"requested","u":"ann","c":"phone"}`, `{"id":"x","run":1,"state":"stopped","u":"ann","c":"phone"}`)
	})
}

func TestClause8_AProducerThatCompletesAfterAllMadeItTooLate(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		ask(t, srv, server.StopRequest{ID: "x", Run: 1})
		if err := run.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if s := ask(t, srv, server.StopRequest{ID: "x", Run: 1}); s.State != holdfast.StopTooLate {
			t.Errorf("asking again: %+v", s)
		}
		wantStatus(t, srv, run, holdfast.RunComplete)
		done := open(t, srv, server.RunOptions{ID: "b"})
		if err := done.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ask(t, srv, server.StopRequest{ID: "y", Run: done.Info().Run})
		wantTold(t, srv, `{"id":"x","run":1,"state":"requested","u":"ann","c":"phone"}`, `{"id":"x","run":1,"state":"too_late","u":"ann","c":"phone"}`,
			`{"id":"y","run":4,"state":"too_late","u":"ann","c":"phone"}`)
	})
}

// The producer is away when the stop comes, and stays away for longer than the grace.
func TestClause8_AnUnreachableProducerIsToldWhenItReturns(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		ask(t, srv, server.StopRequest{ID: "x", Run: 1})
		<-time.After(4 * time.Second)
		wantStatus(t, srv, run, holdfast.RunOpen)
		<-time.After(2500 * time.Millisecond)
		wantStatus(t, srv, run, holdfast.RunStopped)
		wantTold(t, srv, `{"id":"x","run":1,"state":"requested","u":"ann","c":"phone"}`, `{"id":"x","run":1,"state":"unreachable","u":"ann","c":"phone"}`)
		if _, err := run.WriteString("late"); holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("the producer writes: %v", err)
		}
		_, err := srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "a", TakeOver: true})
		if holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("a producer that starts again opens it: %v", err)
		}
		if err := run.End(t.Context(), holdfast.RunStopped, nil); err != nil {
			t.Errorf("heeding it late: %v", err)
		}
	})
}

func TestClause8_AStopMayComeBeforeItsRun(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		for _, id := range []string{"m1", "m2"} {
			if _, err := srv.Session("chat-1").Append(t.Context(), id, []byte(`1`)); err != nil {
				t.Fatal(err)
			}
			w := ask(t, srv, server.StopRequest{ID: "x" + id, Answers: map[string]holdfast.Offset{"m1": 1, "m2": 3}[id]})
			if w.State != holdfast.StopRequested || w.Run != 0 {
				t.Errorf("the stop is %+v", w)
			}
		}
		<-time.After(3 * time.Second)
		early := open(t, srv, server.RunOptions{ID: "early", Answers: 1})
		wantCause(t, early, holdfast.CodeStopped)
		<-time.After(3500 * time.Millisecond)
		wantStatus(t, srv, early, holdfast.RunOpen) // it has a grace of its own
		if err := early.End(t.Context(), holdfast.RunStopped, nil); err != nil {
			t.Fatal(err)
		}
		_, err := srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "late", Answers: 3})
		if holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("opening a run whose stop was given up: %v", err)
		}
		wantTold(t, srv, `{"id":"xm1","answers":1,"state":"requested","u":"ann","c":"phone"}`,
			`{"id":"xm2","answers":3,"state":"requested","u":"ann","c":"phone"}`,
			`{"id":"xm2","answers":3,"state":"unreachable","u":"ann","c":"phone"}`,
			`{"id":"xm1","run":5,"answers":1,"state":"stopped","u":"ann","c":"phone"}`,
			`{"id":"xm2","run":8,"answers":3,"state":"stopped","u":"ann","c":"phone"}`)
	})
}

func TestClause8_ARestartedServerGivesEachStopOneGrace(t *testing.T) {
	db := keep{memory.New(memory.Options{})}
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		if _, err := srv.Session("chat-1").Append(t.Context(), "m", []byte(`1`)); err != nil {
			t.Fatal(err)
		}
		open(t, srv, server.RunOptions{ID: "a"})
		ask(t, srv, server.StopRequest{ID: "x", Run: 2})
		ask(t, srv, server.StopRequest{ID: "y", Answers: 1})
	})
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		<-time.After(4 * time.Second)
		if n := len(told(t, srv)); n != 2 {
			t.Errorf("%d events before the grace is over", n)
		}
		<-time.After(2500 * time.Millisecond)
		page, err := srv.Session("chat-1").Read(t.Context(), driver.Query{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Info.Open) != 0 || page.Info.Stops[0].State != holdfast.StopUnreachable || page.Entries[1].Run.Stop.State != holdfast.StopUnreachable {
			t.Errorf("after the grace: %+v", page)
		}
	})
}

// A producer that takes the run over is told as the one before it was.
func TestClause8_ATakeOverDoesNotLiftAStop(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		open(t, srv, server.RunOptions{ID: "a"})
		ask(t, srv, server.StopRequest{ID: "x", Run: 1})
		second := open(t, srv, server.RunOptions{ID: "a", TakeOver: true})
		wantCause(t, second, holdfast.CodeStopped)
		if s := second.Stop(); s.ID != "x" {
			t.Errorf("it sees the stop %+v", s)
		}
		if err := second.End(t.Context(), holdfast.RunStopped, nil); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, srv, second, holdfast.RunStopped)
	})
}
