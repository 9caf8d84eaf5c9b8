package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/store/driver"
)

const pipePath = "/v1/sessions/chat-42/pipe"

type piped struct {
	Epoch, ID, Status         string
	Run, Fragments, TextBytes uint64
}

// rawPipe is a pipe request on a connection of the test's own, so that the test decides which bytes go when.
type rawPipe struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialPipe sends the head of a chunked request.
func (b *bench) dialPipe(query string, header ...string) *rawPipe {
	b.Helper()
	conn, err := net.Dial("tcp", b.server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	// A server that does not answer is a failure, not a test that hangs.
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		b.Fatal(err)
	}
	p := &rawPipe{b.T, conn, bufio.NewReader(conn)}
	head := "PUT " + pipePath + query + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	if len(header) == 0 {
		header = []string{"Authorization: Bearer " + backendToken}
	}
	p.raw(head + strings.Join(header, "\r\n") + "\r\n\r\n")
	return p
}

func (p *rawPipe) raw(s string) {
	p.Helper()
	if _, err := io.WriteString(p.conn, s); err != nil {
		p.Fatal(err)
	}
}

// chunk sends one chunk; an empty one is the clean end.
func (p *rawPipe) chunk(s string) {
	p.Helper()
	p.raw(fmt.Sprintf("%x\r\n%s\r\n", len(s), s))
}

func (p *rawPipe) answer() answer {
	p.Helper()
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, body}
}

func TestPipeShowsEachChunkAsItArrives(t *testing.T) {
	b := serve(t, nil)
	p := b.dialPipe("?id=r&data=" + url.QueryEscape(`{"m": 1}`))
	text := ""
	for _, chunk := range []string{"Once", " upon", " a", " time"} {
		p.chunk(chunk)
		text += chunk
		b.watched.awaitText(t, text)
		if got := b.runNow(1); got.Status != holdfast.RunOpen || got.Body.Text("") != text {
			t.Fatalf("%s: %q", got.Status, got.Body.Text(""))
		}
	}
	p.chunk("")
	a := p.answer()
	var got piped
	a.decode(t, &got)
	got.Epoch = ""
	if d := cmp.Diff(got, piped{ID: "r", Status: "complete", Run: 1, Fragments: 4, TextBytes: 16}); d != "" || a.status != 201 {
		t.Errorf("%d (-got +want):\n%s", a.status, d)
	}
	if a.header.Get("Holdfast-Run") != "r" {
		t.Errorf("header %q", a.header.Get("Holdfast-Run"))
	}
	var c contents
	b.must(200, request{path: "/v1/sessions/chat-42/runs/1"}, &c)
	if string(c.Data) != `{"m":1}` || c.Status != "complete" {
		t.Errorf("the run is %+v", c)
	}
}

func TestPipeMakesAnID(t *testing.T) {
	b := serve(t, nil)
	var first, second piped
	a := b.must(201, request{method: "PUT", path: pipePath, body: "one"}, &first)
	b.must(201, request{method: "PUT", path: pipePath, body: "two"}, &second)
	if first.ID == "" || first.ID == second.ID || a.header.Get("Holdfast-Run") != first.ID {
		t.Errorf("ids %q and %q, header %q", first.ID, second.ID, a.header.Get("Holdfast-Run"))
	}
}

func TestPipeOfPartsThatStaysOpen(t *testing.T) {
	b := serve(t, nil)
	var got piped
	b.must(201, request{method: "PUT", path: pipePath + "?id=r&part=thought&end=false", body: "hmm"}, &got)
	b.must(200, request{method: "PUT", path: pipePath + "?id=r", body: "yes"}, &got)
	run := b.runNow(1)
	if run.Body.Text("thought") != "hmm" || run.Body.Text("") != "yes" || got.Status != "complete" || got.TextBytes != 6 {
		t.Errorf("%+v, %+v", got, run)
	}
}

func TestBrokenPipeIsResumed(t *testing.T) {
	for _, tt := range []struct{ name, query, body string }{
		{"from the start", "?id=r", "Grüße an alle"},
		{"from the byte", "?id=r&at=6", "e an alle"},
		{"from inside a character", "?id=r&at=3", "\xbcße an alle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, nil)
			p := b.dialPipe("?id=r")
			p.chunk("Gr")
			b.watched.awaitText(t, "Gr")
			p.chunk("ü\xc3") // the first byte of ß is held back
			b.watched.awaitText(t, "Grü")
			p.chunk("\x9f")
			b.watched.awaitText(t, "Grüß")
			p.conn.Close()
			var got piped
			b.must(200, request{method: "PUT", path: pipePath + tt.query, body: tt.body}, &got)
			if text := b.runNow(1).Body.Text(""); text != "Grüße an alle" || got.Status != "complete" || got.TextBytes != 15 {
				t.Errorf("%q, %+v", text, got)
			}
		})
	}
}

func TestBrokenPipeLeavesTheRunOpenWithAllThatArrived(t *testing.T) {
	for _, tt := range []struct{ name, last, want string }{
		{"between chunks", "", "all that "},
		{"inside a chunk", "ff\r\narrived", "all that arrived"},
		{"inside a character", "ff\r\narrived\xc3", "all that arrived"},
		{"malformed chunk", "zz\r\n", "all that "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, nil)
			p := b.dialPipe("?id=r")
			p.chunk("all that ")
			p.raw(tt.last)
			// Half-closed, so that the test can wait for the answer; a client that has died gets none.
			if err := p.conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got := p.answer().refused(t, 400, holdfast.CodeInvalid)
			if !strings.Contains(got.Detail, fmt.Sprintf("open with %d bytes", len(tt.want))) {
				t.Errorf("detail %q", got.Detail)
			}
			if run := b.runNow(1); run.Status != holdfast.RunOpen || run.Body.Text("") != tt.want {
				t.Errorf("%s with %q, want %q", run.Status, run.Body.Text(""), tt.want)
			}
		})
	}
}

func TestPipeRefusesWhatDoesNotFit(t *testing.T) {
	for _, tt := range []struct {
		name, query, body string
		status            int
		code              holdfast.Code
		detail            string
	}{
		{"another text", "?id=r", "Grade", 409, holdfast.CodeConflict, "at byte 2 of"},
		{"another text from a byte", "?id=r&at=1", "ra", 409, holdfast.CodeConflict, "at byte 2 of"},
		{"shorter than the run", "?id=r", "Gr", 409, holdfast.CodeConflict, "ends at byte 2"},
		{"a hole", "?id=r&at=9", "x", 409, holdfast.CodeGap, "has 4 bytes"},
		{"not UTF-8", "?id=r&at=4", "ok\xff more", 400, holdfast.CodeInvalid, "at=6"},
		{"half a character", "?id=r&at=4", "ok\xc3", 400, holdfast.CodeInvalid, "inside a character"},
		{"over the limit", "?id=r&at=4", strings.Repeat("x", 40), 413, holdfast.CodeTooLarge, "at most 40 bytes"},
		{"an id of another entry", "?id=msg", "x", 409, holdfast.CodeConflict, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, func(o *httpapi.Options) { o.Limits.Run = 40 })
			b.must(201, request{method: "POST", path: "/v1/sessions/chat-42/entries", body: `{"data":1,"id":"msg"}`}, nil)
			b.must(201, request{method: "PUT", path: pipePath + "?id=r&end=false", body: "Grü"}, nil)
			p := b.do(request{method: "PUT", path: pipePath + tt.query, body: tt.body}).refused(t, tt.status, tt.code)
			if !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("detail %q, want %q in it", p.Detail, tt.detail)
			}
			want := "Grü"
			if strings.HasPrefix(tt.body, "ok") {
				want += "ok"
			}
			if run := b.runNow(2); run.Status != holdfast.RunOpen || run.Body.Text("") != want {
				t.Errorf("the run is %s with %q", run.Status, run.Body.Text(""))
			}
		})
	}
}

func TestPipeRepeatedAfterItsEnd(t *testing.T) {
	b := serve(t, nil)
	var first, again piped
	b.must(201, request{method: "PUT", path: pipePath + "?id=r", body: "all"}, &first)
	b.must(200, request{method: "PUT", path: pipePath + "?id=r", body: "all"}, &again)
	if d := cmp.Diff(again, first); d != "" {
		t.Errorf("repeated (-got +want):\n%s", d)
	}
	b.must(200, request{method: "PUT", path: pipePath + "?id=r&at=1", body: "ll"}, &again)
	p := b.do(request{method: "PUT", path: pipePath + "?id=r", body: "all and more"}).refused(t, 409, holdfast.CodeEnded)
	if p.Run == nil || p.Run.Status != "complete" || p.Run.TextBytes != 3 {
		t.Errorf("run %+v", p.Run)
	}
	b.do(request{method: "PUT", path: pipePath + "?id=r", body: "other"}).refused(t, 409, holdfast.CodeConflict)
}

// An answer that has to come at once comes although the client says nothing more, and does not end its body.
func TestPipeIsAnsweredAtOnce(t *testing.T) {
	end := func(b *bench, op driver.EndRun) {
		if _, err := b.log.Apply(t.Context(), "chat-42", op); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		limits httpapi.Limits
		meddle func(b *bench)
		status int
		code   holdfast.Code
		run    string
	}{
		{"stopped", httpapi.Limits{}, func(b *bench) {
			end(b, driver.EndRun{Run: 1, Status: holdfast.RunStopped, Force: true})
		}, 409, holdfast.CodeEnded, "stopped"},
		{"completed by another", httpapi.Limits{}, func(b *bench) {
			end(b, driver.EndRun{Run: 1, Fence: 1, Status: holdfast.RunComplete})
		}, 409, holdfast.CodeEnded, "complete"},
		{"taken over by a pipe", httpapi.Limits{}, func(b *bench) {
			b.must(200, request{method: "PUT", path: pipePath + "?id=r&end=false", body: "so far and on"}, nil)
		}, 409, holdfast.CodeFenced, "open"},
		{"taken over, nobody tells", httpapi.Limits{PipeCheck: time.Millisecond}, func(b *bench) {
			b.must(200, request{method: "POST", path: "/v1/sessions/chat-42/runs", body: `{"id":"r","takeOver":true}`}, nil)
		}, 409, holdfast.CodeFenced, "open"},
		{"session deleted", httpapi.Limits{PipeCheck: time.Millisecond}, func(b *bench) {
			b.must(204, request{method: "DELETE", path: "/v1/sessions/chat-42"}, nil)
		}, 404, holdfast.CodeNotFound, ""},
		{"server stops", httpapi.Limits{}, func(b *bench) { close(b.stop) }, 503, holdfast.CodeUnavailable, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, func(o *httpapi.Options) { o.Limits = tt.limits })
			p := b.dialPipe("?id=r")
			p.chunk("so far")
			b.watched.awaitText(t, "so far")
			tt.meddle(b)
			a := p.answer()
			got := a.refused(t, tt.status, tt.code)
			if tt.run != "" && (got.Run == nil || got.Run.Status != tt.run) {
				t.Errorf("the problem's run is %+v", got.Run)
			}
			if _, err := p.in.ReadByte(); err != io.EOF {
				t.Errorf("the connection is not closed after the answer: %v", err)
			}
		})
	}
}

func TestPipeRefusedBeforeItsBody(t *testing.T) {
	b := serve(t, nil)
	good := "Authorization: Bearer " + backendToken
	b.openRun("stopped")
	b.must(200, request{method: "POST", path: "/v1/sessions/chat-42/runs/1/end", body: `{"fence":1,"status":"stopped"}`}, nil)
	for _, tt := range []struct {
		name, query string
		header      []string
		status      int
		code        holdfast.Code
	}{
		{"no token", "", []string{"X-No: token"}, 401, holdfast.CodeUnauthorized},
		{"a reader's token", "", []string{"Authorization: Bearer " + readerToken}, 403, holdfast.CodeForbidden},
		{"a stopped run", "?id=stopped", []string{good}, 409, holdfast.CodeEnded},
		{"a bad parameter", "?end=maybe", []string{good}, 400, holdfast.CodeInvalid},
		{"bad data", "?data=%7B", []string{good}, 400, holdfast.CodeInvalid},
		{"bad part", "?part=%00", []string{good}, 400, holdfast.CodeInvalid},
		{"at without id", "?at=4", []string{good}, 400, holdfast.CodeInvalid},
		{"empty id", "?id=", []string{good}, 400, holdfast.CodeInvalid},
		{"ids that differ", "?id=a", []string{good, "Idempotency-Key: b"}, 400, holdfast.CodeInvalid},
		{"another charset", "", []string{good, "Content-Type: text/plain; charset=latin1"}, 415, holdfast.CodeInvalid},
		{"compressed", "", []string{good, "Content-Encoding: gzip"}, 415, holdfast.CodeInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := b.dialPipe(tt.query, tt.header...)
			p.chunk("a beginning, and no end")
			p.answer().refused(t, tt.status, tt.code)
		})
	}
}

func TestPipeWaitsForContinue(t *testing.T) {
	b := serve(t, nil)
	p := b.dialPipe("?id=r", "Authorization: Bearer "+backendToken, "Expect: 100-continue")
	res, err := http.ReadResponse(p.in, nil)
	if err != nil || res.StatusCode != 100 {
		t.Fatalf("%v %v", res, err)
	}
	p.chunk("now")
	p.chunk("")
	if a := p.answer(); a.status != 201 {
		t.Errorf("got %d %s", a.status, a.body)
	}
	p = b.dialPipe("?end=maybe", "Authorization: Bearer "+backendToken, "Expect: 100-continue")
	p.answer().refused(t, 400, holdfast.CodeInvalid) // instead of a 100: the body is never asked for
}

// Two requests that write as one producer must not take each other's fragments for repeats of their own.
func TestPipeNoticesAnotherWriterOfItsFence(t *testing.T) {
	b := serve(t, nil)
	p := b.dialPipe("?id=r")
	p.chunk("so far")
	b.watched.awaitText(t, "so far")
	b.must(200, post("/v1/sessions/chat-42/runs/1/fragments", `{"fence":1,"fragments":[{"text":", meddled"}]}`), nil)
	p.chunk(" lost?")
	p.answer().refused(t, 409, holdfast.CodeConflict)
	if text := b.runNow(1).Body.Text(""); text != "so far, meddled" {
		t.Errorf("the run has %q", text)
	}
}

// The connection of a pipe that ended well is used again: its read deadline must not outlive it.
func TestPipeKeepsTheConnection(t *testing.T) {
	b := serve(t, nil)
	p := b.dialPipe("?id=a")
	p.chunk("one")
	p.chunk("")
	if a := p.answer(); a.status != 201 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	p.raw("PUT " + pipePath + "?id=b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + backendToken + "\r\nContent-Length: 3\r\n\r\ntwo")
	if a := p.answer(); a.status != 201 {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestPipeOverHTTP2(t *testing.T) {
	b := newBench(t, nil)
	b.server = httptest.NewUnstartedServer(httpapi.New(b.opts))
	b.server.EnableHTTP2 = true
	b.server.Config.ReadTimeout, b.server.Config.WriteTimeout = time.Minute, time.Minute
	b.server.StartTLS()
	b.client = b.server.Client()
	t.Cleanup(b.server.Close)
	body, feed := io.Pipe()
	defer feed.Close()
	req := b.build(request{method: "PUT", path: pipePath + "?id=r"})
	req.Body, req.ContentLength = body, -1
	got := make(chan answer, 1)
	go func() { got <- b.send(req) }()
	io.WriteString(feed, "over two")
	b.watched.awaitText(t, "over two")
	if _, err := b.log.Apply(t.Context(), "chat-42", driver.EndRun{Run: 1, Status: holdfast.RunStopped, Force: true}); err != nil {
		t.Fatal(err)
	}
	(<-got).refused(t, 409, holdfast.CodeEnded)
	var p piped
	b.must(201, request{method: "PUT", path: pipePath + "?id=next", body: "goes on"}, &p)
}

// What arrives while an append is under way goes into the next fragment together.
func TestPipeGathersWhatPilesUp(t *testing.T) {
	gate := &gatedLog{entered: make(chan struct{}, 64), open: make(chan struct{})}
	b := serve(t, func(o *httpapi.Options) { gate.Log = o.Log; o.Log = gate })
	p := b.dialPipe("?id=r")
	p.chunk("first")
	<-gate.entered
	rest := bytes.Repeat([]byte("0123456789"), 100)
	for i := 0; i < len(rest); i += 10 {
		p.chunk(string(rest[i : i+10]))
	}
	p.chunk("")
	close(gate.open)
	var got piped
	p.answer().decode(t, &got)
	if text := b.runNow(1).Body.Text(""); text != "first"+string(rest) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	// One chunk each would be 101; how many it is depends on how the kernel hands them over.
	if got.Fragments > 40 {
		t.Errorf("%d fragments", got.Fragments)
	}
	raw, _ := json.Marshal(got)
	t.Logf("%s", raw)
}

// gatedLog lets no append of fragments through until it is opened.
type gatedLog struct {
	httpapi.Log
	entered, open chan struct{}
}

func (g *gatedLog) Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error) {
	if _, ok := op.(driver.AppendFragments); ok {
		g.entered <- struct{}{}
		<-g.open
	}
	return g.Log.Apply(ctx, s, op)
}
