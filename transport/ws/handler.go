package ws

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unique"

	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/origin"
	"github.com/holdfast/holdfast/transport/roster"
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
	// conns are the connections until the last goroutine of each has ended. Its context is what serve gets.
	conns *roster.Roster[*conn]
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler that calls serve with each connection it accepts, in a goroutine of the connection's own.
// It panics if the options are not valid; check those that come from outside with [Options.Validate].
func NewHandler(serve transport.Serve, opts Options) *Handler {
	allowed, err := origin.Parse(opts.Origins)
	if err != nil {
		panic(err)
	}
	return &Handler{serve: serve, opts: opts.withDefaults(), origins: allowed, pools: newPools(), started: time.Now(),
		conns: roster.New[*conn]()}
}

// ServeHTTP upgrades the request, or says why not: 403 for a page of a foreign origin, 405, 426 or 400 for what is no
// proper upgrade, 503 during a shutdown. It returns as soon as the connection is upgraded.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if no := h.check(r); no != nil {
		no.write(w)
		return
	}
	if !h.conns.Enter() {
		(&refused{http.StatusServiceUnavailable, map[string]string{"Retry-After": "1"}, "the server is shutting down"}).write(w)
		return
	}
	c := h.upgrade(w, r)
	if c == nil || !h.conns.Add(c) {
		h.conns.Quit()
		return
	}
	// Shutdown and Wait wait for it; it ends when serve has returned and what serve left is closed or passed on.
	go h.run(c)
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
	h.serve(h.conns.Context(), c)
}

// end closes and forgets a connection for which nothing runs any more but the goroutine that calls it.
func (h *Handler) end(c *conn) {
	c.finish()
	h.conns.Leave(c)
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
	if t, ok := trace.Parse(r.Header.Get("Traceparent")); ok {
		c.about.trace = &t
	}
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
func (h *Handler) Shutdown(ctx context.Context) error { return h.conns.Shutdown(ctx) }

// Wait waits for the goroutines of all connections. Use it after Shutdown returned an error, to be sure that nothing
// of serve runs any more.
func (h *Handler) Wait() { h.conns.Wait() }
