package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/relay"
	"github.com/holdfast/holdfast/internal/stranger"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/pebble"
)

// nodeSettings are those that serve and dev have in common.
type nodeSettings struct {
	addr, data, durability string
	logLevel, logFormat    string
	debugAddr, metricsAddr string
	takeOver               bool
	front                  frontSettings
	// levels is the logger's, so that it can be changed.
	levels slog.LevelVar
	// taken ends the listening, when another process has the store: else proxies would send half of all that comes here, to be refused.
	taken func() error

	server server.Options
	rules  []string
	keep   store.Retention
	turns  string
	feed   time.Duration
	hooks  webhookSettings
	admin  adminSettings
}

func (n *nodeSettings) register(f *pflag.FlagSet, addr string) {
	f.StringVar(&n.addr, "addr", addr, "address to listen on")
	f.StringVar(&n.data, "data", "holdfast-data", "folder of the embedded store; it is made if it is not there")
	f.StringVar(&n.durability, "durability", "fsync", "what an acknowledged write survives: fsync (a loss of power) or process (only a crash of the program)")
	f.StringVar(&n.logLevel, "log-level", "info", "least severe log records to write: debug, info, warn or error")
	f.StringVar(&n.logFormat, "log-format", "text", "form of the log: text or json")
	f.StringVar(&n.debugAddr, "debug-addr", "", "address for profiles (pprof); empty for none. Whoever reaches it sees the program's memory")

	f.StringVar(&n.metricsAddr, "metrics-addr", "", "address for metrics (/metrics in Prometheus' format, /healthz and /readyz); empty for none. Not for the public")

	o := &n.server
	f.StringSliceVar(&o.Origins, "origins", nil, "pages that may connect besides those of this host: https://app.example.com, https://*.example.com; * lets in every page on the web")
	f.DurationVar(&o.Beat, "beat", 10*time.Second, "how long a connection may be silent either way; after 2.5 times that the peer is taken for gone")
	f.DurationVar(&o.Rest, "rest", 25*time.Second, "the beat of a connection whose page is hidden; browsers keep timers of hidden pages waiting")
	f.DurationVar(&o.HelloTimeout, "hello-timeout", 10*time.Second, "how long a connection may take to authenticate, and one in standby to be taken")
	f.DurationVar(&o.WriteTimeout, "write-timeout", 60*time.Second, "how long a socket may take nothing before its connection is given up")
	f.DurationVar(&o.Lease, "lease", 60*time.Second, "how long a run may go without a word of its producer before it is ended as interrupted")
	f.DurationVar(&o.StopGrace, "stop-grace", 5*time.Second, "how long a producer has to heed a stop before the server ends the run itself")
	f.StringVar(&n.turns, "turns", "parallel", "what becomes of a user's message while an answer is under way, in sessions whose backend has not said: parallel, queue, latest, reject or interrupt")
	f.DurationVar(&o.Drain, "drain", 10*time.Second, "how long a server that stops waits for its connections to leave")
	f.DurationVar(&o.RevocationAge, "revocation-age", 30*24*time.Hour, "how long a revocation is kept that does not say until when: as long as your longest-lived tokens live; negative for ever")
	f.IntVar(&o.MaxData, "max-data", 256<<10, "largest data of one message, in bytes")
	f.IntVar(&o.MaxSubs, "max-sessions-per-connection", 100, "how many sessions one connection may read")
	f.StringSliceVar(&n.rules, "connections", nil, "rules on the connections of one user: \"max=3 on=evict_oldest\". on is allow, reject, evict_oldest, evict_idle, take_over, ask or read_only; per=device counts those of each device apart, in=session those that read a session; a token may tighten them")
	f.Float64Var(&o.Rate, "rate", 50, "frames per second that one connection may send for long")
	f.IntVar(&o.Burst, "burst", 200, "frames that one connection may send at once")

	f.DurationVar(&n.keep.MaxAge, "keep-age", 0, "how long entries are kept; 0 for ever")
	f.Int64Var(&n.keep.MaxEntries, "keep-entries", 0, "how many entries a session keeps; 0 for all")
	f.Int64Var(&n.keep.MaxBytes, "keep-bytes", 0, "how many bytes a session keeps; 0 for all")
	f.Int64Var(&n.keep.MaxTotalBytes, "keep-total-bytes", 0, "how many bytes all sessions keep together, the longest unused going first; 0 for all")
	f.DurationVar(&n.feed, "feed-age", 72*time.Hour, "how long the feed of users' messages and ends of runs is kept")
	f.IntVar(&o.Journal, "journal", 50_000, "how many records of what connections went through are kept in memory for the operator's page; negative for none")
	n.hooks.register(f)
}

// registerServe registers those that only serve has, too.
func (n *nodeSettings) registerServe(f *pflag.FlagSet) {
	n.register(f, ":8080")
	n.admin.register(f, "")
	n.front.register(f)
	f.BoolVar(&n.takeOver, "take-over", false, "where another process has the store, wait until it stops, and take over its clients; see operations")
	f.String("config", "", "configuration file (YAML; the keys are the names of these flags)")
}

func (n *nodeSettings) level() (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(n.logLevel)); err != nil {
		return level, holdfast.Errorf(holdfast.CodeInvalid, "log-level is %q; it may be debug, info, warn or error", n.logLevel)
	}
	return level, nil
}

// logger makes the program's logger.
func (n *nodeSettings) logger() (*slog.Logger, error) {
	level, err := n.level()
	if err != nil {
		return nil, err
	}
	n.levels.Set(level)
	o := &slog.HandlerOptions{Level: &n.levels}
	switch n.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), nil
	}
	return nil, holdfast.Errorf(holdfast.CodeInvalid, "log-format is %q; it may be text or json", n.logFormat)
}

func (n *nodeSettings) open(log *slog.Logger) (*pebble.Driver, error) {
	return pebble.Open(pebble.Options{Dir: n.data, Sync: driver.Durability(n.durability), Logger: log})
}

// node makes the server. It owns the store from then on.
func (n *nodeSettings) node(db driver.Driver, auth server.Auth, log *slog.Logger) (*server.Server, error) {
	o := n.server
	if o.Drain <= 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "drain is %v; it has to be more than 0", o.Drain)
	}
	o.Auth, o.Store, o.Logger = auth, db, log
	var err error
	if o.Connections, err = parseRules(n.rules); err != nil {
		return nil, err
	}
	o.Successor = func(ctx context.Context) bool { return successorOf(ctx, n.data) }
	o.Taken = func(ctx context.Context) {
		if awaitTaken(ctx, n.data) && n.taken != nil {
			_ = n.taken()
		}
	}
	o.Relay = func(ctx context.Context, changed func(driver.Change)) error {
		return relay.Follow(ctx, filepath.Join(n.data, relayFile), changed)
	}
	trusted, err := n.front.proxies()
	if err != nil {
		return nil, err
	}
	o.TrustedProxies, o.Limits = trusted, n.front.limits
	hooks, err := n.hooks.endpoints()
	if err != nil {
		return nil, err
	}
	o.Webhooks, o.WebhookPolicy = hooks, n.hooks.policy
	o.Keep = store.Options{Retention: n.keep, FeedMaxAge: n.feed, Turns: driver.TurnRules{Policy: holdfast.TurnPolicy(n.turns)}, Logger: log}
	return server.New(o)
}

// parseRules reads the rules on connections that the setting of that name holds.
func parseRules(texts []string) (rules []holdfast.ConnectionRule, err error) {
	for _, text := range texts {
		rule, err := holdfast.ParseConnectionRule(text)
		if err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "connections: %s", holdfast.MessageOf(err))
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

type authSettings struct {
	secretFile, keySetURL, issuer, audience string
	publicKeyFiles, algorithms              []string
	noExpiry                                bool
}

func (a *authSettings) register(f *pflag.FlagSet) {
	f.StringVar(&a.secretFile, "jwt-secret-file", "", "file with a secret for HS256 tokens; holdfast token --new-secret makes one")
	f.StringSliceVar(&a.publicKeyFiles, "jwt-public-key-file", nil, "files with public keys (PEM) for RS, PS, ES or EdDSA tokens")
	f.StringVar(&a.keySetURL, "jwt-key-set-url", "", "URL of the issuer's key set (JWKS)")
	f.StringSliceVar(&a.algorithms, "jwt-algorithms", nil, "accepted signature algorithms; default: those of the keys given")
	f.StringVar(&a.issuer, "jwt-issuer", "", "issuer that tokens must have; empty accepts any")
	f.StringVar(&a.audience, "jwt-audience", "", "audience that tokens must have; empty accepts any")
	f.BoolVar(&a.noExpiry, "jwt-allow-no-expiry", false, "accept tokens that never expire")
}

// auth makes the verifier, or says which settings give it a key.
func (a *authSettings) auth(log *slog.Logger) (server.Auth, error) {
	o := server.JWTOptions{
		KeySetURL: a.keySetURL, Algorithms: a.algorithms, Issuer: a.issuer, Audience: a.audience, AllowNoExpiry: a.noExpiry, Logger: log,
	}
	if a.secretFile == "" && len(a.publicKeyFiles) == 0 && a.keySetURL == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"there is no key to verify tokens with, and without one everybody would be let in: set --jwt-secret-file, --jwt-public-key-file or --jwt-key-set-url (or try holdfast dev)")
	}
	if a.secretFile != "" {
		key, err := secretKey(a.secretFile)
		if err != nil {
			return nil, err
		}
		o.Keys = append(o.Keys, key)
	}
	for _, path := range a.publicKeyFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "jwt-public-key-file cannot be read")
		}
		key, err := server.ParsePEM("", text)
		if err != nil {
			return nil, err
		}
		o.Keys = append(o.Keys, key)
	}
	return server.NewJWT(o)
}

func serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve sessions", Args: cobra.NoArgs,
		Long: "Serve sessions: clients at /v1/ws/, the HTTP API at /v1/, /healthz and /readyz.\n\n" +
			"Every setting may also be an environment variable, HOLDFAST_ADDR for --addr, or stand in the file that --config names.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.flags, s.given = cmd.Flags(), commandLine(cmd.Flags())
			if err := settle(cmd); err != nil {
				return err
			}
			return serve(cmd.Context(), &s)
		},
	}
	s.register(cmd.Flags())
	return cmd
}

func serve(ctx context.Context, s *settings) error {
	hup := hangUps()
	n := &s.node
	log, err := n.logger()
	if err != nil {
		return err
	}
	verifier, err := s.auth.auth(log)
	if err != nil {
		return err
	}
	auth := newChangingAuth(verifier)
	certs, err := newCertificates(&n.front, log)
	if err != nil {
		return err
	}
	turn, err := n.claim(log)
	if err != nil {
		return err
	}
	defer turn.giveUp()
	srv, err := n.node(turn.db, auth, log)
	if err != nil {
		return errors.Join(err, turn.db.Close())
	}
	page, err := n.admin.serve(n, srv, log)
	if err != nil {
		return errors.Join(err, srv.Close())
	}
	if page.url != "" {
		log.Info("operator's page", "url", page.url)
	}
	listener, err := turn.await(ctx)
	if err != nil {
		return errors.Join(err, page.stop(), srv.Close())
	}
	stopSides, err := n.sides(srv)
	if err != nil {
		return errors.Join(err, page.stop(), srv.Close())
	}
	defer stopSides()
	n.taken = listener.Close
	log.Info("serving", "addr", listener.Addr().String(), "data", n.data, "durability", string(srv.Durability()))
	front, err := n.front.wrap(listener, certs)
	if err != nil {
		return errors.Join(err, page.stop(), srv.Close())
	}
	r := &reloader{srv: srv, auth: auth, certs: certs, log: log, level: &n.levels, now: s}
	around, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.run(around, hup) })
	if certs != nil {
		helpers.Go(func() { certs.watch(around, r.files) })
	}
	err = runNode(ctx, n, srv, srv, front)
	stop()
	helpers.Wait()
	return errors.Join(err, page.stop(), srv.Close())
}

func (n *nodeSettings) listen() (net.Listener, error) { return listen("addr", n.addr) }

func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "cannot listen on %s; choose another address with --%s", addr, flag)
	}
	return l, nil
}

// strangerTimeout is how long somebody who has shown no token may hold a socket, and how long a request of theirs may take.
// idleTimeout is how long one may be held without a request by who has: a backend does not connect for each.
const (
	strangerTimeout = 10 * time.Second
	idleTimeout     = 2 * time.Minute
)

// newWeb makes the server for clients and backends.
func newWeb(h http.Handler) *http.Server {
	web := &http.Server{
		// The reading of a request, its body included, is bounded for who has shown no token; for the others it is lifted.
		Handler: h, ReadHeaderTimeout: strangerTimeout, ReadTimeout: strangerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 32 << 10,
		ConnContext: server.ConnContext,
	}
	stranger.Bound(web, strangerTimeout)
	return web
}

// runNode serves h on the listener and runs the node until ctx ends. The node goes first: it tells its connections to come
// back elsewhere and ends what waits, so that the HTTP server has nothing left to wait for.
func runNode(ctx context.Context, n *nodeSettings, srv *server.Server, h http.Handler, l net.Listener) error {
	web := newWeb(h)
	failed := make(chan error, 2)
	go func() { failed <- web.Serve(l) }() // ends by Shutdown below; its error is received at the end
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	node := make(chan error, 1)
	go func() { node <- srv.Run(ctx) }() // ends with ctx; received below
	var tidying sync.WaitGroup
	tidying.Go(func() { tidy(ctx) })
	tidying.Go(func() { // ends when the node does, if not before
		<-srv.Halted()
		web.SetKeepAlivesEnabled(false)
	})
	defer tidying.Wait()
	var serveErr error
	select {
	case <-ctx.Done():
	case serveErr = <-failed:
		cancel()
	case nodeErr := <-node:
		cancel()
		node <- nodeErr
	}
	err := <-node
	stop, done := context.WithTimeout(context.Background(), n.server.Drain)
	defer done()
	if shutErr := web.Shutdown(stop); shutErr != nil {
		err = errors.Join(err, web.Close())
	}
	if serveErr == nil {
		serveErr = <-failed
	}
	if !errors.Is(serveErr, http.ErrServerClosed) && !errors.Is(serveErr, net.ErrClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// trySides finds out whether the addresses of sides can be listened on. A process that waits does not serve there before its turn: who
// watches over it would take it for one that fails.
func (n *nodeSettings) trySides() error {
	for flag, addr := range map[string]string{"debug-addr": n.debugAddr, "metrics-addr": n.metricsAddr} {
		if addr == "" {
			continue
		}
		l, err := listen(flag, addr)
		if err != nil {
			return err
		}
		_ = l.Close()
	}
	return nil
}

// sides serves profiles and metrics, where addresses are given, until stop is called.
func (n *nodeSettings) sides(srv *server.Server) (stop func(), err error) {
	stopDebug, err := debugServer(n.debugAddr)
	stopMetrics, merr := metricsServer(n.metricsAddr, srv)
	stop = func() {
		stopMetrics()
		stopDebug()
	}
	if err = errors.Join(err, merr); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// debugServer serves profiles, if an address is given.
func debugServer(addr string) (stop func(), err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	_, stop, err = sideServer("debug-addr", addr, newSide(mux))
	return stop, err
}
