package auth

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

const (
	// askEvery is how often unknown key ids may cause a fetch. Key ids stand in unverified headers, so without it anybody
	// could make us hammer the issuer.
	askEvery = 30 * time.Second
	// fetchTimeout bounds one fetch, its body included.
	fetchTimeout = 10 * time.Second
	// retryFirst and retryMost bound the pause after a fetch that failed.
	retryFirst = time.Second
	retryMost  = time.Minute
)

// keySet caches the public keys that an issuer publishes. Only run and refresh fetch; a fetch that fails leaves the keys
// as they are.
type keySet struct {
	// Static after newKeySet.
	url        *url.URL
	client     *http.Client
	algorithms []string
	every      time.Duration
	maxStale   time.Duration
	now        func() time.Time
	log        *slog.Logger

	// ask wakes run; capacity 1, never closed. fetching is held, by a value in it, during a fetch, so that an older answer
	// cannot overwrite a newer one.
	ask      chan struct{}
	fetching chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	running bool
	keys    []verifyingKey // replaced, never changed in place
	fetched time.Time      // when keys were fetched; zero for never
	failure error          // of the last fetch, nil if it succeeded
	asked   time.Time      // when an unknown key id last caused a fetch
	flight  chan struct{}  // closed when the fetch under way or asked for has ended; nil if there is none
}

func newKeySet(o *Options) (*keySet, error) {
	u, err := url.Parse(o.KeySetURL)
	if err != nil {
		// The cause quotes the URL, which may hold credentials.
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "KeySetURL is not a URL")
	}
	if err := checkKeySetURL(u, o.KeySetInsecure); err != nil {
		return nil, err
	}
	algs := publishedAlgorithms(o)
	if len(algs) == 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"Algorithms has none that a key of KeySetURL could be for; add one of RS, PS, ES or EdDSA, or drop KeySetURL")
	}
	return &keySet{
		url: u, client: keySetClient(o), algorithms: algs, every: o.RefreshEvery, maxStale: o.MaxStale,
		now: o.Now, log: o.Logger.With("key_set", u.Scheme+"://"+u.Host+u.Path),
		ask: make(chan struct{}, 1), fetching: make(chan struct{}, 1),
	}, nil
}

// publishedAlgorithms are those that fetched keys may verify: what is published is no secret, so never an HS one.
func publishedAlgorithms(o *Options) []string {
	if len(o.Algorithms) == 0 {
		return []string{"RS256", "ES256", "EdDSA"}
	}
	return slices.DeleteFunc(slices.Clone(o.Algorithms), func(a string) bool {
		return familyOf(a) == familyHMAC || familyOf(a) == familyNone
	})
}

// find returns the keys among which the token's is, if it is known at all. It waits only for a fetch that could bring
// the key, and at most until ctx ends.
func (s *keySet) find(ctx context.Context, t *unverified) ([]verifyingKey, error) {
	keys, err := s.current()
	named := func(k verifyingKey) bool { return k.id == t.keyID }
	if err == nil && (t.keyID == "" || slices.ContainsFunc(keys, named)) {
		return keys, nil
	}
	if flight := s.request(); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(),
				"the issuer's key set was not fetched in time to check the token; repeat later")
		}
	}
	return s.current()
}

// inherit takes the keys of a set that is read from the same place.
func (s *keySet) inherit(from *keySet) bool {
	if s.url.String() != from.url.String() || !slices.Equal(s.algorithms, from.algorithms) {
		return false
	}
	from.mu.Lock()
	keys, fetched, failure := from.keys, from.fetched, from.failure
	from.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.fetched, s.failure = keys, fetched, failure
	return true
}

// current returns the keys, or an error if there are none that may still be trusted.
func (s *keySet) current() ([]verifyingKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fetched.IsZero():
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, s.failure,
			"the issuer's key set has not been fetched yet, so no token can be checked; repeat later")
	case s.now().Sub(s.fetched) > s.maxStale:
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, s.failure,
			"the issuer's key set was last fetched at %s, too long ago to trust it; repeat later", stamp(s.fetched))
	}
	return s.keys, nil
}

// request asks run for a fetch and returns what is closed when it has ended. It returns nil when none is to be waited
// for: run is not running, or another unknown key id caused a fetch just now.
func (s *keySet) request() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running || s.flight != nil {
		return s.flight
	}
	now := s.now()
	// A clock that was set back must not lock the door until it has caught up.
	if since := now.Sub(s.asked); !s.asked.IsZero() && since >= 0 && since < askEvery {
		return nil
	}
	s.asked = now
	s.flight = make(chan struct{})
	select {
	case s.ask <- struct{}{}:
	default:
	}
	return s.flight
}

// run fetches until ctx ends.
func (s *keySet) run(ctx context.Context) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return holdfast.Errorf(holdfast.CodeConflict, "Run is running already; call it once")
	}
	s.running = true
	s.mu.Unlock()
	defer s.land(false)

	failures := 0
	for {
		s.takeOff()
		if err := s.refresh(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
		s.land(true)
		timer := time.NewTimer(pause(failures, s.every, rand.Float64()))
		select {
		case <-timer.C:
		case <-s.ask:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// takeOff lets those who look for an unknown key wait for the fetch that begins now.
func (s *keySet) takeOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		s.flight = make(chan struct{})
	}
	// This fetch answers whoever asked until now.
	select {
	case <-s.ask:
	default:
	}
}

// land wakes those who wait for the fetch. running is false when run ends: nobody is to wait for it any more.
func (s *keySet) land(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = running
	if s.flight != nil {
		close(s.flight)
		s.flight = nil
	}
}

// pause is how long to wait before the next fetch; r is random in [0, 1), so that many servers do not fetch together.
func pause(failures int, every time.Duration, r float64) time.Duration {
	d := every
	if failures > 0 {
		d = min(retryFirst<<min(failures-1, 10), retryMost, every)
	}
	return time.Duration(float64(d) * (0.9 + 0.2*r))
}

// refresh fetches once and keeps the result.
func (s *keySet) refresh(ctx context.Context) error {
	select {
	case s.fetching <- struct{}{}:
		defer func() { <-s.fetching }()
	case <-ctx.Done():
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the key set was not fetched in time")
	}
	found, err := s.fetch(ctx)
	if err != nil {
		s.keepOld(ctx, err)
		return err
	}
	s.keepNew(found)
	return nil
}

func (s *keySet) keepOld(ctx context.Context, err error) {
	s.mu.Lock()
	s.failure = err
	age := s.now().Sub(s.fetched)
	if s.fetched.IsZero() {
		age = 0
	}
	s.mu.Unlock()
	if ctx.Err() == nil { // the end of the program is no failure of the issuer
		s.log.Warn("key set not fetched; the last one stays in use", "error", err, "age", age, "max_stale", s.maxStale)
	}
}

func (s *keySet) keepNew(found published) {
	s.mu.Lock()
	same := slices.EqualFunc(s.keys, found.keys, func(a, b verifyingKey) bool { return a.id == b.id }) && !s.fetched.IsZero()
	recovered := s.failure != nil
	s.keys, s.fetched, s.failure = found.keys, s.now(), nil
	s.mu.Unlock()
	if same && !recovered {
		return
	}
	ids := make([]string, len(found.keys))
	for i, k := range found.keys {
		ids[i] = k.id
	}
	s.log.Info("key set fetched", "ids", ids, "left_out", found.leftOut)
	if len(found.keys) == 0 {
		s.log.Warn("the key set has no key that fits the allowed algorithms; tokens of this issuer are refused",
			"algorithms", s.algorithms, "left_out", found.leftOut)
	}
}
