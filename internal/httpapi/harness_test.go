package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/revocation"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tokens of the tests and what they allow.
const (
	backendToken = "tok-backend-secret"
	readerToken  = "tok-reader-secret"
	expiredToken = "tok-expired-secret"
)

// grants is an Auth of fixed tokens.
type grants map[string]holdfast.Grant

func (g grants) Verify(_ context.Context, token string) (holdfast.Grant, error) {
	grant, ok := g[token]
	if !ok {
		return holdfast.Grant{}, holdfast.Errorf(holdfast.CodeUnauthorized, "the token does not verify")
	}
	return grant, nil
}

func someGrants() grants {
	return grants{
		backendToken: {Backend: true},
		readerToken:  {User: "ada", Read: []string{"chat-*"}, Send: []string{"*"}, Stop: []string{"*"}},
		expiredToken: {Backend: true, Expires: time.Unix(1000, 0)},
	}
}

// watched follows a log's changes: it is the Leases of a test, tells of the feed, and lets a test wait for a change.
type watched struct {
	mu      sync.Mutex
	next    chan struct{} // closed at the next change
	changes []driver.Change
	holds   map[holdfast.Offset]chan struct{}
}

func watch(log driver.Driver) *watched {
	w := &watched{next: make(chan struct{}), holds: map[holdfast.Offset]chan struct{}{}}
	log.Watch(w.change)
	return w
}

func (w *watched) change(c driver.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, c)
	for _, it := range c.Items {
		if it.End != nil {
			w.letGo(it.End.Run)
		}
		if it.Stop != nil {
			w.letGo(it.Stop.Run)
		}
	}
	close(w.next)
	w.next = make(chan struct{})
}

func (w *watched) letGo(run holdfast.Offset) {
	if lost := w.holds[run]; lost != nil {
		close(lost)
		delete(w.holds, run)
	}
}

func (w *watched) changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

// Hold implements httpapi.Leases; a later holder ends an earlier one's hold.
func (w *watched) Hold(_ holdfast.SessionID, run holdfast.Offset, _ holdfast.Fence) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.letGo(run)
	lost := make(chan struct{})
	w.holds[run] = lost
	return lost, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holds[run] == lost {
			delete(w.holds, run)
		}
	}
}

// await waits until some change so far, or a later one, is as the test wants it.
func (w *watched) await(t *testing.T, what string, want func(driver.Change) bool) {
	t.Helper()
	late := time.After(20 * time.Second)
	for seen := 0; ; {
		w.mu.Lock()
		next, fresh := w.next, w.changes[seen:]
		seen = len(w.changes)
		w.mu.Unlock()
		for _, c := range fresh {
			if want(c) {
				return
			}
		}
		select {
		case <-next:
		case <-late:
			t.Fatalf("never saw %s", what)
		}
	}
}

// awaitText waits until the fragments that were told of, joined, are text.
func (w *watched) awaitText(t *testing.T, text string) {
	t.Helper()
	var sb strings.Builder
	w.await(t, "text "+text, func(c driver.Change) bool {
		for _, it := range c.Items {
			if it.Fragments != nil {
				for _, f := range it.Fragments.Fragments {
					sb.WriteString(f.Text)
				}
			}
		}
		return sb.String() == text
	})
}

// connBook is a Connections of the test's making.
type connBook struct {
	mu   sync.Mutex
	list []httpapi.Connection
	// asked are those whose clients were asked for their logs.
	asked []holdfast.ConnID
}

func (b *connBook) Connections(_ context.Context, user holdfast.UserID) ([]httpapi.Connection, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []httpapi.Connection
	for _, c := range b.list {
		if c.User == user {
			out = append(out, c)
		}
	}
	return out, nil
}

func (b *connBook) drop(gone func(httpapi.Connection) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	var rest []httpapi.Connection
	for _, c := range b.list {
		if gone(c) {
			n++
		} else {
			rest = append(rest, c)
		}
	}
	b.list = rest
	return n
}

func (b *connBook) Disconnect(_ context.Context, conn holdfast.ConnID) (bool, error) {
	return b.drop(func(c httpapi.Connection) bool { return c.Conn == conn }) > 0, nil
}

func (b *connBook) AskReport(_ context.Context, conn holdfast.ConnID) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	there := slices.ContainsFunc(b.list, func(c httpapi.Connection) bool { return c.Conn == conn })
	if there {
		b.asked = append(b.asked, conn)
	}
	return there, nil
}

func (b *connBook) DisconnectUser(_ context.Context, user holdfast.UserID) (int, error) {
	return b.drop(func(c httpapi.Connection) bool { return c.User == user }), nil
}

// blacklist is a Revocations of the test's making.
type blacklist struct{ list []revocation.Rule }

func (b *blacklist) Revoke(_ context.Context, r revocation.Rule) (done revocation.Rule, closed, changed int, err error) {
	if err := r.Validate(); err != nil {
		return r, 0, 0, err
	}
	r.ID, r.At = fmt.Sprint("r-", len(b.list)+1), time.Unix(9, 0)
	b.list = append(b.list, r)
	return r, 2, 1, nil
}
func (b *blacklist) Revocations() []revocation.Rule { return b.list }
func (b *blacklist) Restore(_ context.Context, id string) (bool, error) {
	n := len(b.list)
	b.list = slices.DeleteFunc(b.list, func(r revocation.Rule) bool { return r.ID == id })
	return len(b.list) < n, nil
}

// bench is an API over a memory store, served on a socket.
type bench struct {
	*testing.T
	log     driver.Driver
	watched *watched
	conns   *connBook
	logged  *lockedBuffer
	stop    chan struct{}
	opts    httpapi.Options
	server  *httptest.Server
	client  *http.Client
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

// newBench prepares everything but the socket.
func newBench(t *testing.T, change func(*httpapi.Options)) *bench {
	t.Helper()
	log := newLog(t)
	b := &bench{T: t, log: log, watched: watch(log), stop: make(chan struct{}), logged: &lockedBuffer{}}
	b.conns = &connBook{list: []httpapi.Connection{
		{Conn: "c-1", User: "ada", Client: "phone", Generation: 3, Transport: "ws", Agent: "test", Since: time.Unix(5, 0),
			Sessions: []holdfast.SessionID{"chat-42"}},
		{Conn: "c-2", User: "ada", Client: "laptop", Generation: 1, Since: time.Unix(6, 0)},
		{Conn: "c-3", User: "bob", Client: "tab", Generation: 1, Since: time.Unix(7, 0)},
	}}
	b.opts = httpapi.Options{
		Revocations: &blacklist{},
		Log:         log, Auth: someGrants(), Connections: b.conns, Webhooks: newHookBook(), Leases: b.watched, FeedChanged: b.watched.changed,
		Stopping: b.stop, Logger: slog.New(slog.NewTextHandler(b.logged, nil)),
	}
	if change != nil {
		change(&b.opts)
	}
	return b
}

// serve starts a bench on a socket.
func serve(t *testing.T, change func(*httpapi.Options)) *bench {
	t.Helper()
	b := newBench(t, change)
	b.server = httptest.NewServer(httpapi.New(b.opts))
	b.client = b.server.Client()
	t.Cleanup(b.server.Close)
	return b
}

func newLog(t *testing.T) driver.Driver {
	t.Helper()
	log := memory.New(memory.Options{})
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Errorf("close the log: %v", err)
		}
	})
	return log
}

// answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is one request of a test. Its zero fields mean GET, the backend's token and no body.
type request struct {
	method, path, token, body string
	header                    map[string]string
}

func (b *bench) build(r request) *http.Request {
	b.Helper()
	if r.method == "" {
		r.method = http.MethodGet
	}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(b.Context(), r.method, b.server.URL+r.path, body)
	if err != nil {
		b.Fatal(err)
	}
	switch r.token {
	case "":
		req.Header.Set("Authorization", "Bearer "+backendToken)
	case "none":
	default:
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	return req
}

func (b *bench) do(r request) answer {
	b.Helper()
	return b.send(b.build(r))
}

func (b *bench) send(req *http.Request) answer {
	b.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, body}
}

// must does a request that has to be answered with the status, and decodes the answer into dst unless that is nil.
func (b *bench) must(status int, r request, dst any) answer {
	b.Helper()
	a := b.do(r)
	if a.status != status {
		b.Fatalf("%s %s: got %d, want %d: %s", r.method, r.path, a.status, status, a.body)
	}
	a.decode(b.T, dst)
	return a
}

func (a answer) decode(t *testing.T, dst any) {
	t.Helper()
	if dst == nil {
		return
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	if err := d.Decode(dst); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// problem is a refusal as clients see it.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	Run                       *runObject
}

type runObject struct {
	Run, Fence, Fragments, Bytes, TextBytes uint64
	Rollup                                  int64
	ID, Status, Epoch                       string
	Duplicate                               bool
}

// refused checks that an answer is a problem with the code.
func (a answer) refused(t *testing.T, status int, code holdfast.Code) problem {
	t.Helper()
	var p problem
	a.decode(t, &p)
	if a.status != status || p.Code != string(code) || p.Status != status {
		t.Errorf("got %d %s, want %d %s: %s", a.status, p.Code, status, code, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("a refusal has Content-Type %q", ct)
	}
	if p.Type != "/problems/"+string(code) || p.Title == "" || p.Detail == "" {
		t.Errorf("the problem is not whole: %s", a.body)
	}
	for _, secret := range []string{backendToken, readerToken, expiredToken} {
		if bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("the problem holds a token: %s", a.body)
		}
	}
	return p
}

// say appends a user's message, which goes into the feed.
func (b *bench) say(s holdfast.SessionID, id, data string) driver.Written {
	b.Helper()
	res, err := b.log.Apply(b.Context(), s, driver.Append{Entries: []driver.NewEntry{{
		Kind: holdfast.KindMessage, ID: id, From: holdfast.Sender{User: "ada", Client: "phone"}, Data: json.RawMessage(data), Feed: true,
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return res.Entries[0]
}

// openRun opens a run in chat-42 and returns it.
func (b *bench) openRun(id string) runObject {
	b.Helper()
	var r runObject
	b.must(201, request{method: "POST", path: "/v1/sessions/chat-42/runs", body: `{"id":"` + id + `"}`}, &r)
	return r
}

// text reads the text of a run of chat-42 from the log.
func (b *bench) runNow(run uint64) *holdfast.Run {
	b.Helper()
	e, err := b.log.Run(b.Context(), "chat-42", holdfast.Offset(run), 0)
	if err != nil {
		b.Fatal(err)
	}
	return e.Run
}
