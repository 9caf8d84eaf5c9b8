// Package session holds the rules of a session's log: what an operation does to it, and when it is refused. It is pure:
// it has no goroutine, clock, socket, logger or storage. An engine gives [Apply] the session as it stands, the
// operation, the time, and a [Lookup] into what is stored; Apply returns the session as it stands then and the
// [Effects] that the engine must store in one atomic step. The engines in this repository that run inside the program share it; an engine
// whose data is elsewhere must follow the same rules there.
//
// # A session's state
//
// The state is a [driver.Info]. Apply never changes the one it is given, nor the slices in it, so an engine may hand
// the same value to readers.
package session

import (
	"iter"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Input is one operation and what it needs from outside.
type Input struct {
	Session holdfast.SessionID
	Op      driver.Op
	// Now becomes the time of what is written, cut to milliseconds.
	Now time.Time
	// Epoch is the epoch that the session gets if this operation is its first write.
	Epoch holdfast.Epoch
}

// Lookup answers what a session's log holds, everything before this operation included. Its errors end the operation.
type Lookup interface {
	// Known returns what an id was used for, in the scope of the user who sent it.
	Known(user holdfast.UserID, id string) (Known, bool, error)
	// Latest returns the latest state of a key.
	Latest(key string) (Standing, bool, error)
	// Ended returns the ended run at an offset; false if something else or nothing is there.
	Ended(o holdfast.Offset) (holdfast.RunInfo, bool, error)
	// Event returns the entry at an offset, which is an event; false if something else or nothing is there.
	Event(o holdfast.Offset) (holdfast.Entry, bool, error)
	// Below yields what stands before an offset, in ascending order.
	Below(o holdfast.Offset) iter.Seq2[Standing, error]
}

// Known is what an idempotency key was used for. It outlives the entry.
type Known struct {
	Offset holdfast.Offset
	Tag    holdfast.Tag
	At     time.Time
	// Run says that it opened a run. Ended is how that run ended, nil while it is open.
	Run   bool
	Ended *holdfast.RunInfo
	// Stop is the stop that it requested, as it stands now; nil for others.
	Stop *driver.StopInfo
	// Request is the request that it settled, in RequestsScope; nil for others.
	Request *holdfast.Request
	// Turn is what became of a message that had to wait and is not in the log; or, with Command, what the command did that
	// had the id.
	Turn    holdfast.TurnState
	Command bool
}

// AnswersScope is the scope of what no user's id can be, as it holds a control character: the runs that answer messages,
// known by the message's offset in decimal. The latest run counts.
const AnswersScope holdfast.UserID = "\x01answers"

// Keyed is what an id stands for.
type Keyed struct {
	User holdfast.UserID
	ID   string
	Known
}

// KnownBy returns what a new entry's ID stands for.
func KnownBy(e *holdfast.Entry) Known {
	return Known{Offset: e.Offset, Tag: e.Tag, At: e.At, Run: e.Kind == holdfast.KindRun}
}

// StandingOf returns an entry without its contents.
func StandingOf(e *holdfast.Entry) Standing {
	return Standing{Offset: e.Offset, Tag: e.Tag, Kind: e.Kind, Size: Size(e)}
}

// Standing is an entry that the log holds, without its contents. Size is as [Size] says, with a run's contents.
type Standing struct {
	Offset holdfast.Offset
	Tag    holdfast.Tag
	Kind   holdfast.Kind
	Size   int64
}

// Effects is what the engine must store, all or nothing, in this order. In the feed the end comes before the entries.
type Effects struct {
	// Entries are new: stored at their offsets, known by their IDs, the latest of their keys.
	Entries []holdfast.Entry
	// Feed are those of the entries that go into the feed too.
	Feed []holdfast.Entry
	// Known are what ids stand for from now on, those of Entries among them.
	Known []Keyed
	// Replaced are states that go away, some of them perhaps among Entries.
	Replaced []Replaced
	// Runs are open runs as they stand now, after they were opened, taken over or appended to, or asked to stop.
	Runs []holdfast.RunInfo
	// Fragments are new in the one run among Runs.
	Fragments *driver.NewFragments
	// End ends a run, which may be one of Entries. It goes into the feed too; see [Compact.EndedItem].
	End *End
	// Queue says that Info.Turns.Queue has changed.
	Queue bool
	// Trim drops what is older.
	Trim *Trimmed
	// Tell goes into the feed alone; nothing else is set, and the session stays as it is, also if it is not there.
	Tell *Told
	// Delete drops the session with everything in it; nothing else is set.
	Delete bool
}

// Replaced is a state that a later one of its key replaced. Its tag stays readable if KeepTag is set.
type Replaced struct {
	Offset  holdfast.Offset
	Tag     holdfast.Tag
	KeepTag bool
}

// End is the end of a run: its entry and its fragments are replaced by the compact form, and its ID becomes known as
// one whose run ended as Info says.
type End struct {
	Info holdfast.RunInfo
	Data []byte
	At   time.Time
}

// Trimmed says what retention drops: the entries in the ranges Gone, and every tag below Before.
type Trimmed struct {
	Before holdfast.Offset
	Gone   []Range
}

// Range is the offsets from From to before To.
type Range struct{ From, To holdfast.Offset }

// Outcome is what an operation did. Nothing is to be stored if Changed is false.
type Outcome struct {
	Info    driver.Info
	Effects Effects
	Result  driver.Result
	// Items are what watchers are told; none after a trim or a take-over, which show no reader anything new.
	Items   []driver.Item
	Changed bool
}
