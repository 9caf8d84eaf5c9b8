package driver

import (
	"context"
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
)

// Limits of requests.
const (
	// MaxOpenRequests is how many requests of one session may be open. A further one is [holdfast.CodeTooLarge].
	MaxOpenRequests = 64
	// MaxRequestTo is how many users one request may name.
	MaxRequestTo = 16
	// MaxRequestTime is how long a request may wait, and DefaultRequestTime how long one does that does not say.
	MaxRequestTime, DefaultRequestTime = 30 * 24 * time.Hour, time.Hour
)

// OpenRequest asks a person. All readers are told by an event, an entry of [holdfast.KindEvent] whose data is that of a
// [holdfast.RequestEvent], written and put into the feed in the same step. Its offset names the request. The ID is an idempotency key
// in the backend's scope: repeating it returns the request as it stands now.
//
// If it belongs to a run, the errors are as for AppendFragments: [holdfast.CodeEnded], [holdfast.CodeStopped], [holdfast.CodeNotFound],
// and, unless Fence is 0, [holdfast.CodeFenced].
type OpenRequest struct {
	// ID must be set.
	ID string
	// Run is the run that it belongs to; 0 for none. Outlives keeps it open when the run ends.
	Run      holdfast.Offset
	Fence    holdfast.Fence
	Outlives bool
	// To are the users who may answer. Empty: everybody.
	To []holdfast.UserID
	// Within is how long it waits; 0 is [DefaultRequestTime].
	Within time.Duration
	// Default is the data that the deadline settles it with; may be empty. Data is what is asked.
	Default, Data json.RawMessage
}

// SettleRequest settles a request, once, and tells of it by an event, written and put into the feed in the same step. If it is settled
// already, that is acknowledged and nothing is written: the result says how it was settled, and by whom.
//
// The engine judges the deadline by its own clock. From then on the request is settled as expired, whatever was asked for; and
// expiring it before that writes nothing and returns it as it stands.
//
// It is [holdfast.CodeNotFound] if there is no such request, [holdfast.CodeForbidden] if it does not ask this user.
type SettleRequest struct {
	Request holdfast.Offset
	// State is answered, withdrawn or expired.
	State holdfast.RequestState
	// ID and From are those of the answer: an idempotency key, which may be empty, and its author.
	ID   string
	From holdfast.Sender
	// Data is the answer, or why it is withdrawn. That of an expired request is its default.
	Data json.RawMessage
}

// RequestEventAt returns what the event of a request says that stands at an offset; false if retention has dropped it.
func RequestEventAt(ctx context.Context, log EntryReader, s holdfast.SessionID, o holdfast.Offset) (holdfast.RequestEvent, bool, error) {
	page, err := log.Read(ctx, s, Query{After: o - 1, Before: o + 1, Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return holdfast.RequestEvent{}, false, err
	}
	ev, ok := page.Entries[0].RequestEvent()
	return ev, ok, nil
}

// EntryReader is what can be read from; every [Driver] is one.
type EntryReader interface {
	Read(ctx context.Context, s holdfast.SessionID, q Query) (Page, error)
}
