// Package driver is what an engine does to hold Holdfast's logs: a small interface whose definition of correct is the
// conformance suite in store/storetest. Applications use package store, which adds what is the same for all engines.
//
// # The engine is the only authority
//
// Offsets, epochs, fences and the fate of idempotency keys are decided where the data is, in one atomic step per
// operation. Nothing outside a driver numbers anything. That is what lets several nodes share one engine.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. Operations on one session take effect one after another;
// what one caller does after another's operation has returned comes after it.
package driver

import (
	"context"
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
)

// Driver is an engine. Errors that are the caller's doing are *holdfast.Error with a code; every other error means that
// the engine could not do it, and [holdfast.CodeUnavailable] that repeating it later may help.
type Driver interface {
	// Apply performs one operation on one session, atomically, and returns when it is durable as [Driver.Durability]
	// says. An error means that nothing was written, except where ctx ended first or the engine failed in the middle:
	// then it may have been, and the caller repeats it with the same keys to find out.
	Apply(ctx context.Context, s holdfast.SessionID, op Op) (Result, error)

	// Info describes a session as it stands. A session that was never written to has the zero Info and no error.
	Info(ctx context.Context, s holdfast.SessionID) (Info, error)

	// Read returns entries of a session, all from one moment, which the page's Info describes. It never skips what
	// retention has dropped silently: a query that starts before Info.First gets what there is, and the caller compares.
	Read(ctx context.Context, s holdfast.SessionID, q Query) (Page, error)

	// Run returns one run with the fragments after the given one. It is [holdfast.CodeNotFound] if there is no run at
	// that offset.
	Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error)

	// States returns the latest entry of each key, by offset.
	States(ctx context.Context, s holdfast.SessionID) ([]holdfast.Entry, error)

	// TagAt returns the tag of the record at an offset; false if retention has dropped it or it is past the head. States
	// that were compacted away still have their tags.
	TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error)

	// Sessions lists sessions whose id begins with prefix and sorts after the given one, by id, at most limit.
	Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]Info, error)

	// OpenRuns lists the open runs of all sessions after the given place, by session and offset, at most limit.
	OpenRuns(ctx context.Context, after RunRef, limit int) ([]OpenRun, error)

	// Stop returns a stop by its author and id, as it stands now. It is [holdfast.CodeNotFound] if there is none.
	Stop(ctx context.Context, s holdfast.SessionID, user holdfast.UserID, id string) (StopInfo, error)

	// Request returns a request by its offset, as it stands now. It is [holdfast.CodeNotFound] if there is none.
	Request(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Request, error)

	// Waiting lists the sessions in which something waits for time to pass, see [Info.Waits], that sort after the given one, by
	// id, at most limit. A server that starts arms its timers from it; what a timer asks for is judged by the engine.
	Waiting(ctx context.Context, after holdfast.SessionID, limit int) ([]Info, error)

	// Delete drops a session with everything in it, feed items excepted. A later write begins a new epoch. Deleting
	// what is not there is not an error.
	Delete(ctx context.Context, s holdfast.SessionID) error

	// Feed returns what was appended with NewEntry.Feed set, the ends of all runs, the events of all stops and requests, and what
	// [Tell] told, in the order of commit within each session, after the given cursor, which is "" at the start and else one that the driver gave. A cursor that is not
	// one of this feed is [holdfast.CodeInvalid]; one that TrimFeed has passed is [holdfast.CodeLost].
	Feed(ctx context.Context, after string, limit int) ([]FeedItem, error)

	// FeedOf returns what Feed does, of one session alone. It costs what it returns, however much of other sessions
	// stands between.
	FeedOf(ctx context.Context, s holdfast.SessionID, after string, limit int) ([]FeedItem, error)

	// TrimFeed drops feed items committed before the given time.
	TrimFeed(ctx context.Context, before time.Time) error

	// Consumer returns the value stored under a name by SetConsumer, or "". It keeps the cursors of durable consumers
	// and what else they must not forget.
	Consumer(ctx context.Context, name string) (string, error)
	// SetConsumer stores a value under a name, durably. The value "" removes the name.
	SetConsumer(ctx context.Context, name, value string) error
	// Consumers lists the names that begin with prefix and sort after the given one, by name, with their values: at most
	// limit, and none more once [MaxConsumersBytes] of values are there.
	Consumers(ctx context.Context, prefix, after string, limit int) ([]ConsumerValue, error)

	// Watch calls fn with each change, of this node and, on a shared engine, of others, after it is durable. Changes of
	// one session come in the order of commit. A shared engine may repeat a change; where it cannot be sure that it has
	// them all, it says so with a change without items, on which the watcher reads the session. fn must be quick and must
	// not call the driver. At most one watcher at a time; it is set before the first Apply. fn may still be running when
	// stop returns.
	Watch(fn func(Change)) (stop func())

	// Durability names what an acknowledged write survives on this engine as it is configured.
	Durability() Durability

	// Close waits for operations under way and releases everything. Later calls fail with [holdfast.CodeUnavailable].
	Close() error
}

// Durability names what an acknowledged write survives. The set grows with the engines.
type Durability string

// The levels of durability.
const (
	// DurableFsync: a crash of the program and a loss of power. The default.
	DurableFsync Durability = "fsync"
	// DurableProcess: a crash of the program; a loss of power may lose the last moments.
	DurableProcess Durability = "process"
	// DurableMemory: nothing. All is gone when the program ends.
	DurableMemory Durability = "memory"
)

// Op is one operation on a session: [Append], [OpenRunOp], [AppendFragments], [EndRun], [RequestStop],
// [SettleStop], [OpenRequest], [SettleRequest], [SetTurns], [EditQueue], [EndTurn], [Tell], [Trim] or [Expire].
type Op interface{ op() }

// Append adds entries to a session, all or none; it creates the session if it is not there. Entries whose ID is known
// in their sender's scope are not written again: their result is the first one's, marked as duplicate.
type Append struct {
	Entries []NewEntry
	// IfEpoch, if not empty, must be the session's epoch, else the operation is [holdfast.CodeConflict].
	IfEpoch holdfast.Epoch
	// Turns are the rules for messages of users in a session that has none of its own. A message that has to wait is
	// not written: its result says so by its State, and where the state stands that shows it.
	Turns TurnRules
}

// NewEntry is an entry to be written. Kind is message, state (then Key is set) or event.
type NewEntry struct {
	Kind holdfast.Kind
	// ID, if not empty, makes the write idempotent for as long as the session lives. Its scope is From.User: two users
	// may use the same id, and the backend (no user) has a scope of its own.
	ID   string
	From holdfast.Sender
	Key  string
	Data json.RawMessage
	// Feed asks for the entry to be put into the feed too, in the same atomic step.
	Feed bool
}

// OpenRunOp opens a run, or, where its ID is known, returns the run that the ID opened, as it stands now. Where a stop waits
// for a run that answers the same message, the new run is opened with that stop; if the stop was given up as unreachable,
// the run is ended as stopped in the same step.
type OpenRunOp struct {
	// Entry has Kind run; ID should be set, else a repeat opens a second run.
	Entry NewEntry
	// TakeOver makes the caller the producer of a run that is already open: the fence grows by one.
	TakeOver bool
	// Answers is the offset of the message that the run answers; 0 for none. It must not be past the head.
	Answers holdfast.Offset
	// Rollup is the run's, see [holdfast.RunInfo]. A run that is there keeps its own.
	Rollup time.Duration
}

// AppendFragments appends to an open run. It fails with [holdfast.CodeFenced] if Fence is not the run's,
// [holdfast.CodeEnded] if it has ended, [holdfast.CodeStopped] if a stop of it was requested or it was ended by one,
// [holdfast.CodeNotFound] if there is none; the error's Run says how it stands. Fragments that an open run has already are
// acknowledged although a stop was requested.
type AppendFragments struct {
	Run   holdfast.Offset
	Fence holdfast.Fence
	// After is the number of the fragment before the first one given. Where the run has more, the fragments that it
	// has are taken as repeats and not written; where it has fewer, it is [holdfast.CodeGap]. [AnyFragment] means: append
	// at the end, whatever is there.
	After     int64
	Fragments []holdfast.Fragment
}

// AnyFragment as After appends without a check, so that a repeat would write twice.
const AnyFragment = int64(-1)

// EndRun ends a run, replaces it by its compact form and puts its end into the feed, in one atomic step. Repeating it with the same status is
// acknowledged and writes nothing; another status is [holdfast.CodeEnded]. Other errors are as for AppendFragments, but that
// a stop is no hindrance.
//
// A stop that was requested is settled in the same step: as stopped if the status is, else as too late. Where the server
// forces the end of a run as interrupted, because its producer is gone, and a stop was requested, the run ends as stopped
// and the stop is unreachable.
type EndRun struct {
	Run    holdfast.Offset
	Fence  holdfast.Fence
	Status holdfast.RunStatus
	// Force ends the run whatever its fence: for the server itself.
	Force bool
	// Data is kept as Run.End; may be empty.
	Data json.RawMessage
}

// RequestStop asks for a run to be stopped. What it leads to is told to all readers by an event, an entry of
// [holdfast.KindEvent] whose data is {"stop":{"id","run","answers","state","u","c"}}, written and put into the feed in the same
// step. The ID is an idempotency key as an entry's is: repeating it returns the stop as it stands now.
//
//   - The run is open: its stop is requested, and nothing more is appended to it. If it has a stop already, that one is
//     returned and nothing is written.
//   - The run has ended: the stop is too late. If the run had a stop, that one is returned.
//   - No run answers the message yet: the stop waits in Info.Stops; see [MaxWaitingStops].
//
// It is [holdfast.CodeNotFound] if there is no such run or message.
type RequestStop struct {
	// ID must be set.
	ID   string
	From holdfast.Sender
	// Run is the run; or Answers is the message whose answer is meant: the latest open run that answers it, or else the
	// latest that did, or else the next that will. Exactly one is set.
	Run, Answers holdfast.Offset
}

// MaxWaitingStops is how many stops wait for runs in one session. A further one makes the oldest unreachable for good.
const MaxWaitingStops = 16

// SettleStop gives up waiting for the producer of a run whose stop was requested: the run ends as stopped and the stop is
// unreachable. Or, with Answers, for a run that does not come: the stop is unreachable, but stays where it is, and a run that comes
// after all is opened and ended as stopped. Settling what is settled is acknowledged and writes nothing. It is
// [holdfast.CodeConflict] if the run has no stop of this ID, [holdfast.CodeNotFound] if there is no run, or no stop that waits.
type SettleStop struct {
	Run, Answers holdfast.Offset
	ID           string
}

// Trim drops the entries before an offset. Open runs, open requests and the latest state of each key stay. Before may be at most
// head+1.
type Trim struct{ Before holdfast.Offset }

// Expire drops the session as [Driver.Delete] does if it stands as the caller saw it: in this epoch, with this head and
// with nothing that is [Info.Unfinished]. Otherwise it is [holdfast.CodeConflict], so that retention never drops what was written while it
// made up its mind. A session that is not there is not an error.
type Expire struct {
	Epoch holdfast.Epoch
	Head  holdfast.Offset
}

func (Append) op()          {}
func (OpenRunOp) op()       {}
func (AppendFragments) op() {}
func (EndRun) op()          {}
func (RequestStop) op()     {}
func (SettleStop) op()      {}
func (OpenRequest) op()     {}
func (SettleRequest) op()   {}
func (Trim) op()            {}
func (Expire) op()          {}

// Result is what an operation did.
type Result struct {
	Epoch holdfast.Epoch
	// Entries has one element per entry of an Append, one for OpenRunOp, and one for RequestStop and OpenRequest: the event that
	// says so. For SettleRequest it is the event that settled the request.
	Entries []Written
	// Run is how the run stands after OpenRunOp, AppendFragments and EndRun, and after RequestStop and SettleStop if there is one.
	Run holdfast.RunInfo
	// Stop is how the stop stands after RequestStop and SettleStop.
	Stop StopInfo
	// Request is how the request stands after OpenRequest and SettleRequest.
	Request holdfast.Request
	// Lost: the request was settled, but not by this SettleRequest, nor by an earlier one that it repeats.
	Lost bool
	// Repeated is how many of the given fragments the run had already.
	Repeated int
	// Turns is how the session stands with taking turns after SetTurns, EditQueue and EndTurn; nil after others. EditQueue
	// has one element in Entries.
	Turns *Turns
}

// Written says where an entry stands.
type Written struct {
	Offset holdfast.Offset
	Tag    holdfast.Tag
	At     time.Time
	// Duplicate: it had been written before, and this is where.
	Duplicate bool
	// State is set for a message that is not in the log because it waits for its turn, or left the queue without it; and for
	// an [EditQueue], where it says what was done. Offset then is that of the state that showed it first.
	State holdfast.TurnState
}

// Info describes a session.
type Info struct {
	Session holdfast.SessionID
	Epoch   holdfast.Epoch
	// First is the lowest offset from which on everything is there; Head the last offset. A session without entries
	// has Head 0, or First = Head+1 where retention has dropped all.
	First, Head holdfast.Offset
	HeadTag     holdfast.Tag
	// Entries and Bytes are what the log holds now, contents of runs included.
	Entries, Bytes int64
	// Created and Changed are when it was first and last written to.
	Created, Changed time.Time
	// Open lists the open runs, by offset.
	Open []holdfast.RunInfo
	// Stops are the stops that wait for a run, in the order in which they were requested. Their Run is 0, and their state
	// requested or unreachable.
	Stops []StopInfo
	// Requests are the open requests, by offset.
	Requests []holdfast.Request
	Turns    Turns
}

// Unfinished reports whether runs or requests are open in the session, or messages wait for their turns, so that it must not be
// dropped for its age.
func (i *Info) Unfinished() bool {
	return len(i.Open) > 0 || len(i.Requests) > 0 || len(i.Turns.Queue) > 0
}

// Waits reports whether something in the session waits for time to pass.
func (i *Info) Waits() bool {
	return len(i.Stops) > 0 || len(i.Requests) > 0 || i.Turns.Turn.Message != 0
}

// StopInfo is a stop and what it is to stop: a run, which may answer a message, or the answer to a message.
type StopInfo struct {
	holdfast.Stop
	Run, Answers holdfast.Offset
}

// Cursor returns the cursor of a reader who has seen everything.
func (i *Info) Cursor() holdfast.Cursor {
	c := holdfast.Cursor{Position: holdfast.Position{Epoch: i.Epoch, Offset: i.Head, Tag: i.HeadTag}}
	for _, r := range i.Open {
		c.Runs = append(c.Runs, holdfast.RunCursor{Run: r.Run, Fragment: r.Fragments, Tag: r.Tag})
	}
	return c
}

// Query asks for entries. The zero query reads from the beginning on.
type Query struct {
	// After is exclusive; entries come in ascending order.
	After holdfast.Offset
	// Before, if not 0, is exclusive and turns the query round: the entries just before it, still given in ascending
	// order. After then bounds it below.
	Before holdfast.Offset
	// Limit is how many entries at most; 0 means 100. MaxBytes stops before the entry that would go over it, but the
	// first entry always comes; 0 means 1 MiB.
	Limit    int
	MaxBytes int
}

// Page is what a query found. Runs come with their whole bodies, open ones as far as they are.
type Page struct {
	Info    Info
	Entries []holdfast.Entry
	// More: the query's range holds more entries than these.
	More bool
}

// RunRef is the place of a run among all sessions.
type RunRef struct {
	Session holdfast.SessionID
	Run     holdfast.Offset
}

// OpenRun is an open run and the session it is in.
type OpenRun struct {
	Session holdfast.SessionID
	Epoch   holdfast.Epoch
	holdfast.RunInfo
}

// FeedItem is one entry in the feed, or the end of a run, or an event that is not in the log; see [Tell].
type FeedItem struct {
	// Cursor is what to continue after. Cursors of one feed sort as bytes do.
	Cursor  string
	Session holdfast.SessionID
	Epoch   holdfast.Epoch
	// Entry is the entry as it was written. If the item is a run's end, it is the run as it ended, without its body.
	Entry holdfast.Entry
	// Ended is when the run ended, if the item is a run's end; else zero.
	Ended time.Time
	// Trace is that of the operation that wrote the item, see [WithTrace]; "" for none.
	Trace string
}

// End reports whether the item is the end of a run.
func (i *FeedItem) End() bool { return !i.Ended.IsZero() }

// At is when the item was committed.
func (i *FeedItem) At() time.Time {
	if i.End() {
		return i.Ended
	}
	return i.Entry.At
}

// MaxConsumersBytes is how many bytes of values [Driver.Consumers] returns at once, the last one not counted.
const MaxConsumersBytes = 1 << 20

// ConsumerValue is what is stored for a consumer.
type ConsumerValue struct{ Name, Value string }

// Change is what one operation did to a session, or only word that something did.
type Change struct {
	Session holdfast.SessionID
	Epoch   holdfast.Epoch
	// Deleted: the session is gone. All else is zero.
	Deleted bool
	// Items are what happened, in order. No items: read the session.
	Items []Item
}

// Item is a new entry, or fragments of a run, or a run's end. Exactly one is set; where the entry is the event of a stop or of a
// request, Stop or Request says how that stands now; where it is a message whose turn begins, Turn is that.
type Item struct {
	Entry     *holdfast.Entry
	Stop      *StopInfo
	Request   *holdfast.Request
	Turn      *Turn
	Fragments *NewFragments
	End       *Ended
}

// NewFragments are fragments just appended, with numbers First, First+1 ...
type NewFragments struct {
	Run       holdfast.Offset
	First     holdfast.FragmentNo
	Fragments []holdfast.Fragment
	// Tag is the chain after the last of them.
	Tag holdfast.Tag
}

// Ended is the end of a run.
type Ended struct {
	Run       holdfast.Offset
	Status    holdfast.RunStatus
	Fragments holdfast.FragmentNo
	Tag       holdfast.Tag
	Data      json.RawMessage
	At        time.Time
	// Stop is the run's stop as it was settled, if there was one.
	Stop holdfast.Stop
}
