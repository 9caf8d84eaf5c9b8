package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/clientlog"
	"github.com/holdfast/holdfast/internal/quota"
	"github.com/holdfast/holdfast/internal/stranger"
	"github.com/holdfast/holdfast/transport/origin"
)

// ClientOptions are what the routes of users' clients work with. Auth, Reports, Logger and Now are required.
type ClientOptions struct {
	// Auth verifies the tokens of reports.
	Auth Auth
	// Origins are the pages that may ask, besides those of the request's own host.
	Origins origin.Allowed
	// Ready: whether it is of use to dial now. Nil: always.
	Ready func() bool
	// Reports gets each report, on the request's goroutine.
	Reports func(context.Context, *clientlog.Report)
	Logger  *slog.Logger
	Now     func() time.Time
}

// How often one user may send a report: reportBurst at once, and one in reportEvery for long.
const (
	reportBurst = 5
	reportEvery = 10 * time.Second
	// reportTimeout is how long the body of one may take to come, and its token to be verified.
	reportTimeout = 10 * time.Second
)

// clients is the handler of the routes that a user's client asks beside its connection.
type clients struct {
	ClientOptions
	// problems writes refusals.
	problems *api
	quota    *quota.Quota
}

// NewClients returns the handler of the routes that users' clients ask beside their connections, from any page that may
// connect. The last element of the path says which:
//
//	GET  ready   204, or 503 with Retry-After: whether dialing is of use. Browsers tell a page nothing of why a dial failed.
//	POST report  the client's log; 204 when it was taken
//
// Bodies may be of any type: browsers ask no permission to send text/plain.
func NewClients(o ClientOptions) http.Handler {
	return &clients{
		ClientOptions: o, problems: &api{Options: Options{Logger: o.Logger}},
		quota: quota.New(1/reportEvery.Seconds(), reportBurst, o.Now),
	}
}

// ServeHTTP answers one request.
func (s *clients) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	c := &call{w: w, r: r, rc: http.NewResponseController(w)}
	if !s.Origins.Share(w, r) {
		s.problems.refuse(c, statusError(http.StatusForbidden, "%s", origin.Refusal))
		return
	}
	method, handle := http.MethodPost, s.report
	if path.Base(r.URL.Path) == "ready" {
		method, handle = http.MethodGet, s.ready
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		s.problems.refuse(c, statusError(http.StatusMethodNotAllowed, "this path takes %s only", method))
		return
	}
	if err := handle(c); err != nil {
		s.problems.refuse(c, err)
	}
}

func (s *clients) ready(c *call) error {
	if s.Ready != nil && !s.Ready() {
		// No problem+json: the answer is the status, and it is no fault that a log should tell of.
		c.w.Header().Set("Retry-After", "1")
		c.wrote = true
		c.w.WriteHeader(http.StatusServiceUnavailable)
		return nil
	}
	c.noContent()
	return nil
}

func (s *clients) report(c *call) error {
	body, err := readReport(c)
	if err != nil {
		return err
	}
	r, token, err := clientlog.Parse(body)
	if holdfast.CodeOf(err) == holdfast.CodeInvalid {
		return statusError(http.StatusUnprocessableEntity, "%s", holdfast.MessageOf(err))
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), reportTimeout)
	defer cancel()
	grant, err := s.Auth.Verify(ctx, token)
	switch {
	case err != nil:
		return err
	case grant.User == "":
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the token names no user")
	case !grant.Expires.IsZero() && !s.Now().Before(grant.Expires):
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the token has expired; get a new one")
	}
	stranger.Known(c.r.Context())
	if wait, ok := s.quota.Take(string(grant.User)); !ok {
		return &tooSoon{wait, holdfast.Errorf(holdfast.CodeRateLimited, "too many reports; wait, or keep it for later")}
	}
	r.User, r.Received = grant.User, s.Now()
	s.Reports(c.r.Context(), &r)
	c.noContent()
	return nil
}

func readReport(c *call) ([]byte, error) {
	if err := checkEncoding(c.r); err != nil {
		return nil, err
	}
	// A writer without deadlines has its server's.
	_ = c.rc.SetReadDeadline(time.Now().Add(reportTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, clientlog.MaxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, holdfast.Errorf(holdfast.CodeTooLarge, "the report is larger than %d bytes; send less of the log", clientlog.MaxBody)
	case err != nil:
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the body broke off after %d bytes; repeat the request", len(body))
	}
	_ = c.rc.SetReadDeadline(time.Time{})
	return body, nil
}

// tooSoon is a refusal that says when to come back.
type tooSoon struct {
	wait time.Duration
	err  error
}

func (e *tooSoon) Error() string { return e.err.Error() }
func (e *tooSoon) Unwrap() error { return e.err }

// seconds is the wait as Retry-After has it: whole, and not too short.
func (e *tooSoon) seconds() int { return int(math.Ceil(e.wait.Seconds())) }
