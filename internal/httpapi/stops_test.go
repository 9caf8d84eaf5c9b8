package httpapi_test

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/store/driver"
)

const stopsPath = "/v1/sessions/chat-42/stops"

type stopAnswer struct {
	Offset, Run, Answers int
	ID, State, User      string
	Duplicate            bool
}

func TestStopOverHTTP(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `"hello"`)
	var run struct {
		runObject
		Answers int
		Stop    struct{ ID, State, User string }
	}
	b.must(201, post("/v1/sessions/chat-42/runs", `{"id":"r","answers":1}`), &run)
	if run.Answers != 1 || run.Stop.State != "" {
		t.Fatalf("opened: %+v", run)
	}
	var s, again stopAnswer
	b.must(201, post(stopsPath, `{"id":"x","user":"ada","run":2}`), &s)
	if d := cmp.Diff(s, stopAnswer{Offset: 3, Run: 2, Answers: 1, ID: "x", State: "requested", User: "ada"}); d != "" {
		t.Errorf("the stop (-got +want):\n%s", d)
	}
	b.must(200, with(post(stopsPath, `{"answers":1}`), "Idempotency-Key", "other"), &again)
	if s.Duplicate = true; again != s {
		t.Errorf("asked again by another: %+v", again)
	}
	b.must(200, request{path: stopsPath + "/x?user=ada"}, &again)
	if again.State != "requested" || again.Run != 2 {
		t.Errorf("read: %+v", again)
	}
	b.do(request{path: stopsPath + "/x"}).refused(t, 404, holdfast.CodeNotFound)
	b.must(200, post("/v1/sessions/chat-42/runs", `{"id":"r"}`), &run)
	if run.Stop.ID != "x" || run.Stop.State != "requested" || run.Stop.User != "ada" {
		t.Errorf("a producer that comes back sees %+v", run)
	}
	fragments := post("/v1/sessions/chat-42/runs/2/fragments", `{"fence":1,"fragments":[{"text":"x"}]}`)
	if p := b.do(fragments).refused(t, 409, holdfast.CodeStopped); p.Run == nil || p.Run.Status != "open" {
		t.Errorf("the problem's run is %+v", p.Run)
	}
	b.must(200, post("/v1/sessions/chat-42/runs/2/end", `{"fence":1,"status":"stopped"}`), &run)
	if run.Stop.State != "stopped" {
		t.Errorf("ended: %+v", run)
	}
	b.must(200, request{path: "/v1/sessions/chat-42/runs/2"}, &run)
	var h struct {
		Entries []struct {
			Kind string
			Run  struct{ Stop struct{ State string } }
		}
	}
	b.must(200, request{path: "/v1/sessions/chat-42/entries"}, &h)
	if run.Stop.State != "stopped" || len(h.Entries) != 4 || h.Entries[1].Run.Stop.State != "stopped" || h.Entries[3].Kind != "event" {
		t.Errorf("the run %+v, the history %+v", run, h)
	}
	b.must(200, post(stopsPath, `{"run":2}`), nil)
}

func TestStopRefusedOverHTTP(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `"hello"`)
	for name, c := range map[string]struct {
		req    request
		status int
		code   holdfast.Code
	}{
		"no target":       {post(stopsPath, `{}`), 400, holdfast.CodeInvalid},
		"two targets":     {post(stopsPath, `{"run":1,"answers":1}`), 400, holdfast.CodeInvalid},
		"a bad user":      {post(stopsPath, `{"run":1,"user":"\u0001answers"}`), 400, holdfast.CodeInvalid},
		"a bad id":        {post(stopsPath, `{"run":1,"id":"\u0001"}`), 400, holdfast.CodeInvalid},
		"two ids":         {with(post(stopsPath, `{"run":1,"id":"a"}`), "Idempotency-Key", "b"), 400, holdfast.CodeInvalid},
		"a message":       {post(stopsPath, `{"run":1}`), 404, holdfast.CodeNotFound},
		"no such message": {post(stopsPath, `{"answers":2}`), 404, holdfast.CodeNotFound},
		"no such run":     {post("/v1/sessions/chat-42/runs", `{"answers":2}`), 404, holdfast.CodeNotFound},
		"of a user":       {request{method: "POST", path: stopsPath, body: `{"answers":1}`, token: readerToken}, 403, holdfast.CodeForbidden},
		"no such stop":    {request{path: stopsPath + "/x"}, 404, holdfast.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) { b.do(c.req).refused(t, c.status, c.code) })
	}
}

// An open pipe is answered at once. Unless its sender keeps the run's end for itself, the run is stopped by that.
func TestPipeIsStopped(t *testing.T) {
	for name, c := range map[string]struct {
		query, run string
	}{"ends its run": {"?id=r", "stopped"}, "does not": {"?id=r&end=false", "open"}} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, func(o *httpapi.Options) { o.Limits = httpapi.Limits{} })
			p := b.dialPipe(c.query)
			p.chunk("so far")
			b.watched.awaitText(t, "so far")
			b.must(201, post(stopsPath, `{"id":"x","run":1}`), nil)
			a := p.answer()
			if got := a.refused(t, 409, holdfast.CodeStopped); got.Run == nil || got.Run.Status != c.run {
				t.Errorf("the problem's run is %+v", got.Run)
			}
			if _, err := p.in.ReadByte(); err != io.EOF {
				t.Errorf("the connection is not closed after the answer: %v", err)
			}
			next := b.do(request{method: "PUT", path: pipePath + c.query, body: "so far and on"}).refused(t, 409, holdfast.CodeStopped)
			if next.Run == nil || next.Run.Status != c.run {
				t.Errorf("a pipe that comes back sees the run as %+v", next.Run)
			}
		})
	}
}

func TestStopsInTheFeed(t *testing.T) {
	b := serve(t, nil)
	b.openRun("r")
	b.must(201, post(stopsPath, `{"id":"x","user":"ada","run":1}`), nil)
	if _, err := b.log.Apply(t.Context(), "chat-42", driver.SettleStop{Run: 1, ID: "x"}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 0, "?kinds=message": 0, "?kinds=end": 1, "?kinds=stop": 2, "?kinds=message,end,stop": 3} {
		var f struct {
			Items []struct{ Entry struct{ Kind string } }
		}
		b.must(200, request{path: "/v1/feed" + query}, &f)
		if len(f.Items) != want {
			t.Errorf("%q: %+v", query, f)
		}
	}
}
