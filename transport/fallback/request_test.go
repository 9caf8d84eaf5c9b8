package fallback

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/origin"
	"github.com/holdfast/holdfast/transport/transporttest"
)

// repeat answers each message with itself, as package conn does for requests.
func repeat(_ context.Context, c transport.Conn) {
	_ = c.Receive(func(msg []byte) error { return transporttest.WriteAll(c, c.AppendMessage(nil, msg)) })
	c.Close(holdfast.CloseNormal, "")
}

func (s *site) post(t *testing.T, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		if name, value, ok := strings.Cut(h, ": "); ok {
			req.Header.Add(name, value)
		}
	}
	res, err := s.web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

func TestSend(t *testing.T) {
	for proto, h2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(proto, func(t *testing.T) {
			s := newSite(t, h2, repeat, Options{MaxMessages: 5})
			for name, tc := range map[string]struct{ body, want string }{
				"one line":           {"a", "a\n"},
				"several":            {"a\nb\nc\n", "a\nb\nc\n"},
				"carriage returns":   {"a\r\nb\r\n", "a\nb\n"},
				"empty lines":        {"\n\na\n  \nb\n\n\n\n\n", "a\nb\n"},
				"as many as may be":  {"1\n2\n3\n4\n5", "1\n2\n3\n4\n5\n"},
				"what is no UTF-8":   {"\xff\xfe", "\xff\xfe\n"},
				"a return in a line": {"a\rb", "a b\n"},
			} {
				res, got := s.post(t, "/v1/ws/send", tc.body)
				if res.StatusCode != http.StatusOK || got != tc.want || res.Header.Get("Content-Type") != "application/x-ndjson" {
					t.Errorf("%s: %d %q, want %q", name, res.StatusCode, got, tc.want)
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	allowed, err := origin.Parse([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, false, repeat, Options{Origins: allowed, MaxMessage: 100, MaxBody: 200, MaxMessages: 5})
	for name, tc := range map[string]struct {
		path, body string
		header     string
		status     int
	}{
		"a foreign page, events":  {"/v1/ws/1/events", "x", "Origin: https://evil.example.org", 403},
		"a foreign page, poll":    {"/v1/ws/1/poll", "x", "Origin: https://evil.example.org", 403},
		"a foreign page, send":    {"/v1/ws/send", "x", "Origin: https://evil.example.org", 403},
		"a page of nobody":        {"/v1/ws/send", "x", "Origin: null", 403},
		"another path":            {"/v1/ws/1/hologram", "x", "", 404},
		"too much for events":     {"/v1/ws/1/events", strings.Repeat("x", 101), "", 413},
		"too much for a poll":     {"/v1/ws/1/poll", strings.Repeat("x", 101), "", 413},
		"too much to send":        {"/v1/ws/send", strings.Repeat("x", 201), "", 413},
		"too many to send":        {"/v1/ws/send", "1\n2\n3\n4\n5\n6", "", 413},
		"nothing to send":         {"/v1/ws/send", "", "", 400},
		"nothing but empty lines": {"/v1/ws/send", "\n \n", "", 400},
		"compressed":              {"/v1/ws/send", "x", "Content-Encoding: gzip", 415},
		"an allowed page":         {"/v1/ws/send", "x", "Origin: https://app.example.com", 200},
	} {
		t.Run(name, func(t *testing.T) {
			res, text := s.post(t, tc.path, tc.body, tc.header)
			if res.StatusCode != tc.status || text == "" {
				t.Errorf("%d %q, want %d and a text", res.StatusCode, text, tc.status)
			}
			if got := res.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q", got)
			}
			// A page may read why it was refused, if it may connect at all.
			if shared := res.Header.Get("Access-Control-Allow-Origin"); (shared != "") != strings.HasSuffix(tc.header, "app.example.com") {
				t.Errorf("shared with %q", shared)
			}
		})
	}
}

// A header may be longer than what is kept of it, and need not be text.
func TestWhatIsKeptOfARequestIsText(t *testing.T) {
	kept := make(chan transport.Info, 1)
	s := newSite(t, false, func(ctx context.Context, c transport.Conn) { kept <- c.Info(); repeat(ctx, c) }, Options{})
	s.post(t, "/v1/ws/send", "x", "User-Agent: \xff"+strings.Repeat("x", maxAbout-2)+"é")
	if got := (<-kept).UserAgent; got != strings.Repeat("x", maxAbout-2) {
		t.Errorf("the user agent is %q", got)
	}
}

func TestOtherMethods(t *testing.T) {
	s := newSite(t, false, repeat, Options{})
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		req, err := http.NewRequestWithContext(t.Context(), method, s.web.URL+"/v1/ws/1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: %d, Allow %q", method, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

// A server that takes no connections says so before it reads a body, and one that is stopping too.
func TestBusy(t *testing.T) {
	ready := false
	s := newSite(t, false, repeat, Options{Ready: func() bool { return ready }})
	busy := func(what string) {
		t.Helper()
		res, _ := s.post(t, "/v1/ws/send", "x")
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q", what, res.StatusCode, res.Header.Get("Retry-After"))
		}
	}
	busy("not ready")
	ready = true
	if res, text := s.post(t, "/v1/ws/send", "x"); res.StatusCode != http.StatusOK || text != "x\n" {
		t.Errorf("ready: %d %q", res.StatusCode, text)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	busy("down")
}

// A body that comes drop by drop is not waited for.
func TestSlowBody(t *testing.T) {
	s := newSite(t, false, repeat, Options{BodyTimeout: 30 * time.Millisecond})
	c, err := net.Dial("tcp", s.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/ws/1/poll HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab")
	_ = c.SetReadDeadline(time.Now().Add(patience))
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
		t.Errorf("%q, %v", answer, err)
	}
}

// A body that came in time is not held against a connection that then lasts longer than that.
func TestBodyTimeoutEndsWithTheBody(t *testing.T) {
	wait := Turn{Wait: 60 * time.Millisecond}
	s := newSite(t, false, repeat, Options{BodyTimeout: 20 * time.Millisecond, Turn: func([]byte) Turn { return wait }})
	for range 2 { // the second on the same connection
		if res, text := s.post(t, "/v1/ws/1/poll", "hello"); res.StatusCode != http.StatusOK || text != "hello\n" {
			t.Errorf("%d %q", res.StatusCode, text)
		}
	}
}

// A poll ends when its turn says so, on a message's end, however the bytes were cut when they were written.
func TestPollEndsBetweenMessages(t *testing.T) {
	long := strings.Repeat("z", 10_000)
	for cut := range 8 {
		var shown []string
		s := newSite(t, false, func(_ context.Context, c transport.Conn) {
			out := c.AppendMessage(c.AppendMessage(c.AppendMessage(nil, []byte("one")), []byte("two")), []byte(long))
			written := make(chan struct{})
			go func() { // ends by itself: what follows the end of the turn is refused
				defer close(written)
				for len(out) > 0 {
					n := min(len(out), 1+cut*7)
					if c.Write(out[:n], patience) != nil {
						return
					}
					out = out[n:]
				}
				_ = c.Write(c.AppendMessage(nil, []byte("too late")), patience)
			}()
			if err := c.Receive(func([]byte) error { return nil }); err != nil {
				t.Errorf("Receive: %v", err)
			}
			// As package conn does, serve does not wait for its writer.
			t.Cleanup(func() { <-written })
		}, Options{Turn: func(msg []byte) Turn {
			if string(msg) != "hello" {
				t.Errorf("the turn was told %q", msg)
			}
			return Turn{Wait: patience, Wrote: func(m []byte) bool { shown = append(shown, string(m)); return string(m) == "two" }}
		}})
		res, text := s.post(t, "/v1/ws/1/poll", "hello")
		if res.StatusCode != http.StatusOK || !strings.HasPrefix("one\ntwo\n"+long+"\ntoo late\n", text) || !strings.HasSuffix(text, "\n") {
			t.Errorf("cut %d: %d and %d bytes ending in %q", cut, res.StatusCode, len(text), text[max(0, len(text)-20):])
		}
		if diff := cmp.Diff([]string{"one", "two"}, shown); diff != "" {
			t.Errorf("cut %d: the turn was shown %s", cut, diff)
		}
	}
}

// The writer of a poll that is complete is refused, and gives the connection up, as package conn does. The answer is whole all the
// same.
func TestACompletePollIsNotBrokenOff(t *testing.T) {
	s := newSite(t, false, func(_ context.Context, c transport.Conn) {
		if err := c.Write(c.AppendMessage(nil, []byte("one")), patience); err != nil {
			t.Errorf("Write: %v", err)
		}
		if err := c.Receive(func([]byte) error { return nil }); err != nil {
			t.Errorf("Receive: %v", err)
		}
		if err := c.Write(c.AppendMessage(nil, []byte("too late")), patience); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Errorf("Write after the end: %v", err)
		}
		c.Abort()
	}, Options{Turn: func([]byte) Turn { return Turn{Wait: patience, Wrote: func([]byte) bool { return true }} }})
	if res, text := s.post(t, "/v1/ws/1/poll", "hello"); res.StatusCode != http.StatusOK || text != "one\n" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

// A poll that brings nothing is answered all the same.
func TestEmptyPoll(t *testing.T) {
	s := newSite(t, false, func(_ context.Context, c transport.Conn) {
		if err := c.Receive(func([]byte) error { return nil }); err != nil {
			t.Errorf("Receive: %v", err)
		}
	}, Options{Turn: func([]byte) Turn { return Turn{Wait: time.Millisecond} }})
	if res, text := s.post(t, "/v1/ws/1/poll", "hello"); res.StatusCode != http.StatusOK || text != "" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

// Shutdown waits, and when it has waited enough it aborts.
func TestShutdownAborts(t *testing.T) {
	began := make(chan struct{})
	s := newSite(t, false, func(_ context.Context, c transport.Conn) {
		close(began)
		_ = c.Receive(func([]byte) error { return nil })
	}, Options{})
	l := s.listen(t, "/v1/ws/1/events", "hello")
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Fatalf("Shutdown: %v", err)
	}
	s.Wait()
	if msg, err := l.Next(); err == nil {
		t.Errorf("the peer got %q", msg)
	}
}

// hidden hides that the connection can be flushed.
type hidden struct{ http.ResponseWriter }

func TestNoStreaming(t *testing.T) {
	h := NewHandler(repeat, Options{})
	s := newSite(t, false, repeat, Options{})
	s.web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(hidden{w}, r) })
	if res, text := s.post(t, "/v1/ws/1/events", "x"); res.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "Unwrap") {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestFrames(t *testing.T) {
	for msg, want := range map[string]string{
		`{"a":1}`:            "data: {\"a\":1}\n\n",
		"{\"a\":\n\n1}":      "data: {\"a\":  1}\n\n",
		"[1,\r\ndata: {}\r]": "data: [1,  data: {} ]\n\n",
		"":                   "data: \n\n",
	} {
		if got := string(events.append([]byte("x"), []byte(msg))); got != "x"+want {
			t.Errorf("%q: %q, want %q", msg, got, "x"+want)
		}
	}
}

func FuzzBoundary(f *testing.F) {
	f.Add([]byte("data: a\n\ndata: b\n\n"), uint8(3), true)
	f.Add([]byte("a\n\nbb\n"), uint8(1), false)
	f.Fuzz(func(t *testing.T, text []byte, step uint8, isEvents bool) {
		k, stream := poll, []byte(nil)
		if isEvents {
			k = events
		}
		ends := map[int]bool{0: true}
		for msg := range bytes.SplitSeq(text, []byte{'\n'}) {
			stream = k.append(stream, msg)
			ends[len(stream)] = true
		}
		var b boundary
		for at, n := 0, int(step)+1; at < len(stream); at += n {
			p := stream[at:min(at+n, len(stream))]
			if b.within(k) == ends[at] {
				t.Fatalf("at %d of %q: within a message is %v", at, stream, b.within(k))
			}
			if b.within(k) {
				end := at + len(b.rest(k, p))
				for i := at + 1; i <= at+len(p); i++ {
					if ends[i] && i < end || i == end && !ends[i] && end < at+len(p) {
						t.Fatalf("at %d of %q: the message ends at %d", at, stream, end)
					}
				}
			}
			b.pass(k, p)
		}
	})
}
