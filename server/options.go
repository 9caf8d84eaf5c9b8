package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/clientlog"
	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/wire"
)

// ConnectionRule limits how many connections of one user live at a time.
type ConnectionRule = holdfast.ConnectionRule

// Report is the log of one client.
type Report = clientlog.Report

// Limits bound what a server gives. Rates are per second, with some more for a short time; zero fields do not bound. A
// connection that is too many is told so, and when to come back, by a bye with code 1013 or 4404.
type Limits = limits.Limits

// Bounds are the limits of one scope; see [Limits].
type Bounds = limits.Bounds

// Options are what a server is made with. Auth is required; every other field may be left out.
type Options struct {
	// Auth verifies tokens. There is no default: a server without it would serve anyone.
	Auth Auth
	// Store holds the sessions. The server closes it. Default: a store in memory, whose contents end with the program.
	Store driver.Driver
	// Keep says how long sessions are kept and how large they may be; see [store.Options]. Default: for ever.
	Keep store.Options

	// OnMessage is called with every message that a client sends, after it is durable, at least once: again after an
	// error, and after a restart from where it was. Messages of one session come in order; one call at a time. Default:
	// messages are read over the HTTP feed only.
	OnMessage func(ctx context.Context, m Message) error

	// Reports is called with the log that a client sent of itself, asked for or not, on the request's goroutine. Default: a
	// line in Logger, and its records at level debug. What looks like a credential is taken out before; all else in it is
	// the client's word.
	Reports func(ctx context.Context, r *Report)
	// Webhooks are the receivers that messages of users and ends of runs are delivered to; see [Webhook]. Default: none.
	Webhooks []Webhook
	// WebhookPolicy says how often and how long deliveries are repeated; see [WebhookPolicy].
	WebhookPolicy WebhookPolicy

	// Origins are the pages that may connect besides those of the server's own host: "https://app.example.com",
	// "https://*.example.com". "*" allows every page on the web. Default: none.
	Origins []string
	// TrustedProxies are the networks of the proxies in front, whose X-Forwarded-For is believed. Default: none, and a client's
	// address is that of whoever connected. Trust only proxies that set or extend the header themselves.
	TrustedProxies []netip.Prefix
	// HelloTimeout is how long a connection may take to authenticate, and one in standby to be taken. Default: 10 s. A long
	// one lets strangers hold sockets.
	HelloTimeout time.Duration
	// Beat is how long a connection may be silent in either direction; after 2.5 of it the peer is taken for gone. Default: 10 s.
	// A short one finds dead connections sooner and costs phones their batteries.
	Beat time.Duration
	// Rest is the beat of a connection whose page is hidden, at least Beat. Default: 25 s. Proxies often cut
	// connections that are silent for 60 s.
	Rest time.Duration
	// WriteTimeout is how long a socket may take nothing before its connection is given up. Default: 60 s.
	WriteTimeout time.Duration
	// Lease is how long a run may go without a word of its producer before the server ends it as interrupted. Default:
	// 60 s. A short one ends answers of models that think for long; a long one leaves readers waiting.
	Lease time.Duration
	// StopGrace is how long a producer has to heed a stop before the server ends the run itself, and says that the producer was
	// unreachable. Default: 5 s. It is looked at once a second.
	StopGrace time.Duration
	// RevocationAge is how long a revocation is kept that does not say until when: as long as the longest-lived tokens live.
	// Default: 30 days. Negative: for ever.
	RevocationAge time.Duration
	// Drain is how long a server whose Run ends waits for its connections to leave: at most four fifths of it, and at most 10 s, while
	// they go to a Successor, one after the other, if there is a Relay; at most half of it while they dial it, if there is none; and
	// what is left after they were told to go. Default: 10 s.
	Drain time.Duration
	// Successor is asked when Run's context has ended: whether another server takes this one's place now, so that clients can
	// have a connection there stand by before they are told to go. It may wait, until ctx ends, for that one to take
	// connections. Default: there is none.
	Successor func(ctx context.Context) bool
	// Taken is called when this server has let go of the store, and returns when the Successor has opened it, will not any more, or ctx
	// ends, after 3 s. Default: clients are told to go there at once.
	Taken func(ctx context.Context)
	// Relay is called after Taken: it calls changed with all that the other server has committed since it has the store, in the
	// order of commit within each session, until ctx ends. Meanwhile clients are still shown everything here, and are told to go one
	// after the other; when it returns before that, because it cannot do it, the rest of them at once. Default: all at once.
	Relay func(ctx context.Context, changed func(driver.Change)) error

	// MaxData bounds the data of one message, in bytes. Default: 256 KiB; at most 1008 KiB. Each connection can make the
	// server hold that much at a time.
	MaxData int
	// MaxSubs bounds the sessions that one connection reads. Default: 100; at most [wire.MaxSubs].
	MaxSubs int
	// Rate and Burst bound the frames that one connection may send, per second. Default: 50 and 200.
	Rate  float64
	Burst int
	// Connections are rules on how many connections of one user live at a time, and what becomes of one more. A token may
	// bring more of them. They can be changed with [Server.SetConnections]. Default: none, and everybody's connections live
	// beside each other.
	Connections []ConnectionRule
	// Last is how many entries a subscription begins with that does not say. Default: 50.
	Last int
	// Lanes is how many goroutines write to connections. Default: one per core.
	Lanes int

	// Limits bound what this node, one user and one address may have, of all connections together; see [Limits]. They can be
	// changed with [Server.SetLimits]. Default: nothing is bounded.
	Limits Limits
	// Journal is how many records of what connections went through are kept in memory, some 300 bytes each, for the operator's
	// page; see [Server.Admin]. Default: 50,000; negative: none.
	Journal int

	// Logger gets the server's log. Default: slog.Default(). Tokens and contents never reach it. Records that belong to a
	// request with a W3C trace context have its ids, as trace_id and span_id.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// defaultMaxData is the default of Options.MaxData.
const defaultMaxData = 256 << 10

// messageRoom is what a message holds besides the data of a send, in bytes.
const messageRoom = 16 << 10

// Message is what a client sent.
type Message struct {
	Session holdfast.SessionID
	// Offset is where it stands, ID the client's id of it.
	Offset holdfast.Offset
	ID     string
	From   holdfast.Sender
	At     time.Time
	Data   json.RawMessage
}

func (o *Options) setDefaults() error {
	if o.Auth == nil {
		return holdfast.Errorf(holdfast.CodeInvalid, "Options.Auth is missing: make one with NewJWT")
	}
	if o.Journal == 0 {
		o.Journal = 50_000
	}
	if o.Store == nil {
		o.Store = memory.New(memory.Options{})
	}
	for _, rule := range o.Connections {
		if err := rule.Validate(); err != nil {
			return holdfast.Wrap(holdfast.CodeInvalid, err, "Options.Connections: %s", holdfast.MessageOf(err))
		}
	}
	def(&o.HelloTimeout, 10*time.Second)
	def(&o.Beat, 10*time.Second)
	def(&o.Rest, 25*time.Second)
	o.Rest = max(o.Rest, o.Beat)
	def(&o.WriteTimeout, 60*time.Second)
	def(&o.Lease, 60*time.Second)
	def(&o.StopGrace, 5*time.Second)
	def(&o.Drain, 10*time.Second)
	if o.RevocationAge == 0 {
		o.RevocationAge = 30 * 24 * time.Hour
	}
	def(&o.MaxData, defaultMaxData)
	if most := wire.MaxMessage - messageRoom; o.MaxData > most {
		return holdfast.Errorf(holdfast.CodeInvalid, "MaxData is %d; it may be at most %d, so that an entry fits in a message of the protocol", o.MaxData, most)
	}
	// Else the store would refuse what welcome says that a client may send.
	def(&o.Keep.Limits.MaxData, max(o.MaxData, defaultMaxData))
	def(&o.MaxSubs, 100)
	def(&o.Rate, 50)
	def(&o.Burst, 200)
	def(&o.Last, 50)
	def(&o.Lanes, runtime.GOMAXPROCS(0))
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Logger = slog.New(trace.Handler(o.Logger.Handler()))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Reports == nil {
		log := o.Logger
		o.Reports = func(ctx context.Context, r *Report) { clientlog.Write(ctx, log, r) }
	}
	return nil
}

func def[T int | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

var _ http.Handler = (*Server)(nil)
