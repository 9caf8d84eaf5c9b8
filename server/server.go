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
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/quota"
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
	store   *store.Store
	hub     *hub.Hub
	rooms   *attendance.Rooms
	lanes   []*conn.Lane
	conns   *conn.Config
	ws      *ws.Handler
	http    *fallback.Handler
	mux     *http.ServeMux
	hooks   *webhook.Dispatcher // nil if there is nobody to deliver to
	unwatch func()

	// feed, leases and runs guard themselves.
	feed   bell
	leases leases
	runs   producers

	// stopping is closed when Run's context ends. ready is true while Run runs.
	stopping chan struct{}
	ready    atomic.Bool
	once     sync.Once
	running  atomic.Bool
}

// New makes a server. Errors are [holdfast.CodeInvalid] and name the option.
func New(o Options) (*Server, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	db, err := store.New(o.Store, o.Keep)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, store: db, stopping: make(chan struct{})}
	s.feed.init()
	s.leases.init(o.Lease, o.StopGrace, o.Now)
	s.runs.init()
	lanes := make([]hub.Lane, o.Lanes)
	for i := range lanes {
		lane := conn.NewLane(i)
		lanes[i], s.lanes = lane, append(s.lanes, lane)
	}
	s.hub = hub.New(lanes)
	s.rooms = attendance.New(s.readers, o.Now)
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
	s.ws = ws.NewHandler(s.serve, ws.Options{Origins: s.opts.Origins, MaxMessage: most})
	s.http = fallback.NewHandler(s.serve, fallback.Options{
		Origins: pages, MaxMessage: most, MaxBody: wire.MaxMessage + messageRoom, MaxMessages: 1 + wire.MaxAside, Turn: pollTurn,
		Ready: s.ready.Load,
	})
}

func (s *Server) connConfig() *conn.Config {
	o := &s.opts
	return &conn.Config{
		Log: s.store, Auth: o.Auth, Hub: s.hub, Rooms: s.rooms, Lanes: s.lanes, Logger: o.Logger,
		HelloTimeout: o.HelloTimeout, Beat: o.Beat, Rest: o.Rest, WriteTimeout: o.WriteTimeout,
		MaxData: o.MaxData, MaxControl: 256 << 10, MaxSubs: min(o.MaxSubs, wire.MaxSubs),
		Rules: o.Connections, Rate: o.Rate, Burst: o.Burst, Asides: quota.New(o.Rate, o.Burst, o.Now), Last: o.Last, Now: o.Now, Jitter: rand.N[time.Duration],
	}
}

// spread is the time over which the clients of a server that stops should come back, so that they do not all come at
// once: at the rate at which one core attaches them with room to spare.
func (s *Server) spread() time.Duration {
	return time.Duration(s.hub.Count()) * time.Second / 1000
}

func (s *Server) routes(pages origin.Allowed) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/v1/ws/", s.ws)
	mux.Handle("/v1/ws/{n}/events", s.http)
	mux.Handle("/v1/ws/{n}/poll", s.http)
	mux.Handle("/v1/ws/send", s.http)
	clients := httpapi.NewClients(httpapi.ClientOptions{
		Auth: s.opts.Auth, Origins: pages, Ready: s.ready.Load, Reports: s.opts.Reports, Logger: s.opts.Logger, Now: s.opts.Now,
	})
	mux.Handle("/v1/ws/ready", clients)
	mux.Handle("/v1/ws/report", clients)
	api := httpapi.Options{
		Log: s.store, Auth: s.opts.Auth, Connections: (*connections)(s), Members: s.members, Leases: &s.leases, FeedChanged: s.feed.next,
		Stopping: s.stopping, Logger: s.opts.Logger, Now: s.opts.Now,
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
	if !s.ready.Load() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serve(ctx context.Context, t transport.Conn) {
	if !s.ready.Load() {
		t.Close(holdfast.CloseOverload, "the server is not ready")
		return
	}
	conn.Serve(ctx, t, s.conns)
}

// changed is the store's watcher: it brings what has become durable to whoever waits for it.
func (s *Server) changed(ch driver.Change) {
	s.leases.changed(&ch)
	s.runs.changed(&ch)
	s.hub.Publish(&ch)
	for i := range ch.Items {
		it := &ch.Items[i]
		if it.End != nil || it.Stop != nil || it.Entry != nil && it.Entry.From.User != "" {
			s.feed.ring()
			return
		}
	}
}

// Run serves until ctx ends, then lets the connections leave and stops everything. It returns the first fault of a part
// that cannot go on, and ends then too; nil after ctx ended. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return holdfast.Errorf(holdfast.CodeConflict, "the server is running, or has run, already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fault := make(chan error, 1)
	parts, err := s.start(ctx, func(err error) {
		select {
		case fault <- err:
		default: // the first counts
		}
		cancel()
	})
	if err != nil {
		s.halt()
		if ctx.Err() != nil {
			return nil // it was asked to stop before it had begun
		}
		return err
	}
	<-ctx.Done()
	s.halt()
	s.leave()
	parts()
	select {
	case err := <-fault:
		return err
	default:
		return nil
	}
}

func (s *Server) halt() {
	s.ready.Store(false)
	s.once.Do(func() { close(s.stopping) })
}

// leave tells the connections to come back elsewhere, and waits for them for a while.
func (s *Server) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Drain)
	defer cancel()
	spread := s.spread()
	for _, l := range s.lanes {
		l.Leave(spread)
	}
	// One after the other, within one time: those that wait in the second have been told to go already.
	for _, carriage := range []interface {
		Shutdown(context.Context) error
		Wait()
	}{s.ws, s.http} {
		if err := carriage.Shutdown(ctx); err != nil {
			s.opts.Logger.Warn("shutting down", "err", err)
			carriage.Wait()
		}
	}
}

// start starts the goroutines, and returns a function that waits for them. They end when ctx does; the lanes after the
// connections. A part that cannot go on calls fail.
func (s *Server) start(ctx context.Context, fail func(error)) (wait func(), err error) {
	if err := s.leases.load(ctx, s.store); err != nil {
		return nil, err
	}
	var parts, writers sync.WaitGroup
	laneCtx, stopLanes := context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range s.lanes {
		writers.Go(func() { l.Run(laneCtx) })
	}
	part := func(run func(context.Context) error) {
		parts.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				fail(err)
			}
		})
	}
	part(func(ctx context.Context) error { s.store.Sweep(ctx); return nil })
	part(s.sweep)
	part(s.attend)
	part(func(ctx context.Context) error { return s.leases.run(ctx, s.store, s.opts.Logger) })
	if runner, ok := s.opts.Auth.(interface{ Run(context.Context) error }); ok {
		part(runner.Run)
	}
	if s.opts.OnMessage != nil {
		part(s.deliver)
	}
	if s.hooks != nil {
		part(s.hooks.Run)
	}
	s.ready.Store(true)
	return func() {
		parts.Wait()
		stopLanes()
		writers.Wait()
	}, nil
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
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.rooms.Tick()
		}
	}
}

func (s *Server) sweep(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.hub.Sweep(now)
		}
	}
}

// Close closes the store. Run must have returned, or never have been called.
func (s *Server) Close() error {
	s.halt()
	s.unwatch()
	return s.store.Close()
}

// Durability says what an acknowledged write survives.
func (s *Server) Durability() driver.Durability { return s.store.Durability() }
