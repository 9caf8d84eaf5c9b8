package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post is one request that a receiver got.
type post struct {
	at      time.Time
	header  http.Header
	body    []byte
	id      string
	typ     Type
	session holdfast.SessionID
	entry   string // the id of the message or run
	status  int    // what was answered
}

// receiver is the other side of the endpoint: what it answers is the test's.
type receiver struct {
	t      *testing.T
	answer func(p *post) (status int, header map[string]string)

	mu    sync.Mutex
	posts []post
}

// hang makes a receiver take a request and say nothing; refuse has nobody there.
const hang, refuse = -1, -2

var errRefused = errors.New("connection refused")

// RoundTrip implements http.RoundTripper.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	p := post{at: time.Now(), header: req.Header, body: body, id: req.Header.Get("webhook-id")}
	var e struct {
		Type    Type
		Subject holdfast.SessionID
		Data    struct{ ID string }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.t.Errorf("%v in %s", err, body)
	}
	p.typ, p.session, p.entry = e.Type, e.Subject, e.Data.ID
	r.mu.Lock()
	status, header := r.answer(&p)
	p.status = status
	if status != refuse {
		r.posts = append(r.posts, p)
	}
	r.mu.Unlock()
	switch status {
	case hang:
		<-req.Context().Done()
		return nil, req.Context().Err()
	case refuse:
		return nil, dialError(errRefused)
	}
	res := &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader("said\n")), Request: req}
	for k, v := range header {
		res.Header.Set(k, v)
	}
	return res, nil
}

// took is what the receiver has taken of a session, by the ids of the entries, repetitions left out.
func (r *receiver) took(s holdfast.SessionID) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, p := range r.posts {
		if p.session == s && p.status/100 == 2 && !seen[p.id] {
			seen[p.id] = true
			ids = append(ids, p.entry)
		}
	}
	return ids
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.posts)
}

// bench is a store with a dispatcher on it, in a synctest bubble.
type bench struct {
	*testing.T
	log  *killable
	rec  *receiver
	opts Options
	d    *Dispatcher
	out  lockedBuffer

	// ctx is that of what users say.
	ctx context.Context

	bellMu sync.Mutex
	bell   chan struct{}

	cancel context.CancelFunc
	ran    chan error
}

// killable is a store that stops taking writes of consumers at some moment, as if the program had been killed there.
type killable struct {
	*memory.Driver
	mu   sync.Mutex
	left int // writes until it is dead; negative for never
}

var errKilled = errors.New("killed")

func (k *killable) SetConsumer(ctx context.Context, name, value string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.left == 0 {
		return errKilled
	}
	k.left--
	return k.Driver.SetConsumer(ctx, name, value)
}

func (k *killable) killAfter(writes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left = writes
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// always answers with one status.
func always(status int) func(*post) (int, map[string]string) {
	return func(*post) (int, map[string]string) { return status, nil }
}

var ok = always(200)

// change changes how the receiver answers.
func (r *receiver) change(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const someSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// inBubble runs a test with a dispatcher to one endpoint; change may change how it is made.
func inBubble(t *testing.T, change func(*Options), test func(*bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, change)
		b.start()
		test(b)
		b.stop()
	})
}

func newBench(t *testing.T, change func(*Options)) *bench {
	b := &bench{T: t, ctx: t.Context(), log: &killable{Driver: memory.New(memory.Options{}), left: -1}, bell: make(chan struct{})}
	b.rec = &receiver{t: t, answer: ok}
	b.log.Watch(func(driver.Change) {
		b.bellMu.Lock()
		defer b.bellMu.Unlock()
		close(b.bell)
		b.bell = make(chan struct{})
	})
	b.opts = Options{
		Endpoints: []Endpoint{{URL: "https://backend.example/hook?key=1", Secrets: []Secret{mustSecret(t, someSecret)}}},
		Log:       b.log, Transport: b.rec, Logger: slog.New(slog.NewTextHandler(&b.out, nil)),
		Render: func(i *driver.FeedItem) ([]byte, error) {
			id := i.Entry.ID
			if ev, ok := i.Entry.StopEvent(); ok {
				id = string(ev.State)
			}
			if ev, ok := i.Entry.MemberEvent(); ok {
				id = string(ev.Change)
			}
			return json.Marshal(map[string]any{"id": id, "data": i.Entry.Data})
		},
		Changed: func() <-chan struct{} {
			b.bellMu.Lock()
			defer b.bellMu.Unlock()
			return b.bell
		},
	}
	if change != nil {
		change(&b.opts)
	}
	return b
}

// start starts a dispatcher on what the store has.
func (b *bench) start() {
	b.Helper()
	var err error
	if b.d, err = New(b.opts); err != nil {
		b.Fatal(err)
	}
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	b.ran = make(chan error, 1)
	go func() { b.ran <- b.d.Run(ctx) }() // ends with ctx, received by stop
	synctest.Wait()
}

func (b *bench) stop() {
	b.Helper()
	b.cancel()
	if err := <-b.ran; err != nil {
		b.Error(err)
	}
}

// pass lets time go by.
func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// say has users send messages: session/id each.
func (b *bench) say(messages ...string) {
	b.Helper()
	for _, m := range messages {
		s, id, _ := strings.Cut(m, "/")
		_, err := b.log.Apply(b.ctx, holdfast.SessionID(s), driver.Append{Entries: []driver.NewEntry{{
			Kind: holdfast.KindMessage, ID: id, From: holdfast.Sender{User: "ada"}, Data: json.RawMessage(`1`), Feed: true,
		}}})
		if err != nil {
			b.Fatal(err)
		}
	}
	synctest.Wait()
}

// run opens a run and ends it.
func (b *bench) run(s holdfast.SessionID, id string, status holdfast.RunStatus) {
	b.Helper()
	res, err := b.log.Apply(b.Context(), s, driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.log.Apply(b.Context(), s, driver.EndRun{Run: res.Run.Run, Status: status, Force: true}); err != nil {
		b.Fatal(err)
	}
	synctest.Wait()
}

// stops has r1 stopped, and r2 when it has ended already.
func (b *bench) stops(s holdfast.SessionID) {
	b.Helper()
	apply := func(op driver.Op) driver.Result {
		b.Helper()
		res, err := b.log.Apply(b.Context(), s, op)
		if err != nil {
			b.Fatal(err)
		}
		return res
	}
	ada := holdfast.Sender{User: "ada", Client: "phone"}
	run := apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r1"}}).Run
	apply(driver.RequestStop{ID: "x", From: ada, Run: run.Run})
	apply(driver.EndRun{Run: run.Run, Fence: run.Fence, Status: holdfast.RunStopped})
	run = apply(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r2"}}).Run
	apply(driver.EndRun{Run: run.Run, Fence: run.Fence, Status: holdfast.RunComplete})
	apply(driver.RequestStop{ID: "y", From: ada, Run: run.Run})
	synctest.Wait()
}

// members come and go.
func (b *bench) members(s holdfast.SessionID) {
	b.Helper()
	var op driver.Tell
	for _, change := range []holdfast.MemberChange{holdfast.MemberJoined, holdfast.MemberAway, holdfast.MemberBack, holdfast.MemberLeft} {
		ev := holdfast.MemberEvent{Change: change}
		data, err := ev.Marshal()
		if err != nil {
			b.Fatal(err)
		}
		op.Entries = append(op.Entries, driver.NewEntry{Kind: holdfast.KindEvent, From: holdfast.Sender{User: "ada", Client: "phone"}, Data: data})
	}
	if _, err := b.log.Apply(b.Context(), s, op); err != nil {
		b.Fatal(err)
	}
	b.pass(time.Minute) // nobody who watches the store is told
}

func (b *bench) status() Status { return b.d.Statuses()[0] }

func (b *bench) letters() []Letter {
	b.Helper()
	all, err := b.d.Letters(b.Context(), "default", "", 1000)
	if err != nil {
		b.Fatal(err)
	}
	return all
}
