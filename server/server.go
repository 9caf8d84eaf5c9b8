// Package server is Holdfast as a library: an [http.Handler] to be mounted in any program, and a handle on every session
// for the program itself.
//
// # Usage
//
//	srv, err := server.New(server.Options{Auth: jwt, Store: db})
//	go srv.Run(ctx)
//	mux.Handle("/v1/", srv)
//	run, err := srv.Session("chat-1").OpenRun(ctx, server.RunOptions{ID: "answer-1"})
//	io.Copy(run, model)
//	run.Complete(ctx, nil)
//
// # Lifetime
//
// New starts nothing. Run starts everything and returns when its context has ended, every connection has been told to
// come back elsewhere and all its goroutines have ended. Connections that come before Run or after its end are refused.
//
// # Concurrency
//
// All methods may be called at any time.
package server

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/conn"
	"github.com/holdfast/holdfast/internal/drain"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/internal/metrics"
	"github.com/holdfast/holdfast/internal/quota"
	"github.com/holdfast/holdfast/internal/remote"
	"github.com/holdfast/holdfast/internal/revocation"
	"github.com/holdfast/holdfast/internal/webhook"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/fallback"
	"github.com/holdfast/holdfast/transport/origin"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// Server is one node.
type Server struct {
	// Static after construction.
	opts    Options
	auth    revocation.Auth
	store   *store.Store
	hub     *hub.Hub
	rooms   *attendance.Rooms
	lanes   []*conn.Lane
	conns   *conn.Config
	ws      *ws.Handler
	http    *fallback.Handler
	mux     *http.ServeMux
	hooks   *webhook.Dispatcher // nil if there is nobody to deliver to
	journal *journal.Journal    // nil if nobody keeps one
	started time.Time
	unwatch func()

	// feed, leases, turns, runs and requests guard themselves.
	feed     bell
	leases   leases
	turns    turns
	runs     producers
	requests requests

	// phase is a [phase]. open is closed when the store is there, stopping when this server is about to end.
	phase    atomic.Uint32
	open     chan struct{}
	stopping chan struct{}
	once     sync.Once
	running  atomic.Bool
	// closing guards closed, what closing the store said.
	closing sync.Once
	closed  error
	// pace is how fast clients come.
	pace drain.Pace
	// metrics are what this server counts; flaps says which clients come back too often.
	metrics *metrics.Metrics
	flaps   *quota.Quota
	gate    *limits.Gate
	// revoked is what tokens do not allow any more.
	revoked *revocation.Book
}

// New makes a server. Errors are [holdfast.CodeInvalid] and name the option.
func New(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: o, open: make(chan struct{}), stopping: make(chan struct{}), started: o.Now()}
	s.metrics = metrics.New(s.measure)
	s.flaps = quota.New(1/flapEvery.Seconds(), flapBurst, o.Now)
	db, err := store.New(timed{o.Store, s}, o.Keep)
	if err != nil {
		return nil, err
	}
	s.store = db
	if o.Journal > 0 {
		s.journal = journal.New(o.Journal, o.Now)
	}
	s.feed.init()
	s.leases.init(o.Lease, o.StopGrace, o.Now)
	s.leases.expired = func() { s.metrics.Add(metrics.Leases, 1) }
	s.turns.init(o.Now)
	s.runs.init()
	s.requests.init(o.Now)
	lanes := make([]hub.Lane, o.Lanes)
	for i := range lanes {
		lane := conn.NewLane(i)
		lane.Delivered = func(d time.Duration) { s.metrics.Observe(metrics.Delivery, d) }
		lanes[i], s.lanes = lane, append(s.lanes, lane)
	}
	s.hub = hub.New(lanes)
	s.rooms = attendance.New(s.readers, o.Now)
	s.rooms.Noted = s.noted()
	s.gate = limits.New(o.Limits, o.Now)
	s.revoked = revocation.New(db, o.Now)
	s.auth = s.revoked.Over(o.Auth)
	s.conns = s.connConfig()
	if s.hooks, err = s.newWebhooks(); err != nil {
		return nil, err
	}
	pages, err := origin.Parse(o.Origins)
	if err != nil {
		return nil, err
	}
	s.carriages(pages)
	s.unwatch = db.Watch(s.changed)
	s.mux = s.routes(pages)
	return s, nil
}

// carriages makes the ways in which clients connect.
func (s *Server) carriages(pages origin.Allowed) {
	// A hello may be larger than any send: it names all sessions that a client reads.
	most := max(s.opts.MaxData, defaultMaxData) + messageRoom
	from := remote.Trusted(s.opts.TrustedProxies).Of
	s.ws = ws.NewHandler(s.serve, ws.Options{Origins: s.opts.Origins, MaxMessage: most, Remote: from})
	s.http = fallback.NewHandler(s.serve, fallback.Options{
		Origins: pages, MaxMessage: most, MaxBody: wire.MaxMessage + messageRoom, MaxMessages: 1 + wire.MaxAside, Turn: pollTurn,
		Ready: s.welcoming, Remote: from,
	})
}

func (s *Server) connConfig() *conn.Config {
	o := &s.opts
	cfg := &conn.Config{
		Log: s.store, Auth: s.auth, Revoke: s.revoked.Apply, Hub: s.hub, Rooms: s.rooms, Lanes: s.lanes, Logger: o.Logger,
		Ends: ending.NewBook(o.Logger, o.Now, s.ended, s.countReturn), Answered: s.countAnswer, Journal: s.journal, Open: s.open, Pace: s.countAttach, Gate: s.gate,
		HelloTimeout: o.HelloTimeout, Beat: o.Beat, Rest: o.Rest, WriteTimeout: o.WriteTimeout,
		MaxData: o.MaxData, MaxControl: 256 << 10, MaxSubs: min(o.MaxSubs, wire.MaxSubs),
		Rate: o.Rate, Burst: o.Burst, Asides: quota.New(o.Rate, o.Burst, o.Now), Last: o.Last, Now: o.Now, Jitter: rand.N[time.Duration],
	}
	cfg.SetRules(o.Connections)
	return cfg
}

func (s *Server) routes(pages origin.Allowed) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/v1/ws/", s.whileWelcoming(s.ws))
	mux.Handle("/v1/ws/{n}/events", s.whileWelcoming(s.http))
	mux.Handle("/v1/ws/{n}/poll", s.whileWelcoming(s.http))
	mux.Handle("/v1/ws/send", s.http)
	clients := httpapi.NewClients(httpapi.ClientOptions{
		Auth: s.auth, Origins: pages, Ready: s.welcoming, Reports: s.reported, Logger: s.opts.Logger, Now: s.opts.Now,
	})
	mux.Handle("/v1/ws/ready", clients)
	mux.Handle("/v1/ws/report", clients)
	api := httpapi.Options{
		Log: s.store, Auth: s.auth, Revocations: s, Connections: (*connections)(s), Members: s.members, Leases: &s.leases, FeedChanged: s.feed.next,
		RequestSettled: s.requests.settled, Follow: s.revoked.Follow,
		Stopping: s.stopping, Logger: s.opts.Logger, Now: s.opts.Now, Available: s.available, Opened: s.open,
	}
	if s.hooks != nil {
		api.Webhooks = webhooks{s.hooks}
	}
	mux.Handle("/v1/", httpapi.New(api))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /readyz", s.readyz)
	return mux
}

// ServeHTTP serves /v1/, with the clients' connections below /v1/ws/, and /healthz and /readyz.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// ConnContext is to be the ConnContext of the [http.Server] that serves a Server: it sets a connection's socket so that a
// client that listens over plain HTTP, and is gone without a word, is noticed within 35 s (on Linux; else within minutes).
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	ws.Tune(c)
	return ctx
}

// readyz tells a load balancer whether to send connections here.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if !s.welcoming() {
		notNow(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serve(ctx context.Context, t transport.Conn) {
	// Who slips in while the server begins to leave is told so like the others, and has a record like them.
	if s.is() == asleep {
		t.Close(holdfast.CloseOverload, "the server is not ready")
		return
	}
	conn.Serve(ctx, t, s.conns)
}

// changed is the store's watcher: it brings what has become durable to whoever waits for it.
func (s *Server) changed(ch driver.Change) {
	s.leases.changed(&ch)
	s.turns.changed(&ch)
	s.runs.changed(&ch)
	s.requests.changed(&ch)
	s.count(&ch)
	s.hub.Publish(&ch)
	for i := range ch.Items {
		it := &ch.Items[i]
		if it.End != nil || it.Stop != nil || it.Request != nil || it.Entry != nil && it.Entry.From.User != "" {
			s.feed.ring()
			return
		}
	}
}

// readers are those of a session, as the rooms see them.
func (s *Server) readers(id holdfast.SessionID) (all []attendance.Reading) {
	for _, r := range s.hub.Readers(id) {
		if reading, ok := r.(attendance.Reading); ok {
			all = append(all, reading)
		}
	}
	return all
}

// attend looks after who is there: one look a second, for all sessions that anybody watches.
func (s *Server) attend(ctx context.Context) error {
	return every(ctx, time.Second, s.rooms.Tick)
}

func (s *Server) sweep(ctx context.Context) error {
	return every(ctx, 5*time.Second, func() { s.hub.Sweep(time.Now()) })
}

// Close closes the store. Run must have returned, or never have been called.
func (s *Server) Close() error {
	s.halt()
	s.unwatch()
	return s.closeStore()
}

// Durability says what an acknowledged write survives.
func (s *Server) Durability() driver.Durability { return s.store.Durability() }
