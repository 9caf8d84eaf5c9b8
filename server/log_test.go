package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// lines is a log that several goroutines write, a JSON object a line.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// records returns the records with this message.
func (l *lines) records(t *testing.T, msg string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r["msg"] == msg {
			all = append(all, r)
		}
	}
	return all
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// One record for a connection, with the trace that its dial belonged to; its token, and what was said, are not in the log, however
// loud that is.
func TestALogHasEndsAndTracesAndNoSecrets(t *testing.T) {
	var log lines
	n := start(t, server.Options{Logger: log.logger()})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(n.web.URL, "http")+"/v1/ws/1",
		&websocket.DialOptions{HTTPHeader: http.Header{"Traceparent": {traceparent}}})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t, ws}
	token := n.user("anna")
	p.send(&wire.Hello{Version: 1, Token: token, Client: "c1", Gen: 1, Subs: []wire.Sub{{Session: "chat-1"}}})
	p.send(&wire.Send{Session: "chat-1", ID: "m1", Data: json.RawMessage(`"a secret between two"`)})
	for acked := false; !acked; {
		_, acked = p.next().(*wire.Ack)
	}
	if err := ws.Close(1001, "the page is closed"); err != nil {
		t.Fatal(err)
	}
	n.await(func() bool { return len(log.records(t, "connection ended")) > 0 })
	got := log.records(t, "connection ended")
	if len(got) != 1 {
		t.Fatalf("%d records, want 1", len(got))
	}
	for name, want := range map[string]any{
		"class": "going_away", "by": "client", "code": 1001.0, "user": "anna", "client": "c1", "trace_id": traceID, "transport": "websocket",
		"level": "DEBUG",
	} {
		if got[0][name] != want {
			t.Errorf("%s is %v, want %v", name, got[0][name], want)
		}
	}
	for _, secret := range []string{token, strings.Split(token, ".")[2], "a secret between two"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}
