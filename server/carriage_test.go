package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// answer is what a request over one of the HTTP carriages is answered with.
type answer struct {
	res   *http.Response
	lines *bufio.Reader
	// cancel gives the request up.
	cancel context.CancelFunc
}

// post makes a request below /v1/ws/ with frames for a body.
func post(ctx context.Context, c *http.Client, url, path, body string) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/ws/"+path, strings.NewReader(body))
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	res, err := c.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	return &answer{res, bufio.NewReader(res.Body), cancel}, nil
}

func (a *answer) close() {
	a.cancel()
	_ = a.res.Body.Close()
}

// next returns the next frame; io.EOF after the last.
func (a *answer) next() (wire.ServerFrame, error) {
	for {
		line, err := a.lines.ReadString('\n')
		if err != nil {
			if line != "" && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "data: "); line != "" {
			return wire.DecodeServer([]byte(line))
		}
	}
}

// ask posts to the node and fails the test when that fails.
func (n *node) ask(t *testing.T, path, body string) *answer {
	t.Helper()
	a, err := post(t.Context(), http.DefaultClient, n.web.URL, path, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

// rest reads the answer to its end, which must be in order.
func (a *answer) rest(t *testing.T) (frames []wire.ServerFrame) {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, a.cancel)
	defer timer.Stop()
	for {
		f, err := a.next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("after %d frames: %v", len(frames), err)
		}
		frames = append(frames, f)
	}
}

// until reads up to a frame of a type, and returns that.
func until[F wire.ServerFrame](t *testing.T, a *answer) F {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, a.cancel)
	defer timer.Stop()
	for {
		f, err := a.next()
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := f.(F); ok {
			return want
		}
	}
}

// fallbackReader reads one session over events or polls, as a client does: one request after another, each with the cursor
// come to and the next generation.
type fallbackReader struct {
	t        *testing.T
	carriage string
	name     string
	token    string
	url      string
	web      *http.Client
	proxy    *faults.Proxy
	state    *client.State
	gen      holdfast.Generation
	requests int
}

func (n *node) listen(t *testing.T, carriage string, i int) *fallbackReader {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &fallbackReader{
		t: t, carriage: carriage, name: fmt.Sprint(carriage, i), token: n.user("anna"), url: "http://" + l.Addr().String(),
		web: &http.Client{Transport: &http.Transport{}}, proxy: faults.New(l, strings.TrimPrefix(n.web.URL, "http://")),
		state: client.NewState("chat-1", true),
	}
	t.Cleanup(func() {
		r.web.CloseIdleConnections()
		_ = r.proxy.Close()
	})
	return r
}

func (r *fallbackReader) run() *holdfast.Run {
	for _, e := range r.state.Entries() {
		if e.Run != nil {
			return e.Run
		}
	}
	return nil
}

func (r *fallbackReader) ended() bool {
	run := r.run()
	return run != nil && run.Status.Ended()
}

// read makes requests until the run has ended.
func (r *fallbackReader) read(ctx context.Context) {
	for ctx.Err() == nil {
		r.requests++
		r.once(ctx)
		if r.ended() {
			return
		}
	}
	r.t.Errorf("%s has not seen the end after %d requests; it stands at %v", r.name, r.requests, r.state.Cursor())
}

func (r *fallbackReader) once(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// What says nothing for so long is dead: a beat is 1 s here.
	silence := time.AfterFunc(1500*time.Millisecond, cancel)
	defer silence.Stop()
	r.gen++
	r.state.Resubscribe()
	hello := &wire.Hello{
		Version: 1, Token: r.token, Client: holdfast.ClientID(r.name), Gen: r.gen, Wait: 900,
		Subs: []wire.Sub{{Session: "chat-1", Last: 15, Cursor: r.state.Cursor()}},
	}
	a, err := post(ctx, r.web, r.url, fmt.Sprintf("%d/%s", r.gen, r.carriage), string(wire.AppendClient(nil, hello)))
	if err != nil {
		return
	}
	defer a.close()
	if a.res.StatusCode != http.StatusOK {
		r.t.Errorf("%s: %s", r.name, a.res.Status)
	}
	for !r.ended() {
		f, err := a.next()
		if err != nil {
			return
		}
		silence.Reset(1500 * time.Millisecond)
		if bye, ok := f.(*wire.Bye); ok {
			r.t.Errorf("%s was sent away: %d %s", r.name, bye.Code, bye.Reason)
			return
		}
		if _, err := r.state.Apply(f); err != nil {
			r.t.Errorf("%s: %T does not fit: %v", r.name, f, err)
		}
	}
}

func (r *fallbackReader) hurt() {
	links := r.proxy.Links()
	if len(links) == 0 {
		return
	}
	switch l := links[rand.N(len(links))]; rand.N(4) {
	case 0:
		l.Blackhole()
	case 1:
		l.Cut()
	default:
		l.CutAfter(rand.N(600)) // somewhere in a frame, or in the head of an answer
	}
}

// TestClause5_OverHTTPToo cuts the connections of readers over events and over polls while an answer is written. Each ends
// with the producer's text, byte for byte.
func TestClause5_OverHTTPToo(t *testing.T) {
	n := start(t, server.Options{Beat: time.Second, Rest: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	run, err := n.srv.Session("chat-1").OpenRun(ctx, server.RunOptions{ID: "answer"})
	if err != nil {
		t.Fatal(err)
	}
	var readers []*fallbackReader
	var running sync.WaitGroup
	for i := range 3 {
		for _, carriage := range []string{"events", "poll"} {
			r := n.listen(t, carriage, i)
			readers = append(readers, r)
			running.Go(func() { r.read(ctx) })
		}
	}
	var text strings.Builder
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := range 1200 {
		<-tick.C
		word := fmt.Sprintf("wörd%d\n", i)
		text.WriteString(word)
		if _, err := run.WriteString(word); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			readers[rand.N(len(readers))].hurt()
		}
	}
	if err := run.Complete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	for _, r := range readers {
		if run := r.run(); run == nil {
			t.Errorf("%s has no answer at all", r.name)
		} else if got := run.Body.Text(""); got != text.String() {
			t.Errorf("%s has a text of %d bytes, want %d: %s", r.name, len(got), text.Len(), firstDifference(got, text.String()))
		}
		if r.requests < 2 {
			t.Errorf("%s was not hurt: it needed %d requests", r.name, r.requests)
		}
	}
}
