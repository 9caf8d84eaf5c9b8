package holdfast

// ReservedPrefix begins the keys of states, and the ids, that only the server itself writes.
const ReservedPrefix = "holdfast:"

// TurnsKey is the key of the state that shows what waits for its turn in a session.
const TurnsKey = ReservedPrefix + "turns"

// TurnPolicy says what becomes of a message that a user sends while the session is busy: while a run is open, or an earlier
// message waits for its answer.
type TurnPolicy string

// The policies, a closed set.
const (
	// TurnParallel: it is written at once, as if nothing were going on. The default.
	TurnParallel TurnPolicy = "parallel"
	// TurnQueue: it waits in the queue, and is written when its turn comes.
	TurnQueue TurnPolicy = "queue"
	// TurnLatest: it waits, and replaces what the same user had waiting.
	TurnLatest TurnPolicy = "latest"
	// TurnReject: it is refused with [CodeConflict].
	TurnReject TurnPolicy = "reject"
	// TurnInterrupt: it waits, and the runs that are open are asked to stop, in its sender's name.
	TurnInterrupt TurnPolicy = "interrupt"
)

// Known reports whether the policy is one of the set.
func (p TurnPolicy) Known() bool {
	switch p {
	case TurnParallel, TurnQueue, TurnLatest, TurnReject, TurnInterrupt:
		return true
	}
	return false
}

// TurnState says what became of a message that was not written at once. It is empty for one that is in the log.
type TurnState string

// The states of a message that waits for its turn, and what a command to the queue did.
const (
	// TurnQueued: it waits.
	TurnQueued TurnState = "queued"
	// TurnWithdrawn: it was taken out of the queue, and is never written.
	TurnWithdrawn TurnState = "withdrawn"
	// TurnReplaced: a later message of its sender took its place, and it is never written.
	TurnReplaced TurnState = "replaced"
	// TurnMoved: it was given another place in the queue. Said of a command only.
	TurnMoved TurnState = "moved"
)
