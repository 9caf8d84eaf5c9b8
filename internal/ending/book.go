package ending

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/trace"
)

// Record is what is known of a connection that has ended. There is one for each.
type Record struct {
	End
	// Reason is for people.
	Reason string

	// Who it was. User and Client are empty where nobody was verified.
	Conn       holdfast.ConnID
	User       holdfast.UserID
	Client     holdfast.ClientID
	Generation holdfast.Generation
	// Attached: it was the living connection of its client at some time.
	Attached                 bool
	Transport, Remote, Agent string
	Trace                    trace.Context

	// Age is how long it lived. In and Out are the bytes of its messages each way.
	Age     time.Duration
	In, Out int64
	// Positions are the offsets that were written to it, of the sessions that it read at the end.
	Positions []Position
}

// Position is how far a connection had come in a session: what was handed to its socket, which need not have arrived.
type Position struct {
	Session holdfast.SessionID
	Offset  holdfast.Offset
}

// Return is a client that came back.
type Return struct {
	Conn, Before holdfast.ConnID
	User         holdfast.UserID
	Client       holdfast.ClientID
	// Away is how long it had no connection; 0 if the one before still lived.
	Away time.Duration
	// Class is that of the end of the connection before.
	Class Class
	Trace trace.Context
}

// Book writes the records of ends and returns to the log, and remembers for a while who left. A nil Book keeps nothing.
type Book struct {
	// Static after construction.
	log *slog.Logger
	now func() time.Time
	// ended and returned are told too; they must be quick.
	ended    func(*Record)
	returned func(*Return)

	// Guarded by mu.
	mu   sync.Mutex
	gone map[person]departure
	// order has the departures as they came, those that were replaced or are back included.
	order []departure
}

// person is a client of a user: a client's id alone is its own word.
type person struct {
	user   holdfast.UserID
	client holdfast.ClientID
}

type departure struct {
	who   person
	conn  holdfast.ConnID
	at    time.Time
	class Class
}

const (
	// memory is how long a departure is remembered; who comes later is new.
	memory = 15 * time.Minute
	// maxGone is how many departures are remembered, about 200 bytes each.
	maxGone = 1 << 16
)

// NewBook returns a book that logs to log, on the clock now. ended and returned are called with each record; they may be nil.
func NewBook(log *slog.Logger, now func() time.Time, ended func(*Record), returned func(*Return)) *Book {
	if ended == nil {
		ended = func(*Record) {}
	}
	if returned == nil {
		returned = func(*Return) {}
	}
	return &Book{log: log, now: now, ended: ended, returned: returned, gone: map[person]departure{}}
}

// Ended takes the record of a connection.
func (b *Book) Ended(r *Record) {
	if b == nil {
		return
	}
	class := r.Class()
	// One whose successor lives did not leave.
	if r.Attached && class != Superseded {
		b.remember(departure{person{r.User, r.Client}, r.Conn, b.now(), class})
	}
	b.ended(r)
	level := class.level(r.User != "")
	ctx := context.Background()
	if b.log.Enabled(ctx, level) {
		b.log.LogAttrs(ctx, level, "connection ended", r.attrs(class)...)
	}
}

func (r *Record) attrs(class Class) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("class", string(class)), slog.String("by", string(r.By)), slog.Int("code", int(r.Code)),
		slog.String("name", nameOf(r.Code)), slog.String("reason", r.Reason), slog.String("conn", string(r.Conn)),
		slog.String("user", string(r.User)), slog.String("client", string(r.Client)), slog.Uint64("generation", uint64(r.Generation)),
		slog.Duration("age", r.Age.Round(time.Millisecond)), slog.Int64("bytes_in", r.In), slog.Int64("bytes_out", r.Out),
		slog.String("transport", r.Transport), slog.String("remote", r.Remote), slog.String("agent", r.Agent),
	}
	positions := make(map[holdfast.SessionID]holdfast.Offset, len(r.Positions))
	for _, p := range r.Positions {
		positions[p.Session] = p.Offset
	}
	attrs = append(attrs, slog.Any("positions", positions))
	return append(attrs, r.Trace.Attrs()...)
}

func nameOf(code holdfast.CloseCode) string {
	switch code {
	case CodeGoingAway:
		return "going_away"
	case CodeNone:
		return "none"
	case CodeAbnormal:
		return "abnormal"
	case CodeProtocol, CodeUnsupported, CodeInvalidData:
		return "framing"
	}
	return code.String()
}

func (b *Book) remember(d departure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone[d.who] = d
	b.order = append(b.order, d)
	for len(b.order) > 0 && (len(b.order) > maxGone || d.at.Sub(b.order[0].at) > memory) {
		old := b.order[0]
		b.order[0] = departure{}
		b.order = b.order[1:]
		if b.gone[old.who] == old {
			delete(b.gone, old.who)
		}
	}
}

// Attached takes note of a client's new living connection, and records where it comes from if that is known: from a departure,
// or from ghost, the connection that it replaces, "" for none. It returns what is known of that: nothing in Before for a client
// that is new.
func (b *Book) Attached(r Return, ghost holdfast.ConnID) Return {
	if b == nil {
		return r
	}
	who := person{r.User, r.Client}
	b.mu.Lock()
	d, left := b.gone[who]
	delete(b.gone, who)
	b.mu.Unlock()
	switch now := b.now(); {
	case ghost != "":
		r.Before, r.Away, r.Class = ghost, 0, Superseded
	case left && now.Sub(d.at) <= memory:
		r.Before, r.Away, r.Class = d.conn, now.Sub(d.at), d.class
	default:
		return r
	}
	b.returned(&r)
	b.log.LogAttrs(context.Background(), slog.LevelDebug, "client resumed", append([]slog.Attr{
		slog.String("conn", string(r.Conn)), slog.String("before", string(r.Before)), slog.String("user", string(r.User)),
		slog.String("client", string(r.Client)), slog.Duration("resumed_within", r.Away.Round(time.Millisecond)),
		slog.String("ended_as", string(r.Class)),
	}, r.Trace.Attrs()...)...)
	return r
}
