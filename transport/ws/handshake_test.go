package ws

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
)

const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

// request writes a raw request, so that headers arrive exactly as given, and returns the answer and its body.
func request(t *testing.T, opts Options, line string, headers ...string) (*http.Response, string) {
	t.Helper()
	s := start(t, echo, opts)
	nc := dialRaw(t, s)
	if _, err := io.WriteString(nc, line+"\r\n"+strings.Join(headers, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

func proper(extra ...string) []string {
	return append([]string{"Host: app.example.com", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + sampleKey}, extra...)
}

func without(name string, extra ...string) []string {
	var kept []string
	for _, h := range proper() {
		if !strings.HasPrefix(h, name+":") {
			kept = append(kept, h)
		}
	}
	return append(kept, extra...)
}

func TestHandshake(t *testing.T) {
	const get = "GET /v1/ws/1 HTTP/1.1"
	for name, tc := range map[string]struct {
		line    string
		headers []string
		status  int
		header  string
		text    string
	}{
		"proper":               {get, proper(), 101, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""},
		"headers in odd case":  {get, without("Upgrade", "upgrade: WebSocket"), 101, "", ""},
		"connection list":      {get, without("Connection", "Connection: keep-alive, upgrade"), 101, "", ""},
		"connection twice":     {get, without("Connection", "Connection: keep-alive", "Connection: Upgrade"), 101, "", ""},
		"our subprotocol":      {get, proper("Sec-WebSocket-Protocol: other, holdfast.v1"), 101, "Sec-WebSocket-Protocol: holdfast.v1", ""},
		"subprotocol lines":    {get, proper("Sec-WebSocket-Protocol: x", "Sec-WebSocket-Protocol: holdfast.v1"), 101, "Sec-WebSocket-Protocol: holdfast.v1", ""},
		"foreign subprotocol":  {get, proper("Sec-WebSocket-Protocol: other"), 101, "Sec-WebSocket-Protocol: ", ""},
		"extension offered":    {get, proper("Sec-WebSocket-Extensions: permessage-deflate"), 101, "Sec-WebSocket-Extensions: ", ""},
		"post":                 {"POST /v1/ws/1 HTTP/1.1", proper("Content-Length: 0"), 405, "Allow: GET", "with GET"},
		"plain request":        {get, []string{"Host: h"}, 426, "Upgrade: websocket", "WebSocket client"},
		"http/1.0":             {"GET / HTTP/1.0", proper(), 426, "", "HTTP/1.1"},
		"no upgrade":           {get, without("Upgrade"), 426, "", "proxy"},
		"upgrade to h2c":       {get, without("Upgrade", "Upgrade: h2c"), 426, "", "WebSocket"},
		"no connection":        {get, without("Connection"), 426, "", "proxy"},
		"connection not quite": {get, without("Connection", "Connection: upgraded"), 426, "", "proxy"},
		"old version":          {get, without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426, "Sec-WebSocket-Version: 13", "must be 13"},
		"no version":           {get, without("Sec-WebSocket-Version"), 426, "Sec-WebSocket-Version: 13", "must be 13"},
		"no key":               {get, without("Sec-WebSocket-Key"), 400, "", "Sec-WebSocket-Key"},
		"short key":            {get, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="), 400, "", "16 bytes"},
		"key not base64":       {get, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: ????????????????????????"), 400, "", "base64"},
		"two keys":             {get, proper("Sec-WebSocket-Key: " + sampleKey), 400, "", "once"},
		"foreign origin":       {get, proper("Origin: https://evil.example.org"), 403, "", "may not connect"},
		"own origin":           {get, proper("Origin: https://app.example.com"), 101, "", ""},
		"greeting":             {get, proper("Sec-WebSocket-Protocol: holdfast.v1, hello.aGk"), 101, "Sec-WebSocket-Protocol: holdfast.v1", ""},
		"greeting not base64":  {get, proper("Sec-WebSocket-Protocol: holdfast.v1, hello.a=="), 400, "", "base64url"},
		"greeting not UTF-8":   {get, proper("Sec-WebSocket-Protocol: holdfast.v1, hello._w"), 400, "", "UTF-8"},
		"greeting too large":   {get, proper("Sec-WebSocket-Protocol: holdfast.v1, hello." + strings.Repeat("aGlp", 100<<10)), 431, "", "too large"},
		"two origins":          {get, proper("Origin: https://app.example.com", "Origin: https://evil.example.org"), 403, "", "may not connect"},
	} {
		t.Run(name, func(t *testing.T) {
			r, body := request(t, Options{}, tc.line, tc.headers...)
			if r.StatusCode != tc.status || !strings.Contains(body, tc.text) {
				t.Errorf("status %d with %q, want %d with %q", r.StatusCode, body, tc.status, tc.text)
			}
			if name, want, ok := strings.Cut(tc.header, ": "); ok && r.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, r.Header.Get(name), want)
			}
		})
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, bad := range []string{"", "example.com", "https://", "https://*", "https://a.*.com", "https://a.com/path", "https://*.",
		"https://a.com?x", "https://u@a.com", "https://a b"} {
		err := Options{Origins: []string{"https://good.com", bad}}.Validate()
		if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
	if err := (Options{Origins: []string{"*", "null", "https://*.a.com", "http://localhost:3000/"[:21]}}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestInvalidOptionsPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewHandler took an origin that is none")
		}
	}()
	NewHandler(echo, Options{Origins: []string{"example.com"}})
}

// TestEarlyBytes: a client may send frames together with the request; net/http has read them then.
func TestEarlyBytes(t *testing.T) {
	s := start(t, echo, Options{})
	c := dial(t, s, join(text("one"), text("two"), text("three")[:4])...)
	c.send(text("three")[4:])
	c.expect("text one", "text two", "text three")
}

func TestInfo(t *testing.T) {
	serve, conns := hold(t, ignore)
	remote := netip.MustParseAddrPort("192.0.2.7:4711")
	s := start(t, serve, Options{Remote: func(*http.Request) netip.AddrPort { return remote }})
	dial(t, s)
	want := transport.Info{Transport: "websocket", Remote: remote, UserAgent: "test", Path: "/v1/ws/1"}
	if diff := cmp.Diff(want, within(t, "the connection", conns).Info(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestRemoteAddr(t *testing.T) {
	for in, want := range map[string]string{"1.2.3.4:5": "1.2.3.4:5", "[::ffff:1.2.3.4]:5": "1.2.3.4:5", "[::1]:80": "[::1]:80",
		"@": "invalid AddrPort"} {
		if got := remoteAddr(&http.Request{RemoteAddr: in}); got.String() != want {
			t.Errorf("%q: %v, want %s", in, got, want)
		}
	}
}

func TestCannotHijack(t *testing.T) {
	h := NewHandler(echo, Options{})
	r, _ := http.NewRequest(http.MethodGet, "http://app.example.com/v1/ws/1", nil)
	for _, line := range proper() {
		k, v, _ := strings.Cut(line, ": ")
		r.Header.Set(k, v)
	}
	w := &plainWriter{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != http.StatusInternalServerError {
		t.Errorf("status %d", w.status)
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Errorf("a connection that never was is counted: %v", err)
	}
}

// plainWriter is a ResponseWriter that cannot be hijacked.
type plainWriter struct {
	header http.Header
	status int
}

func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) WriteHeader(status int)      { w.status = status }
func (w *plainWriter) Write(p []byte) (int, error) { return len(p), nil }
