package ws

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/origin"
)

// maxAbout bounds what is kept of a header for Info: it is the client's to choose, and lives as long as the connection.
const maxAbout = 256

// Handler upgrades requests and owns the connections that come of them. It is safe for use by many goroutines.
type Handler struct {
	// Static after construction.
	serve   transport.Serve
	opts    Options
	origins origin.Allowed
	pools   *pools
	started time.Time
	// ctx is what serve gets; it ends with Shutdown.
	ctx    context.Context
	cancel context.CancelFunc

	// running counts the goroutines of connections. Added to under mu only, so that it cannot grow during Wait.
	running sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	conns map[*conn]struct{}
	down  bool
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler that calls serve with each connection it accepts, in a goroutine of the connection's own.
// It panics if the options are not valid; check those that come from outside with [Options.Validate].
func NewHandler(serve transport.Serve, opts Options) *Handler {
	allowed, err := origin.Parse(opts.Origins)
	if err != nil {
		panic(err)
	}
	h := &Handler{serve: serve, opts: opts.withDefaults(), origins: allowed, pools: newPools(),
		started: time.Now(), conns: map[*conn]struct{}{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// ServeHTTP upgrades the request, or says why not: 403 for a page of a foreign origin, 405, 426 or 400 for what is no
// proper upgrade, 503 during a shutdown. It returns as soon as the connection is upgraded.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if no := h.check(r); no != nil {
		no.write(w)
		return
	}
	if !h.enter() {
		(&refused{http.StatusServiceUnavailable, map[string]string{"Retry-After": "1"}, "the server is shutting down"}).write(w)
		return
	}
	c := h.upgrade(w, r)
	if c == nil || !h.add(c) {
		h.running.Done()
		return
	}
	// Shutdown and Wait wait for it; it ends when serve has returned and what serve left is closed or passed on.
	go h.run(c)
}

// enter counts a connection in, unless Shutdown was called. From here on Shutdown waits for it.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.down {
		h.running.Add(1)
	}
	return !h.down
}

// add makes the connection known, so that Shutdown can abort it; if it is too late for that, it aborts it itself.
func (h *Handler) add(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns == nil {
		c.Abort()
		return false
	}
	h.conns[c] = struct{}{}
	return true
}

// run is the connection's goroutine. It ends when serve has returned and the closing handshake is over; if serve has detached
// the connection, attend does the rest in its place.
func (h *Handler) run(c *conn) {
	defer func() {
		if !c.detached {
			h.end(c)
			return
		}
		if err := c.greet(); err != nil {
			c.to.Ended(err)
			h.end(c)
			return
		}
		// Shutdown and Wait wait for the last of them; see attend.
		go c.attend()
	}()
	h.serve(h.ctx, c)
}

// end closes and forgets a connection for which nothing runs any more but the goroutine that calls it.
func (h *Handler) end(c *conn) {
	c.finish()
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.running.Done()
}

// upgrade takes the connection from net/http and answers the request. It returns nil if that fails.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request) *conn {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the server cannot upgrade this connection: "+err.Error(), http.StatusInternalServerError)
		return nil
	}
	tune(nc)
	// A server's timeouts for requests must not end a connection that is meant to last.
	_ = nc.SetDeadline(time.Time{})
	_ = nc.SetWriteDeadline(time.Now().Add(h.opts.HandshakeTimeout))
	if _, err := nc.Write(h.answer(r)); err != nil {
		_ = nc.Close()
		return nil
	}
	_ = nc.SetWriteDeadline(time.Time{})
	c := newConn(nc, h)
	// A client may send without waiting for the answer.
	if first, _ := greeting(r.Header); first != nil || rw.Reader.Buffered() > 0 {
		c.in.early = &early{first: first, more: rw.Reader}
	}
	c.about = about{userAgent: keep(r.UserAgent()), origin: keep(r.Header.Get("Origin")), path: keep(r.URL.Path)}
	if remote := h.opts.Remote(r); remote != peerOf(nc) {
		c.about.remote = &remote
	}
	return c
}

// keep copies what is kept of a request: a header's string would hold the whole header in memory. Most are the same.
func keep(s string) unique.Handle[string] {
	return unique.Make(strings.ToValidUTF8(s[:min(len(s), maxAbout)], ""))
}

// Shutdown refuses further upgrades, ends the context that serve got, and waits until every serve has returned. When ctx
// ends first, it aborts the connections that are left and returns, as a *holdfast.Error with CodeUnavailable, how many.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.down = true
	h.mu.Unlock()
	h.cancel()

	done := make(chan struct{})
	// Ends with the last connection: Wait waits for the same, when ctx ends before.
	go func() {
		h.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	n := h.abortAll()
	return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "%d connections did not end in time and were aborted", n)
}

func (h *Handler) abortAll() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.conns)
	for c := range h.conns {
		c.Abort()
	}
	h.conns = nil
	return n
}

// Wait waits for the goroutines of all connections. Use it after Shutdown returned an error, to be sure that nothing
// of serve runs any more.
func (h *Handler) Wait() { h.running.Wait() }
