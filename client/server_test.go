package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/pebble"
	"github.com/holdfast/holdfast/transport/ws"
)

// anyone lets everybody in: the token is the user's name.
type anyone struct{}

func (anyone) Verify(_ context.Context, token string) (holdfast.Grant, error) {
	all := []string{"*"}
	return holdfast.Grant{User: holdfast.UserID(token), Read: all, Send: all, Stop: all}, nil
}

// node is a real server, with the engine that the program has, on a real socket.
func node(t *testing.T) (*server.Server, *httptest.Server) {
	t.Helper()
	db, err := pebble.Open(pebble.Options{Dir: t.TempDir(), Sync: "process"})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Options{Auth: anyone{}, Store: db})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		web.Close()
		if err := srv.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return srv, web
}

// line is where a client's connection is cut.
type line struct {
	last atomic.Pointer[ws.ClientConn]
	cuts int
}

func (l *line) dial(ctx context.Context, url string) (Conn, error) {
	conn, err := ws.Dial(ctx, url, ws.DialOptions{})
	if err != nil {
		return nil, err
	}
	l.last.Store(conn)
	return conn, nil
}

func (l *line) cut() {
	if conn := l.last.Swap(nil); conn != nil {
		conn.Abort()
		l.cuts++
	}
}

func start(t *testing.T, url string, id holdfast.ClientID) (*Client, *line) {
	t.Helper()
	l := &line{}
	c, err := New(Options{
		URL: url, ClientID: id, Dial: l.dial, Token: func(context.Context) (string, error) { return "ann", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c, l
}

// await waits until the session is as wanted.
func await(t *testing.T, s *Session, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-s.Changed():
		case <-limit:
			t.Fatalf("waited in vain until %s; the session holds %q", what, text(s))
		}
	}
}

// Against a real server, over connections that are cut again and again: what is sent is written once, in order, and read once.
func TestOverConnectionsThatAreCut(t *testing.T) {
	srv, web := node(t)
	reader, readerLine := start(t, web.URL, "reader")
	writer, writerLine := start(t, web.URL, "writer")
	chat, err := reader.Session("chat", SessionOptions{Last: 1000})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 60
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() {
		for i := range messages {
			if _, err := writer.Send(ctx, "chat", "", json.RawMessage(fmt.Sprint(i))); err != nil {
				t.Errorf("message %d: %v", i, err)
				return
			}
			if i%15 == 7 {
				writerLine.cut()
				readerLine.cut()
			}
		}
	})
	run, err := srv.Session("chat").OpenRun(ctx, server.RunOptions{ID: "answer"})
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for i := range 200 {
		token := fmt.Sprint(" ", i)
		want += token
		if _, err := run.WriteString(token); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Complete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if readerLine.cuts == 0 || writerLine.cuts == 0 {
		t.Fatal("no connection was cut")
	}
	await(t, chat, "everything has come", func() bool {
		entries := chat.Entries()
		done := len(entries) == messages+1
		for _, e := range entries {
			done = done && (e.Run == nil || e.Run.Status.Ended())
		}
		return done
	})
	next := 0
	for i, e := range chat.Entries() {
		switch {
		case int(e.Offset) != i+1:
			t.Fatalf("entry %d stands at %d", i, e.Offset)
		case e.Run != nil:
			if got := e.Run.Body.Text(""); got != want {
				t.Errorf("the answer reads %q", got)
			}
		case string(e.Data) != fmt.Sprint(next):
			t.Fatalf("message %d reads %s", next, e.Data)
		default:
			next++
		}
	}
}

func TestPagesOfAServer(t *testing.T) {
	srv, web := node(t)
	for i := range 120 {
		if _, err := srv.Session("long").Append(t.Context(), "", json.RawMessage(fmt.Sprint(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := start(t, web.URL, "reader")
	s, err := c.Session("long", SessionOptions{Last: 10})
	if err != nil {
		t.Fatal(err)
	}
	await(t, s, "the end has come", func() bool { return s.Live() && len(s.Entries()) == 10 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for more := true; more; {
		if more, err = s.Page(ctx, 50); err != nil {
			t.Fatal(err)
		}
	}
	entries := s.Entries()
	for i, e := range entries {
		if int(e.Offset) != i+1 || string(e.Data) != fmt.Sprint(i+1) {
			t.Fatalf("entry %d stands at %d and reads %s", i+1, e.Offset, e.Data)
		}
	}
	if len(entries) != 120 {
		t.Fatalf("holds %d entries", len(entries))
	}
}
