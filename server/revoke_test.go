package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// prompt is how soon what was taken back is taken back.
const prompt = time.Second

// claims are a token's of anna, issued a while ago.
func claims(id string) auth.Claims {
	return auth.Claims{User: "anna", ID: id, Read: []string{"chat-*"}, Send: []string{"chat-*"}, IssuedAt: time.Now().Add(-time.Minute)}
}

func (n *node) attach(token, client string, s ...holdfast.SessionID) *peer {
	p := n.dial()
	h := &wire.Hello{Version: 1, Token: token, Client: holdfast.ClientID(client), Gen: 1}
	for _, id := range s {
		h.Subs = append(h.Subs, wire.Sub{Session: id})
	}
	p.send(h)
	for live := 0; live < len(s); {
		if _, ok := p.next().(*wire.Live); ok {
			live++
		}
	}
	return p
}

// What is taken back while a connection lives has its code within a second, and nothing comes after it, however much is written.
func TestRevocationCutsAtOnce(t *testing.T) {
	cases := map[string]struct {
		body string
		// cut: the connection ends. Otherwise the session is denied, or only sending is.
		cut, denied bool
	}{
		"a token":               {`{"token":"t1"}`, true, false},
		"a user":                {`{"user":"anna"}`, true, false},
		"a device":              {`{"user":"anna","client":"c1"}`, true, false},
		"a session":             {`{"user":"anna","session":"chat-1"}`, false, true},
		"reading":               {`{"user":"anna","actions":["read"]}`, false, true},
		"sending, of everybody": {`{"session":"chat-*","actions":["send"]}`, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := start(t, server.Options{})
			p := n.attach(n.token(claims("t1")), "c1", "chat-1")
			stop, wrote := n.flood("chat-1")
			defer func() { stop(); <-wrote }()
			backend := n.token(auth.Claims{Backend: true})
			began := time.Now()
			if code, body := n.request("POST", "/v1/revocations", backend, c.body); code != 201 {
				t.Fatalf("%d %s", code, body)
			}
			switch {
			case c.cut:
				p.cutWith(holdfast.CloseUnauthorized)
			case c.denied:
				p.deniedIn("chat-1")
			}
			if took := time.Since(began); took > prompt {
				t.Errorf("it took %v, at most %v is promised", took, prompt)
			}
			if c.cut {
				return
			}
			p.send(&wire.Send{Session: "chat-1", ID: "m1", Data: json.RawMessage(`1`)})
			if e := p.awaitErr(c.denied); e.Code != holdfast.CodeForbidden && name != "reading" {
				t.Errorf("a send is answered %+v", e)
			}
		})
	}
}

// flood writes to a session until stopped.
func (n *node) flood(s holdfast.SessionID) (stop context.CancelFunc, done <-chan struct{}) {
	ctx, cancel := context.WithCancel(n.t.Context())
	end := make(chan struct{})
	go func() {
		defer close(end)
		for i := 0; ctx.Err() == nil; i++ {
			_, err := n.srv.Session(s).Append(ctx, "", json.RawMessage(fmt.Sprint(i)))
			if err != nil && ctx.Err() == nil {
				n.t.Error(err)
				return
			}
		}
	}()
	return cancel, end
}

// cutWith reads until the goodbye, which has to have this code; nothing may follow but the close.
func (p *peer) cutWith(code holdfast.CloseCode) {
	p.t.Helper()
	for {
		f := p.next()
		bye, ok := f.(*wire.Bye)
		if !ok {
			continue // on its way before
		}
		if bye.Code != code {
			p.t.Errorf("the goodbye has %d, want %d", bye.Code, code)
		}
		f, err := p.read()
		if err == nil {
			p.t.Errorf("after the goodbye came %+v", f)
		}
		if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
			p.t.Errorf("closed with %d, want %d", got, code)
		}
		return
	}
}

// deniedIn reads until a session is denied, and a little more: nothing of it may follow.
func (p *peer) deniedIn(s holdfast.SessionID) {
	p.t.Helper()
	for {
		if a, ok := p.next().(*wire.SubAnswer); ok && a.Outcome == holdfast.Denied && a.Session == s {
			break
		}
	}
	p.send(&wire.Ping{N: 7})
	for {
		switch f := p.next().(type) {
		case *wire.EntryFrame:
			p.t.Errorf("after it was denied came %+v", f.Entry)
			return
		case *wire.Pong:
			return
		}
	}
}

// awaitErr reads on until a send is answered.
func (p *peer) awaitErr(quiet bool) *wire.ErrFrame {
	p.t.Helper()
	for {
		switch f := p.next().(type) {
		case *wire.ErrFrame:
			return f
		case *wire.Ack:
			return &wire.ErrFrame{}
		case *wire.EntryFrame:
			if quiet {
				p.t.Errorf("after it was denied came %+v", f.Entry)
				return &wire.ErrFrame{}
			}
		}
	}
}

// Tokens that are not good have their code at once, and get no data.
func TestBadTokensAreRefusedAtOnce(t *testing.T) {
	n := start(t, server.Options{})
	other := start(t, server.Options{})
	if _, _, _, err := n.srv.Revoke(t.Context(), server.Revocation{Token: "t1"}); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"expired": n.token(auth.Claims{User: "anna", Read: []string{"*"}, Expires: time.Now().Add(-time.Hour)}),
		"foreign": other.user("anna"),
		"revoked": n.token(claims("t1")),
	} {
		p := n.dial()
		began := time.Now()
		p.send(&wire.Hello{Version: 1, Token: token, Client: "c1", Gen: 1, Subs: []wire.Sub{{Session: "chat-1"}}})
		p.cutWith(holdfast.CloseUnauthorized)
		if took := time.Since(began); took > prompt {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// A fresh token that allows less takes effect on what is read already.
func TestADowngradedTokenDeniesWhatItDoesNotAllow(t *testing.T) {
	n := start(t, server.Options{})
	p := n.attach(n.token(claims("t1")), "c1", "chat-1", "chat-2")
	stop, wrote := n.flood("chat-1")
	defer func() { stop(); <-wrote }()
	less := claims("t2")
	less.Read = []string{"chat-2"}
	began := time.Now()
	p.send(&wire.TokenRefresh{Token: n.token(less)})
	p.deniedIn("chat-1")
	if took := time.Since(began); took > prompt {
		t.Errorf("it took %v", took)
	}
	if _, err := n.srv.Session("chat-2").Append(t.Context(), "", json.RawMessage(`"still read"`)); err != nil {
		t.Fatal(err)
	}
	for {
		if e, ok := p.next().(*wire.EntryFrame); ok {
			if e.Session != "chat-2" {
				t.Errorf("an entry of %s came", e.Session)
			}
			return
		}
	}
}

// A client whose token was taken back tries one fresh token, and then no more.
func TestARevokedClientDoesNotComeBackAgainAndAgain(t *testing.T) {
	n := start(t, server.Options{})
	var asked atomic.Int32
	c, err := client.New(client.Options{URL: n.web.URL, ClientID: "c1", Token: func(context.Context) (string, error) {
		asked.Add(1)
		return n.token(claims("t1")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Session("chat-1", client.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(t.Context()) }()
	n.await(s.Live)
	if _, closed, _, err := n.srv.Revoke(t.Context(), server.Revocation{User: "anna"}); err != nil || closed != 1 {
		t.Fatalf("%d closed, %v", closed, err)
	}
	select {
	case err := <-ran:
		var end *client.CloseError
		if !errors.As(err, &end) || end.Code != holdfast.CloseUnauthorized {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on and on")
	}
	if got := asked.Load(); got > 2 {
		t.Errorf("it asked for %d tokens, want 2 at most", got)
	}
	// Given back, the same token is good again.
	for _, r := range n.srv.Revocations() {
		if found, err := n.srv.Restore(t.Context(), r.ID); !found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
	}
	n.attach(n.token(claims("t1")), "c2", "chat-1")
}

// What a backend's token keeps open ends with it: nothing is told, and nothing written, once the revocation was answered.
func TestRevocationEndsFeedsAndPipes(t *testing.T) {
	n := start(t, server.Options{})
	leaked := n.token(auth.Claims{Backend: true, ID: "b1"})
	p := n.attach(n.user("ben"), "c1", "chat-1")
	text, chunks := io.Pipe()
	answered := make(chan int, 1)
	var piping sync.WaitGroup
	defer piping.Wait()
	defer chunks.Close()
	piping.Go(func() {
		res := n.long("PUT", "/v1/sessions/chat-1/pipe?id=r", leaked, text)
		_ = res.Body.Close()
		answered <- res.StatusCode
	})
	if _, err := io.WriteString(chunks, "before"); err != nil {
		t.Fatal(err)
	}
	p.awaitText("before")
	feed := n.long("GET", "/v1/feed", leaked, nil)
	defer feed.Body.Close()
	lines := bufio.NewReader(feed.Body)
	say := func(id string) {
		p.send(&wire.Send{Session: "chat-1", ID: id, Data: json.RawMessage(`1`)})
	}
	say("before")
	for line := "\n"; !strings.Contains(line, `"before"`); {
		var err error
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if code, body := n.request("POST", "/v1/revocations", n.backend(), `{"token":"b1"}`); code != http.StatusCreated {
		t.Fatalf("%d %s", code, body)
	}
	say("after")
	_, _ = io.WriteString(chunks, "further") // fails if the pipe has ended already
	if rest, err := io.ReadAll(lines); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("the feed tells %q, %v", rest, err)
	}
	_ = chunks.Close() // so that one that goes on comes to its end
	if code := <-answered; code != http.StatusUnauthorized {
		t.Errorf("the pipe is answered %d", code)
	}
	if _, body := n.request("GET", "/v1/sessions/chat-1/runs/1", n.backend(), ""); strings.Contains(body, "further") {
		t.Errorf("the pipe wrote on: %s", body)
	}
}

// awaitText reads until a run has the text.
func (p *peer) awaitText(text string) {
	p.t.Helper()
	for got := ""; !strings.Contains(got, text); {
		switch f := p.next().(type) {
		case *wire.EntryFrame:
			if f.Entry.Run != nil {
				got += f.Entry.Run.Body.Text("")
			}
		case *wire.FragFrame:
			got += f.Fragment.Text
		}
	}
}

// long makes a request that takes long, at most as long as the test has; it returns when the answer begins.
func (n *node) long(method, path, token string, body io.Reader) *http.Response {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	n.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, n.web.URL+path, body)
	if err != nil {
		n.t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Error(err)
		return &http.Response{Body: http.NoBody}
	}
	return res
}
