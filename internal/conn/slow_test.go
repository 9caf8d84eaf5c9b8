package conn

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

const greeting = `anna > {"t":"hello","v":1,"token":"anna read=chat-*","client":"c1","gen":1,"subs":[]}`

// drain takes everything that a client has been sent, and returns its frames.
func (st *stage) drain(who string) (frames []string, end error) {
	for {
		soon, cancel := context.WithTimeout(st.ctx, time.Nanosecond)
		msg, err := st.peers[who].Next(soon)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, string(msg))
	}
}

// A session with much to catch up on takes turns with the others.
func TestClause6_OneFarBehindDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.do("backend flood chat-far 20000")
		st.do("anna dials")
		st.do("anna takes 1000")
		st.do(strings.Replace(greeting, "[]", `[{"s":"chat-far","cur":{"e":"","o":0,"g":0}},{"s":"chat-near"}]`, 1))
		synctest.Wait()
		st.do("backend message chat-near 1")
		frames, err := st.drain("anna")
		if err != nil {
			t.Fatal(err)
		}
		before := 0
		for _, f := range frames {
			if strings.HasPrefix(f, `{"t":"entry","s":"chat-near"`) {
				break
			}
			before += len(f)
		}
		if before > 6*chunk {
			t.Errorf("chat-near came after %d bytes of chat-far", before)
		}
	})
}

// A client whose socket is full and which subscribes again and again costs no more than its subscriptions.
func TestRepeatedSubscriptionsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.do("anna dials")
		st.do("anna takes 0")
		st.do(greeting)
		for range 500 {
			st.do(`anna > {"t":"sub","s":"chat-1"}`)
			st.do("wait 20ms")
		}
		c := st.cfg.Hub.Connections("anna")[0].(*Conn)
		c.mu.Lock()
		defer c.mu.Unlock()
		if n := len(c.out.dirty); n > 1 {
			t.Errorf("%d subscriptions wait, one is alive", n)
		}
	})
}

// While the server does not read, because the client has yet to take what it asked for, the client is not silent.
func TestClause11_SlowlyTakingIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.do("backend flood chat-1 200")
		st.do("anna dials")
		st.do("anna takes 0")
		st.do(greeting)
		const pages = 9
		for i := range pages {
			st.do(fmt.Sprintf(`anna > {"t":"page","id":"p%d","s":"chat-1","limit":200}`, i))
		}
		for i := range 6 {
			st.do(fmt.Sprintf("anna takes %d", (i+1)*piece))
			st.do(`anna > {"t":"ping","n":1}`)
			st.do("wait 12s")
		}
		st.do("anna takes 1000000")
		synctest.Wait()
		frames, err := st.drain("anna")
		if err != nil {
			t.Fatal("cut off:", err)
		}
		n := 0
		for _, f := range frames {
			if strings.HasPrefix(f, `{"t":"page"`) {
				n++
			}
		}
		if n != pages {
			t.Errorf("%d pages came, want %d", n, pages)
		}
	})
}

// busySocket takes everything at once, and each write makes another one necessary: a lane with such a connection always has
// work.
type busySocket struct {
	transport.Conn
	conn   atomic.Pointer[Conn]
	closed chan holdfast.CloseCode
}

func (s *busySocket) AppendMessage(dst, msg []byte) []byte { return append(dst, msg...) }

func (s *busySocket) TryWrite(p []byte) (int, error) {
	s.conn.Load().push(&wire.Pong{})
	return len(p), nil
}

func (s *busySocket) Close(code holdfast.CloseCode, _ string) { s.closed <- code }

func (s *busySocket) Abort() {}

// A lane that is never idle still looks after time.
func TestBusyLaneLooksAfterTime(t *testing.T) {
	lane := NewLane(0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := &busySocket{closed: make(chan holdfast.CloseCode, 1)}
	c := &Conn{t: s, lane: lane, started: time.Now().Add(-time.Hour), cfg: &Config{HelloTimeout: time.Second, Beat: time.Second, Now: time.Now}}
	s.conn.Store(c)
	lane.add(c)
	done := make(chan struct{})
	go func() { // ends with ctx; waited for below
		defer close(done)
		lane.Run(ctx)
	}()
	c.push(&wire.Pong{})
	select {
	case code := <-s.closed:
		if code != holdfast.CloseTimeout {
			t.Errorf("closed with %d", code)
		}
	case <-ctx.Done():
		t.Error("the connection said no hello for an hour, and lives")
		c.fail(nil)
	}
	cancel()
	<-done
}
