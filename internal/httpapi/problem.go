package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
)

// outcome is what one code becomes over HTTP.
type outcome struct {
	status int
	title  string
	// retry is the Retry-After, in seconds; 0 for none.
	retry int
}

// outcomeOf is the table from codes to HTTP. Conflicts that the error's run explains are 409; a position whose log is
// gone is 410, since it will not come back.
func outcomeOf(code holdfast.Code) outcome {
	switch code {
	case holdfast.CodeInvalid:
		return outcome{http.StatusBadRequest, "The request is not valid", 0}
	case holdfast.CodeTooLarge:
		return outcome{http.StatusRequestEntityTooLarge, "The request is too large", 0}
	case holdfast.CodeUnauthorized:
		return outcome{http.StatusUnauthorized, "No valid token", 0}
	case holdfast.CodeForbidden:
		return outcome{http.StatusForbidden, "The token does not allow this", 0}
	case holdfast.CodeNotFound:
		return outcome{http.StatusNotFound, "Not found", 0}
	case holdfast.CodeConflict:
		return outcome{http.StatusConflict, "The session is not as the request supposes", 0}
	case holdfast.CodeFenced:
		return outcome{http.StatusConflict, "Another producer has taken the run over", 0}
	case holdfast.CodeEnded:
		return outcome{http.StatusConflict, "The run has ended", 0}
	case holdfast.CodeStopped:
		return outcome{http.StatusConflict, "A stop of the run was requested", 0}
	case holdfast.CodeGap:
		return outcome{http.StatusConflict, "Something is missing before what was sent", 0}
	case holdfast.CodeLost:
		return outcome{http.StatusGone, "The position is not of this log any more", 0}
	case holdfast.CodeRateLimited:
		return outcome{http.StatusTooManyRequests, "Too many requests", 1}
	case holdfast.CodeUnavailable:
		return outcome{http.StatusServiceUnavailable, "Not possible right now", 2}
	}
	return outcome{http.StatusInternalServerError, "Internal error", 0}
}

// httpError is a refusal that HTTP has a status of its own for; its code is invalid.
type httpError struct {
	status int
	detail string
}

func (e *httpError) Error() string { return e.detail }

func statusError(status int, format string, args ...any) error {
	return &httpError{status, fmt.Sprintf(format, args...)}
}

// problem is the body of a refusal (RFC 9457). Type is a relative reference: it names the problem, and a site that
// documents this server can be put before it.
type problem struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Detail string        `json:"detail"`
	Code   holdfast.Code `json:"code"`
	Run    *runObject    `json:"run,omitzero"`
}

func problemOf(err error) (p problem, retry int) {
	var h *httpError
	if errors.As(err, &h) {
		return problem{
			Type: "/problems/" + string(holdfast.CodeInvalid), Title: http.StatusText(h.status), Status: h.status,
			Detail: h.detail, Code: holdfast.CodeInvalid,
		}, 0
	}
	code, detail := holdfast.CodeOf(err), holdfast.MessageOf(err)
	if errors.Is(err, context.DeadlineExceeded) {
		code, detail = holdfast.CodeUnavailable, "the store took too long; repeat the request, with the same ids"
	}
	o := outcomeOf(code)
	p = problem{Type: "/problems/" + string(code), Title: o.title, Status: o.status, Detail: detail, Code: code}
	var e *holdfast.Error
	if errors.As(err, &e) && e.Run != nil {
		run := runOf(e.Run)
		p.Run = &run
	}
	var soon *tooSoon
	if errors.As(err, &soon) {
		return p, soon.seconds()
	}
	return p, o.retry
}

// elsewhere is a refusal of a server that starts or stops, which is no fault that a log should tell of.
type elsewhere struct{ err error }

func (e *elsewhere) Error() string { return e.err.Error() }
func (e *elsewhere) Unwrap() error { return e.err }

// movedOn reports whether a request was refused because the server starts or stops: where it has let go of the store that is what its
// operations say.
func (a *api) movedOn(err error) bool {
	if _, is := err.(*elsewhere); is {
		return true
	}
	select {
	case <-a.Stopping:
		return holdfast.CodeOf(err) == holdfast.CodeUnavailable
	default:
		return false
	}
}

// refuse writes an error as the answer, and logs it if it is the server's fault.
func (a *api) refuse(c *call, err error) {
	p, retry := problemOf(err)
	if c.r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client has left, and its leaving is the error
	}
	moved := a.movedOn(err)
	if moved {
		retry = 0 // the next one may be there already, and the run's readers wait
	}
	if p.Status >= 500 && !moved {
		a.Logger.ErrorContext(c.r.Context(), "request failed", "method", c.r.Method, "route", c.r.Pattern, "session", string(c.session),
			"code", string(p.Code), "err", err)
	}
	if c.wrote {
		return
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/problem+json")
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(c.r))
	}
	body, merr := json.Marshal(&p)
	if merr != nil {
		a.Logger.ErrorContext(c.r.Context(), "problem not encoded", "code", string(p.Code), "err", merr)
		body = []byte("{}")
	}
	early := c.streams && !c.bodyRead
	if early && c.r.ProtoMajor == 1 {
		// Without it net/http reads up to 256 KiB of the body before it lets an answer out: a producer whose run was
		// stopped, or whose token is bad, would learn of it when it has nothing more to say. On HTTP/2 it would end
		// the whole connection, and is not needed.
		h.Set("Connection", "close")
	}
	c.wrote = true
	c.w.WriteHeader(p.Status)
	_, _ = c.w.Write(append(body, '\n'))
	if early {
		c.hangUp()
	}
}

// challenge is RFC 6750 §3: without a token there is no error to name.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return `Bearer realm="holdfast"`
	}
	return `Bearer realm="holdfast", error="invalid_token"`
}
