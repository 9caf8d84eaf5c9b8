// Package admin is the operator's page: who is connected, what a session and its readers went through, and, for those who may,
// acts on them. The page is embedded; all it shows comes over the JSON routes below /api/, which the command line uses too.
//
// # Who may
//
// Every request is authenticated by HTTP Basic (RFC 7617): a name, which stands in the audit log, and one of two passwords, to
// look or to act. Wrong ones are bounded by address. It belongs on an address of its own that the world does not reach.
//
// # Concurrency
//
// All methods may be called at any time; Run is called once.
package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/remote"
	"github.com/holdfast/holdfast/internal/revocation"
)

// Node is what the page needs of the server.
type Node interface {
	// Figures are how the node stands.
	Figures(ctx context.Context) (Figures, error)
	// Connections are the live ones of a user, all of them if user is "", at most limit.
	Connections(user holdfast.UserID, limit int) []Connection
	// Session describes a session; [holdfast.CodeNotFound] if it was never written to.
	Session(ctx context.Context, s holdfast.SessionID) (Session, error)
	// Timeline is what happened, by time; see [journal.Query]. For a session, its own entries are among it.
	Timeline(ctx context.Context, q journal.Query) ([]journal.Record, error)
	// Search finds names that begin with a text.
	Search(ctx context.Context, begin string) (journal.Names, error)

	// Disconnect, DisconnectUser and AskReport are as in the HTTP API.
	Disconnect(ctx context.Context, c holdfast.ConnID) (bool, error)
	DisconnectUser(ctx context.Context, u holdfast.UserID) (int, error)
	AskReport(ctx context.Context, c holdfast.ConnID) (bool, error)
	// EndRun ends an open run as interrupted.
	EndRun(ctx context.Context, s holdfast.SessionID, run holdfast.Offset) error

	// Revoke takes back what tokens allow, and Restore gives it back; false if there is no revocation of that id. Revocations
	// are a copy of what is revoked, by time. As in the HTTP API.
	Revoke(ctx context.Context, r revocation.Rule) (done revocation.Rule, closed, changed int, err error)
	Restore(ctx context.Context, id string) (bool, error)
	Revocations() []revocation.Rule
}

// Options are what the page is made with. Node and Password are required.
type Options struct {
	Node Node
	// Password lets look. It has at least 12 characters.
	Password string
	// ActPassword lets act too. Default: nobody may.
	ActPassword string
	// Audit gets a line of JSON for each act, before it is done: an act that cannot be written down is not done. It is called
	// from one goroutine at a time. Default: the log alone.
	Audit io.Writer
	// Logger gets each act, and who tried to come in without a password. Default: slog.Default().
	Logger *slog.Logger
	// Remote says where a request comes from: that of the client where a trusted proxy stands in front. Default: the request's
	// RemoteAddr.
	Remote func(*http.Request) netip.AddrPort
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// minPassword is how long a password is at least, in bytes.
const minPassword = 12

// Admin is the operator's page. Make it with [New].
type Admin struct {
	opts    Options
	mux     *http.ServeMux
	guesses *guesses
	audit   audit
	history history
}

// New returns the page. Errors are [holdfast.CodeInvalid] and name the option.
func New(o Options) (*Admin, error) {
	switch {
	case o.Node == nil:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the operator's page needs a node to show")
	case len(o.Password) < minPassword || o.ActPassword != "" && len(o.ActPassword) < minPassword:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "a password for the operator's page has at least %d characters", minPassword)
	case o.Password == o.ActPassword:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the passwords to look and to act are the same; who may look would act")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Remote == nil {
		o.Remote = remote.Trusted(nil).Of
	}
	a := &Admin{opts: o, mux: http.NewServeMux(), guesses: newGuesses(&o), audit: audit{to: o.Audit, log: o.Logger, now: o.Now}}
	a.mux.Handle("GET /", newFiles())
	a.routes()
	return a, nil
}

// ServeHTTP serves the page to who gives a password.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	who, ok := a.enter(w, r)
	if !ok {
		return
	}
	a.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), operatorKey{}, who)))
}

// A route answers with what is to be sent as JSON.
type route func(r *http.Request) (any, error)

func (a *Admin) routes() {
	look := map[string]route{
		"now": a.now, "history": a.past, "connections": a.connections, "session": a.session, "timeline": a.timeline,
		"search": a.search, "revocations": a.revocations, "me": a.me,
	}
	for name, run := range look {
		a.mux.HandleFunc("GET /api/"+name, answering(run))
	}
	for name, x := range acts {
		a.mux.HandleFunc("POST /api/"+name, answering(a.act(name, x)))
	}
}

func answering(run route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := run(r)
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// The only failure is the reader's, who is gone then.
		_ = json.NewEncoder(w).Encode(v)
	}
}

// statuses are those of the codes that these routes know.
var statuses = map[holdfast.Code]int{
	holdfast.CodeInvalid: http.StatusBadRequest, holdfast.CodeNotFound: http.StatusNotFound, holdfast.CodeForbidden: http.StatusForbidden,
	holdfast.CodeConflict: http.StatusConflict, holdfast.CodeEnded: http.StatusConflict, holdfast.CodeUnavailable: http.StatusServiceUnavailable,
	holdfast.CodeTooLarge: http.StatusRequestEntityTooLarge,
}

// refuse answers as RFC 9457 says.
func refuse(w http.ResponseWriter, err error) {
	status, ok := statuses[holdfast.CodeOf(err)]
	if !ok {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": holdfast.CodeOf(err), "detail": holdfast.MessageOf(err)})
}
