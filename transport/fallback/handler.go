package fallback

import (
	"context"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/origin"
)

// maxAbout bounds what is kept of a header for Info, in bytes: it is the client's to choose.
const maxAbout = 256

// Handler makes connections of requests. It is safe for use by many goroutines.
type Handler struct {
	// Static after construction.
	serve transport.Serve
	opts  Options
	// ctx is what serve gets; it ends with Shutdown.
	ctx    context.Context
	cancel context.CancelFunc

	// running counts requests. Added to under mu only, so that it cannot grow during Wait.
	running sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	conns map[*conn]struct{}
	down  bool
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler that calls serve with the connection that each request is.
func NewHandler(serve transport.Serve, opts Options) *Handler {
	h := &Handler{serve: serve, opts: opts.withDefaults(), conns: map[*conn]struct{}{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// ServeHTTP is the connection: it returns when that has ended. What is no connection it refuses: 403 for a page of a foreign
// origin, 404 and 405, 408 for a body that does not come, 413 for one that is too large, 415, and 503 during a shutdown.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	if !h.opts.Origins.Share(w, r) {
		http.Error(w, origin.Refusal, http.StatusForbidden)
		return
	}
	c, no := h.open(w, r)
	if no == nil && !h.enter(c) {
		no = busy()
	}
	if no != nil {
		no.write(w, r)
		return
	}
	defer h.leave(c)
	// After a panic of serve too: a pump may still write, and must not when this has returned.
	defer c.finish()
	h.serve(h.ctx, c)
}

// open makes a connection of a request, or says why not.
func (h *Handler) open(w http.ResponseWriter, r *http.Request) (*conn, *refused) {
	k := kinds[path.Base(r.URL.Path)]
	switch {
	case k == nil:
		return nil, &refused{http.StatusNotFound, "there is nothing at this path; it ends in events, poll or send"}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return nil, &refused{http.StatusMethodNotAllowed, "this path takes POST only, with the first message as its body"}
	case !h.opts.Ready():
		return nil, busy()
	}
	said, no := h.read(w, r, k)
	if no != nil {
		return nil, no
	}
	c := &conn{
		kind: k, w: w, r: r, rc: http.NewResponseController(w), said: said, left: r.Context().Done(), linger: h.opts.CloseTimeout,
		over: make(chan struct{}), home: make(chan struct{}, 1),
		info: transport.Info{
			Transport: k.name, Reach: k.reach, Remote: h.opts.Remote(r), UserAgent: clip(r.UserAgent()),
			Origin: clip(r.Header.Get("Origin")), Path: clip(r.URL.Path),
		},
	}
	if k == poll {
		turn := h.opts.Turn(said[0])
		c.wait, c.gather, c.news = turn.Wait, turn.Gather, turn.Wrote
	}
	return c, nil
}

func clip(s string) string { return s[:min(len(s), maxAbout)] }

// enter counts a connection in, unless Shutdown was called. From here on Shutdown waits for it.
func (h *Handler) enter(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return false
	}
	h.running.Add(1)
	h.conns[c] = struct{}{}
	return true
}

func (h *Handler) leave(c *conn) {
	h.mu.Lock()
	delete(h.conns, c)
	h.mu.Unlock()
	h.running.Done()
}

// Shutdown refuses further requests, ends the context that serve got, and waits until every serve has returned. When ctx
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
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.Abort()
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "%d requests did not end in time and were aborted", len(h.conns))
}

// Wait waits for all connections. Use it after Shutdown returned an error, to be sure that nothing of serve runs any more.
func (h *Handler) Wait() { h.running.Wait() }

// refused is an answer to a request that is no connection.
type refused struct {
	status int
	text   string
}

func busy() *refused {
	return &refused{http.StatusServiceUnavailable, "the server takes no connections now; come back in a moment"}
}

func (no *refused) write(w http.ResponseWriter, r *http.Request) {
	switch no.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		if r.ProtoMajor == 1 {
			// The rest of the body is in the way of another request. On HTTP/2 it is not, and this would end them all.
			w.Header().Set("Connection", "close")
		}
	}
	http.Error(w, no.text, no.status)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)
