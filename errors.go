package holdfast

import (
	"errors"
	"fmt"
)

// Code classifies an error; the set is closed. A caller decides by the code, a person reads the text.
type Code string

// The codes. The comment says what the caller should do.
const (
	// CodeInvalid: the input breaks a rule that the text names. Correct it; repeating it changes nothing.
	CodeInvalid Code = "invalid"
	// CodeTooLarge: the input is over a limit that the text names. Send less.
	CodeTooLarge Code = "too_large"
	// CodeUnauthorized: there is no token, or it does not verify, or it has expired. Sign in again.
	CodeUnauthorized Code = "unauthorized"
	// CodeForbidden: the token does not allow this. Do not repeat it.
	CodeForbidden Code = "forbidden"
	// CodeNotFound: there is no such session, run, entry or path.
	CodeNotFound Code = "not_found"
	// CodeConflict: the session is not in the state that the request supposed; the text says how it stands.
	CodeConflict Code = "conflict"
	// CodeFenced: a later producer has taken the run over. Stop writing.
	CodeFenced Code = "fenced"
	// CodeEnded: the run has ended already. Stop writing.
	CodeEnded Code = "run_ended"
	// CodeStopped: somebody has asked for the run to be stopped. Stop writing, and end the run as stopped.
	CodeStopped Code = "stopped"
	// CodeGap: fragments are missing before the ones sent. Send again from the number expected.
	CodeGap Code = "gap"
	// CodeLost: the position is not of this log any more. Read from the start or from a snapshot.
	CodeLost Code = "lost"
	// CodeRateLimited: too much in too short a time. Wait as told, then repeat.
	CodeRateLimited Code = "rate_limited"
	// CodeUnavailable: the server cannot do it now: it is starting, stopping, or its store fails. Repeat later.
	CodeUnavailable Code = "unavailable"
	// CodeInternal: a fault of the server; its log has the detail.
	CodeInternal Code = "internal"
)

// Codes returns all codes, in the order in which they are documented.
func Codes() []Code {
	return []Code{CodeInvalid, CodeTooLarge, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeConflict, CodeFenced,
		CodeEnded, CodeStopped, CodeGap, CodeLost, CodeRateLimited, CodeUnavailable, CodeInternal}
}

// Error is a refusal with a code.
type Error struct {
	Code Code
	// Message is for people: what was wrong and what to do. It never holds a token or another user's data.
	Message string
	// Run is how a run stands, with CodeGap, CodeEnded, CodeStopped and CodeFenced; else nil.
	Run *RunInfo
	// Err is the cause, for logs only; it is never shown to a client. May be nil.
	Err error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an [Error] without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an [Error] whose cause is err.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
}

// CodeOf returns the code of err: that of the first [Error] in its chain, [CodeInternal] for another error, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// MessageOf returns the text of err that may be shown to a client.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return "internal error; the server's log has the detail"
}
