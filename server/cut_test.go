package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/pebble"
)

// cutSize is how long the answer is, and how often a connection is hurt while it is written.
func cutSize() (fragments, cuts int) {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 5000, 100
	}
	return 1500, 40
}

const cutReaders = 20

// cutReader is a client behind a proxy of its own.
type cutReader struct {
	session *client.Session
	proxy   *faults.Proxy
	// done is closed when the end of the run has been seen.
	done chan struct{}
	once sync.Once
	// gaps counts holes, which a correct server never leaves.
	gaps int
}

func (r *cutReader) note(ch client.Change) {
	switch ch.Kind {
	case client.Hole:
		r.gaps++
	case client.Ended:
		r.once.Do(func() { close(r.done) })
	case client.Added:
		if run := r.run(); run != nil && run.Status.Ended() {
			r.once.Do(func() { close(r.done) })
		}
	}
}

func (r *cutReader) run() *holdfast.Run {
	for _, e := range r.session.Entries() {
		if e.Run != nil {
			return e.Run
		}
	}
	return nil
}

// join starts a reader, at any moment of the answer.
func (n *node) join(t *testing.T, ctx context.Context, i int, running *sync.WaitGroup) *cutReader {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &cutReader{proxy: faults.New(l, strings.TrimPrefix(n.web.URL, "http://")), done: make(chan struct{})}
	t.Cleanup(func() { _ = r.proxy.Close() })
	token := n.user("anna")
	c, err := client.New(client.Options{
		URL: "http://" + l.Addr().String(), ClientID: holdfast.ClientID(fmt.Sprintf("r%d", i)),
		Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.session, err = c.Session("chat-1", client.SessionOptions{Last: 15, OnChange: r.note})
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("reader %d ended: %v", i, err)
		}
	})
	return r
}

// hurt does one thing that networks do to one of the readers' connections.
func hurt(readers []*cutReader) {
	links := readers[rand.N(len(readers))].proxy.Links()
	if len(links) == 0 {
		return
	}
	switch l := links[0]; rand.N(3) {
	case 0:
		l.Cut()
	case 1:
		l.Blackhole()
	case 2:
		l.CutAfter(rand.N(300)) // somewhere in the middle of a frame
	}
}

// TestClause5_EveryReaderHasTheTextOnce cuts the connections of twenty readers again and again while an answer is written.
// Some of them open the page in the middle of it, and one has a line of 1 kB/s. Every reader ends with the producer's
// text, byte for byte, and the server's memory stays flat.
func TestClause5_EveryReaderHasTheTextOnce(t *testing.T) {
	db, err := pebble.Open(pebble.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, server.Options{Store: db, Beat: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	fragments, cuts := cutSize()
	run, err := n.srv.Session("chat-1").OpenRun(ctx, server.RunOptions{ID: "answer"})
	if err != nil {
		t.Fatal(err)
	}
	var readers []*cutReader
	for i := range cutReaders / 2 {
		readers = append(readers, n.join(t, ctx, i, &running))
	}
	var text strings.Builder
	before := heap()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range fragments {
		<-tick.C
		word := fmt.Sprintf("wörd%d ", i)
		text.WriteString(word)
		if _, err := run.WriteString(word); err != nil {
			t.Fatal(err)
		}
		if i%(fragments/cuts) == 0 {
			hurt(readers)
		}
		if len(readers) < cutReaders && i%(fragments/cutReaders) == 0 {
			readers = append(readers, n.join(t, ctx, len(readers), &running))
		}
		if i == fragments/3 {
			readers[0].proxy.Throttle(1000)
		}
	}
	if err := run.Complete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	checkReaders(t, readers, text.String())
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func checkReaders(t *testing.T, readers []*cutReader, want string) {
	t.Helper()
	timeout := time.After(3 * time.Minute)
	for i, r := range readers {
		select {
		case <-r.done:
		case <-timeout:
			t.Fatalf("reader %d has not seen the end; it stands at %v", i, r.session.Cursor())
		}
		if got := r.run().Body.Text(""); got != want {
			t.Errorf("reader %d has a text of %d bytes, want %d: %s", i, len(got), len(want), firstDifference(got, want))
		}
		if r.gaps > 0 {
			t.Errorf("reader %d was left %d holes", i, r.gaps)
		}
	}
}

func firstDifference(got, want string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("they differ at %d: %q, want %q", i, got[i:min(i+30, len(got))], want[i:min(i+30, len(want))])
		}
	}
	return "one is the beginning of the other"
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
