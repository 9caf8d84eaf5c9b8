// Package store is what applications and the server use of an engine: a driver.Driver and what is the same for all of
// them: validation, limits of size, and retention.
//
// # Usage
//
//	engine, err := pebble.Open(pebble.Options{Dir: "data"})
//	...
//	log, err := store.New(engine, store.Options{})
//	...
//	go log.Sweep(ctx) // retention
//	defer log.Close()
//
// A Store has a Driver's methods under the same names and with the same types; what driver.Driver says of them holds.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine.
package store

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Options of a Store. The zero value is ready to use.
type Options struct {
	Limits    Limits
	Retention Retention
	// SweepEvery is how often retention is enforced. Default 1 minute. What is over a limit stays for that long.
	SweepEvery time.Duration
	// FeedMaxAge is how long feed items are kept, whether or not they were read: a consumer that is away for longer
	// loses them. Default 72 hours; negative: for ever.
	FeedMaxAge time.Duration
	// Turns are the rules of taking turns for sessions that have none of their own. Default: nothing ever waits.
	Turns driver.TurnRules
	// Logger gets what retention drops and what went wrong there. Default: nothing is logged.
	Logger *slog.Logger
	// Now is the clock by which age is judged. Default: time.Now. It should be the engine's.
	Now func() time.Time
}

// Store is an engine with rules. Make it with [New].
type Store struct {
	driver driver.Driver
	opts   Options
	sizes  *runSizes
}

var _ driver.Driver = (*Store)(nil)

// New returns a Store on an engine, which belongs to it from then on: Close closes it.
func New(d driver.Driver, o Options) (*Store, error) {
	if d == nil {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "a store needs an engine: open one of store/pebble, store/memory, ...")
	}
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	return &Store{driver: d, opts: o, sizes: newRunSizes()}, nil
}

func (o *Options) setDefaults() error {
	o.Limits.setDefaults()
	if r := o.Retention; r.MaxAge < 0 || r.MaxEntries < 0 || r.MaxBytes < 0 || r.MaxTotalBytes < 0 || o.SweepEvery < 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "a limit of retention is negative; 0 means no limit")
	}
	if err := o.Turns.Check(); err != nil {
		return err
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = time.Minute
	}
	if o.FeedMaxAge == 0 {
		o.FeedMaxAge = 72 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Apply implements [driver.Driver]. What breaks a rule is holdfast.CodeInvalid, what is over a limit
// holdfast.CodeTooLarge; neither reaches the engine.
func (s *Store) Apply(ctx context.Context, id holdfast.SessionID, op driver.Op) (driver.Result, error) {
	if err := id.Validate(); err != nil {
		return driver.Result{}, err
	}
	if err := s.opts.Limits.check(op); err != nil {
		return driver.Result{}, err
	}
	if f, ok := op.(driver.AppendFragments); ok {
		if err := s.checkRunSize(ctx, id, &f); err != nil {
			return driver.Result{}, err
		}
	}
	if a, ok := op.(driver.Append); ok && a.Turns == (driver.TurnRules{}) {
		a.Turns = s.opts.Turns
		op = a
	}
	r, err := s.driver.Apply(ctx, id, op)
	if err != nil {
		return r, err
	}
	if _, ok := op.(driver.Expire); ok {
		s.sizes.forget(id)
	}
	s.sizes.note(id, &r.Run)
	return r, nil
}

// Info implements [driver.Driver]. A session without rules of its own has the store's.
func (s *Store) Info(ctx context.Context, id holdfast.SessionID) (driver.Info, error) {
	if err := id.Validate(); err != nil {
		return driver.Info{}, err
	}
	info, err := s.driver.Info(ctx, id)
	if !info.Turns.Own {
		info.Turns.Rules = s.opts.Turns
	}
	return info, err
}

// Read implements [driver.Driver].
func (s *Store) Read(ctx context.Context, id holdfast.SessionID, q driver.Query) (driver.Page, error) {
	if err := id.Validate(); err != nil {
		return driver.Page{}, err
	}
	return s.driver.Read(ctx, id, q)
}

// Run implements [driver.Driver].
func (s *Store) Run(ctx context.Context, id holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error) {
	if err := id.Validate(); err != nil {
		return holdfast.Entry{}, err
	}
	return s.driver.Run(ctx, id, run, after)
}

// States implements [driver.Driver].
func (s *Store) States(ctx context.Context, id holdfast.SessionID) ([]holdfast.Entry, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	return s.driver.States(ctx, id)
}

// TagAt implements [driver.Driver].
func (s *Store) TagAt(ctx context.Context, id holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error) {
	if err := id.Validate(); err != nil {
		return 0, false, err
	}
	return s.driver.TagAt(ctx, id, o)
}

// Sessions implements [driver.Driver].
func (s *Store) Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	return s.driver.Sessions(ctx, prefix, after, limit)
}

// OpenRuns implements [driver.Driver].
func (s *Store) OpenRuns(ctx context.Context, after driver.RunRef, limit int) ([]driver.OpenRun, error) {
	return s.driver.OpenRuns(ctx, after, limit)
}

// Stop implements [driver.Driver].
func (s *Store) Stop(ctx context.Context, id holdfast.SessionID, user holdfast.UserID, stop string) (driver.StopInfo, error) {
	if err := id.Validate(); err != nil {
		return driver.StopInfo{}, err
	}
	if err := holdfast.ValidateKey("id", stop); err != nil {
		return driver.StopInfo{}, err
	}
	return s.driver.Stop(ctx, id, user, stop)
}

// Request implements [driver.Driver].
func (s *Store) Request(ctx context.Context, id holdfast.SessionID, o holdfast.Offset) (holdfast.Request, error) {
	if err := id.Validate(); err != nil {
		return holdfast.Request{}, err
	}
	return s.driver.Request(ctx, id, o)
}

// Waiting implements [driver.Driver].
func (s *Store) Waiting(ctx context.Context, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	return s.driver.Waiting(ctx, after, limit)
}

// Delete implements [driver.Driver].
func (s *Store) Delete(ctx context.Context, id holdfast.SessionID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	err := s.driver.Delete(ctx, id)
	s.sizes.forget(id)
	return err
}

// Feed implements [driver.Driver].
func (s *Store) Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error) {
	return s.driver.Feed(ctx, after, limit)
}

// FeedOf implements [driver.Driver].
func (s *Store) FeedOf(ctx context.Context, id holdfast.SessionID, after string, limit int) ([]driver.FeedItem, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	return s.driver.FeedOf(ctx, id, after, limit)
}

// TrimFeed implements [driver.Driver].
func (s *Store) TrimFeed(ctx context.Context, before time.Time) error {
	return s.driver.TrimFeed(ctx, before)
}

// Consumer implements [driver.Driver].
func (s *Store) Consumer(ctx context.Context, name string) (string, error) {
	if err := holdfast.ValidateKey("consumer name", name); err != nil {
		return "", err
	}
	return s.driver.Consumer(ctx, name)
}

// SetConsumer implements [driver.Driver].
func (s *Store) SetConsumer(ctx context.Context, name, value string) error {
	if err := holdfast.ValidateKey("consumer name", name); err != nil {
		return err
	}
	return s.driver.SetConsumer(ctx, name, value)
}

// Consumers implements [driver.Driver].
func (s *Store) Consumers(ctx context.Context, prefix, after string, limit int) ([]driver.ConsumerValue, error) {
	return s.driver.Consumers(ctx, prefix, after, limit)
}

// Watch implements [driver.Driver].
func (s *Store) Watch(fn func(driver.Change)) (stop func()) { return s.driver.Watch(fn) }

// Durability implements [driver.Driver].
func (s *Store) Durability() driver.Durability { return s.driver.Durability() }

// Close closes the engine. The sweeper must have been stopped before, by its context.
func (s *Store) Close() error { return s.driver.Close() }
