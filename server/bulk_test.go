package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/internal/runtest"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/store/pebble"
	"github.com/holdfast/holdfast/wire"
)

const (
	bulkRuns = 10
	bulkRate = 150  // fragments of a run, per second
	bulkLine = 8000 // bytes per second: 64 kbit/s
	// bulkLag is how far the reader may be behind what fits through its line.
	bulkLag = 2 * time.Second
)

// bulkTime is for how long the runs are written, in short and in full.
func bulkTime() time.Duration {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 60 * time.Second
	}
	return 8 * time.Second
}

// bulk is ten answers that are written at a time.
type bulk struct {
	runs []*server.Run
	// at[i][n] is when fragment n+1 of run i was written.
	mu   sync.Mutex
	at   [][]time.Time
	text []strings.Builder
}

// write writes run i until it is to stop, or the time is over.
func (b *bulk) write(t *testing.T, i int, d time.Duration) {
	tick := time.NewTicker(time.Second / bulkRate)
	defer tick.Stop()
	end := time.After(d)
	run := b.runs[i]
	for n := 0; ; n++ {
		select {
		case <-end:
			if err := run.Complete(t.Context(), nil); err != nil {
				t.Error(err)
			}
			return
		case <-run.Context().Done():
			if err := run.End(t.Context(), holdfast.RunStopped, nil); err != nil {
				t.Error(err)
			}
			return
		case <-tick.C:
		}
		word := fmt.Sprintf("%03d ", n%1000)
		_, err := run.WriteString(word)
		if run.Context().Err() != nil {
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		b.mu.Lock()
		b.at[i] = append(b.at[i], time.Now())
		b.text[i].WriteString(word)
		b.mu.Unlock()
	}
}

// bulkReader reads over a thin line, and notes how late each of its frames is.
type bulkReader struct {
	b     *bulk
	p     *peer
	state *client.State
	// acked and told are when the stop was acknowledged, and seen by the reader as everybody sees it.
	acked, told time.Time
	lags        []time.Duration
}

func (r *bulkReader) take(f wire.ServerFrame) {
	switch f := f.(type) {
	case *wire.Ack:
		r.acked = time.Now()
		return
	case *wire.FragFrame:
		r.late(int(f.Run)-1, int(f.N))
	case *wire.EntryFrame:
		if f.Entry.Kind == holdfast.KindEvent && r.told.IsZero() {
			r.told = time.Now()
		}
	}
	if _, err := r.state.Apply(f); err != nil {
		r.p.t.Error(err)
	}
}

// late notes by how much the last fragment that has come is late.
func (r *bulkReader) late(run, n int) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if n <= len(r.b.at[run]) {
		r.lags = append(r.lags, time.Since(r.b.at[run][n-1]))
	}
}

func (r *bulkReader) ended() bool {
	return !slices.ContainsFunc(r.state.Entries(), func(e holdfast.Entry) bool { return e.Run != nil && !e.Run.Status.Ended() })
}

// TestClause11_AThinLine writes ten answers at a time for a reader whose line takes little more than their text. It stays close
// behind, whole, at no cost to the server's memory; and a stop that it asks for is not behind the bulk.
func TestClause11_AThinLine(t *testing.T) {
	db, err := pebble.Open(pebble.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, server.Options{Store: db})
	b := &bulk{at: make([][]time.Time, bulkRuns), text: make([]strings.Builder, bulkRuns)}
	for i := range bulkRuns {
		run, err := n.srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		b.runs = append(b.runs, run)
	}
	r := n.thin(b)
	before := heap()
	var most atomic.Int64
	var busy sync.WaitGroup
	defer busy.Wait()
	for i := range bulkRuns {
		busy.Go(func() { b.write(t, i, bulkTime()) })
	}
	stalls := runtest.Stalls()
	asked := r.follow(bulkTime()/2, func() { most.Store(max(most.Load(), heap()-before)) })
	busy.Wait()
	page, err := n.srv.Session("chat-1").Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	stalled := stalls()
	r.check(asked, page.Entries, bulkLag+stalled)
	if grown := most.Load(); grown > 24<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	slices.Sort(r.lags)
	t.Logf("%s: lag p50 %s, p99 %s, most %s; the stop acknowledged after %s, seen after %s; the heap grew by %d KiB at most; the machine held this "+
		"test up for %s", bulkTime(),
		r.lags[len(r.lags)/2], r.lags[len(r.lags)*99/100], r.lags[len(r.lags)-1], r.acked.Sub(asked), r.told.Sub(asked), most.Load()>>10, stalled)
}

// TestClause11_AStopOvertakesTheBulk asks for a stop while 300 kB are to come over a line of 64 kbit/s, which takes 40 s.
func TestClause11_AStopOvertakesTheBulk(t *testing.T) {
	n := start(t, server.Options{Store: memory.New(memory.Options{})})
	data := json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)
	for i := range 300 {
		if _, err := n.srv.Session("chat-1").Append(t.Context(), fmt.Sprint(i), data); err != nil {
			t.Fatal(err)
		}
	}
	run, err := n.srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	p := n.thinLine()
	all := []string{"chat-*"}
	sub := wire.Sub{Session: "chat-1", Cursor: &holdfast.Cursor{}}
	p.send(&wire.Hello{Version: 1, Token: n.token(auth.Claims{User: "anna", Read: all, Stop: all}), Client: "thin", Gen: 1, Subs: []wire.Sub{sub}})
	for bytes := 0; bytes < 20_000; {
		if e, ok := p.next().(*wire.EntryFrame); ok {
			bytes += len(e.Entry.Data)
		}
	}
	asked := time.Now()
	p.send(&wire.Stop{Session: "chat-1", ID: "s1", Run: run.Info().Run})
	<-run.Context().Done()
	heeded := time.Since(asked)
	for {
		f := p.next()
		if _, ok := f.(*wire.Live); ok {
			t.Fatal("the bulk came first")
		}
		if _, ok := f.(*wire.Ack); ok {
			break
		}
	}
	if late := time.Since(asked); late > bulkLag {
		t.Errorf("the stop was acknowledged after %s", late)
	}
	t.Logf("the producer was told after %s, and who asked after %s", heeded, time.Since(asked))
}

// thin starts a reader behind a line of 64 kbit/s, and returns it once it is up to date.
func (n *node) thin(b *bulk) *bulkReader {
	n.t.Helper()
	r := &bulkReader{b: b, p: n.thinLine(), state: client.NewState("chat-1", true)}
	all := []string{"chat-*"}
	token := n.token(auth.Claims{User: "anna", Read: all, Stop: all})
	r.p.send(&wire.Hello{Version: 1, Token: token, Client: "thin", Gen: 1, Subs: []wire.Sub{{Session: "chat-1", Last: 50}}})
	for !r.state.Live() {
		if f := r.p.next(); isOfSession(f) {
			r.take(f)
		}
	}
	return r
}

func (n *node) thinLine() *peer {
	n.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	proxy := faults.New(l, strings.TrimPrefix(n.web.URL, "http://"))
	n.t.Cleanup(func() { _ = proxy.Close() })
	proxy.Throttle(bulkLine)
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+l.Addr().String()+"/v1/ws/1", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	n.t.Cleanup(func() { _ = ws.CloseNow() })
	return &peer{n.t, ws}
}

func isOfSession(f wire.ServerFrame) bool {
	switch f.(type) {
	case *wire.Welcome, *wire.Ping, *wire.Pong:
		return false
	}
	return true
}

// follow reads until all runs have ended, and asks for a stop in the middle. Between frames it looks, now and then.
func (r *bulkReader) follow(middle time.Duration, look func()) (asked time.Time) {
	stop := time.Now().Add(middle)
	next := time.Now()
	for !r.ended() {
		if asked.IsZero() && time.Now().After(stop) {
			asked = time.Now()
			r.p.send(&wire.Stop{Session: "chat-1", ID: "s1", Run: 1})
		}
		if time.Now().After(next) {
			look()
			// A side that only listens has to say that it lives.
			r.p.send(&wire.Ping{N: 1})
			next = time.Now().Add(time.Second)
		}
		if f := r.p.next(); isOfSession(f) {
			r.take(f)
		}
	}
	return asked
}

// check compares what was read with the log, and that with what was written: all but perhaps a word that was under way when
// its run was stopped.
func (r *bulkReader) check(asked time.Time, log []holdfast.Entry, limit time.Duration) {
	r.p.t.Helper()
	got := r.state.Entries()
	for n, e := range log {
		if e.Run == nil {
			continue
		}
		text, written := e.Run.Body.Text(""), r.b.text[n].String()
		want := map[bool]holdfast.RunStatus{true: holdfast.RunStopped, false: holdfast.RunComplete}[n == 0]
		if e.Run.Status != want || !strings.HasPrefix(text, written) || len(text)-len(written) > 4*(1-min(n, 1)) {
			r.p.t.Errorf("run %d is %s with %d bytes, want %s with %d", e.Offset, e.Run.Status, len(text), want, len(written))
		}
		if read := got[n].Run.Body.Text(""); read != text {
			r.p.t.Errorf("of run %d there are %d bytes, want %d: %s", e.Offset, len(read), len(text), firstDifference(read, text))
		}
	}
	if most := slices.Max(r.lags); most > limit {
		r.p.t.Errorf("a frame came %s late", most)
	}
	if late := r.acked.Sub(asked); late > limit {
		r.p.t.Errorf("the stop was acknowledged after %s", late)
	}
	if late := r.told.Sub(asked); late > limit {
		r.p.t.Errorf("the stop was seen after %s", late)
	}
}
