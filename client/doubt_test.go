package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// stands takes the next connection, whose hello must be that of a standby.
func (s *scene) stands() (*far, *wire.Hello) {
	s.t.Helper()
	f := s.next()
	h := want[*wire.Hello](f)
	if h.Mode != wire.ModeStandby || len(h.Subs) != 0 {
		s.t.Fatalf("hello %+v, want that of a standby", h)
	}
	return f, h
}

// proves lets the connection live for so long that it is a good one, whose round trip is measured.
func (f *far) proves() {
	f.send(&wire.Pong{N: want[*wire.Ping](f).N})
	<-time.After(20 * time.Second)
}

// lingers says something after the wake, which may be an old word out of a buffer: the other connection has to stand by.
func (f *far) lingers() {
	<-time.After(headstart / 2)
	f.send(&wire.Live{Session: "s", Offset: 3})
}

// caughtUp is a scene with a session that is live.
func (s *scene) caughtUp() (*Session, *far) {
	s.t.Helper()
	chat, err := s.client.Session("s", SessionOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	f, _ := s.accept()
	f.send(snapshot(3), message(3, 3), &wire.Live{Session: "s", Offset: 3})
	synctest.Wait()
	if !chat.Live() {
		s.t.Fatal("not caught up")
	}
	return chat, f
}

// A connection that is mute is replaced by the one that stood by, which resumes from where the first one was; nothing of the
// first one counts any more, though it may still come.
func TestStandbyTakesOver(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, f := s.caughtUp()
		f.proves()
		begun := time.Now()
		s.client.Wake()
		want[*wire.Ping](f)
		f.lingers()
		g, _ := s.stands()
		if s.client.Phase() != Live || !chat.Live() {
			t.Errorf("%v, though the first may still live", s.client.Phase())
		}
		g.send(&wire.Ready{Beat: 10_000, Rest: 25_000})
		take := want[*wire.Take](g)
		if len(take.Subs) != 1 || take.Subs[0].Cursor == nil || take.Subs[0].Cursor.Offset != 3 || time.Since(begun) > headstart {
			t.Fatalf("took over with %+v after %v", take, time.Since(begun))
		}
		g.send(&wire.Welcome{Conn: "y", User: "u", Beat: 10_000, Rest: 25_000},
			&wire.SubAnswer{Session: "s", Outcome: holdfast.Continuous, Epoch: "e", From: 4, Head: 4},
			message(4, 4), &wire.Live{Session: "s", Offset: 4})
		synctest.Wait()
		if got := text(chat); got != "3 4" || !chat.Live() {
			t.Fatalf("holds %q, live %v", got, chat.Live())
		}
		for range f.frames {
			t.Error("the first connection was written to after it was replaced")
		}
		if want := []Phase{Dialing, Attaching, Live, Attaching, Live}; !slices.Equal(s.phases, want) {
			t.Errorf("phases %v, want %v", s.phases, want)
		}
	})
}

// A connection that answers stays, and the other one is dropped; nobody has noticed.
func TestFirstAnswersInTime(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, f := s.caughtUp()
		f.proves()
		s.client.Wake()
		ping := want[*wire.Ping](f)
		f.lingers()
		g, _ := s.stands()
		f.send(&wire.Pong{N: ping.N}, message(4, 4))
		for frame := range g.frames {
			t.Errorf("the standby was sent %#v", frame)
		}
		synctest.Wait()
		if got := text(chat); got != "3 4" || !chat.Live() || s.phases[len(s.phases)-1] != Live || len(s.phases) != 3 {
			t.Errorf("holds %q, phases %v", got, s.phases)
		}
	})
}

// Late words of a connection that was replaced are not applied, though its reader had them already and only waited for the
// application.
func TestLateWordsAreNotTaken(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, f := s.caughtUp()
		held, release := make(chan struct{}), make(chan struct{})
		letGo := sync.OnceFunc(func() { close(release) })
		defer letGo()
		chat.opts.OnChange = func(c Change) {
			if c.Offset == 4 {
				close(held)
				<-release
			}
		}
		f.send(message(4, 4))
		<-held
		over := func(then ...wire.ServerFrame) {
			<-time.After(time.Second) // wakes that come in a bunch are one
			s.client.Wake()
			g, _ := s.stands()
			g.send(&wire.Ready{Beat: 10_000})
			if cur := want[*wire.Take](g).Subs[0].Cursor; cur == nil || cur.Offset != 4 {
				t.Fatalf("took over from %+v", cur)
			}
			g.send(append([]wire.ServerFrame{&wire.Welcome{Beat: 10_000}}, then...)...)
			synctest.Wait()
		}
		over(&wire.SubAnswer{Session: "s", Outcome: holdfast.Snapshot, Epoch: "other", From: 50, Head: 50})
		over(&wire.SubAnswer{Session: "s", Outcome: holdfast.Continuous, Epoch: "e", From: 5, Head: 5},
			message(5, 5), &wire.Live{Session: "s", Offset: 5})
		letGo()
		synctest.Wait()
		if got := text(chat); got != "3 4 5" {
			t.Errorf("holds %q", got)
		}
		// Nor is what a reader was about to apply while another link was attached.
		old := &link{}
		s.client.take(old, message(6, 6))
		s.client.take(old, &wire.ErrFrame{Re: wire.TypeSub, Session: "s", Code: holdfast.CodeUnavailable, After: 1000})
		if got := text(chat); got != "3 4 5" || chat.stale {
			t.Errorf("holds %q; subscribes anew: %v", got, chat.stale)
		}
	})
}

// A connection that has proved itself is replaced at once; one that never brought what was asked for, after a pause.
func TestProvedConnectionIsReplacedAtOnce(t *testing.T) {
	for _, proved := range []bool{true, false} {
		inScene(t, func(s *scene) {
			_, f := s.caughtUp()
			if !proved {
				if _, err := s.client.Session("unanswered", SessionOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(7 * time.Second)
			f.conn.Abort()
			s.accept()
			synctest.Wait()
			if waited := slices.Contains(s.phases, Waiting); waited == proved {
				t.Errorf("proved: %v, phases %v", proved, s.phases)
			}
		})
	}
}

// An application that takes long over a change is not taken for a dead connection.
func TestSlowApplicationIsNoSilence(t *testing.T) {
	inScene(t, func(s *scene) {
		chat, f := s.caughtUp()
		chat.opts.OnChange = func(Change) { <-time.After(time.Minute) }
		f.send(message(4, 4))
		<-time.After(50 * time.Second)
		if len(s.dials) > 0 {
			t.Error("another connection was dialed")
		}
	})
}

// stuck is a connection whose Write waits, as it does for a socket that is full.
type stuck struct {
	Conn
	on    atomic.Bool
	ended chan struct{}
}

func (c *stuck) Write(msgs ...[]byte) error {
	if !c.on.Load() {
		return c.Conn.Write(msgs...)
	}
	<-c.ended
	return io.ErrClosedPipe
}

func (c *stuck) Abort() {
	select {
	case <-c.ended:
	default:
		close(c.ended)
	}
	c.Conn.Abort()
}

// A Write that waits keeps nothing up but its own connection.
func TestStuckWriteIsNotWaitedFor(t *testing.T) {
	inScene(t, func(s *scene) {
		var conns []*stuck
		dial := s.client.opts.Dial
		s.client.opts.Dial = func(ctx context.Context, url string) (Conn, error) {
			conn, err := dial(ctx, url)
			conns = append(conns, &stuck{Conn: conn, ended: make(chan struct{})})
			return conns[len(conns)-1], err
		}
		s.caughtUp()
		conns[0].on.Store(true)
		sent := make(chan error, 1)
		begun := time.Now()
		go func() { _, err := s.client.Send(context.Background(), "s", "m", json.RawMessage(`1`)); sent <- err }()
		g, _ := s.accept()
		want[*wire.Send](g)
		g.send(&wire.Ack{Session: "s", ID: "m", Offset: 4})
		if err := <-sent; err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("sent after %v: %v", time.Since(begun), err)
		}
	})
}

// An acknowledgement that is overdue is the first sign of a connection that is dead: long before a beat is over, the message
// goes over another one, with the same id.
func TestOverdueAckDoubts(t *testing.T) {
	inScene(t, func(s *scene) {
		_, f := s.caughtUp()
		acked := make(chan wire.Ack, 1)
		go func() {
			ack, err := s.client.Send(context.Background(), "s", "m", json.RawMessage(`1`))
			if err != nil {
				t.Error(err)
			}
			acked <- ack
		}()
		begun := time.Now()
		want[*wire.Send](f)
		want[*wire.Ping](f)
		if d := time.Since(begun); d < time.Second || d > 1100*time.Millisecond {
			t.Errorf("doubted after %v", d)
		}
		// Late, and mute since: what it says, it says at once.
		g, h := s.accept()
		if h.Mode != wire.ModeAttach || len(h.Subs) != 1 {
			t.Errorf("hello %+v", h)
		}
		if again := want[*wire.Send](g); again.ID != "m" {
			t.Errorf("sent %+v", again)
		}
		g.send(&wire.Ack{Session: "s", ID: "m", Offset: 4})
		if ack := <-acked; ack.Offset != 4 || time.Since(begun) > 2*time.Second {
			t.Errorf("ack %+v after %v", ack, time.Since(begun))
		}
	})
}

// A dial that hangs is given up and not waited for.
func TestDeadDialIsNotWaitedFor(t *testing.T) {
	inScene(t, func(s *scene) {
		hung := 0
		s.client.opts.Ready = func(context.Context, string) (bool, time.Duration) { return false, 0 }
		dial := s.client.opts.Dial
		s.client.opts.Dial = func(ctx context.Context, url string) (Conn, error) {
			if hung++; hung > 2 {
				return dial(ctx, url)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begun := time.Now()
		s.accept()
		// 4 s, then 6.4 s, with pauses of at most 0.75 s.
		if d := time.Since(begun); d < 10*time.Second || d > 12*time.Second {
			t.Errorf("connected after %v", d)
		}
	})
}

// The gate says that a network has healed of which a hanging dial does not know.
func TestGateReplacesSlowDial(t *testing.T) {
	inScene(t, func(s *scene) {
		dial, hung := s.client.opts.Dial, false
		s.client.opts.Dial = func(ctx context.Context, url string) (Conn, error) {
			if hung {
				return dial(ctx, url)
			}
			hung = true
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begun := time.Now()
		s.accept()
		if d := time.Since(begun); d != time.Second || s.gates != 1 {
			t.Errorf("connected after %v and %d questions", d, s.gates)
		}
	})
}

// A machine that slept has a clock that stood still, and one that did not.
func TestSleepOfTheMachineIsNoticed(t *testing.T) {
	inScene(t, func(s *scene) {
		var slept atomic.Int64
		clock := s.client.now
		s.client.now = func() instant { return clock() + instant(slept.Load()) }
		_, f := s.caughtUp()
		slept.Store(int64(time.Hour))
		begun := time.Now()
		want[*wire.Ping](f)
		g := s.next()
		if h := want[*wire.Hello](g); h.Mode != "" || len(h.Subs) != 1 {
			t.Errorf("hello %+v, want one that says all: the first is mute", h)
		}
		if d := time.Since(begun); d > time.Second+headstart {
			t.Errorf("noticed after %v", d)
		}
		g.send(&wire.Welcome{Beat: 10_000})
		synctest.Wait()

		slept.Store(0) // set back, which is no sleep: one ping, and no other connection
		ping := want[*wire.Ping](g)
		g.send(&wire.Pong{N: ping.N})
		<-time.After(5 * time.Second)
		if len(s.dials) > 0 || s.client.Phase() != Live {
			t.Errorf("a clock that was set back led to %v and %d dials", s.client.Phase(), len(s.dials))
		}
	})
}

// A token that is long in coming does not hold up the socket; one that could not be had is asked for before the next dial.
func TestTokenAndDialAtOnce(t *testing.T) {
	inScene(t, func(s *scene) {
		asked, give := make(chan struct{}), make(chan error)
		s.client.opts.Token = func(context.Context) (string, error) {
			close(asked)
			return "slow", <-give
		}
		f := s.next() // the socket is there before the token
		<-asked
		give <- nil
		if h := want[*wire.Hello](f); h.Token != "slow" {
			t.Errorf("hello with %q", h.Token)
		}
	})
	t.Run("none", func(t *testing.T) {
		inScene(t, func(s *scene) {
			errs := []error{errors.New("down"), holdfast.Errorf(holdfast.CodeForbidden, "locked out")}
			s.client.opts.Token = func(context.Context) (string, error) {
				err := errs[0]
				errs = errs[1:]
				return "", err
			}
			s.run()
			if err := <-s.ended; holdfast.CodeOf(err) != holdfast.CodeForbidden {
				t.Errorf("Run returned %v", err)
			}
			s.ended <- nil
			if len(s.urls) != 1 {
				t.Errorf("%d dials; without a token, want one", len(s.urls))
			}
		})
	})
}

func TestReadyOverHTTP(t *testing.T) {
	status, header := http.StatusNoContent, ""
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/ws/ready" {
			t.Errorf("asked for %s", r.URL)
		}
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "")
	}))
	defer web.Close()
	ready := httpReady()
	for _, c := range []struct {
		status int
		header string
		ok     bool
		after  time.Duration
	}{
		{204, "", true, 0}, {503, "7", false, 7 * time.Second}, {302, "", false, 0}, {503, "soon", false, 0},
		{503, "Mon, 02 Jan 2006 15:04:05 GMT", false, 0},
	} {
		status, header = c.status, c.header
		for _, url := range []string{web.URL, "ws" + web.URL[len("http"):]} {
			if ok, after := ready(t.Context(), url+"/v1/ws/ready"); ok != c.ok || after != c.after {
				t.Errorf("%d, %q: %v, %v", c.status, c.header, ok, after)
			}
		}
	}
	web.Close()
	if ok, _ := ready(t.Context(), web.URL+"/v1/ws/ready"); ok {
		t.Error("a server that is not there is ready")
	}
	if after := retryAfter(fmt.Sprint(uint64(1) << 40)); after != 0 {
		t.Errorf("an absurd time: %v", after)
	}
}

// trickle is a connection on which a large message has been arriving for a while.
type trickle struct {
	Conn
	bytes atomic.Int64
}

func (c *trickle) Bytes() (received, sent int64) { return c.bytes.Load(), 0 }

// On a slow line a message may take longer than silence is normal; as long as bytes come, the connection lives.
func TestLargeMessageOnASlowLineIsNoSilence(t *testing.T) {
	inScene(t, func(s *scene) {
		var slow *trickle
		dial := s.client.opts.Dial
		s.client.opts.Dial = func(ctx context.Context, url string) (Conn, error) {
			conn, err := dial(ctx, url)
			if slow != nil {
				return conn, err
			}
			slow = &trickle{Conn: conn}
			return slow, err
		}
		s.caughtUp()
		for range 90 {
			<-time.After(time.Second)
			slow.bytes.Add(100)
		}
		if len(s.dials) > 0 {
			t.Fatal("another connection was dialed while bytes came")
		}
		begun := time.Now()
		s.next()
		if d := time.Since(begun); d < 29*time.Second || d > 33*time.Second {
			t.Errorf("when none came any more, another one was dialed after %v", d)
		}
	})
}
