package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

type asked struct {
	answer server.Answer
	err    error
}

// asking asks in a goroutine, which ends with the request or with ctx.
func asking(ctx context.Context, ask func(context.Context, server.AskOptions) (server.Answer, error), o server.AskOptions) <-chan asked {
	out := make(chan asked, 1)
	go func() { a, err := ask(ctx, o); out <- asked{a, err} }()
	return out
}

func TestAskedAndAnswered(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		chat := srv.Session("chat-1")
		got := asking(t.Context(), chat.Ask, server.AskOptions{ID: "q", Data: json.RawMessage(`"sure?"`)})
		<-time.After(time.Minute)
		begun := time.Now()
		if _, lost, err := chat.AnswerRequest(t.Context(), 1, "a", ann, json.RawMessage(`"yes"`)); lost || err != nil {
			t.Fatal(lost, err)
		}
		a := <-got
		if a.err != nil || a.answer.State != holdfast.RequestAnswered || a.answer.From != ann || string(a.answer.Data) != `"yes"` {
			t.Errorf("%+v", a)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v", took)
		}
		// Whoever asks again under the id has the answer at once.
		again, err := chat.Ask(t.Context(), server.AskOptions{ID: "q"})
		if diff := cmp.Diff(a.answer, again); diff != "" || err != nil {
			t.Errorf("asked again: %v, %s", err, diff)
		}
	})
}

// Deadlines are kept with nobody connected, and over a restart of the server: one that was over meanwhile, and one to come.
func TestDeadlinesAreKeptOverARestart(t *testing.T) {
	db := keep{memory.New(memory.Options{})}
	ask := func(srv *server.Server, id string, within time.Duration) {
		if _, err := srv.Session("chat-1").OpenRequest(t.Context(), server.AskOptions{ID: id, Within: within, Default: json.RawMessage(`"no"`)}); err != nil {
			t.Fatal(err)
		}
	}
	state := func(srv *server.Server, o holdfast.Offset) holdfast.RequestState {
		r, err := db.Request(context.Background(), "chat-1", o)
		if err != nil {
			t.Fatal(err)
		}
		return r.State
	}
	// The clocks of two bubbles begin at one time: to the second one no time has passed.
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		ask(srv, "short", time.Second)
		ask(srv, "long", time.Hour)
		<-time.After(2500 * time.Millisecond)
		if got := state(srv, 1); got != holdfast.RequestExpired {
			t.Errorf("1.5 s after its deadline a request is %s", got)
		}
		ask(srv, "later", 10*time.Second)
	})
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		<-time.After(12 * time.Second)
		if got := state(srv, 4); got != holdfast.RequestOpen {
			t.Errorf("before its deadline a request is %s", got)
		}
		<-time.After(2 * time.Second)
		a, err := srv.Session("chat-1").AwaitAnswer(t.Context(), 4)
		if err != nil || a.State != holdfast.RequestExpired || string(a.Data) != `"no"` {
			t.Errorf("1.5 s after its deadline it is %+v, %v", a, err)
		}
		<-time.After(time.Hour)
		if got := state(srv, 2); got != holdfast.RequestExpired {
			t.Errorf("the long one is %s", got)
		}
	})
}

// The end of the asker's context is no withdrawal, unless it was said to be one.
func TestAskerLeaves(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		chat := srv.Session("chat-1")
		for i, withdraw := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			got := asking(ctx, chat.Ask, server.AskOptions{ID: fmt.Sprint(i), Withdraw: withdraw})
			synctest.Wait()
			cancel()
			if a := <-got; a.err != context.Canceled {
				t.Errorf("%+v", a)
			}
			want := map[bool]holdfast.RequestState{false: holdfast.RequestOpen, true: holdfast.RequestWithdrawn}[withdraw]
			info, err := chat.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if open := len(info.Requests) == i+1; open != (want == holdfast.RequestOpen) {
				t.Errorf("withdraw %v: open are %+v", withdraw, info.Requests)
			}
		}
	})
}

func TestAskedInADeletedSession(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		chat := srv.Session("chat-1")
		got := asking(t.Context(), chat.Ask, server.AskOptions{ID: "q"})
		synctest.Wait()
		begun := time.Now()
		if err := chat.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := <-got; holdfast.CodeOf(a.err) != holdfast.CodeNotFound || time.Since(begun) > 0 {
			t.Errorf("%+v after %v", a, time.Since(begun))
		}
		if _, err := chat.AwaitAnswer(t.Context(), 1); holdfast.CodeOf(err) != holdfast.CodeNotFound {
			t.Errorf("waiting for what is not there: %v", err)
		}
	})
}

// A run that asks is a producer that lives, however long the answer takes.
func TestAskingKeepsTheLease(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		run := open(t, srv, server.RunOptions{ID: "a"})
		got := asking(t.Context(), run.Ask, server.AskOptions{ID: "q"})
		<-time.After(10 * time.Minute)
		wantStatus(t, srv, run, holdfast.RunOpen)
		if _, _, err := srv.Session("chat-1").AnswerRequest(t.Context(), 2, "", holdfast.Sender{}, json.RawMessage(`1`)); err != nil {
			t.Fatal(err)
		}
		if a := <-got; a.err != nil || a.answer.Run != 1 {
			t.Errorf("%+v", a)
		}
		<-time.After(40 * time.Second)
		wantStatus(t, srv, run, holdfast.RunInterrupted)
	})
}

// A request is withdrawn when its run ends, whoever ends it, and its asker is told why.
func TestARequestEndsWithItsRun(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, srv *server.Server) {
		chat := srv.Session("chat-1")
		stopped, lapsed := open(t, srv, server.RunOptions{ID: "a"}), open(t, srv, server.RunOptions{ID: "b"})
		if _, err := chat.OpenRequest(t.Context(), server.AskOptions{ID: "lapses", Run: lapsed.Info().Run}); err != nil {
			t.Fatal(err)
		}
		got := asking(t.Context(), stopped.Ask, server.AskOptions{ID: "q"})
		outlives := asking(t.Context(), stopped.Ask, server.AskOptions{ID: "outlives", Outlives: true})
		synctest.Wait()
		if _, err := chat.Stop(t.Context(), server.StopRequest{ID: "x", From: ann, Run: 1}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []<-chan asked{got, outlives} {
			if a := <-c; holdfast.CodeOf(a.err) != holdfast.CodeStopped {
				t.Errorf("the producer was told %+v", a)
			}
		}
		if err := stopped.End(t.Context(), holdfast.RunStopped, nil); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		wantStatus(t, srv, lapsed, holdfast.RunInterrupted)
		info, err := chat.Info(t.Context())
		if err != nil || len(info.Requests) != 1 || info.Requests[0].ID != "outlives" {
			t.Errorf("%v, open are %+v", err, info.Requests)
		}
		if _, err := stopped.Ask(t.Context(), server.AskOptions{ID: "late"}); holdfast.CodeOf(err) != holdfast.CodeStopped {
			t.Errorf("asking after the stop: %v", err)
		}
	})
}

// TestFirstAnswerCounts: 64 devices answer at once. One answer counts; every device is acked with its place, and every reader sees
// the same.
func TestFirstAnswerCounts(t *testing.T) {
	const devices = 64
	n := start(t, server.Options{})
	chat := n.srv.Session("chat-1")
	r, err := chat.OpenRequest(t.Context(), server.AskOptions{ID: "q", Data: json.RawMessage(`"who?"`)})
	if err != nil {
		t.Fatal(err)
	}
	peers := make([]*peer, devices)
	for i := range peers {
		peers[i] = n.hello(holdfast.UserID(fmt.Sprint("u", i%8)), fmt.Sprint("c", i), "chat-1")
	}
	acks, seen := make([]*wire.Ack, devices), make([]holdfast.RequestEvent, devices)
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i, p := range peers {
		all.Go(func() {
			<-begin
			p.send(&wire.Answer{Session: "chat-1", ID: fmt.Sprint("c", i, ":1"), Request: r.Offset, Data: json.RawMessage(fmt.Sprint(i))})
			for acks[i] == nil || seen[i].ID == "" {
				f, err := p.read()
				if err != nil {
					t.Errorf("device %d: %v", i, err)
					return
				}
				switch f := f.(type) {
				case *wire.Ack:
					acks[i] = f
				case *wire.EntryFrame:
					seen[i], _ = f.Entry.RequestEvent()
				}
			}
		})
	}
	close(begin)
	all.Wait()
	a, err := chat.AwaitAnswer(t.Context(), r.Offset)
	if err != nil || t.Failed() {
		t.Fatal(err)
	}
	won := -1
	for i, ack := range acks {
		if diff := cmp.Diff(seen[0], seen[i]); diff != "" {
			t.Errorf("devices 0 and %d see different answers: %s", i, diff)
		}
		if ack.Offset != a.Settled || ack.State != "answered" || ack.Lost && ack.From != a.From {
			t.Errorf("device %d was acked %+v, what counts is %+v", i, ack, a)
		}
		if ack.Lost {
			continue
		}
		if won >= 0 {
			t.Errorf("devices %d and %d both won", won, i)
		}
		won = i
	}
	if won < 0 || string(a.Data) != fmt.Sprint(won) || a.From.Client != holdfast.ClientID(fmt.Sprint("c", won)) || string(seen[0].Data) != fmt.Sprint(won) {
		t.Errorf("device %d won, and %+v counts", won, a)
	}
	if page, err := chat.Read(t.Context(), driver.Query{}); err != nil || len(page.Entries) != 2 {
		t.Errorf("the log has %d entries, %v", len(page.Entries), err)
	}
}

// Over HTTP a backend asks, waits, and has the answer of a device; a device that comes with nothing is asked too.
func TestBackendAsksADevice(t *testing.T) {
	n := start(t, server.Options{})
	backend := n.token(auth.Claims{Backend: true})
	if code, body := n.request("POST", "/v1/sessions/chat-1/requests", backend, `{"id":"q","data":"sure?"}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	for range 20 {
		if code, body := n.request("POST", "/v1/sessions/chat-1/entries", backend, `{"data":1}`); code != 201 {
			t.Fatalf("%d %s", code, body)
		}
	}
	p := n.dial()
	p.send(&wire.Hello{Version: 1, Token: n.user("anna"), Client: "a1", Gen: 1, Subs: []wire.Sub{{Session: "chat-1", Last: 5}}})
	var offered *wire.EntryFrame
	for live := false; !live; {
		switch f := p.next().(type) {
		case *wire.EntryFrame:
			if f.Entry.Offset == 1 {
				offered = f
			}
		case *wire.Live:
			live = true
		}
	}
	if offered == nil {
		t.Fatal("a request below the snapshot was not offered")
	}
	waited := make(chan string, 1)
	go func() {
		_, body := n.request("GET", "/v1/sessions/chat-1/requests/1?wait=30", backend, "")
		waited <- body
	}()
	p.send(&wire.Answer{Session: "chat-1", ID: "x", Request: 1, Data: json.RawMessage(`true`)})
	var got struct {
		State   string
		Settled struct {
			User, Client string
			Data         bool
		}
	}
	if err := json.Unmarshal([]byte(<-waited), &got); err != nil || got.State != "answered" || got.Settled.User != "anna" || !got.Settled.Data {
		t.Errorf("%+v, %v", got, err)
	}
}
