// Package httpapi is the HTTP API of an application's backend: it writes entries, states and runs into sessions, pipes
// a model's answer into a run, reads history, follows what users send, looks after webhooks, and lists
// and ends connections.
//
// # Contract
//
// Requests and answers are JSON; openapi.json beside this file describes every route, and a test holds the two
// together. Every refusal is problem+json (RFC 9457) with a code of package holdfast. Input is read strictly: a member
// or query parameter that the API does not know is refused by name, because a misspelt one that is skipped would be a
// silent loss.
//
// # Who may
//
// A token of a grant with Backend set may do everything. Another one may read the history of the sessions that its
// grant lets it read, and nothing else.
//
// # Repeating
//
// Every write may be repeated. Entries, states and runs carry an id or an Idempotency-Key, fragments the number of the
// fragment before them, an end its status; a pipe finds what is there already and goes on behind it.
//
// # Concurrency
//
// Handlers run on the goroutine of their request. Only a pipe starts another one, which reads its body; the handler
// waits for it.
package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Log is what the API needs of the store; every [driver.Driver] is one.
type Log interface {
	Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error)
	Info(ctx context.Context, s holdfast.SessionID) (driver.Info, error)
	Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (driver.Page, error)
	Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error)
	Stop(ctx context.Context, s holdfast.SessionID, user holdfast.UserID, id string) (driver.StopInfo, error)
	Request(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Request, error)
	States(ctx context.Context, s holdfast.SessionID) ([]holdfast.Entry, error)
	TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error)
	Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]driver.Info, error)
	OpenRuns(ctx context.Context, after driver.RunRef, limit int) ([]driver.OpenRun, error)
	Delete(ctx context.Context, s holdfast.SessionID) error
	Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error)
	Consumer(ctx context.Context, name string) (string, error)
	SetConsumer(ctx context.Context, name, value string) error
}

// Auth turns tokens into grants.
type Auth interface {
	// Verify returns what a token allows. A token that is not good is [holdfast.CodeUnauthorized]; where that cannot be
	// found out now, it is [holdfast.CodeUnavailable]. Error texts never hold the token.
	Verify(ctx context.Context, token string) (holdfast.Grant, error)
}

// Leases keeps the producers of runs alive. A pipe is a producer for as long as it is open, even while no text comes.
type Leases interface {
	// Hold keeps the lease of a run for the producer with the given fence until release is called, which is once. lost
	// is closed when the run ends, a stop of it is requested, or another producer takes it over; it may be closed without cause.
	Hold(s holdfast.SessionID, run holdfast.Offset, fence holdfast.Fence) (lost <-chan struct{}, release func())
}

// Options are what the API works with. Log and Auth are required, all else may be left out.
type Options struct {
	// Log is where everything is kept.
	Log Log
	// Auth verifies tokens. Every route but that of the OpenAPI document asks it.
	Auth Auth
	// Connections are the live connections. Nil: there are none.
	Connections Connections
	// Members tells who reads a session. Nil: nobody does.
	Members func(s holdfast.SessionID) []Member
	// Webhooks are the receivers of events. Nil: there are none.
	Webhooks Webhooks
	// Revocations take back what tokens allow. Nil: none can be made.
	Revocations Revocations
	// Follow returns what revocations leave of a grant now, and a channel that is closed when they are others: for requests that
	// take long. Nil: a request keeps the grant that it came with.
	Follow func(holdfast.Grant) (left holdfast.Grant, changed <-chan struct{}, err error)
	// Leases are told of open pipes. Nil: a pipe that stays silent for longer than the server's lease time loses its run,
	// and learns of a stop only at the next text or after Limits.PipeCheck.
	Leases Leases

	// FeedChanged returns a channel that is closed at the next new item of the feed. Nil: waiting readers look once per
	// second.
	FeedChanged func() <-chan struct{}
	// RequestSettled returns a channel that is closed when a request is settled or its session deleted; release lets go of it. Nil, and
	// besides: who waits for an answer looks once per second.
	RequestSettled func(s holdfast.SessionID, request holdfast.Offset) (settled <-chan struct{}, release func())
	// Stopping, when closed, ends waiting reads, streams and pipes, so that a server can stop without waiting for clients.
	// Nil: they end only with their clients.
	Stopping <-chan struct{}

	// Available waits until the store can be used, or says why it cannot: [holdfast.CodeUnavailable], so that the request is
	// repeated elsewhere. Nil: it always can.
	Available func(context.Context) error
	// Opened is closed when the store is open, and what was revoked is known. Nil: it always is.
	Opened <-chan struct{}

	// Limits bound what one request may cost.
	Limits Limits

	// Logger gets what went wrong on the server's side: never tokens, never contents. Nil: slog.Default().
	Logger *slog.Logger
	// Now is the clock that tokens expire by. Nil: time.Now.
	Now func() time.Time
}

// Limits bound what one request may cost. Zero fields mean the defaults.
type Limits struct {
	// Body is the largest JSON body, in bytes. Default 1 MiB. It is held in memory while it is read.
	Body int64
	// Run is how many bytes of texts and events a run may hold to be piped into. Default 16 MiB. A reader that joins
	// gets the whole run, so a large value costs every reader.
	Run int64
	// Batch is how many entries or fragments one request may write. Default 1000.
	Batch int
	// Page is how many items a list may be asked for. Default 1000. Unasked, lists have 100.
	Page int

	// Wait is the longest wait of a long poll. Default 60 s. Proxies cut silent requests, often after 60 s.
	Wait time.Duration
	// Heartbeat is how often a feed's stream that has nothing to say sends a blank line. Default 15 s.
	Heartbeat time.Duration
	// PipeCheck is how often a silent pipe looks whether the run is still its own. Default 5 s.
	PipeCheck time.Duration
	// Store is how long one operation of the store may take. Default 30 s; after it the answer is unavailable.
	Store time.Duration
	// Stall is how long a feed's reader may take nothing before its stream is cut. Default 30 s.
	Stall time.Duration
}

func (l Limits) withDefaults() Limits {
	l.Body = orDefault(l.Body, 1<<20)
	l.Run = orDefault(l.Run, 16<<20)
	l.Batch = orDefault(l.Batch, 1000)
	l.Page = orDefault(l.Page, 1000)
	l.Wait = orDefault(l.Wait, 60*time.Second)
	l.Heartbeat = orDefault(l.Heartbeat, 15*time.Second)
	l.PipeCheck = orDefault(l.PipeCheck, 5*time.Second)
	l.Store = orDefault(l.Store, 30*time.Second)
	l.Stall = orDefault(l.Stall, 30*time.Second)
	return l
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// New returns the handler of all routes, which all begin with /v1/. It panics if Log or Auth is missing: an API without
// one of them is a mistake of the program.
func New(o Options) http.Handler {
	if o.Log == nil || o.Auth == nil {
		panic("httpapi.New: Options.Log and Options.Auth are required")
	}
	if o.Connections == nil {
		o.Connections = noConnections{}
	}
	if o.Revocations == nil {
		o.Revocations = noRevocations{}
	}
	if o.Webhooks == nil {
		o.Webhooks = noWebhooks{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limits = o.Limits.withDefaults()
	a := &api{Options: o, mux: http.NewServeMux()}
	for _, r := range a.routes() {
		a.mux.HandleFunc(r.method+" "+r.path, a.serve(r))
	}
	return a
}
