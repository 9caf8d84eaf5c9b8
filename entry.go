package holdfast

import (
	"encoding/json"
	"time"
)

// Kind says what an entry is. Its text form is what stands on the wire.
type Kind string

// The kinds of entries, a closed set.
const (
	// KindMessage is a message of a user or of the backend.
	KindMessage Kind = "message"
	// KindRun is a run: an entry that grows until it ends.
	KindRun Kind = "run"
	// KindState is a state: an entry with a key, of which the latest counts and older ones may be compacted away.
	KindState Kind = "state"
	// KindEvent is an event of the session itself.
	KindEvent Kind = "event"
)

// Sender says who wrote an entry: a user through one of its clients, or, both empty, the backend.
type Sender struct {
	User   UserID
	Client ClientID
}

// Entry is one record of a session's log.
type Entry struct {
	// Offset is where the entry stands. First is the first offset that it covers: states that stood at First to
	// Offset-1 were compacted away because later ones of the same keys exist. Mostly First equals Offset.
	Offset, First Offset
	// Tag identifies this record; see [Tag].
	Tag  Tag
	Kind Kind
	// At is when the entry was committed, by the clock of the server, in milliseconds.
	At time.Time
	// ID is the sender's id of this entry: a client's message id or the backend's idempotency key. May be empty.
	ID   string
	From Sender
	// Key is a state's key; empty in other kinds.
	Key string
	// Data is the application's, as JSON. In a run it is what was given when the run was opened; may be empty there.
	Data json.RawMessage
	// Run is set in runs only.
	Run *Run
}

// RunStatus is the life of a run: open, then exactly one of the ends.
type RunStatus string

// The statuses of a run, a closed set.
const (
	RunOpen        RunStatus = "open"
	RunComplete    RunStatus = "complete"
	RunStopped     RunStatus = "stopped"
	RunFailed      RunStatus = "failed"
	RunInterrupted RunStatus = "interrupted"
)

// Ended reports whether the status is one of the ends.
func (s RunStatus) Ended() bool {
	switch s {
	case RunComplete, RunStopped, RunFailed, RunInterrupted:
		return true
	}
	return false
}

// Fence numbers the producers of a run: each that takes over gets the next one, and the earlier is refused.
type Fence uint64

// Run is what grows in an entry of [KindRun].
type Run struct {
	Status RunStatus
	// Fence is that of the producer who wrote last.
	Fence Fence
	// Fragments is how many fragments there are, and so the number of the last one.
	Fragments FragmentNo
	// Tag is the chain over all fragments, see [ChainTag].
	Tag Tag
	// Answers is the offset of the message that the run answers; 0 for none.
	Answers Offset
	// Stop is the stop of the run, if one was requested.
	Stop Stop
	// Rollup is as in [RunInfo].
	Rollup time.Duration
	// Body holds the fragments, or those of them that were asked for.
	Body Body
	// End is what the producer said at the end, as JSON: usage, a finish reason, an error. May be empty.
	End json.RawMessage
}

// RunInfo is a run without its contents.
type RunInfo struct {
	Run       Offset
	ID        string
	Status    RunStatus
	Fence     Fence
	Fragments FragmentNo
	Tag       Tag
	// Bytes is the size of all texts and events so far; TextBytes that of the texts alone.
	Bytes, TextBytes int64
	// At is when the run was opened; Changed when a fragment was last appended.
	At, Changed time.Time
	// Answers is the offset of the message that the run answers; 0 for none.
	Answers Offset
	// Stop is the stop of the run, if one was requested. While the run is open it is in state requested.
	Stop Stop
	// Rollup is for how long texts of the run may be held back, so that readers get them in fewer and larger frames: whole
	// milliseconds, at most [MaxRollup]. 0: not at all, and after the end.
	Rollup time.Duration
}

// MaxRollup is for how long texts are held back at most, whether the run or the reader asks for it.
const MaxRollup = 500 * time.Millisecond

// CheckRollup reports what is wrong with a window, as an [Error] with [CodeInvalid], or nil.
func CheckRollup(d time.Duration) error {
	if d < 0 || d > MaxRollup || d%time.Millisecond != 0 {
		return Errorf(CodeInvalid, "the rollup is %v; it may be 0 to %v, in whole milliseconds", d, MaxRollup)
	}
	return nil
}
