package driver

import (
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
)

// Limits of turn taking.
const (
	// DefaultTurnLimit is how many messages wait at most where nothing else is said, MaxTurnLimit the most that may be said.
	DefaultTurnLimit, MaxTurnLimit = 32, 1000
	// DefaultTurnWait is how long an answer is waited for where nothing else is said, MaxTurnWait the most that may be said.
	DefaultTurnWait, MaxTurnWait = 30 * time.Second, time.Hour
	// MaxTurnsBytes is how large the state may be that shows the queue, but for a queue of one message, which may be as
	// large as any message.
	MaxTurnsBytes = 256 << 10
)

// TurnRules say what becomes of what users send while a session is busy. The zero value lets everything in.
type TurnRules struct {
	// Policy "" is [holdfast.TurnParallel].
	Policy holdfast.TurnPolicy
	// Limit is how many messages wait at most; 0 is [DefaultTurnLimit].
	Limit int
	// Wait is how long the session stays busy for the sake of a message that was let in and whose answer has not begun;
	// 0 is [DefaultTurnWait]. It is kept in milliseconds.
	Wait time.Duration
}

// Parallel reports whether nothing ever waits.
func (r *TurnRules) Parallel() bool {
	return r.Policy == "" || r.Policy == holdfast.TurnParallel
}

// Most returns how many messages wait at most.
func (r *TurnRules) Most() int {
	if r.Limit == 0 {
		return DefaultTurnLimit
	}
	return r.Limit
}

// Patience returns how long an answer is waited for.
func (r *TurnRules) Patience() time.Duration {
	if r.Wait == 0 {
		return DefaultTurnWait
	}
	return r.Wait
}

// Check reports what rules cannot be, as [holdfast.CodeInvalid], or nil.
func (r *TurnRules) Check() error {
	switch {
	case r.Policy != "" && !r.Policy.Known():
		return holdfast.Errorf(holdfast.CodeInvalid, "unknown policy %q; parallel, queue, latest, reject and interrupt are known", r.Policy)
	case r.Limit < 0 || r.Limit > MaxTurnLimit:
		return holdfast.Errorf(holdfast.CodeInvalid, "limit is %d; it may be 1 to %d messages", r.Limit, MaxTurnLimit)
	case r.Wait < 0 || r.Wait > MaxTurnWait || r.Wait%time.Millisecond != 0:
		return holdfast.Errorf(holdfast.CodeInvalid, "wait is %s; it may be 1 ms to %s, in whole milliseconds", r.Wait, MaxTurnWait)
	}
	return nil
}

// Turns is how a session stands with taking turns. While Queue is not empty, the session is busy: a run is open, or Turn is set.
type Turns struct {
	// Rules are the session's own if Own is set, else those that came with the latest message of a user.
	Rules TurnRules
	Own   bool
	Turn  Turn
	// Queue is what waits, in the order in which it is let in.
	Queue []Held
}

// Turn is a message that was let in and whose answer has not ended. The zero value is none.
type Turn struct {
	// Message is its offset.
	Message holdfast.Offset
	// Until is how long a run that answers it is waited for; zero from when one was opened.
	Until time.Time
}

// Held is a message that waits for its turn.
type Held struct {
	// ID is its sender's id of it. May be empty; then it can neither be withdrawn nor moved.
	ID   string
	From holdfast.Sender
	// At is when it was sent, by the clock of the server.
	At   time.Time
	Data json.RawMessage
	// Feed is [NewEntry.Feed].
	Feed bool
}

// SetTurns gives a session its own rules; it creates the session if it is not there. What waits stays, and is let in by
// the new rules: at once, if they are parallel.
type SetTurns struct{ Rules TurnRules }

// EditQueue takes a message out of the queue, or gives it another place there. The ID is an idempotency key as an entry's is:
// repeating it returns the first result. It is [holdfast.CodeNotFound] if there never was such a message and
// [holdfast.CodeConflict] if it has left the queue; withdrawing what was withdrawn is acknowledged.
//
// Whether From may do it is for the caller to judge: the message's sender is Of.
type EditQueue struct {
	// ID must be set.
	ID   string
	From holdfast.Sender
	// Do is [holdfast.TurnWithdrawn] or [holdfast.TurnMoved].
	Do holdfast.TurnState
	Of HeldRef
	// To is the place to move to, counted from 0; past the end is the end.
	To int
}

// HeldRef names a message that waits.
type HeldRef struct {
	User holdfast.UserID
	ID   string
}

// EndTurn ends the turn of a message whose answer has not ended: there will be none, or with Lapsed, none has begun in time,
// which the engine judges by its own clock. A turn that is over, and one that is waited for still, is left as it is.
type EndTurn struct {
	Message holdfast.Offset
	Lapsed  bool
}

func (SetTurns) op()  {}
func (EditQueue) op() {}
func (EndTurn) op()   {}
