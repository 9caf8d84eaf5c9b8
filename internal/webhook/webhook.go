package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
	"github.com/holdfast/holdfast/store/driver"
)

// Log is what deliveries need of the store; every [driver.Driver] is one.
type Log interface {
	Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error)
	FeedOf(ctx context.Context, s holdfast.SessionID, after string, limit int) ([]driver.FeedItem, error)
	Consumer(ctx context.Context, name string) (string, error)
	SetConsumer(ctx context.Context, name, value string) error
	Consumers(ctx context.Context, prefix, after string, limit int) ([]driver.ConsumerValue, error)
}

// Policy says how deliveries are made. Zero fields mean the defaults.
type Policy struct {
	// Source is the source of all events (CloudEvents): a URI reference that tells servers apart. Default: "/holdfast".
	Source string
	// Timeout is how long a receiver may take for its answer. Default: 15 s.
	Timeout time.Duration
	// Retries has the most that is waited after the first failure, the second, and so on; the wait is a random part of it.
	// An event that fails once more becomes a dead letter. Default: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h.
	Retries []time.Duration
	// MaxAge makes a dead letter of an event that fails and is older. Default: 24 h. Sessions whose events fail stand still
	// until then, and the feed must be kept for longer.
	MaxAge time.Duration
	// Concurrency is how many requests are made to one endpoint at once. Default: 16.
	Concurrency int
	// MaxBehind is how many sessions may be behind at one endpoint; beyond it the endpoint waits, and the feed keeps what is
	// to come. Default: 10000. Each costs some hundred bytes of memory.
	MaxBehind int
	// LetterAge is how long dead letters are kept. Default: 30 days.
	LetterAge time.Duration
}

// Options are what a [Dispatcher] is made with. Log and Render are required.
type Options struct {
	Policy
	Endpoints []Endpoint
	// Log is the store.
	Log Log
	// Render makes the data of an event: the item as the feed's readers get it.
	Render func(*driver.FeedItem) ([]byte, error)
	// Changed returns a channel that is closed at the next new item of the feed. Nil: it is looked for once per second.
	Changed func() <-chan struct{}
	// Transport carries the requests. Nil: one like [http.DefaultTransport] for each endpoint.
	Transport http.RoundTripper
	// Logger gets what went wrong: never contents. Nil: slog.Default().
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.Source == "" {
		o.Source = "/holdfast"
	}
	def(&o.Timeout, 15*time.Second)
	if len(o.Retries) == 0 {
		o.Retries = DefaultRetries()
	}
	def(&o.MaxAge, DefaultMaxAge)
	def(&o.Concurrency, 16)
	def(&o.MaxBehind, 10_000)
	def(&o.LetterAge, 30*24*time.Hour)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// DefaultMaxAge is the default of Policy.MaxAge.
const DefaultMaxAge = 24 * time.Hour

// DefaultRetries is the default of Policy.Retries.
func DefaultRetries() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Dispatcher delivers to all endpoints.
type Dispatcher struct {
	opts    Options
	senders []*sender
}

// New makes a dispatcher. Errors are [holdfast.CodeInvalid] and name the endpoint.
func New(o Options) (*Dispatcher, error) {
	o.setDefaults()
	d := &Dispatcher{opts: o}
	names := map[string]bool{}
	for _, end := range o.Endpoints {
		if err := end.setDefaults(); err != nil {
			return nil, err
		}
		if names[end.Name] {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "there are two webhook endpoints called %q; each needs a name of its own", end.Name)
		}
		names[end.Name] = true
		d.senders = append(d.senders, newSender(d, end))
	}
	return d, nil
}

// Run delivers until ctx ends, and returns when every attempt has ended. An error means that the store could not be read
// at the start.
func (d *Dispatcher) Run(ctx context.Context) error {
	for _, s := range d.senders {
		if err := s.load(ctx); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	for _, s := range d.senders {
		all.Go(func() { s.run(ctx) })
		all.Go(func() { s.replay(ctx) })
	}
	all.Wait()
	return nil
}

// Chance returns a number from 0 to less than 1.
func (d *Dispatcher) chance() float64 { return rand.Float64() }

func (p *Policy) schedule() schedule.Policy {
	return schedule.Policy{Waits: p.Retries, MaxAge: p.MaxAge, Slots: p.Concurrency, Lanes: p.MaxBehind}
}
