package fallback

import (
	"context"
	"net/http"
	"path"
	"time"

	"github.com/holdfast/holdfast/internal/text"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/origin"
	"github.com/holdfast/holdfast/transport/roster"
)

// maxAbout bounds what is kept of a header for Info, in bytes: it is the client's to choose.
const maxAbout = 256

// Handler makes connections of requests. It is safe for use by many goroutines.
type Handler struct {
	// Static after construction.
	serve transport.Serve
	opts  Options
	// conns are the connections until they have ended. Its context is what serve gets.
	conns *roster.Roster[*conn]
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler that calls serve with the connection that each request is.
func NewHandler(serve transport.Serve, opts Options) *Handler {
	return &Handler{serve: serve, opts: opts.withDefaults(), conns: roster.New[*conn]()}
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
	defer h.conns.Leave(c)
	// After a panic of serve too: a pump may still write, and must not when this has returned.
	defer c.finish()
	h.serve(h.conns.Context(), c)
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
	c.info.Trace, _ = trace.Parse(r.Header.Get("Traceparent"))
	if k == poll {
		turn := h.opts.Turn(said[0])
		c.wait, c.gather, c.news = turn.Wait, turn.Gather, turn.Wrote
	}
	return c, nil
}

func clip(s string) string { return text.Clip(s, maxAbout) }

// enter counts a connection in, unless Shutdown was called.
func (h *Handler) enter(c *conn) bool {
	if !h.conns.Enter() {
		return false
	}
	if !h.conns.Add(c) {
		h.conns.Quit()
		return false
	}
	return true
}

// Shutdown refuses further requests, ends the context that serve got, and waits until every serve has returned. When ctx
// ends first, it aborts the connections that are left and returns, as a *holdfast.Error with CodeUnavailable, how many.
func (h *Handler) Shutdown(ctx context.Context) error { return h.conns.Shutdown(ctx) }

// Wait waits for all connections. Use it after Shutdown returned an error, to be sure that nothing of serve runs any more.
func (h *Handler) Wait() { h.conns.Wait() }

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
