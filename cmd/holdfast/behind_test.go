package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/transport/ws"
)

// behind is a server behind a proxy.
type behind struct {
	*process
	url   string
	trust *tls.Config
	token string
}

// follow connects through the proxy and reads a session; what changes in it comes over the channel.
func (b *behind) follow(t *testing.T, session holdfast.SessionID) (*client.Session, <-chan client.Change) {
	t.Helper()
	dialer := ws.NewDialer(ws.DialOptions{TLS: b.trust})
	c, err := client.New(client.Options{
		URL: b.url, ClientID: holdfast.ClientID("reader-" + session), Token: func(context.Context) (string, error) { return b.token, nil },
		Dial: func(ctx context.Context, url string) (client.Conn, error) { return dialer.Dial(ctx, url) }, Ready: b.ready,
	})
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan client.Change, 1000)
	s, err := c.Session(session, client.SessionOptions{OnChange: func(change client.Change) { changes <- change }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }() // ends with ctx; received below
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the reader ended: %v", err)
		}
	})
	return s, changes
}

func (b *behind) web() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: b.trust, DisableKeepAlives: true}}
}

func (b *behind) ready(ctx context.Context, url string) (bool, time.Duration) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, 0
	}
	res, err := b.web().Do(req)
	if err != nil {
		return false, 0
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusNoContent, 0
}

// expect waits for a change of a kind, and fails after a time in which a proxy that gathers would still gather.
func expect(t *testing.T, changes <-chan client.Change, kind client.ChangeKind, what string) client.Change {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case c := <-changes:
			if c.Kind == kind {
				return c
			}
		case <-late:
			t.Fatalf("%s did not arrive", what)
		}
	}
}

// streams pipes a run through the proxy, and writes each word only when a reader behind the same proxy has the one before: so
// it ends only if nothing on the way gathers, up or down.
func (b *behind) streams(t *testing.T) {
	t.Helper()
	_, changes := b.follow(t, "stream")
	expect(t, changes, client.CaughtUp, "the answer to the subscription")
	body, words := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.url+"/v1/sessions/stream/pipe?id=answer", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.process.token(auth.Claims{Backend: true}))
	answer := make(chan error, 1)
	go func() { // ends with the request, which ends with the pipe; received below
		res, err := b.web().Do(req)
		if err == nil && res.StatusCode >= 300 {
			err = fmt.Errorf("the pipe was answered with %s", res.Status)
		}
		answer <- err
	}()
	for n := range 20 {
		word := fmt.Sprintf("word%d ", n)
		if _, err := io.WriteString(words, word); err != nil {
			t.Fatal(err)
		}
		if got := expect(t, changes, client.Grown, word); got.Fragment.Text != word {
			t.Fatalf("%q came as %q", word, got.Fragment.Text)
		}
	}
	_ = words.Close()
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
}

// comesBack replaces the server while a reader is connected.
func (b *behind) comesBack(t *testing.T) {
	t.Helper()
	s, changes := b.follow(t, "restart")
	backend := b.process.token(auth.Claims{Backend: true})
	write := func(id string) {
		t.Helper()
		if err := b.call(t.Context(), http.MethodPost, "/v1/sessions/restart/entries", backend, map[string]any{"id": id, "data": id}, nil); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	expect(t, changes, client.Added, "what was written before")
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Wait(); err != nil {
		t.Fatalf("the server ended with %v", err)
	}
	b.start()
	write("after")
	expect(t, changes, client.Added, "what was written after the restart")
	var ids []string
	for _, e := range s.Entries() {
		ids = append(ids, e.ID)
	}
	if got := strings.Join(ids, " "); got != "before after" {
		t.Errorf("the reader has %q", got)
	}
}
