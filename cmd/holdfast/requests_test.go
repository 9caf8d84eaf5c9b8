package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
)

// TestRequestsSurviveAKill kills the server while people are asked. When it is back, what came due meanwhile is settled by its default with
// nobody connected; and what is still open is offered again, to who comes with nothing and to who comes with a cursor, and is answered.
func TestRequestsSurviveAKill(t *testing.T) {
	p := startProcess(t)
	backend := p.token(auth.Claims{Backend: true})
	call := func(method, path string, in, out any) {
		t.Helper()
		if err := p.call(t.Context(), method, "/v1/sessions/chat"+path, backend, in, out); err != nil {
			t.Fatal(err)
		}
	}
	type request struct {
		State   string
		Settled struct {
			User string
			Data any
		}
	}
	call(http.MethodPost, "/requests", map[string]any{"id": "soon", "within": 0.2, "default": "nobody"}, nil)
	call(http.MethodPost, "/requests", map[string]any{"id": "later", "within": 600, "data": "sure?"}, nil)
	before := p.reader(t, nil)
	await(t, before.Live)
	cursor := before.Cursor()

	p.kill()
	<-time.After(300 * time.Millisecond) // the first deadline passes while there is no server
	p.start()

	var soon request
	await(t, func() bool {
		call(http.MethodGet, "/requests/1?wait=5", nil, &soon)
		return soon.State != "open"
	})
	if soon.State != "expired" || soon.Settled.Data != "nobody" || soon.Settled.User != "" {
		t.Errorf("after the restart: %+v", soon)
	}
	fresh, back := p.reader(t, nil), p.reader(t, cursor)
	await(t, fresh.Live)
	await(t, back.Live)
	if open, settled := told(fresh); open != `"sure?"` || settled != `"nobody"` {
		t.Errorf("who comes with nothing is offered %q, and told %q", open, settled)
	}
	if open, settled := told(back); open != "" || settled != `"nobody"` {
		t.Errorf("who has the request is offered %q, and told %q", open, settled)
	}
	if ack, err := back.Answer(t.Context(), 2, []byte(`true`)); err != nil || ack.State != "answered" || ack.Lost {
		t.Errorf("answered: %+v, %v", ack, err)
	}
	p.kill()
	p.start()
	var later request
	call(http.MethodGet, "/requests/2", nil, &later)
	if later.State != "answered" || later.Settled.User != "anna" || later.Settled.Data != true {
		t.Errorf("after another restart: %+v", later)
	}
}

// told is what a reader holds of the request at 2, and of the outcome of the one at 1.
func told(s *client.Session) (open, settled string) {
	for _, e := range s.Entries() {
		switch ev, ok := e.RequestEvent(); {
		case ok && e.Offset == 2:
			open = string(ev.Data)
		case ok && ev.Offset == 1:
			settled = string(ev.Data)
		}
	}
	return open, settled
}

// reader reads the session chat, from a cursor on or from the last entry.
func (p *process) reader(t *testing.T, from *holdfast.Cursor) *client.Session {
	t.Helper()
	token := p.token(auth.Claims{User: "anna", Read: []string{"*"}, Send: []string{"*"}})
	c, err := client.New(client.Options{
		URL: p.url(""), ClientID: holdfast.ClientID(strings.ToLower(rand.Text())), Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Session("chat", client.SessionOptions{Cursor: from, Last: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }() // ends with ctx, received in the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("a reader ended: %v", err)
		}
	})
	return s
}
