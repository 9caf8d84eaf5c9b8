package httpapi

import (
	"context"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/stranger"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/store/driver"
)

// access says whose token a route takes.
type access int

const (
	forBackend access = iota
	// forReaders: also a user's token that may read the session named in the path.
	forReaders
	// forAnyone: no token; for what is the same for everybody.
	forAnyone
)

type route struct {
	method, path string
	access       access
	handle       func(*call) error
	// streams: the body comes for as long as the client likes.
	streams bool
}

func (a *api) routes() []route {
	return []route{
		{method: "POST", path: "/v1/sessions/{session}/entries", access: forBackend, handle: a.postEntries},
		{method: "GET", path: "/v1/sessions/{session}/entries", access: forReaders, handle: a.getEntries},
		{method: "PUT", path: "/v1/sessions/{session}/states/{key}", access: forBackend, handle: a.putState},
		{method: "GET", path: "/v1/sessions/{session}/states", access: forReaders, handle: a.getStates},
		{method: "GET", path: "/v1/sessions/{session}/members", access: forReaders, handle: a.getMembers},
		{method: "POST", path: "/v1/sessions/{session}/runs", access: forBackend, handle: a.postRun},
		{method: "GET", path: "/v1/sessions/{session}/runs/{run}", access: forReaders, handle: a.getRun},
		{method: "POST", path: "/v1/sessions/{session}/runs/{run}/fragments", access: forBackend, handle: a.postFragments},
		{method: "POST", path: "/v1/sessions/{session}/runs/{run}/end", access: forBackend, handle: a.postEnd},
		{method: "POST", path: "/v1/sessions/{session}/stops", access: forBackend, handle: a.postStop},
		{method: "GET", path: "/v1/sessions/{session}/stops/{stop}", access: forBackend, handle: a.getStop},
		{method: "POST", path: "/v1/sessions/{session}/requests", access: forBackend, handle: a.postRequest},
		{method: "GET", path: "/v1/sessions/{session}/requests", access: forReaders, handle: a.getRequests},
		{method: "GET", path: "/v1/sessions/{session}/requests/{request}", access: forReaders, handle: a.getRequest},
		{method: "POST", path: "/v1/sessions/{session}/requests/{request}/answer", access: forBackend, handle: a.postAnswer},
		{method: "POST", path: "/v1/sessions/{session}/requests/{request}/withdraw", access: forBackend, handle: a.postWithdraw},
		{method: "GET", path: "/v1/sessions/{session}/turns", access: forReaders, handle: a.getTurns},
		{method: "PUT", path: "/v1/sessions/{session}/turns", access: forBackend, handle: a.putTurns},
		{method: "POST", path: "/v1/sessions/{session}/turns/withdraw", access: forBackend, handle: a.postTurnWithdrawn},
		{method: "POST", path: "/v1/sessions/{session}/turns/move", access: forBackend, handle: a.postTurnMoved},
		{method: "POST", path: "/v1/sessions/{session}/turns/{message}/done", access: forBackend, handle: a.postTurnDone},
		{method: "PUT", path: "/v1/sessions/{session}/pipe", access: forBackend, handle: a.putPipe, streams: true},
		{method: "GET", path: "/v1/sessions", access: forBackend, handle: a.getSessions},
		{method: "GET", path: "/v1/sessions/{session}", access: forReaders, handle: a.getSession},
		{method: "DELETE", path: "/v1/sessions/{session}", access: forBackend, handle: a.deleteSession},
		{method: "GET", path: "/v1/runs", access: forBackend, handle: a.getOpenRuns},
		{method: "GET", path: "/v1/feed", access: forBackend, handle: a.getFeed},
		{method: "GET", path: "/v1/feed/consumers/{name}", access: forBackend, handle: a.getConsumer},
		{method: "POST", path: "/v1/feed/consumers/{name}", access: forBackend, handle: a.postConsumer},
		{method: "GET", path: "/v1/webhooks", access: forBackend, handle: a.getWebhooks},
		{method: "GET", path: "/v1/webhooks/{endpoint}/letters", access: forBackend, handle: a.getLetters},
		{method: "DELETE", path: "/v1/webhooks/{endpoint}/letters/{letter}", access: forBackend, handle: a.deleteLetter},
		{method: "POST", path: "/v1/webhooks/{endpoint}/replay", access: forBackend, handle: a.postReplay},
		{method: "POST", path: "/v1/webhooks/{endpoint}/enable", access: forBackend, handle: a.postEnable},
		{method: "GET", path: "/v1/users/{user}/connections", access: forBackend, handle: a.getConnections},
		{method: "DELETE", path: "/v1/users/{user}/connections", access: forBackend, handle: a.deleteUserConnections},
		{method: "DELETE", path: "/v1/connections/{conn}", access: forBackend, handle: a.deleteConnection},
		{method: "POST", path: "/v1/connections/{conn}/report", access: forBackend, handle: a.askReport},
		{method: "POST", path: "/v1/revocations", access: forBackend, handle: a.postRevocation},
		{method: "GET", path: "/v1/revocations", access: forBackend, handle: a.getRevocations},
		{method: "DELETE", path: "/v1/revocations/{revocation}", access: forBackend, handle: a.deleteRevocation},
		{method: "GET", path: "/v1/openapi.json", access: forAnyone, handle: a.getOpenAPI},
	}
}

// api is the handler. It holds nothing that changes.
type api struct {
	Options
	mux *http.ServeMux
}

// call is one request on its way through a handler; it belongs to the request's goroutine.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	grant holdfast.Grant
	// access is the route's.
	access access
	// session is the validated {session} of the path, "" on routes without it.
	session holdfast.SessionID
	// streams is the route's; bodyRead says that the body of such a request has come to its end.
	streams, bodyRead bool
	// wrote: the answer has begun, so that an error can no longer become a problem.
	wrote bool
}

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if t, ok := trace.Parse(r.Header.Get("Traceparent")); ok {
		r = r.WithContext(driver.WithTrace(trace.With(r.Context(), t), t.String()))
	}
	if problem := a.unroutable(w, r); problem != nil {
		a.refuse(&call{w: w, r: r}, problem)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// unroutable reports what the mux would answer by itself, which would not be problem+json: paths that it does not know,
// methods that a path does not have, and redirects of paths that are not clean.
func (a *api) unroutable(w http.ResponseWriter, r *http.Request) error {
	escaped := r.URL.EscapedPath()
	if escaped != "/" && path.Clean(escaped) != strings.TrimSuffix(escaped, "/") {
		return holdfast.Errorf(holdfast.CodeNotFound, "the path has empty or dot segments; send it clean, and a session "+
			"whose id is made of dots with %%2E for each")
	}
	if _, pattern := a.mux.Handler(r); pattern != "" {
		return nil
	}
	var allowed []string
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is nothing at this path; /v1/openapi.json lists what there is")
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return statusError(http.StatusMethodNotAllowed, "this path takes %s only", strings.Join(allowed, " and "))
}

// serve wraps a route's handler: token, session, then the handler, then its error as a problem.
func (a *api) serve(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, rc: http.NewResponseController(w), access: rt.access, streams: rt.streams}
		if rt.streams {
			c.liftLimits()
		}
		if err := a.admit(c, rt); err != nil {
			a.refuse(c, err)
			return
		}
		if err := rt.handle(c); err != nil {
			a.refuse(c, err)
		}
	}
}

// admit does what comes before every handler. The token is looked at first, so that nobody without one can probe the
// rest.
func (a *api) admit(c *call, rt route) error {
	if rt.access != forAnyone {
		if err := a.identify(c); err != nil {
			return err
		}
	}
	if strings.Contains(rt.path, "{session}") {
		c.session = holdfast.SessionID(c.r.PathValue("session"))
		if err := c.session.Validate(); err != nil {
			return err
		}
	}
	return authorize(c, rt.access)
}

// identify finds out who it is, and waits until the store can be used.
func (a *api) identify(c *call) error {
	early := a.isEarly()
	if err := a.authenticate(c); err != nil {
		return err
	}
	// Who has shown a token may take time: net/http would take a deadline that passes for the client's leaving.
	_ = c.rc.SetReadDeadline(time.Time{})
	stranger.Known(c.r.Context())
	if a.Available == nil {
		return nil
	}
	if err := a.Available(c.r.Context()); err != nil {
		// The next request is to find another server, if there is a proxy in front that knows one.
		c.w.Header().Set("Connection", "close")
		return &elsewhere{err}
	}
	if early {
		// What was revoked is in the store: a token that was taken back looked good before that was open.
		return a.authenticate(c)
	}
	return nil
}

// isEarly reports whether the store is not open yet.
func (a *api) isEarly() bool {
	if a.Opened == nil {
		return false
	}
	select {
	case <-a.Opened:
		return false
	default:
		return true
	}
}

// storeContext bounds one operation of the store. detached keeps it going when the client has left: what has arrived
// is to be written.
func (a *api) storeContext(c *call, detached bool) (context.Context, context.CancelFunc) {
	ctx := c.r.Context()
	if detached {
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithTimeout(ctx, a.Limits.Store)
}

// answer writes v as the JSON answer.
func (c *call) answer(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the answer could not be written")
	}
	c.wrote = true
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	// An error means that the client has left; there is nobody to tell.
	_, _ = c.w.Write(append(body, '\n'))
	return nil
}

// liftLimits lets the request live as long as its body does. A writer that cannot has no limits to lift, or its server
// cuts the request, which is then repeated.
func (c *call) liftLimits() {
	_ = c.rc.SetReadDeadline(time.Time{})
	_ = c.rc.SetWriteDeadline(time.Time{})
}

// hangUp ends a connection whose body is still coming: the rest is in the way of another request. The answer has
// to be out before, for the read deadline, which makes a read under way return, ends the connection.
func (c *call) hangUp() {
	_ = c.rc.Flush()
	_ = c.rc.SetReadDeadline(time.Unix(1, 0))
}
