package holdfast

import "time"

// StopState is how far a stop has come: requested, then exactly one of the outcomes.
type StopState string

// The states of a stop, a closed set.
const (
	// StopRequested: the producer is to be told; nothing more is written to the run.
	StopRequested StopState = "requested"
	// StopStopped: the producer heard of it and ended the run as stopped.
	StopStopped StopState = "stopped"
	// StopTooLate: the run had ended, or its producer ended it in another way.
	StopTooLate StopState = "too_late"
	// StopUnreachable: the producer was not heard of in time, and the server ended the run as stopped; or no run came that
	// could be stopped.
	StopUnreachable StopState = "unreachable"
)

// Settled reports whether the state is one of the outcomes.
func (s StopState) Settled() bool {
	switch s {
	case StopStopped, StopTooLate, StopUnreachable:
		return true
	}
	return false
}

// Stop is somebody's wish that a run end. The zero value is no stop. A run has at most one.
type Stop struct {
	// ID is its author's id of it, an idempotency key in the author's scope.
	ID string
	// From is its author.
	From Sender
	// At is when it was requested.
	At    time.Time
	State StopState
}
