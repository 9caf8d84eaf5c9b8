package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// stands is how the turns of chat-1 stand.
func stands(t *testing.T, srv *server.Server) driver.Turns {
	t.Helper()
	info, err := srv.Session("chat-1").Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Turns
}

// log returns the ids of the messages in the log of a session, in order.
func log(t *testing.T, srv *server.Server, s holdfast.SessionID) (ids []string) {
	t.Helper()
	page, err := srv.Session(s).Read(t.Context(), driver.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Entries {
		if page.Entries[i].Kind == holdfast.KindMessage {
			ids = append(ids, page.Entries[i].ID)
		}
	}
	return ids
}

// told waits for the answer to a command or a message.
func (p *peer) told(id string) wire.ServerFrame {
	p.t.Helper()
	for {
		switch f := p.next().(type) {
		case *wire.Ack:
			if f.ID == id {
				return f
			}
		case *wire.ErrFrame:
			if f.ID == id {
				return f
			}
		}
	}
}

func (p *peer) say(id string) wire.ServerFrame {
	p.t.Helper()
	p.send(&wire.Send{Session: "chat-1", ID: id, Data: json.RawMessage(fmt.Sprintf("%q", id))})
	return p.told(id)
}

func (p *peer) says(id string, state holdfast.TurnState) {
	p.t.Helper()
	if ack, ok := p.say(id).(*wire.Ack); !ok || ack.State != string(state) {
		p.t.Fatalf("%s: %+v", id, ack)
	}
}

func setTurns(t *testing.T, srv *server.Server, r driver.TurnRules) {
	t.Helper()
	if _, err := srv.Session("chat-1").SetTurns(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// Fifty messages of five connections at once: the backend, which knows nothing of turns, sees one at a time, each once, in the
// order in which every reader sees them.
func TestTurns_FiftyMessagesAtOnceAreAnsweredOneByOne(t *testing.T) {
	var srv *server.Server
	var answered []string
	turn := make(chan server.Message, 64)
	n := start(t, server.Options{Keep: store.Options{Turns: driver.TurnRules{Policy: holdfast.TurnQueue, Limit: 50}},
		OnMessage: func(_ context.Context, m server.Message) error { turn <- m; return nil }})
	srv = n.srv
	backend := func() {
		for range 50 {
			m := <-turn
			run, err := srv.Session(m.Session).OpenRun(t.Context(), server.RunOptions{ID: "to " + m.ID, Answers: m.Offset})
			if err != nil {
				t.Error(err)
				return
			}
			answered = append(answered, m.ID)
			if _, err = run.WriteString("to " + m.ID); err == nil {
				err = run.Complete(t.Context(), nil)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
	var busy sync.WaitGroup
	busy.Go(backend)
	var peers [5]*peer
	for i := range peers {
		peers[i] = n.hello(holdfast.UserID(fmt.Sprintf("user%d", i%3)), fmt.Sprintf("c%d", i), "chat-1")
	}
	seen := make([][]string, len(peers))
	for i, p := range peers {
		for k := range 10 {
			p.send(&wire.Send{Session: "chat-1", ID: fmt.Sprintf("%d:%d", i, k), Data: json.RawMessage(`1`)})
		}
		busy.Go(func() {
			for messages, ends := 0, 0; ends < 50; {
				f, err := p.read()
				if err != nil {
					t.Error(err)
					return
				}
				switch f := f.(type) {
				case *wire.EntryFrame:
					if f.Entry.Kind == holdfast.KindMessage {
						seen[i] = append(seen[i], f.Entry.ID)
						if messages++; messages != ends+1 {
							t.Errorf("%s was let in after %d answers had ended, as number %d", f.Entry.ID, ends, messages)
						}
					}
					if f.Entry.Run != nil && f.Entry.Run.Status.Ended() {
						ends++
					}
				case *wire.EndFrame:
					ends++
				case *wire.ErrFrame:
					t.Errorf("refused: %+v", f)
					return
				}
			}
		})
	}
	busy.Wait()
	if d := cmp.Diff(log(t, srv, "chat-1"), answered); d != "" || len(answered) != 50 {
		t.Errorf("%d answers, in another order than the log:\n%s", len(answered), d)
	}
	for i := range seen {
		if d := cmp.Diff(answered, seen[i]); d != "" {
			t.Errorf("reader %d saw:\n%s", i, d)
		}
		own := slices.DeleteFunc(slices.Clone(answered), func(id string) bool { return !strings.HasPrefix(id, fmt.Sprintf("%d:", i)) })
		for k := range own {
			if own[k] != fmt.Sprintf("%d:%d", i, k) {
				t.Errorf("sender %d's messages stand as %v", i, own)
				break
			}
		}
	}
}

func TestTurns_TheLatestReplaces(t *testing.T) {
	n := start(t, server.Options{})
	setTurns(t, n.srv, driver.TurnRules{Policy: holdfast.TurnLatest})
	phone, laptop, bob := n.hello("anna", "phone", "chat-1"), n.hello("anna", "laptop", "chat-1"), n.hello("bob", "b", "chat-1")
	phone.says("a1", "")
	phone.says("a2", holdfast.TurnQueued)
	bob.says("b1", holdfast.TurnQueued)
	laptop.says("a3", holdfast.TurnQueued)
	phone.says("a2", holdfast.TurnReplaced)
	for _, message := range []holdfast.Offset{2, 6} { // both are done with
		if q := stands(t, n.srv); q.Turn.Message != message {
			t.Fatalf("the turn is %+v", q)
		}
		if _, err := n.srv.Session("chat-1").EndTurn(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"a1", "a3", "b1"}, log(t, n.srv, "chat-1")); d != "" {
		t.Errorf("the log (-want +got):\n%s", d)
	}
}

func TestTurns_WhoIsRejectedMaySendAgain(t *testing.T) {
	n := start(t, server.Options{Keep: store.Options{Turns: driver.TurnRules{Policy: holdfast.TurnReject}}})
	anna := n.hello("anna", "phone", "chat-1")
	anna.says("a1", "")
	run := open(t, n.srv, server.RunOptions{ID: "r", Answers: 1})
	for range 2 {
		if err, ok := anna.say("a2").(*wire.ErrFrame); !ok || err.Code != holdfast.CodeConflict {
			t.Fatalf("while an answer is under way: %+v", err)
		}
	}
	if err := run.Complete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	anna.says("a2", "")
}

// An interruption is a stop in the sender's name. A producer that heeds it makes room at once, one that does not after the grace.
func TestTurns_AnInterruptionStopsWhatIsUnderWay(t *testing.T) {
	n := start(t, server.Options{StopGrace: 50 * time.Millisecond})
	setTurns(t, n.srv, driver.TurnRules{Policy: holdfast.TurnInterrupt})
	anna := n.hello("anna", "phone", "chat-1")
	anna.says("a1", "")
	run := open(t, n.srv, server.RunOptions{ID: "r1", Answers: 2})
	if _, err := run.WriteString("so far"); err != nil {
		t.Fatal(err)
	}
	anna.says("a2", holdfast.TurnQueued)
	wantCause(t, run, holdfast.CodeStopped)
	if s := run.Stop(); s.From != (holdfast.Sender{User: "anna", Client: "phone"}) {
		t.Errorf("the stop is %+v", s)
	}
	if err := run.End(t.Context(), holdfast.RunStopped, nil); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a1", "a2"}, log(t, n.srv, "chat-1")); d != "" {
		t.Errorf("the log (-want +got):\n%s", d)
	}
	deaf := open(t, n.srv, server.RunOptions{ID: "r2", Answers: stands(t, n.srv).Turn.Message})
	anna.says("a3", holdfast.TurnQueued)
	n.await(func() bool { return len(log(t, n.srv, "chat-1")) == 3 })
	if _, err := deaf.WriteString("on and on"); holdfast.CodeOf(err) != holdfast.CodeStopped {
		t.Errorf("a producer that goes on: %v", err)
	}
	// And one that has not begun: its answer is given up after the grace.
	anna.says("a4", holdfast.TurnQueued)
	n.await(func() bool { return len(log(t, n.srv, "chat-1")) == 4 })
}

// Everybody changes their own queue from every device; others' with the right to stop.
func TestTurns_TheQueueIsChangedFromEveryDevice(t *testing.T) {
	n := start(t, server.Options{})
	setTurns(t, n.srv, driver.TurnRules{Policy: holdfast.TurnQueue})
	phone, laptop, bob := n.hello("anna", "phone", "chat-1"), n.hello("anna", "laptop", "chat-1"), n.hello("bob", "b", "chat-1")
	phone.says("a1", "")
	phone.says("a2", holdfast.TurnQueued)
	phone.says("a3", holdfast.TurnQueued)
	laptop.send(&wire.Queue{Session: "chat-1", ID: "e1", Do: wire.QueueMove, Of: wire.QueueRef{ID: "a3"}})
	if f, ok := laptop.told("e1").(*wire.Ack); !ok || f.State != string(holdfast.TurnMoved) {
		t.Errorf("moving one's own from another device: %+v", f)
	}
	bob.send(&wire.Queue{Session: "chat-1", ID: "e1", Do: wire.QueueWithdraw, Of: wire.QueueRef{User: "anna", ID: "a2"}})
	if f, ok := bob.told("e1").(*wire.ErrFrame); !ok || f.Code != holdfast.CodeForbidden {
		t.Errorf("withdrawing another's: %+v", f)
	}
	chair := n.dial()
	chair.send(&wire.Hello{Version: 1, Token: n.token(auth.Claims{User: "chair", Stop: []string{"chat-*"}}), Client: "c", Gen: 1})
	chair.send(&wire.Queue{Session: "chat-1", ID: "e1", Do: wire.QueueWithdraw, Of: wire.QueueRef{User: "anna", ID: "a2"}})
	if f, ok := chair.told("e1").(*wire.Ack); !ok || f.State != string(holdfast.TurnWithdrawn) {
		t.Errorf("withdrawing with the right to stop: %+v", f)
	}
	if q := stands(t, n.srv).Queue; len(q) != 1 || q[0].ID != "a3" {
		t.Errorf("there wait %+v", q)
	}
}

// Nobody answers, and nobody is connected: after its time the turn goes on, also where the server was started anew meanwhile.
func TestTurns_ATurnWithoutAnAnswerIsOverInTime(t *testing.T) {
	db := keep{memory.New(memory.Options{})}
	say := func(t *testing.T, id string) {
		op := driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, ID: id, From: ann, Data: []byte(`1`)}}}
		if _, err := db.Apply(t.Context(), "chat-1", op); err != nil {
			t.Fatal(err)
		}
	}
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		setTurns(t, srv, driver.TurnRules{Policy: holdfast.TurnQueue, Wait: 10 * time.Second})
		for _, id := range []string{"m1", "m2", "m3", "m4"} {
			say(t, id)
		}
		<-time.After(9 * time.Second)
		if got := log(t, srv, "chat-1"); len(got) != 1 {
			t.Errorf("before its time is over: %v", got)
		}
		<-time.After(2500 * time.Millisecond)
		if got := log(t, srv, "chat-1"); len(got) != 2 {
			t.Errorf("after it: %v", got)
		}
	})
	inBubble(t, db, func(t *testing.T, srv *server.Server) {
		<-time.After(23 * time.Second) // the bubble's clock began anew, too
		if got := log(t, srv, "chat-1"); len(got) < 3 {
			t.Errorf("on a server that was started anew: %v", got)
		}
		run := open(t, srv, server.RunOptions{ID: "r", Answers: stands(t, srv).Turn.Message})
		<-time.After(time.Second)
		have := len(log(t, srv, "chat-1"))
		<-time.After(20 * time.Second)
		if got := log(t, srv, "chat-1"); len(got) != have {
			t.Errorf("while its answer is under way: %v, there were %d", got, have)
		}
		if err := run.Complete(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if got := log(t, srv, "chat-1"); len(got) != 4 || len(stands(t, srv).Queue) > 0 {
			t.Errorf("at the end: %v", got)
		}
	})
}
