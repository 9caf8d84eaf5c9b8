package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
)

func TestRunFromOpenToEnd(t *testing.T) {
	b := serve(t, nil)
	b.fill(1)
	const runs = "/v1/sessions/chat-42/runs"
	var r, again runObject
	b.must(201, request{method: "POST", path: runs, body: `{"id":"r","data":{"m":1}}`}, &r)
	if r.Run != 2 || r.ID != "r" || r.Fence != 1 || r.Status != "open" || r.Epoch == "" || r.Duplicate {
		t.Fatalf("opened: %+v", r)
	}
	b.must(200, request{method: "POST", path: runs, body: `{}`, header: map[string]string{"Idempotency-Key": "r"}}, &again)
	if again.Run != 2 || again.Fence != 1 || !again.Duplicate {
		t.Errorf("opened again: %+v", again)
	}
	fragments := func(body string) (got struct{ Fragments, Repeated int }) {
		b.must(200, request{method: "POST", path: runs + "/2/fragments", body: body}, &got)
		return got
	}
	fragments(`{"fence":1,"after":0,"fragments":[{"text":"Hello"},{"part":"tools","event":{"call": "x"}}]}`)
	got := fragments(`{"fence":1,"after":1,"fragments":[{"part":"tools","event":{"call":"x"}},{"text":" world"}]}`)
	if got.Fragments != 3 || got.Repeated != 1 {
		t.Errorf("an overlapping append: %+v", got)
	}
	got = fragments(`{"fence":1,"fragments":[{"text":"!"}]}`)
	if got.Fragments != 4 || got.Repeated != 0 {
		t.Errorf("an append without after: %+v", got)
	}
	got = fragments(`{"fence":1,"fragments":[]}`)
	if got.Fragments != 4 || got.Repeated != 0 {
		t.Errorf("a heartbeat: %+v", got)
	}
	for range 2 {
		b.must(200, request{method: "POST", path: runs + "/2/end", body: `{"fence":1,"status":"complete","data":{"tokens": 3}}`}, &r)
		if r.Status != "complete" || r.Fragments != 4 || r.TextBytes != 12 {
			t.Errorf("ended: %+v", r)
		}
	}
	b.checkContents(runs + "/2")
}

func (b *bench) checkContents(path string) {
	b.Helper()
	var whole, rest contents
	b.must(200, request{path: path}, &whole)
	render := func(c contents) (out []string) {
		for _, s := range c.Body {
			out = append(out, fmt.Sprintf("%s|%s|%s", s.Part, s.Text, s.Event))
		}
		return out
	}
	if d := cmp.Diff(render(whole), []string{"|Hello|", `tools||{"call":"x"}`, "| world!|"}); d != "" {
		b.Errorf("body (-got +want):\n%s", d)
	}
	if whole.Status != "complete" || whole.Fence != 1 || string(whole.End) != `{"tokens":3}` || string(whole.Data) != `{"m":1}` {
		b.Errorf("got %+v", whole)
	}
	b.must(200, request{path: path + "?after=3"}, &rest)
	if d := cmp.Diff(render(rest), []string{"|!|"}); d != "" || rest.Fragments != 4 || rest.After != 3 {
		b.Errorf("after 3, %d fragments (-got +want):\n%s", rest.Fragments, d)
	}
	b.do(request{path: path + "?after=5"}).refused(b.T, 410, holdfast.CodeLost)
	var h history
	b.must(200, request{path: "/v1/sessions/chat-42/entries?after=1"}, &h)
	if e := h.Entries[0]; e.Kind != "run" || e.Run == nil || e.Run.Status != "complete" || len(e.Run.Body) != 3 {
		b.Errorf("in the history it is %+v", h.Entries[0])
	}
}

// What a request puts into the feed bears its trace, so that webhooks can.
func TestTheFeedBearsTheTrace(t *testing.T) {
	b := serve(t, nil)
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b.must(201, post("/v1/sessions/chat-42/runs", `{"id":"r"}`), nil)
	end := func(run int, header string) {
		r := post(fmt.Sprintf("/v1/sessions/chat-42/runs/%d/end", run), `{"fence":1,"status":"complete"}`)
		b.must(200, with(r, "Traceparent", header), nil)
	}
	end(1, traceparent)
	pipe := request{method: "PUT", path: "/v1/sessions/chat-42/pipe?id=p", body: "text"}
	pipe.header = map[string]string{"Content-Type": "text/plain", "Traceparent": traceparent[:53] + "00"}
	b.must(201, pipe, nil)
	b.must(201, post("/v1/sessions/chat-42/runs", `{"id":"q"}`), nil)
	end(3, strings.ToUpper(traceparent))
	items, err := b.log.Feed(b.Context(), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range items {
		got = append(got, i.Trace)
	}
	if d := cmp.Diff([]string{traceparent, traceparent[:53] + "00", ""}, got); d != "" {
		t.Error(d)
	}
}

func TestARunHasARollup(t *testing.T) {
	b := serve(t, nil)
	const runs = "/v1/sessions/chat-42/runs"
	var r runObject
	b.must(201, post(runs, `{"id":"r","rollup":100}`), &r)
	if r.Rollup != 100 || b.runNow(r.Run).Rollup != 100*time.Millisecond {
		t.Errorf("opened: %+v", r)
	}
	b.must(200, post(runs, `{"id":"r","takeOver":true,"rollup":500}`), &r)
	if r.Rollup != 100 {
		t.Errorf("taken over: %+v", r)
	}
	var s struct{ Open []runObject }
	b.must(200, request{path: "/v1/sessions/chat-42"}, &s)
	if len(s.Open) != 1 || s.Open[0].Rollup != 100 {
		t.Errorf("in the session: %+v", s)
	}
	var piped struct{ Run uint64 }
	pipe := with(request{method: "PUT", path: "/v1/sessions/chat-42/pipe?id=p&end=false&rollup=250", body: "text"}, "Content-Type", "text/plain")
	b.must(201, pipe, &piped)
	if got := b.runNow(piped.Run).Rollup; got != 250*time.Millisecond {
		t.Errorf("a pipe has a rollup of %v", got)
	}
	for _, bad := range []string{`-1`, `501`, `9007199254740993`, `"1"`, `0.5`} {
		p := b.do(post(runs, `{"id":"bad","rollup":`+bad+`}`)).refused(t, 400, holdfast.CodeInvalid)
		if !strings.Contains(p.Detail, "rollup") {
			t.Errorf("%s: %s", bad, p.Detail)
		}
	}
	for _, bad := range []string{"-1", "501", "x"} {
		pipe.path = "/v1/sessions/chat-42/pipe?id=bad&rollup=" + bad
		b.do(pipe).refused(t, 400, holdfast.CodeInvalid)
	}
}

func TestRefusedProducerLearnsHowTheRunStands(t *testing.T) {
	b := serve(t, nil)
	const runs = "/v1/sessions/chat-42/runs"
	b.openRun("r")
	var r runObject
	b.must(200, request{method: "POST", path: runs, body: `{"id":"r","takeOver":true}`}, &r)
	if r.Fence != 2 {
		t.Fatalf("taken over: %+v", r)
	}
	send := func(body string) answer {
		return b.do(request{method: "POST", path: runs + "/1/fragments", body: body})
	}
	end := func(body string) answer { return b.do(request{method: "POST", path: runs + "/1/end", body: body}) }
	check := func(p problem, status string) {
		t.Helper()
		if p.Run == nil || p.Run.Run != 1 || p.Run.Status != status || p.Run.Fence != 2 || p.Run.ID != "r" {
			t.Errorf("the problem's run is %+v", p.Run)
		}
	}
	check(send(`{"fence":1,"fragments":[{"text":"x"}]}`).refused(t, 409, holdfast.CodeFenced), "open")
	check(end(`{"fence":1,"status":"complete"}`).refused(t, 409, holdfast.CodeFenced), "open")
	check(send(`{"fence":2,"after":7,"fragments":[{"text":"x"}]}`).refused(t, 409, holdfast.CodeGap), "open")
	if a := end(`{"fence":2,"status":"stopped"}`); a.status != 200 {
		t.Fatalf("stop: %d %s", a.status, a.body)
	}
	check(send(`{"fence":2,"fragments":[{"text":"x"}]}`).refused(t, 409, holdfast.CodeEnded), "stopped")
	check(send(`{"fence":2,"fragments":[]}`).refused(t, 409, holdfast.CodeEnded), "stopped")
	check(end(`{"fence":2,"status":"complete"}`).refused(t, 409, holdfast.CodeEnded), "stopped")
	b.do(request{method: "POST", path: runs + "/9/end", body: `{"fence":2,"status":"failed"}`}).refused(t, 404, holdfast.CodeNotFound)
	b.must(201, request{method: "POST", path: "/v1/sessions/chat-42/entries", body: `{"data":1,"id":"msg"}`}, nil)
	b.do(request{method: "POST", path: runs, body: `{"id":"msg"}`}).refused(t, 409, holdfast.CodeConflict)
}

func TestRestartedProducerFindsItsRuns(t *testing.T) {
	b := serve(t, nil)
	for _, s := range []string{"a", "b", "b", "c"} {
		b.must(201, request{method: "POST", path: "/v1/sessions/" + s + "/runs", body: `{}`}, nil)
	}
	b.must(200, request{method: "POST", path: "/v1/sessions/c/runs/1/end", body: `{"fence":1,"status":"failed"}`}, nil)
	var got []string
	for next := ""; ; {
		var l struct {
			Runs []struct {
				Session string
				runObject
			}
			Next string
		}
		b.must(200, request{path: "/v1/runs?limit=2" + next}, &l)
		for _, r := range l.Runs {
			got = append(got, fmt.Sprintf("%s/%d %s", r.Session, r.Run, r.Status))
		}
		if l.Next == "" {
			break
		}
		next = "&after=" + l.Next
	}
	if d := cmp.Diff(got, []string{"a/1 open", "b/1 open", "b/2 open"}); d != "" {
		t.Errorf("open runs (-got +want):\n%s", d)
	}
}
