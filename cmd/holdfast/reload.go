package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
)

// A reload reads all settings anew, from where they came: the command line as it was, the environment as it was, and the
// file that --config names. Only what is in reloadable may differ then, and only if all of it can be used is any of it taken.

// reloadable are the settings that a running server takes over.
var reloadable = []string{
	"log-level", "tls-cert-file", "tls-key-file",
	"jwt-secret-file", "jwt-public-key-file", "jwt-key-set-url", "jwt-algorithms", "jwt-issuer", "jwt-audience", "jwt-allow-no-expiry",
	"max-connections", "max-connections-per-user", "max-connections-per-address", "attach-rate", "attach-rate-per-user",
	"attach-rate-per-address", "rate-per-user", "rate-per-address", "bytes-rate", "bytes-rate-per-user", "bytes-rate-per-address",
	"max-sessions-per-user", "connections",
}

// settings are all of serve's, and where they came from.
type settings struct {
	node  nodeSettings
	auth  authSettings
	flags *pflag.FlagSet
	// given is the command line.
	given []string
}

// commandLine returns the flags that were given, in a form that can be parsed again.
func commandLine(flags *pflag.FlagSet) (args []string) {
	flags.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		args = append(args, "--"+f.Name+"="+value)
	})
	return args
}

// readSettings reads the settings from a command line, the environment and the file.
func readSettings(args []string) (*settings, error) {
	s := &settings{given: args}
	cmd := &cobra.Command{Use: "serve"}
	s.register(cmd.Flags())
	s.flags = cmd.Flags()
	if err := s.flags.Parse(args); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the command line is not valid")
	}
	return s, settle(cmd)
}

func (s *settings) register(f *pflag.FlagSet) {
	s.node.registerServe(f)
	s.auth.register(f)
}

// reloader is what a running server changes when it is told to.
type reloader struct {
	srv   *server.Server
	auth  *changingAuth
	certs *certificates // nil without TLS
	log   *slog.Logger
	level *slog.LevelVar

	// Guarded by mu.
	mu  sync.Mutex
	now *settings
}

// hangUps are the SIGHUPs from now on. To the end of the program one must not kill it: neither while it waits for another's store,
// nor while it drains.
func hangUps() <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// run reloads at each SIGHUP, until ctx ends.
func (r *reloader) run(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		changed, err := r.reload(ctx)
		if err != nil {
			r.log.Error("the settings were not taken; the server goes on with those before", "err", explain(err))
			continue
		}
		r.log.Info("the settings were read again", "changed", changed)
	}
}

// reload takes the settings as they are now, and returns what differs. On an error nothing was changed.
func (r *reloader) reload(ctx context.Context) (changed []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := readSettings(r.now.given)
	if err != nil {
		return nil, err
	}
	changed = differences(r.now.flags, next.flags)
	fixed := slices.DeleteFunc(slices.Clone(changed), func(name string) bool { return slices.Contains(reloadable, name) })
	if len(fixed) > 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "%s cannot be changed while the server runs; restart it, or change it back",
			strings.Join(fixed, ", "))
	}
	level, err := next.node.level()
	if err != nil {
		return nil, err
	}
	verifier, err := r.verifier(ctx, &next.auth)
	if err != nil {
		return nil, err
	}
	cert, err := next.node.front.certificate()
	if err == nil && (cert == nil) != (r.certs == nil) {
		err = holdfast.Errorf(holdfast.CodeInvalid, "TLS cannot be switched on or off while the server runs")
	}
	if err != nil {
		return nil, err
	}
	rules, err := parseRules(next.node.rules)
	if err == nil {
		err = r.srv.SetConnections(rules)
	}
	if err != nil {
		return nil, err
	}
	r.level.Set(level)
	r.auth.set(verifier)
	r.srv.SetLimits(next.node.front.limits)
	if cert != nil {
		r.certs.current.Store(cert)
	}
	r.now = next
	return changed, nil
}

// verifier makes the one that follows. It begins with the keys that there are: where the issuer cannot be reached, those are what
// the server lives on, and a reload must not throw them away.
func (r *reloader) verifier(ctx context.Context, s *authSettings) (server.Auth, error) {
	made, err := s.auth(r.log)
	if err != nil {
		return nil, err
	}
	next, ok := made.(*auth.Verifier)
	if !ok {
		return made, nil
	}
	current, _ := r.auth.get()
	if before, _ := current.(*auth.Verifier); next.Inherit(before) {
		return next, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keysTime)
	defer cancel()
	return next, next.Refresh(ctx)
}

// keysTime is how long the keys of an issuer that is new may take.
const keysTime = 15 * time.Second

func (r *reloader) files() frontSettings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now.node.front
}

// differences are the names of the flags whose values differ.
func differences(before, after *pflag.FlagSet) (names []string) {
	after.VisitAll(func(f *pflag.Flag) {
		if b := before.Lookup(f.Name); b == nil || b.Value.String() != f.Value.String() {
			names = append(names, f.Name)
		}
	})
	return names
}

// changingAuth is a verifier that can be replaced. It is safe for concurrent use.
type changingAuth struct {
	mu      sync.Mutex
	current server.Auth
	// replaced is closed when current was.
	replaced chan struct{}
}

func newChangingAuth(a server.Auth) *changingAuth {
	return &changingAuth{current: a, replaced: make(chan struct{})}
}

func (c *changingAuth) set(a server.Auth) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = a
	close(c.replaced)
	c.replaced = make(chan struct{})
}

func (c *changingAuth) get() (server.Auth, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.replaced
}

// Verify implements server.Auth.
func (c *changingAuth) Verify(ctx context.Context, token string) (holdfast.Grant, error) {
	a, _ := c.get()
	return a.Verify(ctx, token)
}

// Run runs what the verifier there is needs, until ctx ends.
func (c *changingAuth) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		a, replaced := c.get()
		if err := runUntil(ctx, a, replaced); err != nil {
			return err
		}
	}
	return nil
}

func runUntil(ctx context.Context, a server.Auth, replaced <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	runner, ok := a.(interface{ Run(context.Context) error })
	if !ok {
		select {
		case <-ctx.Done():
		case <-replaced:
		}
		return nil
	}
	ran := make(chan error, 1)
	go func() { ran <- runner.Run(ctx) }() // ends with ctx, and is received below
	select {
	case err := <-ran:
		return err
	case <-replaced:
		cancel()
		<-ran
		return nil
	}
}
