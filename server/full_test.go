package server_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast/server"
)

// A server that has as many connections as it takes says so before anything is spent on another one, and when to come back; and
// takes one again when another has left.
func TestAFullServerSaysWhenToComeBack(t *testing.T) {
	n := start(t, server.Options{Limits: server.Limits{Node: server.Bounds{Connections: 1}}})
	p := n.hello("anna", "c1", "chat-1")
	dial := func() (*websocket.Conn, *http.Response, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return websocket.Dial(ctx, "ws"+strings.TrimPrefix(n.web.URL, "http")+"/v1/ws/2", nil)
	}
	_, res, err := dial()
	if err == nil || res == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("a dial is answered %v, %v", res, err)
	}
	if after, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || after < 1 {
		t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
	}
	for _, path := range []string{"/readyz", "/v1/ws/ready"} {
		if got := n.get(path); got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
			t.Errorf("%s says %d", path, got.StatusCode)
		}
	}
	if got := n.get("/healthz"); got.StatusCode != http.StatusNoContent {
		t.Errorf("it is not well: %d", got.StatusCode)
	}
	n.srv.SetLimits(server.Limits{Node: server.Bounds{Connections: 2}})
	if c, _, err := dial(); err != nil {
		t.Errorf("with a higher limit: %v", err)
	} else {
		_ = c.CloseNow()
	}
	n.srv.SetLimits(server.Limits{Node: server.Bounds{Connections: 1}})
	_ = p.ws.CloseNow()
	n.await(func() bool { return n.get("/readyz").StatusCode == http.StatusNoContent })
	n.hello("anna", "c2", "chat-1")
}
