// Package stranger bounds for how long a socket lives over which nobody has shown a token. The timeouts of net/http begin anew with
// each request, none of them ends an answer that is read a byte at a time, and HTTP/2 needs no request at all to keep a connection: here
// one clock runs from the beginning, whatever is sent, and however slowly what is answered is read.
//
// # Concurrency
//
// All functions may be called at any time, but Bound only before the server serves.
package stranger

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Bound has a server close the connections of strangers when limit has passed, or, where a request began within that, when limit has
// passed since then. [Known] ends that, and so does a handler that takes a connection over: it is the handler's to bound then.
func Bound(s *http.Server, limit time.Duration) {
	g := &guard{limit: limit, next: s.Handler, strangers: map[net.Conn]*stranger{}}
	begin, state := s.ConnContext, s.ConnState
	s.Handler = g
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if begin != nil {
			ctx = begin(ctx, c)
		}
		return g.watch(ctx, c)
	}
	s.ConnState = func(c net.Conn, now http.ConnState) {
		if now == http.StateClosed || now == http.StateHijacked {
			g.forget(c)
		}
		if state != nil {
			state(c, now)
		}
	}
}

// Known says that the connection of the request with this context is no stranger's. Of a server that is not bounded it does nothing.
func Known(ctx context.Context) {
	s, ok := ctx.Value(key{}).(*stranger)
	if ok && !s.known.Swap(true) {
		s.guard.forget(s.conn)
	}
}

type key struct{}

// guard watches the connections of one server.
type guard struct {
	// Static after construction.
	limit time.Duration
	next  http.Handler

	// Guarded by mu.
	mu        sync.Mutex
	strangers map[net.Conn]*stranger
}

// stranger is a connection over which no token has come, or had not.
type stranger struct {
	// Static after construction.
	guard *guard
	conn  net.Conn
	since time.Time

	known atomic.Bool

	// Guarded by the guard's mu. The timer may fire just when until is moved.
	until time.Time
	timer *time.Timer
}

func (g *guard) watch(ctx context.Context, c net.Conn) context.Context {
	s := &stranger{guard: g, conn: c, since: time.Now()}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.until = s.since.Add(g.limit)
	s.timer = time.AfterFunc(g.limit, func() { g.over(s) }) // ends with forget, or with itself
	g.strangers[c] = s
	return context.WithValue(ctx, key{}, s)
}

// ServeHTTP implements [http.Handler]. A request that begins in time has time of its own: it may bring the token, on a slow line. Only one
// that begins within the first limit, or requests without end would keep the connection.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(key{}).(*stranger); ok && !s.known.Load() {
		g.extend(s)
	}
	g.next.ServeHTTP(w, r)
}

func (g *guard) extend(s *stranger) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); g.strangers[s.conn] == s && now.Sub(s.since) < g.limit {
		s.until = now.Add(g.limit)
		s.timer.Reset(g.limit)
	}
}

// over closes a stranger's connection. Whatever reads or writes it then fails.
func (g *guard) over(s *stranger) {
	g.mu.Lock()
	due := g.strangers[s.conn] == s && !time.Now().Before(s.until)
	if due {
		delete(g.strangers, s.conn)
	}
	g.mu.Unlock()
	if due {
		_ = s.conn.Close()
	}
}

// forget is for connections that have ended, too: the timer would hold them in memory.
func (g *guard) forget(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.strangers[c]; s != nil {
		delete(g.strangers, c)
		s.timer.Stop()
	}
}
