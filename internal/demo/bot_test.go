package demo

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// node is a server with memory for a store, and what the bot needs to reach it.
type node struct {
	log  *memory.Driver
	opts Options
	// changed gets a value when something was written; it has room for one.
	changed chan struct{}
}

func newNode(t *testing.T) *node {
	t.Helper()
	secret := auth.NewSecret()
	key, err := auth.SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := server.NewJWT(server.JWTOptions{Keys: []server.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{log: memory.New(memory.Options{}), changed: make(chan struct{}, 1)}
	srv, err := server.New(server.Options{Auth: jwt, Store: watched{n.log, n}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // ends with ctx, received in the cleanup
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	n.opts = Options{
		API: web.URL, Logger: slog.New(slog.DiscardHandler), PerSecond: 2000,
		BackendToken: func() (string, error) {
			return auth.Mint(key, auth.Claims{Backend: true, Expires: time.Now().Add(time.Minute)})
		},
	}
	return n
}

// watched tells the test of changes besides the server.
type watched struct {
	driver.Driver
	n *node
}

func (w watched) Watch(fn func(driver.Change)) func() {
	return w.Driver.Watch(func(ch driver.Change) {
		fn(ch)
		select {
		case w.n.changed <- struct{}{}:
		default:
		}
	})
}

// until waits for changes until ok.
func (n *node) until(t *testing.T, ok func() bool) {
	t.Helper()
	for !ok() {
		select {
		case <-n.changed:
		case <-time.After(20 * time.Second):
			t.Fatal("it did not happen in time")
		}
	}
}

func (n *node) say(t *testing.T, s holdfast.SessionID, id, data string) {
	t.Helper()
	_, err := n.log.Apply(t.Context(), s, driver.Append{Entries: []driver.NewEntry{{
		Kind: holdfast.KindMessage, ID: id, From: holdfast.Sender{User: "anna", Client: "c1"}, Data: json.RawMessage(data), Feed: true,
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

// start runs the bot until the function returned is called.
func (n *node) start(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newBot(n.opts).run(ctx) }() // ends with ctx, received in stop
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (n *node) page(t *testing.T, s holdfast.SessionID) []holdfast.Entry {
	t.Helper()
	p, err := n.log.Read(t.Context(), s, driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Entries
}

func wantAnswer(t *testing.T, e holdfast.Entry, message, question string) {
	t.Helper()
	var want holdfast.Body
	for _, f := range compose(message, question) {
		want = want.Append(holdfast.Fragment{Part: f.Part, Text: f.Text})
	}
	for _, part := range []string{"", "reasoning"} {
		if got := e.Run.Body.Text(part); got != want.Text(part) {
			t.Errorf("part %q of the answer is\n%s\nwant\n%s", part, got, want.Text(part))
		}
	}
}

func TestBotAnswers(t *testing.T) {
	n := newNode(t)
	defer n.start(t)()
	n.say(t, "demo:lobby:atlas", "m1", `{"text":"What is a session?"}`)
	n.say(t, "elsewhere", "m1", `{"text":"not for the bot"}`)
	ended := func() bool {
		all := n.page(t, "demo:lobby:atlas")
		return len(all) == 2 && all[1].Run.Status == holdfast.RunComplete
	}
	n.until(t, ended)
	wantAnswer(t, n.page(t, "demo:lobby:atlas")[1], "m1", "What is a session?")
	if got := len(n.page(t, "elsewhere")); got != 1 {
		t.Errorf("the other session has %d entries, want 1", got)
	}
}

// Somebody stops the answer, by the message that it answers; the bot ends it.
func TestBotHeedsAStop(t *testing.T) {
	n := newNode(t)
	defer n.start(t)()
	n.say(t, "demo:lobby:atlas", "m1", `{"text":"Tell me all."}`)
	n.until(t, func() bool {
		all := n.page(t, "demo:lobby:atlas")
		return len(all) == 2 && all[1].Run.Fragments >= 3
	})
	if _, err := n.log.Apply(t.Context(), "demo:lobby:atlas", driver.RequestStop{ID: "x", Answers: 1}); err != nil {
		t.Fatal(err)
	}
	n.until(t, func() bool { return n.page(t, "demo:lobby:atlas")[1].Run.Status.Ended() })
	if run := n.page(t, "demo:lobby:atlas")[1].Run; run.Status != holdfast.RunStopped || run.Stop.State != holdfast.StopStopped {
		t.Errorf("the run is %s, its stop %+v", run.Status, run.Stop)
	}
}

// The bot is stopped in the middle of an answer and of a task, three times, and goes on each time.
func TestBotGoesOnAfterRestarts(t *testing.T) {
	n := newNode(t)
	n.say(t, "demo:lobby:atlas", "m1", `{"text":"Tell me."}`)
	for _, words := range []holdfast.FragmentNo{5, 40, 120} {
		stop := n.start(t)
		n.until(t, func() bool {
			all := n.page(t, "demo:lobby:atlas")
			return len(all) == 2 && all[1].Run.Fragments >= words
		})
		stop()
	}
	defer n.start(t)()
	n.until(t, func() bool { return n.page(t, "demo:lobby:atlas")[1].Run.Status == holdfast.RunComplete })
	wantAnswer(t, n.page(t, "demo:lobby:atlas")[1], "m1", "Tell me.")
}

func TestTask(t *testing.T) {
	n := newNode(t)
	n.say(t, "demo:lobby:task", "t1", `{"type":"start"}`)
	logs := func() (lines int) {
		for _, e := range n.page(t, "demo:lobby:task") {
			if strings.Contains(string(e.Data), `"log"`) {
				lines++
			}
		}
		return lines
	}
	stop := n.start(t)
	n.until(t, func() bool { return logs() >= 2 })
	stop()
	stop = n.start(t)
	n.until(t, func() bool { return n.asks(t) != 0 })
	stop() // it is asked again by the one that goes on, under the same id
	defer n.start(t)()
	n.answer(t, n.asks(t), `true`)
	n.until(t, func() bool { return logs() == len(steps()) })
	n.until(t, func() bool {
		all := n.page(t, "demo:lobby:task")
		return strings.Contains(string(all[len(all)-1].Data), `"done"`)
	})
}

// asks is the open request of the task, 0 if there is none.
func (n *node) asks(t *testing.T) holdfast.Offset {
	t.Helper()
	info, err := n.log.Info(t.Context(), "demo:lobby:task")
	if err != nil || len(info.Requests) > 1 {
		t.Fatal(err, info.Requests)
	}
	if len(info.Requests) == 0 {
		return 0
	}
	return info.Requests[0].Offset
}

func (n *node) answer(t *testing.T, request holdfast.Offset, data string) {
	t.Helper()
	_, err := n.log.Apply(t.Context(), "demo:lobby:task", driver.SettleRequest{Request: request, State: holdfast.RequestAnswered, ID: "a",
		From: holdfast.Sender{User: "anna", Client: "c1"}, Data: json.RawMessage(data)})
	if err != nil {
		t.Fatal(err)
	}
}

// A task that nobody wants ends where it asked.
func TestTaskIsGivenUp(t *testing.T) {
	n := newNode(t)
	n.say(t, "demo:lobby:task", "t1", `{"type":"start"}`)
	defer n.start(t)()
	n.until(t, func() bool { return n.asks(t) != 0 })
	n.answer(t, n.asks(t), `false`)
	n.until(t, func() bool {
		all := n.page(t, "demo:lobby:task")
		return strings.Contains(string(all[len(all)-1].Data), `"done":20,"total":40,"label":"given up, as was said","status":"failed"`)
	})
}
