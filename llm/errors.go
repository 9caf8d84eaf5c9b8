package llm

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what went wrong with a provider. It is the code of a failed run's error.
type Code string

// The codes, a closed set.
const (
	// CodeRefused is a request that the provider does not accept.
	CodeRefused Code = "provider_refused"
	// CodeBusy is a provider that has too much to do, or a caller that has used up what it may.
	CodeBusy Code = "provider_busy"
	// CodeUnavailable is a provider that cannot be reached or does not work.
	CodeUnavailable Code = "provider_unavailable"
	// CodeCut is an answer that broke off.
	CodeCut Code = "provider_cut"
	// CodeInvalid is a stream that is not what it should be.
	CodeInvalid Code = "provider_invalid"
)

// reasons are what people may be told. What a provider itself says may hold names of accounts and parts of keys.
var reasons = map[Code]string{
	CodeRefused:     "The model's provider did not accept the request.",
	CodeBusy:        "The model's provider is busy. Try again later.",
	CodeUnavailable: "The model's provider is not available. Try again later.",
	CodeCut:         "The model's answer broke off.",
	CodeInvalid:     "The model's provider sent something that cannot be read.",
}

// Error is what a provider failed with. Its text may hold what the provider said: it is for logs.
type Error struct {
	Code Code
	// Status is that of the provider's answer, 0 if there was none or it was not the matter.
	Status int
	// Said is what the provider said, shortened; may be empty.
	Said string
	// Err is the error below, if there is one.
	Err error
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Status != 0 {
		s += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Said != "" {
		s += ": " + e.Said
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return "llm: " + s
}

func (e *Error) Unwrap() error { return e.Err }

// Reason is what may be shown to people.
func (e *Error) Reason() string { return reasons[e.Code] }

// statusError is the error for an answer with a status other than 200.
func statusError(status int, said string) *Error {
	e := &Error{Code: CodeRefused, Status: status, Said: clip(said)}
	switch {
	case status == http.StatusTooManyRequests, status == 529: // 529: overloaded, of Anthropic
		e.Code = CodeBusy
	case status >= 500, status == http.StatusRequestTimeout:
		e.Code = CodeUnavailable
	}
	return e
}

// eventError is the error that a provider tells of in its stream, with the words that it has for it.
func eventError(kind, said string) *Error {
	e := &Error{Code: CodeUnavailable, Said: clip(kind + ": " + said)}
	switch kind {
	case "rate_limit_error", "rate_limit_exceeded", "overloaded_error", "insufficient_quota":
		e.Code = CodeBusy
	case "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "invalid_prompt":
		e.Code = CodeRefused
	}
	return e
}

// readError is the error for a stream that cannot be read on.
func readError(err error) *Error {
	if errors.Is(err, errEventTooLong) {
		return &Error{Code: CodeInvalid, Err: err}
	}
	return &Error{Code: CodeCut, Err: err}
}

func clip(s string) string {
	if len(s) > 2000 {
		return s[:2000] + "..."
	}
	return s
}
