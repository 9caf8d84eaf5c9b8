package holdfast

import (
	"bytes"
	"encoding/json"
	"time"
)

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

// StopEvent is what the data of a stop's event says, an entry of [KindEvent]: one when it is requested, and another one with the
// outcome. A stop that comes too late has only the latter.
type StopEvent struct {
	ID string `json:"id"`
	// Run is the run, 0 while none has come; Answers is the message whose answer it is, 0 for none.
	Run     Offset    `json:"run,omitempty"`
	Answers Offset    `json:"answers,omitempty"`
	State   StopState `json:"state"`
	// User and Client are who asked for it; both empty: the backend.
	User   UserID   `json:"u,omitempty"`
	Client ClientID `json:"c,omitempty"`
}

// stopPrefix begins the data of every stop's event, and of no other that the server writes.
const stopPrefix = `{"stop":{`

type stopData struct {
	Stop StopEvent `json:"stop"`
}

// Marshal returns the event's data.
func (s *StopEvent) Marshal() json.RawMessage {
	data, err := json.Marshal(stopData{*s})
	if err != nil { // strings and numbers always can be written
		return nil
	}
	return data
}

// StopEvent returns what a stop's event says; false if the entry is not one.
func (e *Entry) StopEvent() (StopEvent, bool) {
	if e.Kind != KindEvent || !bytes.HasPrefix(e.Data, []byte(stopPrefix)) {
		return StopEvent{}, false
	}
	var d stopData
	if json.Unmarshal(e.Data, &d) != nil || d.Stop.State != StopRequested && !d.Stop.State.Settled() {
		return StopEvent{}, false
	}
	return d.Stop, true
}
