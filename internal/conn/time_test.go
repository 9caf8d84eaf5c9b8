package conn

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/wire"
)

// A peer that is gone without a word is noticed within 30 s while its page is seen: 2.5 beats, and a second's look.
func TestClause12_AHalfOpenPeerIsNoticedWithin30s(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		var at time.Time
		st.cfg.Ends = ending.NewBook(slog.New(slog.DiscardHandler), time.Now, func(r *ending.Record) { at = time.Now() }, nil)
		st.do("anna dials")
		st.do(`anna > {"t":"hello","v":1,"token":"anna read=*","client":"c","gen":1}`)
		synctest.Wait()
		last := time.Now()
		st.do("wait 40s") // pings go into the void
		synctest.Wait()
		if at.IsZero() || at.Sub(last) > 30*time.Second {
			t.Errorf("its record came after %v", at.Sub(last))
		}
	})
}

// sluggish is a socket whose writes and end cost what system calls do.
type sluggish struct {
	transport.Conn
	cost   time.Duration
	closed *atomic.Int64
}

func (s *sluggish) AppendMessage(dst, msg []byte) []byte { return append(dst, msg...) }

func (s *sluggish) spend() {
	for began := time.Now(); time.Since(began) < s.cost; {
	}
}

func (s *sluggish) TryWrite(p []byte) (int, error) { s.spend(); return len(p), nil }
func (s *sluggish) Close(holdfast.CloseCode, string) {
	s.spend()
	s.closed.Add(1)
}

// mourn gives a lane dead connections, whose ends cost what they cost.
func mourn(lane *Lane, cfg *Config, n int, cost time.Duration) *atomic.Int64 {
	closed := new(atomic.Int64)
	long := time.Now().Add(-time.Hour)
	for range n {
		c := &Conn{t: &sluggish{cost: cost, closed: closed}, lane: lane, cfg: cfg, started: long, reach: transport.Both}
		c.grant.Store(&holdfast.Grant{User: "anna"})
		c.stand(attached)
		lane.add(c)
	}
	return closed
}

// Those whose time is over are ended some at a time: whoever is alive has a turn in between.
func TestEndsTakeTurns(t *testing.T) {
	lane := NewLane(0)
	cfg := &Config{Beat: 10 * time.Second, Rest: 25 * time.Second, HelloTimeout: time.Minute, Now: time.Now}
	closed := mourn(lane, cfg, 1000, 0)
	lane.sweep()
	if closed.Load() > 0 || len(lane.ready) > 0 {
		t.Fatalf("looking ended %d and queued %d", closed.Load(), len(lane.ready))
	}
	for lane.endSome() {
		if n := len(lane.ready); n > endsAtOnce {
			t.Fatalf("%d are ended before anybody else has a turn", n)
		}
		lane.round(t.Context())
	}
	if closed.Load() != 1000 {
		t.Errorf("%d of 1000 were ended", closed.Load())
	}
	// One that spoke meanwhile is not ended.
	lane.sweep()
	c := lane.conns[0]
	c.out.owner, c.out.end = nobody, nil
	lane.sweep()
	c.lastIn.Store(int64(time.Since(c.started)))
	before := closed.Load()
	for some := true; some; {
		some = lane.endSome()
		lane.round(t.Context())
	}
	if closed.Load() != before || c.out.end != nil {
		t.Error("a connection that spoke in time was ended")
	}
}

// While 10,000 dead connections are being cleaned up, a new connection is answered within 10 ms.
func TestCleanupDoesNotDelayAConnect(t *testing.T) {
	n, most := 1000, 500*time.Millisecond
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		n, most = 10_000, 10*time.Millisecond
	}
	ctx, cancel := context.WithCancel(t.Context())
	lane := NewLane(0)
	h := hub.New([]hub.Lane{lane})
	cfg := &Config{
		Log: memory.New(memory.Options{}), Auth: tokens{}, Hub: h, Lanes: []*Lane{lane}, Logger: slog.New(slog.DiscardHandler),
		HelloTimeout: time.Minute, Beat: 10 * time.Second, Rest: 25 * time.Second, WriteTimeout: time.Minute, MaxData: 1000,
		MaxControl: 64 << 10, MaxSubs: 10, Rate: 50, Burst: 100, Last: 10,
		Jitter: func(time.Duration) time.Duration { return 0 }, Now: time.Now,
	}
	var running sync.WaitGroup
	connect := func(gen holdfast.Generation) time.Duration {
		began := time.Now()
		peer := pipe.Start(ctx, func(ctx context.Context, c transport.Conn) { Serve(ctx, c, cfg) }, pipe.Options{})
		defer func() { peer.Abort(); <-peer.Done() }()
		if err := peer.Send(wire.AppendClient(nil, &wire.Hello{Version: 1, Token: "ben read=*", Client: "c", Gen: gen})); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.Next(ctx); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	running.Go(func() { lane.Run(ctx) })
	// What the machine does to connects anyway is not the cleanup's doing.
	var before, during []time.Duration
	gen := holdfast.Generation(1)
	for ; gen < 300; gen++ {
		before = append(before, connect(gen))
	}
	// 10 us are about what a write to a socket costs, and its close.
	closed := mourn(lane, cfg, n, 10*time.Microsecond)
	for ; closed.Load() < int64(n); gen++ {
		took := connect(gen)
		if closed.Load() > 0 {
			during = append(during, took)
		}
	}
	cancel()
	running.Wait()
	if len(during) == 0 {
		t.Skip("SKIPPED: all were cleaned up between two connects, so that none could be measured")
	}
	at := func(all []time.Duration, part float64) time.Duration {
		slices.Sort(all)
		return all[int(part*float64(len(all)-1))]
	}
	t.Logf("%d connects while %d dead connections were cleaned up: %v at the median, %v at p99, %v at most; before: %v, %v, %v", len(during), n,
		at(during, 0.5), at(during, 0.99), at(during, 1), at(before, 0.5), at(before, 0.99), at(before, 1))
	// On a machine that has other work, the last percents are its scheduler's.
	if delay := at(during, 0.5) - at(before, 0.5); delay > most {
		t.Errorf("connects were delayed by %v, at most %v is promised", delay, most)
	}
}
