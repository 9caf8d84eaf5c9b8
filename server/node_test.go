package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// node is a running server on a real socket.
type node struct {
	t   *testing.T
	srv *server.Server
	web *httptest.Server
	key auth.Key
	// stop ends the server's Run.
	stop func()
}

func start(t *testing.T, o server.Options) *node {
	t.Helper()
	key, err := auth.SecretKey("", auth.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := server.NewJWT(server.JWTOptions{Keys: []server.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	if a, ok := o.Auth.(*noticing); ok {
		a.Auth = verifier
	} else {
		o.Auth = verifier
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, srv: srv, web: httptest.NewUnstartedServer(srv), key: key}
	n.web.Config.ConnContext = server.ConnContext
	n.web.Start()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // ends with ctx, received in the cleanup
	n.await(func() bool { return n.get("/readyz").StatusCode == http.StatusNoContent })
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		n.stop()
		n.web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// await asks again until ok, for what has no signal to wait for: the server is another goroutine's.
func (n *node) await(ok func() bool) {
	n.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			n.t.Fatal("it did not happen in time")
		}
	}
}

func (n *node) get(path string) *http.Response {
	n.t.Helper()
	res, err := http.Get(n.web.URL + path)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func (n *node) token(c auth.Claims) string {
	n.t.Helper()
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(time.Hour)
	}
	token, err := auth.Mint(n.key, c)
	if err != nil {
		n.t.Fatal(err)
	}
	return token
}

func (n *node) user(name holdfast.UserID) string {
	return n.token(auth.Claims{User: name, Read: []string{"chat-*"}, Send: []string{"chat-*"}})
}

func (n *node) backend() string { return n.token(auth.Claims{Backend: true}) }

// request makes one request of the HTTP API and returns the status and the body.
func (n *node) request(method, path, token, body string) (int, string) {
	n.t.Helper()
	req, err := http.NewRequest(method, n.web.URL+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// peer is a client made by somebody else's hands: frames as text over another WebSocket library.
type peer struct {
	t  *testing.T
	ws *websocket.Conn
}

func (n *node) dial() *peer {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(n.web.URL, "http")+"/v1/ws/1", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	n.t.Cleanup(func() { _ = ws.CloseNow() })
	return &peer{n.t, ws}
}

// hello dials and signs in, with one session to read.
func (n *node) hello(user holdfast.UserID, client string, s holdfast.SessionID) *peer {
	n.t.Helper()
	p := n.dial()
	p.send(&wire.Hello{Version: 1, Token: n.user(user), Client: holdfast.ClientID(client), Gen: 1, Subs: []wire.Sub{{Session: s, Last: 15}}})
	for {
		if _, ok := p.next().(*wire.Live); ok {
			return p
		}
	}
}

func (p *peer) send(f wire.ClientFrame) { p.text(string(wire.AppendClient(nil, f))) }

func (p *peer) text(msg string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	if err := p.ws.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next frame, or how the connection ended.
func (p *peer) read() (wire.ServerFrame, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 15*time.Second)
	defer cancel()
	_, msg, err := p.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	return wire.DecodeServer(msg)
}

func (p *peer) next() wire.ServerFrame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}
