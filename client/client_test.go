package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

func text(s *Session) string {
	var b strings.Builder
	for _, e := range s.Entries() {
		fmt.Fprintf(&b, "%d", e.Offset)
		if e.Run != nil {
			fmt.Fprintf(&b, "(%s %s)", e.Run.Status, e.Run.Body.Text(""))
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

// A connection is cut in the middle of an answer: the next one says hello with the cursor, and nothing is lost or doubled.
func TestResumesWithCursors(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, err := s.client.Session("s", SessionOptions{Last: 5})
		if err != nil {
			t.Fatal(err)
		}
		f, h := s.accept()
		if len(h.Subs) != 1 || h.Subs[0].Cursor != nil || h.Subs[0].Last != 5 || h.Token != "token" || h.Client != "c" {
			t.Fatalf("hello %+v", h)
		}
		f.send(snapshot(3), message(3, 3), run(4, 1, "a"), &wire.Live{Session: "s", Offset: 4})
		<-chat.Changed()
		synctest.Wait()
		if got := text(chat); got != "3 4(open a)" || !chat.Live() {
			t.Fatalf("holds %q", got)
		}
		f.conn.Abort()
		g, again := s.accept()
		cur := again.Subs[0].Cursor
		if again.Gen <= h.Gen || cur == nil || cur.Offset != 4 || len(cur.Runs) != 1 || cur.Runs[0].Fragment != 1 {
			t.Fatalf("hello %+v, cursor %+v", again, cur)
		}
		g.send(&wire.SubAnswer{Session: "s", Outcome: holdfast.Continuous, Epoch: "e", From: 5, Head: 5},
			frag(4, 2, 1, "b"), message(5, 5), &wire.Live{Session: "s", Offset: 5})
		synctest.Wait()
		if got := text(chat); got != "3 4(open ab) 5" {
			t.Fatalf("holds %q", got)
		}
		if s.urls[0] == s.urls[1] || !strings.HasPrefix(s.urls[0], "http://server/v1/ws/") {
			t.Errorf("dialed %q", s.urls)
		}
	})
}

// A hole is answered by a new subscription; what arrives before its answer belongs to the old one.
func TestHoleSubscribesAnew(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, _ := s.client.Session("s", SessionOptions{})
		f, _ := s.accept()
		f.send(snapshot(3), message(3, 3), message(5, 5))
		sub := want[*wire.Sub](f)
		if sub.Cursor == nil || sub.Cursor.Offset != 3 {
			t.Fatalf("subscribed anew with %+v", sub)
		}
		f.send(message(4, 4), &wire.SubAnswer{Session: "s", Outcome: holdfast.Continuous, Epoch: "e", From: 4},
			message(4, 4), message(5, 5))
		synctest.Wait()
		if got := text(chat); got != "3 4 5" {
			t.Fatalf("holds %q", got)
		}
	})
}

// A message is sent again, with the same id, until it is acknowledged; the second one waits its turn.
func TestSendIsRepeatedUntilAcked(t *testing.T) {
	inScene(t, func(s *scene) {
		acks := make(chan wire.Ack, 2)
		send := func(data string) {
			ack, err := s.client.Send(context.Background(), "s", "", json.RawMessage(data))
			if err != nil {
				t.Errorf("Send: %v", err)
			}
			acks <- ack
		}
		f, _ := s.accept()
		go send(`1`)
		first := want[*wire.Send](f)
		go send(`2`)
		synctest.Wait()
		if len(f.frames) != 0 {
			t.Fatal("the second message did not wait for the first")
		}
		f.conn.Abort()
		g, _ := s.accept()
		again := want[*wire.Send](g)
		if again.ID != first.ID || string(again.Data) != "1" {
			t.Fatalf("repeated %+v, sent %+v", again, first)
		}
		begun := time.Now()
		g.send(&wire.ErrFrame{Re: wire.TypeSend, Session: "s", ID: first.ID, Code: holdfast.CodeRateLimited, After: 1000})
		if third := want[*wire.Send](g); third.ID != first.ID || time.Since(begun) < time.Second {
			t.Fatalf("repeated %+v after %v", third, time.Since(begun))
		}
		g.send(&wire.Ack{Session: "s", ID: first.ID, Offset: 7, Duplicate: true})
		if ack := <-acks; ack.Offset != 7 {
			t.Fatalf("ack %+v", ack)
		}
		second := want[*wire.Send](g)
		if string(second.Data) != "2" || second.ID == first.ID {
			t.Fatalf("then sent %+v", second)
		}
		g.send(&wire.Ack{Session: "s", ID: second.ID, Offset: 8})
		<-acks
	})
}

func TestSendFails(t *testing.T) {
	inScene(t, func(s *scene) {
		f, _ := s.accept()
		failed := make(chan error, 1)
		go func() { _, err := s.client.Send(context.Background(), "s", "id", json.RawMessage(`1`)); failed <- err }()
		want[*wire.Send](f)
		f.send(&wire.ErrFrame{Re: wire.TypeSend, Session: "s", ID: "id", Code: holdfast.CodeForbidden, Message: "no"})
		if err := <-failed; holdfast.CodeOf(err) != holdfast.CodeForbidden {
			t.Errorf("refused with %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() { _, err := s.client.Send(ctx, "s", "id2", json.RawMessage(`1`)); failed <- err }()
		want[*wire.Send](f)
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("given up with %v", err)
		}
		go func() { _, err := s.client.Send(context.Background(), "s", "id3", json.RawMessage(`1`)); failed <- err }()
		want[*wire.Send](f)
		s.cancel()
		if err := <-failed; holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Errorf("ended with %v", err)
		}
		if _, err := s.client.Send(context.Background(), "s", "", json.RawMessage(`{`)); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("bad JSON: %v", err)
		}
	})
}

// The client asks when it has said nothing for a beat, answers when it is asked, and doubts a server that is silent for 1.2
// beats.
func TestHeartbeats(t *testing.T) {
	inScene(t, func(s *scene) {
		f, _ := s.accept()
		// Once it has proved itself, the round trip is measured: the first one may have held all that a start costs.
		f.send(&wire.Pong{N: want[*wire.Ping](f).N})
		begun := time.Now()
		ping := want[*wire.Ping](f)
		if d := time.Since(begun); d < 25*time.Second || d > 26*time.Second {
			t.Errorf("asked after %v", d)
		}
		f.send(&wire.Pong{N: ping.N}, &wire.Ping{N: 77})
		heard := time.Now()
		if pong := want[*wire.Pong](f); pong.N != 77 {
			t.Errorf("answered %+v", pong)
		}
		want[*wire.Ping](f)
		if d := time.Since(heard); d < 25*time.Second || d > 26*time.Second {
			t.Errorf("asked again after %v", d)
		}
		want[*wire.Ping](f)
		if d := time.Since(heard); d < 30*time.Second || d > 31*time.Second {
			t.Errorf("a silent server was doubted after %v", d)
		}
	})
}

func TestPageIsAskedForAgain(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, _ := s.client.Session("s", SessionOptions{})
		f, _ := s.accept()
		f.send(snapshot(3), message(3, 3), &wire.Live{Session: "s", Offset: 3})
		synctest.Wait()
		done := make(chan bool, 1)
		go func() {
			more, err := chat.Page(context.Background(), 2)
			if err != nil {
				t.Error(err)
			}
			done <- more
		}()
		p := want[*wire.PageRequest](f)
		if p.Before != 3 || p.Limit != 2 {
			t.Fatalf("asked for %+v", p)
		}
		f.conn.Abort() // the answer is lost; it is asked for again
		g, _ := s.accept()
		p = want[*wire.PageRequest](g)
		g.send(&wire.SubAnswer{Session: "s", Outcome: holdfast.Continuous, Epoch: "e", From: 4},
			&wire.PageAnswer{ID: p.ID, Session: "s", Epoch: "e", Items: []holdfast.Entry{message(1, 1).Entry, message(2, 2).Entry}})
		if more := <-done; more || text(chat) != "1 2 3" {
			t.Fatalf("more %v, holds %q", more, text(chat))
		}
	})
}

func TestSignalsAndUnsubscribe(t *testing.T) {
	inScene(t, func(s *scene) {
		heard := make(chan string, 1)
		chat, _ := s.client.Session("s", SessionOptions{OnSignal: func(from holdfast.Sender, data json.RawMessage) {
			heard <- string(from.User) + string(data)
		}})
		if err := chat.Signal(json.RawMessage(`1`)); s.client.Phase() != Live && holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Errorf("without a connection: %v", err)
		}
		f, _ := s.accept()
		synctest.Wait()
		if err := chat.Signal(json.RawMessage(`1`)); err != nil {
			t.Fatal(err)
		}
		want[*wire.Signal](f)
		f.send(&wire.Signal{Session: "s", Data: json.RawMessage(`2`), From: holdfast.Sender{User: "bo"}})
		if got := <-heard; got != "bo2" {
			t.Errorf("heard %q", got)
		}
		if _, err := s.client.Session("s", SessionOptions{}); holdfast.CodeOf(err) != holdfast.CodeConflict {
			t.Errorf("a second handle: %v", err)
		}
		chat.Unsubscribe()
		want[*wire.Unsub](f)
		for range chat.Changed() {
		}
		if _, err := s.client.Session("s", SessionOptions{}); err != nil {
			t.Errorf("again after leaving: %v", err)
		}
		want[*wire.Sub](f)
	})
}

// Which close codes lead where, over a real run of the client.
func TestCloseCodes(t *testing.T) {
	t.Run("told when", func(t *testing.T) {
		inScene(t, func(s *scene) {
			f, _ := s.accept()
			begun := time.Now()
			f.bye(wire.Bye{Code: holdfast.CloseRestart, After: 30_000, Spread: 1000})
			s.accept()
			if d := time.Since(begun); d < 30*time.Second || d > 31*time.Second {
				t.Errorf("came back after %v", d)
			}
		})
	})
	t.Run("unauthorized once", func(t *testing.T) {
		inScene(t, func(s *scene) {
			s.mu.Lock()
			s.tokens = []string{"old", "new"}
			s.mu.Unlock()
			f := s.next()
			h := want[*wire.Hello](f)
			begun := time.Now()
			f.bye(wire.Bye{Code: holdfast.CloseUnauthorized})
			_, again := s.accept()
			if h.Token != "old" || again.Token != "new" || time.Since(begun) > 0 {
				t.Errorf("token %q after %q, waited %v", again.Token, h.Token, time.Since(begun))
			}
		})
	})
	t.Run("for good", func(t *testing.T) {
		for _, code := range []holdfast.CloseCode{1000, 4500, 4502, 4999} {
			inScene(t, func(s *scene) {
				f, _ := s.accept()
				f.bye(wire.Bye{Code: code, Reason: "why"})
				err := <-s.ended
				var closed *CloseError
				if !errors.As(err, &closed) || closed.Code != code || closed.Reason != "why" {
					t.Errorf("%d: Run returned %v", code, err)
				}
				s.ended <- nil
				if len(s.dials) != 0 || s.client.Phase() != Over {
					t.Errorf("%d: dialed again", code)
				}
			})
		}
	})
	t.Run("twice unauthorized", func(t *testing.T) {
		inScene(t, func(s *scene) {
			for range 2 {
				s.next().bye(wire.Bye{Code: holdfast.CloseUnauthorized})
			}
			if err := <-s.ended; err == nil {
				t.Error("Run went on")
			}
			s.ended <- nil
		})
	})
}

// A URL that cannot be dialed will not be better later.
func TestDialThatCannotSucceedEnds(t *testing.T) {
	inScene(t, func(s *scene) {
		s.client.opts.Dial = func(context.Context, string) (Conn, error) {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "no such scheme")
		}
		s.run()
		if err := <-s.ended; holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("Run returned %v", err)
		}
		s.ended <- nil
	})
}

// A server that is down is dialed at random times within growing bounds, for as long as it takes; after a while its gate is
// asked instead, which costs it less.
func TestBackoff(t *testing.T) {
	inScene(t, func(s *scene) {
		s.mu.Lock()
		s.down = true
		s.mu.Unlock()
		s.run()
		<-time.After(time.Hour) // of the bubble's clock
		s.mu.Lock()
		n, gates := len(s.urls), s.gates
		s.down = false
		s.mu.Unlock()
		if n < 60 || n > 130 || gates < 200 || gates > 1500 {
			t.Errorf("%d dials and %d questions in an hour", n, gates)
		}
		begun := time.Now()
		s.accept()
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("came back after %v", d)
		}
		synctest.Wait()
		if !slices.Contains(s.phases, Waiting) || s.phases[len(s.phases)-1] != Live {
			t.Errorf("phases %v", s.phases[:5])
		}
	})
}

// A wake dials at once, unless the server has said when to come; then only a person may ask for it.
func TestWakeAndRetryDialAtOnce(t *testing.T) {
	inScene(t, func(s *scene) {
		s.mu.Lock()
		s.down = true
		s.mu.Unlock()
		s.run()
		<-time.After(10 * time.Minute) // of the bubble's clock
		s.mu.Lock()
		s.down = false
		s.mu.Unlock()
		begun := time.Now()
		s.client.Wake()
		f, _ := s.accept()
		if d := time.Since(begun); d > 0 {
			t.Errorf("woken, dialed after %v", d)
		}
		synctest.Wait()
		f.bye(wire.Bye{Code: holdfast.CloseOverload, After: 3_600_000})
		synctest.Wait()
		s.client.Wake()
		<-time.After(time.Minute)
		if len(s.dials) > 0 {
			t.Error("dialed, though the server had said when to come")
		}
		begun = time.Now()
		s.client.Retry()
		s.accept()
		if d := time.Since(begun); d > 0 {
			t.Errorf("asked to, dialed after %v", d)
		}
	})
}

func TestTokenIsRefreshed(t *testing.T) {
	inScene(t, func(s *scene) {
		f, _ := s.accept()
		s.mu.Lock()
		s.tokens = []string{"fresh"}
		s.mu.Unlock()
		f.send(&wire.Expiring{In: 30_000})
		if got := want[*wire.TokenRefresh](f); got.Token != "fresh" {
			t.Errorf("refreshed with %q", got.Token)
		}
		f.conn.Abort()
		if _, h := s.accept(); h.Token != "fresh" {
			t.Errorf("hello with %q", h.Token)
		}
	})
}

func TestGoodbye(t *testing.T) {
	inScene(t, func(s *scene) {
		f, _ := s.accept()
		synctest.Wait()
		s.cancel()
		want[*wire.Bye](f)
	})
}

func TestOptionsAreChecked(t *testing.T) {
	token := func(context.Context) (string, error) { return "", nil }
	for name, o := range map[string]Options{
		"no URL": {Token: token, ClientID: "c"}, "no token": {URL: "x", ClientID: "c"}, "no client": {URL: "x", Token: token},
	} {
		if _, err := New(o); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server that closes at once, before it has read anything, is heard all the same.
func TestClosedBeforeHello(t *testing.T) {
	inScene(t, func(s *scene) {
		s.beforeHello = func(f *far) { f.bye(wire.Bye{Code: holdfast.CloseVersion, Reason: "old"}) }
		s.run()
		err := <-s.ended
		var closed *CloseError
		if !errors.As(err, &closed) || closed.Code != holdfast.CloseVersion {
			t.Errorf("Run returned %v", err)
		}
		s.ended <- nil
	})
}
