package conn

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/wire"
)

const (
	crowdSessions = 20
	crowdReaders  = 200
	crowdWrites   = 120
)

// crowd is a node with many readers whose sockets are small and stall, who come, go and drop, while all is written to.
type crowd struct {
	t   *testing.T
	log *memory.Driver
	cfg *Config
	// ctx ends when the test gives up.
	ctx context.Context
	// written ends when the writers are done.
	written context.Context
}

func crowdSession(i int) holdfast.SessionID { return holdfast.SessionID(fmt.Sprintf("chat-%d", i)) }

// Whatever readers do to their connections while sessions grow, each frame fits what they hold, and in the end all of them
// hold the same.
func TestCrowdSettles(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	written, done := context.WithCancel(ctx)
	defer done()
	lanes := []*Lane{NewLane(0), NewLane(1)}
	h := hub.New([]hub.Lane{lanes[0], lanes[1]})
	c := &crowd{t: t, log: memory.New(memory.Options{}), ctx: ctx, written: written}
	n := 0 // guarded by the engine, which brings one change at a time
	c.log.Watch(func(ch driver.Change) {
		if n++; n%50 == 0 {
			ch.Items = nil // as an engine does that is not sure that it had all
		}
		h.Publish(&ch)
	})
	c.cfg = &Config{
		Log: c.log, Auth: tokens{}, Hub: h, Rooms: attendance.New(readersOf(h), time.Now), Lanes: lanes, Logger: slog.New(slog.DiscardHandler),
		HelloTimeout: time.Minute, Beat: time.Minute, Rest: time.Minute, WriteTimeout: time.Minute, MaxData: 1000, MaxControl: 64 << 10,
		MaxSubs: crowdSessions, Rate: 1e6, Burst: 1e6, Last: 5,
		Jitter: func(time.Duration) time.Duration { return 0 }, Now: time.Now,
	}
	laneCtx, stopLanes := context.WithCancel(t.Context())
	var running, writers, readers sync.WaitGroup
	for _, l := range lanes {
		running.Go(func() { l.Run(laneCtx) })
	}
	for i := range crowdSessions {
		writers.Go(func() { c.write(crowdSession(i), rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	for i := range crowdReaders {
		r := &crowdReader{crowd: c, rnd: rand.New(rand.NewPCG(2, uint64(i))), name: fmt.Sprint("r", i), states: map[holdfast.SessionID]*client.State{}}
		readers.Go(r.run)
	}
	writers.Wait()
	done()
	readers.Wait()
	stopLanes()
	running.Wait()
}

// write does all that happens to one session, from messages to runs that grow side by side and end.
func (c *crowd) write(s holdfast.SessionID, rnd *rand.Rand) {
	var open []holdfast.RunInfo
	apply := func(op driver.Op) driver.Result {
		res, err := c.log.Apply(c.ctx, s, op)
		if err != nil {
			c.t.Error(err)
		}
		return res
	}
	for i := range crowdWrites {
		data := json.RawMessage(fmt.Sprint(i))
		switch k := rnd.IntN(10); {
		case k == 0:
			apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: data}}})
		case k == 1:
			apply(driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: fmt.Sprint(rnd.IntN(2)), Data: data}}})
		case k == 2 && len(open) < 3, len(open) == 0:
			open = append(open, apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint(i)}}).Run)
		case k == 3:
			apply(driver.EndRun{Run: open[0].Run, Fence: open[0].Fence, Status: holdfast.RunComplete})
			open = open[1:]
		default:
			r := open[rnd.IntN(len(open))]
			var frags []holdfast.Fragment
			for j := range 1 + rnd.IntN(3) {
				frags = append(frags, holdfast.Fragment{Text: fmt.Sprintf("%d.%d ", i, j)})
			}
			apply(driver.AppendFragments{Run: r.Run, Fence: r.Fence, After: driver.AnyFragment, Fragments: frags})
		}
		for range rnd.IntN(20) {
			runtime.Gosched()
		}
	}
	for _, r := range open {
		apply(driver.EndRun{Run: r.Run, Fence: r.Fence, Status: holdfast.RunStopped})
	}
}

// crowdReader is one client.
type crowdReader struct {
	*crowd
	rnd    *rand.Rand
	name   string
	gen    int
	peer   *pipe.Peer
	states map[holdfast.SessionID]*client.State
}

func (r *crowdReader) run() {
	for range 5 {
		s := crowdSession(r.rnd.IntN(crowdSessions))
		r.states[s] = client.NewState(s, true)
	}
	r.dial()
	defer func() { r.peer.Abort(); <-r.peer.Done() }()
	for r.written.Err() == nil {
		r.act()
		if !r.read(r.written) {
			return
		}
	}
	r.peer.SetBuffer(1 + r.rnd.IntN(5000))
	for s, st := range r.states {
		for !r.settled(st) {
			if !r.read(r.ctx) {
				return
			}
			if r.ctx.Err() != nil {
				r.t.Errorf("%s waits for ever in %s: %v, live %v", r.name, s, st.Cursor(), st.Live())
				return
			}
		}
		r.check(st)
	}
}

// act does something to the connection, now and then.
func (r *crowdReader) act() {
	switch r.rnd.IntN(30) {
	case 0:
		r.peer.Abort()
		<-r.peer.Done()
		r.dial()
	case 1:
		r.peer.SetBuffer(0)
		for range r.rnd.IntN(500) {
			runtime.Gosched()
		}
		r.peer.SetBuffer(1 + r.rnd.IntN(300))
	case 2, 3:
		for s, st := range r.states {
			if !st.Live() {
				continue
			}
			if r.rnd.IntN(2) == 0 {
				r.send(&wire.Unsub{Session: s})
			}
			st.Resubscribe()
			r.send(&wire.Sub{Session: s, Cursor: st.Cursor()})
			return
		}
	case 4:
		r.dial() // the earlier connection is a ghost
	}
}

func (r *crowdReader) dial() {
	r.gen++
	old := r.peer
	r.peer = pipe.Start(r.ctx, func(ctx context.Context, c transport.Conn) { Serve(ctx, c, r.cfg) }, pipe.Options{Buffer: 1 + r.rnd.IntN(1000)})
	hello := &wire.Hello{Version: wire.Version, Token: r.name + " read=*", Client: "c", Gen: holdfast.Generation(r.gen)}
	for s, st := range r.states {
		st.Resubscribe()
		hello.Subs = append(hello.Subs, wire.Sub{Session: s, Cursor: st.Cursor()})
	}
	r.send(hello)
	if old != nil {
		for { // superseded, unless it had ended
			if _, err := old.Next(r.ctx); err != nil {
				break
			}
		}
		<-old.Done()
	}
}

func (r *crowdReader) send(f wire.ClientFrame) {
	if err := r.peer.Send(wire.AppendClient(nil, f)); err != nil {
		r.t.Errorf("%s: %v", r.name, err)
	}
}

// read takes one message; false means that the story is over.
func (r *crowdReader) read(ctx context.Context) bool {
	msg, err := r.peer.Next(ctx)
	if err != nil && ctx.Err() != nil {
		return true
	}
	if err != nil {
		r.t.Errorf("%s was cut off: %v", r.name, err)
		return false
	}
	f, err := wire.DecodeServer(msg)
	if err != nil {
		r.t.Error(err)
		return false
	}
	st := r.states[sessionOf(f)]
	if st == nil {
		return true
	}
	if _, err := st.Apply(f); err != nil {
		r.t.Errorf("%s: %s does not fit: %v", r.name, msg, err)
		return false
	}
	return true
}

func sessionOf(f wire.ServerFrame) holdfast.SessionID {
	switch f := f.(type) {
	case *wire.SubAnswer:
		return f.Session
	case *wire.EntryFrame:
		return f.Session
	case *wire.FragFrame:
		return f.Session
	case *wire.EndFrame:
		return f.Session
	case *wire.Live:
		return f.Session
	}
	return ""
}

func (r *crowdReader) settled(st *client.State) bool {
	info, err := r.log.Info(r.t.Context(), st.Session())
	if err != nil {
		r.t.Error(err)
	}
	c := st.Cursor()
	return st.Live() && c != nil && cmp.Equal(*c, info.Cursor(), cmpopts.EquateEmpty())
}

// check compares what a reader holds with the log.
func (r *crowdReader) check(st *client.State) {
	page, err := r.log.Read(r.t.Context(), st.Session(), driver.Query{After: st.First() - 1, Limit: 10_000, MaxBytes: 1 << 30})
	if err != nil {
		r.t.Error(err)
	}
	held := map[holdfast.Offset]holdfast.Entry{}
	for _, e := range st.Entries() {
		held[e.Offset] = e
	}
	for _, want := range page.Entries {
		got, ok := held[want.Offset]
		switch {
		case !ok || got.Tag != want.Tag || string(got.Data) != string(want.Data):
			r.t.Errorf("%s: entry %d of %s is %v, want %v", r.name, want.Offset, st.Session(), got, want)
		case want.Run != nil && (got.Run.Status != want.Run.Status || got.Run.Body.Text("") != want.Run.Body.Text("")):
			r.t.Errorf("%s: run %d of %s is %v, want %v", r.name, want.Offset, st.Session(), got.Run, want.Run)
		}
	}
}
