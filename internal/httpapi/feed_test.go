package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/store/driver"
)

type feedItem struct {
	Cursor, Session, Epoch string
	Entry                  entry
}

type feed struct {
	Items []feedItem
	Next  string
}

func (f feed) String() string {
	var sb strings.Builder
	for _, i := range f.Items {
		fmt.Fprintf(&sb, "%s %d %s %s %s;", i.Session, i.Entry.Offset, i.Entry.User, i.Entry.ID, i.Entry.Data)
	}
	return sb.String()
}

func TestFeedHasWhatUsersSent(t *testing.T) {
	b := serve(t, nil)
	b.fill(1)
	b.say("chat-42", "m1", `"one"`)
	b.say("chat-7", "m2", `"two"`)
	b.say("chat-42", "m3", `"three"`)
	var f feed
	b.must(200, request{path: "/v1/feed?limit=2"}, &f)
	if d := cmp.Diff(f.String(), `chat-42 2 ada m1 "one";chat-7 1 ada m2 "two";`); d != "" || f.Next != f.Items[1].Cursor {
		t.Errorf("first page, next %q (-got +want):\n%s", f.Next, d)
	}
	after := "/v1/feed?after=" + url.QueryEscape(f.Next)
	b.must(200, request{path: after}, &f)
	if d := cmp.Diff(f.String(), `chat-42 3 ada m3 "three";`); d != "" {
		t.Errorf("second page (-got +want):\n%s", d)
	}
	last := f.Next
	f = feed{}
	b.must(200, request{path: "/v1/feed?after=" + url.QueryEscape(last)}, &f)
	if len(f.Items) != 0 || f.Next != last {
		t.Errorf("at the end: %+v", f)
	}
}

func TestLongPollWakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*httpapi.Options)
	}{
		{"told of the change", nil},
		{"told of nothing", func(o *httpapi.Options) { o.FeedChanged = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			waiting := &feedTeller{looked: make(chan struct{}, 64)}
			b := serve(t, func(o *httpapi.Options) {
				if tt.change != nil {
					tt.change(o)
				}
				waiting.Log = o.Log
				o.Log = waiting
			})
			got := make(chan answer, 1)
			go func() { got <- b.do(request{path: "/v1/feed?wait=60"}) }()
			<-waiting.looked // it has found nothing
			b.say("chat-42", "m1", `"one"`)
			var f feed
			(<-got).decode(t, &f)
			if f.String() != `chat-42 1 ada m1 "one";` {
				t.Errorf("got %s", f)
			}
		})
	}
}

// feedTeller tells when somebody has looked into the feed.
type feedTeller struct {
	httpapi.Log
	looked chan struct{}
}

func (l *feedTeller) Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error) {
	items, err := l.Log.Feed(ctx, after, limit)
	l.looked <- struct{}{}
	return items, err
}

func TestLongPollEnds(t *testing.T) {
	t.Run("after its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			start := time.Now()
			w := recordFeed(b, t.Context(), "/v1/feed?wait=7.5", "")
			if took := time.Since(start); took != 7500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if got := w.text(); got != `{"items":[],"next":""}`+"\n" {
				t.Errorf("got %q", got)
			}
		})
	})
	t.Run("when the server stops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil)
			done := make(chan string)
			go func() { done <- recordFeed(b, t.Context(), "/v1/feed?wait=60", "").text() }()
			synctest.Wait()
			close(b.stop)
			if got := <-done; got != `{"items":[],"next":""}`+"\n" {
				t.Errorf("got %q", got)
			}
		})
	})
}

// lineRecorder is a response writer that supports what streams need.
type lineRecorder struct {
	lockedBuffer
	header    http.Header
	status    int
	deadlines []time.Duration
	failing   bool
}

func (w *lineRecorder) Header() http.Header { return w.header }
func (w *lineRecorder) WriteHeader(s int)   { w.status = s }
func (w *lineRecorder) FlushError() error   { return nil }
func (w *lineRecorder) text() string        { return w.String() }

func (w *lineRecorder) Write(p []byte) (int, error) {
	if w.failing {
		return 0, errors.New("the reader takes nothing")
	}
	return w.lockedBuffer.Write(p)
}

func (w *lineRecorder) SetWriteDeadline(d time.Time) error {
	w.deadlines = append(w.deadlines, time.Until(d))
	return nil
}

// recordFeed does a request without a socket, which is what the time of synctest needs.
func recordFeed(b *bench, ctx context.Context, path, accept string) *lineRecorder {
	w := &lineRecorder{header: http.Header{}}
	serveFeed(b, ctx, w, path, accept)
	return w
}

func serveFeed(b *bench, ctx context.Context, w *lineRecorder, path, accept string) {
	u, err := url.Parse(path)
	if err != nil {
		b.Fatal(err)
	}
	r := (&http.Request{Method: "GET", URL: u, Body: http.NoBody, Header: http.Header{"Accept": {accept}}}).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+backendToken)
	httpapi.New(b.opts).ServeHTTP(w, r)
}

const lines = "application/x-ndjson"

func TestStreamOfLines(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `{"a": "first\nline"}`)
	open := func(after string) (*bufio.Reader, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		req := b.build(request{path: "/v1/feed" + after, header: map[string]string{"Accept": lines}}).WithContext(ctx)
		res, err := b.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if ct := res.Header.Get("Content-Type"); res.StatusCode != 200 || ct != lines {
			t.Fatalf("%d %s", res.StatusCode, ct)
		}
		return bufio.NewReader(res.Body), func() { cancel(); res.Body.Close() }
	}
	read := func(r *bufio.Reader) (i feedItem) {
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				t.Fatal(err)
			}
			if len(line) == 1 {
				continue // a heartbeat
			}
			if err := json.Unmarshal(line, &i); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			return i
		}
	}
	r, leave := open("")
	first := read(r)
	b.say("chat-42", "m2", `2`)
	second := read(r)
	leave()
	if first.Entry.ID != "m1" || second.Entry.ID != "m2" {
		t.Errorf("got %+v and %+v", first, second)
	}
	b.say("chat-7", "m3", `3`)
	r, leave = open("?after=" + url.QueryEscape(first.Cursor) + "&limit=1")
	defer leave()
	if a, c := read(r), read(r); a.Entry.ID != "m2" || c.Entry.ID != "m3" || c.Session != "chat-7" {
		t.Errorf("resumed with %+v and %+v", a, c)
	}
	close(b.stop)
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the end of the server is not a clean end of the stream: %v", err)
	}
}

func TestStreamBeatsAndEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*bench)
		want   int
		after  time.Duration
	}{
		{"with its token", func(b *bench) {
			b.opts.Auth = grants{backendToken: {Backend: true, Expires: time.Now().Add(40 * time.Second)}}
		}, 3, 40 * time.Second},
		{"with the server", func(b *bench) {
			time.AfterFunc(95*time.Second, func() { close(b.stop) })
		}, 7, 95 * time.Second},
		{"with the store", func(b *bench) {
			time.AfterFunc(20*time.Second, func() { b.log.Close() })
		}, 2, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				tt.change(b)
				start := time.Now()
				w := recordFeed(b, t.Context(), "/v1/feed", lines)
				if got := w.text(); got != strings.Repeat("\n", tt.want) {
					t.Errorf("got %q, want %d blank lines", got, tt.want)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("it ended after %v, want %v", took, tt.after)
				}
				for _, d := range w.deadlines {
					if d != 30*time.Second {
						t.Errorf("a write may take %v", d)
					}
				}
			})
		})
	}
	t.Run("with a reader that takes nothing", func(t *testing.T) {
		w := &lineRecorder{header: http.Header{}, failing: true}
		serveFeed(newBench(t, nil), t.Context(), w, "/v1/feed", lines)
	})
}

func TestConsumerGoesOnWhereItWas(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `1`)
	b.say("chat-42", "m2", `2`)
	var f feed
	b.must(200, request{path: "/v1/feed?consumer=billing"}, &f)
	if len(f.Items) != 2 {
		t.Fatalf("a new consumer gets %s", f)
	}
	const path = "/v1/feed/consumers/billing"
	var c struct{ Name, Cursor string }
	b.must(200, request{path: path}, &c)
	if c.Name != "billing" || c.Cursor != "" {
		t.Errorf("before it has stored anything: %+v", c)
	}
	store := func(cursor string) answer {
		body, _ := json.Marshal(map[string]string{"cursor": cursor})
		return b.do(request{method: "POST", path: path, body: string(body)})
	}
	if a := store(f.Items[0].Cursor); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.must(200, request{path: path}, &c)
	if c.Cursor != f.Items[0].Cursor {
		t.Errorf("stored %q, read %q", f.Items[0].Cursor, c.Cursor)
	}
	var rest, all feed
	b.must(200, request{path: "/v1/feed?consumer=billing"}, &rest)
	b.must(200, request{path: "/v1/feed?consumer=billing&after="}, &all)
	if rest.String() != "chat-42 2 ada m2 2;" || len(all.Items) != 2 {
		t.Errorf("after its cursor %s, from the start %s", rest, all)
	}
	store("no cursor").refused(t, 400, holdfast.CodeInvalid)
	if err := b.log.TrimFeed(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.say("chat-42", "m3", `3`)
	b.do(request{path: "/v1/feed?consumer=billing"}).refused(t, 410, holdfast.CodeLost)
	store(f.Items[0].Cursor).refused(t, 410, holdfast.CodeLost)
	b.do(request{path: "/v1/feed?consumer=billing", header: map[string]string{"Accept": lines}}).refused(t, 410, holdfast.CodeLost)
	if a := store(""); a.status != 200 {
		t.Errorf("back to the start: %d %s", a.status, a.body)
	}
}
