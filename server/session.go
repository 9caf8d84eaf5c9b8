package server

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Session is a handle on one session, for the program that the server is part of. It holds nothing; making one does not
// make the session, its first write does.
type Session struct {
	srv *Server
	id  holdfast.SessionID
}

// Session returns a handle on a session.
func (s *Server) Session(id holdfast.SessionID) *Session { return &Session{s, id} }

// ID returns the session's id.
func (x *Session) ID() holdfast.SessionID { return x.id }

// Append appends a message of the backend and returns when it is durable. With an id that the backend has used in this
// session before, nothing is written, and the first one's place is returned, marked as duplicate. The id may be "".
func (x *Session) Append(ctx context.Context, id string, data json.RawMessage) (driver.Written, error) {
	return x.append(ctx, driver.NewEntry{Kind: holdfast.KindMessage, ID: id, Data: data})
}

// SetState writes a state: the latest of a key is what counts.
func (x *Session) SetState(ctx context.Context, key string, data json.RawMessage) (driver.Written, error) {
	return x.append(ctx, driver.NewEntry{Kind: holdfast.KindState, Key: key, Data: data})
}

// Event writes an event of the session itself.
func (x *Session) Event(ctx context.Context, id string, data json.RawMessage) (driver.Written, error) {
	return x.append(ctx, driver.NewEntry{Kind: holdfast.KindEvent, ID: id, Data: data})
}

func (x *Session) append(ctx context.Context, e driver.NewEntry) (driver.Written, error) {
	res, err := x.srv.store.Apply(ctx, x.id, driver.Append{Entries: []driver.NewEntry{e}})
	if err != nil {
		return driver.Written{}, err
	}
	return res.Entries[0], nil
}

// Read returns entries, see [driver.Driver]. Info describes the session. Delete drops it; its readers are told.
func (x *Session) Read(ctx context.Context, q driver.Query) (driver.Page, error) {
	return x.srv.store.Read(ctx, x.id, q)
}

// Info describes the session as it stands.
func (x *Session) Info(ctx context.Context) (driver.Info, error) { return x.srv.store.Info(ctx, x.id) }

// Delete drops the session with everything in it. Its readers are told that it is lost.
func (x *Session) Delete(ctx context.Context) error { return x.srv.store.Delete(ctx, x.id) }

// RunOptions say which run to open.
type RunOptions struct {
	// ID makes opening idempotent: where the backend has opened a run of this id in the session, that run is continued.
	// It should be set; without it a program that crashes and starts again opens a second run.
	ID string
	// Data is what readers get with the run from the beginning. May be empty.
	Data json.RawMessage
	// TakeOver makes this the producer of a run that another one may still be writing to; that one is refused from then
	// on. Without it, both could write, each being told of gaps.
	TakeOver bool
	// Answers is the offset of the message that the run answers, so that a stop can name the message. 0: none.
	Answers holdfast.Offset
	// Rollup is for how long texts of the run may be held back, so that readers get them in fewer and larger frames: up to
	// [holdfast.MaxRollup], in whole milliseconds. Where a reader asks for more, that applies; events and the end come at once. A run
	// that is continued keeps the one that it was opened with. 0: not at all.
	Rollup time.Duration
}

// OpenRun opens a run, or continues the one that its id opened. It is [holdfast.CodeEnded] if that one has ended, and
// [holdfast.CodeStopped] if it was ended by a stop, which may have come before the run. A run of which a stop is requested is
// returned, with its context ended: it is for its producer to end.
func (x *Session) OpenRun(ctx context.Context, o RunOptions) (*Run, error) {
	op := driver.OpenRunOp{
		Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: o.ID, Data: o.Data}, TakeOver: o.TakeOver, Answers: o.Answers, Rollup: o.Rollup,
	}
	res, err := x.srv.store.Apply(ctx, x.id, op)
	if err != nil {
		return nil, err
	}
	if res.Run.Status.Ended() {
		info, code := res.Run, holdfast.CodeEnded
		if info.Status == holdfast.RunStopped && info.Stop.State != "" {
			code = holdfast.CodeStopped
		}
		return nil, &holdfast.Error{Code: code, Message: "the run " + strconv.Quote(o.ID) + " has ended: " + string(info.Status), Run: &info}
	}
	return newRun(ctx, x, res), nil
}
