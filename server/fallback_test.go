package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

func (n *node) helloLine(client string, gen int, more string) string {
	return fmt.Sprintf(`{"t":"hello","v":1,"token":%q,"client":%q,"gen":%d%s}`, n.user("anna"), client, gen, more)
}

const readChat = `,"subs":[{"s":"chat-1","last":15}]`

func types(frames []wire.ServerFrame) (names []string) {
	for _, f := range frames {
		names = append(names, strings.TrimPrefix(fmt.Sprintf("%T", f), "*wire."))
	}
	return names
}

// Events are a connection: what is written comes at once, an ack to a send aside, and a later dial takes the place of it.
func TestEventsAreAConnection(t *testing.T) {
	n := start(t, server.Options{Origins: []string{"https://app.example.com"}})
	a := n.ask(t, "1/events", n.helloLine("c1", 1, readChat))
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := a.res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	until[*wire.Live](t, a)
	sent := n.ask(t, "send", n.helloLine("c1", 0, `,"mode":"aside"`)+"\n"+
		`{"t":"send","s":"chat-1","id":"m1","data":"hi"}`+"\n"+`{"t":"page","id":"p1","s":"chat-1"}`).rest(t)
	if diff := cmp.Diff([]string{"Ready", "Ack", "PageAnswer"}, types(sent)); diff != "" {
		t.Error(diff)
	}
	if e := until[*wire.EntryFrame](t, a); e.Entry.ID != "m1" || e.Entry.From.Client != "c1" {
		t.Errorf("got %+v", e)
	}
	code, body := n.request("GET", "/v1/users/anna/connections", n.backend(), "")
	if code != 200 || !strings.Contains(body, `"transport":"events"`) {
		t.Errorf("%d %s", code, body)
	}

	b := n.dial() // a WebSocket again
	b.text(n.helloLine("c1", 2, readChat))
	if bye := until[*wire.Bye](t, a); bye.Code != holdfast.CloseSuperseded {
		t.Errorf("bye with %d", bye.Code)
	}
	if rest := a.rest(t); len(rest) > 0 {
		t.Errorf("after its bye: %v", types(rest))
	}
}

// A poll comes home when there is news, with all of what it asked for; else when its wait is over.
func TestPoll(t *testing.T) {
	n := start(t, server.Options{})
	gen := 0
	poll := func(more string) []wire.ServerFrame {
		gen++
		return n.ask(t, fmt.Sprintf("%d/poll", gen), n.helloLine("c1", gen, more)).rest(t)
	}
	for i := range 300 {
		if _, err := n.srv.Session("chat-1").Append(t.Context(), "", json.RawMessage(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	all := poll(`,"subs":[{"s":"chat-1","last":300},{"s":"secret"},{"s":"no session"},{"s":"chat-2"}]`)
	entries, live := 0, 0
	for _, f := range all {
		switch f.(type) {
		case *wire.EntryFrame:
			entries++
		case *wire.Live:
			live++
		}
	}
	if entries != 300 || live != 2 {
		t.Errorf("the first poll brings %d entries and %d sessions live, want 300 and 2", entries, live)
	}

	last := all[len(all)-1]
	for _, f := range all {
		if e, ok := f.(*wire.EntryFrame); ok {
			last = e
		}
	}
	e := last.(*wire.EntryFrame).Entry
	info, err := n.srv.Session("chat-1").Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cursor := fmt.Sprintf(`,"subs":[{"s":"chat-1","cur":{"e":%q,"o":%d,"g":%d}}]`, info.Epoch, e.Offset, e.Tag)
	began := time.Now()
	if diff := cmp.Diff([]string{"Welcome", "SubAnswer", "Live"}, types(poll(`,"wait":300`+cursor))); diff != "" {
		t.Errorf("a poll without news: %s", diff)
	}
	if d := time.Since(began); d < 300*time.Millisecond || d > 10*time.Second {
		t.Errorf("it took %v, want 300 ms", d)
	}

	done := make(chan []wire.ServerFrame, 1)
	var running sync.WaitGroup
	running.Go(func() { done <- poll(cursor) })
	n.await(func() bool {
		_, body := n.request("GET", "/v1/users/anna/connections", n.backend(), "")
		return strings.Contains(body, `"generation":3`) && strings.Contains(body, `"chat-1"`)
	})
	if _, err := n.srv.Session("chat-1").Append(t.Context(), "", json.RawMessage(`"news"`)); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	news := types(<-done)
	slices.Sort(news) // the session may have been answered before the news or after
	if diff := cmp.Diff([]string{"EntryFrame", "Live", "SubAnswer", "Welcome"}, news); diff != "" {
		t.Errorf("a poll with news: %s", diff)
	}
	n.await(func() bool {
		_, body := n.request("GET", "/v1/users/anna/connections", n.backend(), "")
		return !strings.Contains(body, "chat-1")
	})
}

// What a request should not say, and the goodbye it gets. An answer that begins ends in order.
func TestBadRequests(t *testing.T) {
	n := start(t, server.Options{})
	bystander := n.hello("ben", "b1", "chat-1")
	living := n.ask(t, "9/events", n.helloLine("living", 9, readChat))
	until[*wire.Live](t, living)
	aside := n.helloLine("c1", 0, `,"mode":"aside"`) + "\n"
	send := `{"t":"send","s":"chat-1","id":"x","data":1}` + "\n"
	for name, c := range map[string]struct {
		path, body string
		status     int
		// frames are what the answer has; the code is that of its bye, 0 for none.
		frames []string
		code   holdfast.CloseCode
	}{
		"events: nothing":             {"1/events", "", 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: garbage":             {"1/events", "hello", 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: no hello":            {"1/events", send, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: two frames":          {"1/events", n.helloLine("c1", 1, "") + "\n" + send, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: a standby":           {"1/events", n.helloLine("c1", 1, `,"mode":"standby"`), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: aside":               {"1/events", aside, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: an unknown mode":     {"1/events", n.helloLine("c1", 1, `,"mode":"hologram"`), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"events: stale generation":    {"1/events", n.helloLine("living", 9, ""), 200, []string{"Bye"}, holdfast.CloseSuperseded},
		"events: forged token":        {"1/events", strings.Replace(n.helloLine("c1", 1, ""), "ey", "ex", 1), 200, []string{"Bye"}, holdfast.CloseUnauthorized},
		"events: another version":     {"1/events", `{"t":"hello","v":2,"client":"c1"}`, 200, []string{"Bye"}, holdfast.CloseVersion},
		"events: too large":           {"1/events", n.helloLine("c1", 1, `,"agent":"`+strings.Repeat("x", 300<<10)+`"`), 413, nil, 0},
		"poll: nothing":               {"1/poll", "", 200, []string{"Bye"}, holdfast.CloseProtocol},
		"poll: garbage":               {"1/poll", "\x00\xff", 200, []string{"Bye"}, holdfast.CloseProtocol},
		"poll: a standby":             {"1/poll", n.helloLine("c1", 1, `,"mode":"standby"`), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"poll: a take":                {"1/poll", `{"t":"take","gen":1,"subs":[]}`, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"poll: stale generation":      {"1/poll", n.helloLine("living", 8, ""), 200, []string{"Bye"}, holdfast.CloseSuperseded},
		"poll: wait in words":         {"1/poll", n.helloLine("c1", 1, `,"wait":"long"`), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"poll: a denied session":      {"1/poll", n.helloLine("c1", 1, `,"subs":[{"s":"secret"}]`), 200, []string{"Welcome", "SubAnswer"}, 0},
		"poll: a denied novel":        {"1/poll", n.helloLine("c1", 1, `,"subs":[{"s":"`+strings.Repeat("no ", 5000)+`"}]`), 200, []string{"Welcome", "SubAnswer"}, 0},
		"poll: too large":             {"1/poll", strings.Repeat(" ", 300<<10), 413, nil, 0},
		"send: nothing":               {"send", "", 400, nil, 0},
		"send: garbage":               {"send", "hello\n", 200, []string{"Bye"}, holdfast.CloseProtocol},
		"send: no hello":              {"send", send, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"send: not aside":             {"send", n.helloLine("c1", 1, "") + "\n" + send, 200, []string{"Bye"}, holdfast.CloseProtocol},
		"send: a standby":             {"send", n.helloLine("c1", 1, `,"mode":"standby"`), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"send: aside with subs":       {"send", n.helloLine("c1", 1, `,"mode":"aside"`+readChat), 200, []string{"Bye"}, holdfast.CloseProtocol},
		"send: hello only":            {"send", aside, 200, []string{"Ready"}, 0},
		"send: hello twice":           {"send", aside + aside, 200, []string{"Ready", "Bye"}, holdfast.CloseProtocol},
		"send: a sub":                 {"send", aside + `{"t":"sub","s":"chat-1"}`, 200, []string{"Ready", "Bye"}, holdfast.CloseProtocol},
		"send: a take":                {"send", aside + `{"t":"take","gen":99}`, 200, []string{"Ready", "Bye"}, holdfast.CloseProtocol},
		"send: garbage in between":    {"send", aside + send + "{\n" + send, 200, []string{"Ready", "Ack", "Bye"}, holdfast.CloseProtocol},
		"send: not allowed":           {"send", aside + strings.Replace(send, "chat-1", "secret", 1), 200, []string{"Ready", "ErrFrame"}, 0},
		"send: goodbye":               {"send", aside + `{"t":"bye"}` + "\n" + send, 200, []string{"Ready", "Ack"}, 0},
		"send: a goodbye to park":     {"send", aside + `{"t":"bye","park":true}`, 200, []string{"Ready"}, 0},
		"send: forged token":          {"send", strings.Replace(aside, "ey", "ex", 1) + send, 200, []string{"Bye"}, holdfast.CloseUnauthorized},
		"send: 65 frames":             {"send", aside + strings.Repeat(send, 65), 413, nil, 0},
		"send: 64 frames":             {"send", aside + strings.Repeat(send, 64), 200, append([]string{"Ready"}, repeated("Ack", 64)...), 0},
		"send: data too large":        {"send", aside + strings.Replace(send, ":1", `:"`+strings.Repeat("x", 256<<10)+`"`, 1), 200, []string{"Ready", "ErrFrame"}, 0},
		"send: a body without an end": {"send", aside + strings.Repeat(send, 60) + strings.Repeat("x", 1<<20+16<<10), 413, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := n.ask(t, c.path, c.body)
			if a.res.StatusCode != c.status {
				t.Fatalf("%s, want %d", a.res.Status, c.status)
			}
			if c.status == http.StatusOK {
				frames := a.rest(t)
				if diff := cmp.Diff(c.frames, types(frames)); diff != "" {
					t.Fatal(diff)
				}
				if bye, ok := frames[len(frames)-1].(*wire.Bye); ok && (bye.Code != c.code || bye.Reason == "") {
					t.Errorf("bye with %d %q, want %d and a reason", bye.Code, bye.Reason, c.code)
				}
			}
			bystander.t = t
			bystander.send(&wire.Send{Session: "chat-1", ID: "after " + name, Data: []byte(`"fine"`)})
			wantEntry(t, bystander, "after "+name)
		})
	}
	// And it lives, whom some of them tried to replace.
	bystander.t = t
	bystander.send(&wire.Send{Session: "chat-1", ID: "the end", Data: []byte("1")})
	for until[*wire.EntryFrame](t, living).Entry.ID != "the end" {
	}
}

func repeated(s string, n int) []string { return strings.Split(strings.Repeat(s+" ", n-1)+s, " ") }

// Requests of one client share a limit, as the frames of one connection do.
func TestSendingAsideIsLimited(t *testing.T) {
	n := start(t, server.Options{Rate: 0.001, Burst: 5})
	body := n.helloLine("c1", 0, `,"mode":"aside"`) + strings.Repeat("\n"+`{"t":"send","s":"chat-1","id":"x","data":1}`, 3)
	acks, refused := 0, 0
	for range 3 {
		for _, f := range n.ask(t, "send", body).rest(t) {
			switch f := f.(type) {
			case *wire.Ack:
				acks++
			case *wire.ErrFrame:
				if f.Code == holdfast.CodeRateLimited && f.After > 0 {
					refused++
				}
			}
		}
	}
	if acks != 5 || refused != 4 {
		t.Errorf("%d acks and %d refusals, want 5 and 4", acks, refused)
	}
	if diff := cmp.Diff([]string{"Ready", "Ack"}, types(n.ask(t, "send", n.helloLine("c2", 0, `,"mode":"aside"`)+
		"\n"+`{"t":"send","s":"chat-1","id":"y","data":1}`).rest(t))); diff != "" {
		t.Errorf("another client: %s", diff)
	}
}

// A page of a foreign origin reaches none of it; an allowed one may read all answers.
func TestOriginsOfRequests(t *testing.T) {
	n := start(t, server.Options{Origins: []string{"https://app.example.com"}})
	for _, path := range []string{"1/events", "1/poll", "send", "report", "ready"} {
		for from, status := range map[string]int{"https://evil.example.org": 403, "https://app.example.com": 0} {
			method := http.MethodPost
			if path == "ready" {
				method = http.MethodGet
			}
			req, err := http.NewRequestWithContext(t.Context(), method, n.web.URL+"/v1/ws/"+path, strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", from)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			shared := res.Header.Get("Access-Control-Allow-Origin")
			if (status == 403) != (res.StatusCode == 403) || (status == 403) != (shared == "") {
				t.Errorf("%s from %s: %d, shared with %q", path, from, res.StatusCode, shared)
			}
		}
	}
}

// A server that stops closes its gate, sends those who listen away with a time to come back, and ends polls.
func TestStoppingOverHTTP(t *testing.T) {
	n := start(t, server.Options{})
	if code := n.get("/v1/ws/ready").StatusCode; code != http.StatusNoContent {
		t.Errorf("the gate answers %d", code)
	}
	listening := n.ask(t, "1/events", n.helloLine("c1", 1, readChat))
	until[*wire.Live](t, listening)
	polled := make(chan []string, 1)
	var running sync.WaitGroup
	running.Go(func() { polled <- types(n.ask(t, "1/poll", n.helloLine("c2", 1, "")).rest(t)) })
	n.await(func() bool {
		_, body := n.request("GET", "/v1/users/anna/connections", n.backend(), "")
		return strings.Contains(body, "c1") && strings.Contains(body, "c2")
	})
	n.stop()
	if bye := until[*wire.Bye](t, listening); bye.Code != holdfast.CloseRestart {
		t.Errorf("bye with %d", bye.Code)
	}
	listening.rest(t)
	running.Wait()
	if diff := cmp.Diff([]string{"Welcome", "Bye"}, <-polled); diff != "" {
		t.Errorf("the poll: %s", diff)
	}
	for _, path := range []string{"1/events", "1/poll", "send"} {
		if a := n.ask(t, path, n.helloLine("c3", 1, "")); a.res.StatusCode != 503 || a.res.Header.Get("Retry-After") == "" {
			t.Errorf("%s afterwards: %s", path, a.res.Status)
		}
	}
	if gate := n.get("/v1/ws/ready"); gate.StatusCode != 503 || gate.Header.Get("Retry-After") == "" {
		t.Errorf("the gate answers %s", gate.Status)
	}
}

// A backend asks for the log of a connection, its client is told, and what it sends arrives, without its token.
func TestReports(t *testing.T) {
	var log bytes.Buffer
	got := make(chan *server.Report, 1)
	n := start(t, server.Options{
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		Reports: func(_ context.Context, r *server.Report) { got <- r },
	})
	p := n.hello("anna", "c1", "chat-1")
	ask := func() string {
		t.Helper()
		_, body := n.request("GET", "/v1/users/anna/connections", n.backend(), "")
		var list struct{ Connections []struct{ Conn string } }
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Connections) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		return list.Connections[0].Conn
	}
	if code, body := n.request("POST", "/v1/connections/"+ask()+"/report", n.backend(), ""); code != http.StatusAccepted {
		t.Fatalf("%d %s", code, body)
	}
	if f := p.next(); cmp.Diff(&wire.ReportRequest{}, f) != "" {
		t.Fatalf("the client is told %T", f)
	}
	token := n.user("anna")
	code, body := n.request("POST", "/v1/ws/report", "", `{"token":"`+token+`","client":"c1","reason":"asked","log":[{"at":1,"e":"dial","why":"`+token+`"}]}`)
	if code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	if r := <-got; r.User != "anna" || r.Client != "c1" || strings.Contains(string(r.Records[0].Data), token) {
		t.Errorf("%+v", r)
	}
	if code, _ := n.request("POST", "/v1/connections/"+ask()+"/report", n.user("ben"), ""); code != http.StatusForbidden {
		t.Errorf("a user asks for another's log: %d", code)
	}
	if strings.Contains(log.String(), token) {
		t.Error("the token is in the log")
	}
}

// In another program's ServeMux, behind its middleware, every way to connect is there.
func TestEmbedded(t *testing.T) {
	n := start(t, server.Options{})
	mux := http.NewServeMux()
	mux.Handle("/v1/", n.srv)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	own := n.web
	n.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(wrapped{w}, r) }))
	defer func() {
		n.web.CloseClientConnections()
		n.web.Close()
		n.web = own
	}()
	if code := n.get("/v1/ws/ready").StatusCode; code != http.StatusNoContent {
		t.Errorf("the gate answers %d", code)
	}
	a := n.ask(t, "1/events", n.helloLine("c1", 1, readChat))
	until[*wire.Live](t, a)
	a.close()
	n.ask(t, "1/poll", n.helloLine("c1", 2, `,"wait":1`)).rest(t)
	n.ask(t, "send", n.helloLine("c1", 0, `,"mode":"aside"`)).rest(t)
}

// wrapped is what middleware does to a ResponseWriter.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }
