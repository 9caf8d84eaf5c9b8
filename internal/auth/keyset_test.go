package auth

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
)

// issuer serves a key set inside a synctest bubble, where there are no sockets.
type issuer struct {
	mu      sync.Mutex
	body    string
	down    bool
	hang    bool
	fetches int
}

func (i *issuer) RoundTrip(req *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.fetches++
	body, down, hang := i.body, i.down, i.hang
	i.mu.Unlock()
	if hang {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: readCloser{strings.NewReader(body)}, Request: req}, nil
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func keySetJSON(tb testing.TB, keys map[string]crypto.Signer) string {
	tb.Helper()
	var list []string
	for id, k := range keys {
		list = append(list, string(publicJWK(tb, id, k)))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

// bench is a verifier with a running key set in a synctest bubble.
type bench struct {
	*testing.T
	v    *Verifier
	from *issuer
	logs *lockedBuffer
	// cancel ends Run's context, stop also waits for Run.
	cancel, stop func()
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// inBubble runs a test with an issuer that publishes the keys "a" (Ed25519) and "r" (RSA). Time is the bubble's.
func inBubble(t *testing.T, o Options, prepare func(*issuer), test func(b *bench)) {
	ring() // outside the bubble: it is shared
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, from: &issuer{}, logs: &lockedBuffer{}}
		b.from.body = keySetJSON(t, map[string]crypto.Signer{"a": ring().ed, "r": ring().rsa})
		if prepare != nil {
			prepare(b.from)
		}
		o.KeySetURL, o.HTTPClient = "https://login.example/keys?apikey=geheim", &http.Client{Transport: b.from}
		o.Now, o.Logger = time.Now, slog.New(slog.NewTextHandler(b.logs, nil))
		b.v = mustNew(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := b.v.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		b.cancel, b.stop = cancel, func() { cancel(); wg.Wait() }
		synctest.Wait()
		test(b)
		b.stop()
		if strings.Contains(b.logs.String(), "geheim") {
			t.Errorf("the log shows the URL's query: %s", b.logs)
		}
	})
}

// token is good for an hour of the bubble's time.
func (b *bench) token(id string, key crypto.Signer) string {
	alg := map[bool]string{true: "RS256", false: "EdDSA"}[key == crypto.Signer(ring().rsa) || key == crypto.Signer(ring().otherRSA)]
	claims := object{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	return forge(b.T, object{"alg": alg, "kid": id}, claims, key)
}

func (b *bench) verify(id string, key crypto.Signer) error {
	token := b.token(id, key)
	_, err := b.v.Verify(b.Context(), token)
	assertNoToken(b.T, fmt.Sprint(err), token)
	assertNoToken(b.T, b.logs.String(), token)
	return err
}

func (b *bench) want(what string, err error, code holdfast.Code) {
	b.Helper()
	if holdfast.CodeOf(err) != code {
		b.Errorf("%s: got %v, want code %q", what, err, code)
	}
}

// advance lets the bubble's time pass.
func advance(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func TestKeySetServesAndRefreshes(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.want("ed", b.verify("a", ring().ed), "")
		b.want("rsa", b.verify("r", ring().rsa), "")
		b.want("other key", b.verify("r", ring().otherRSA), holdfast.CodeUnauthorized)
		if n := b.from.count(); n != 1 {
			b.Errorf("%d fetches, want 1", n)
		}
		advance(2 * time.Hour)
		if n := b.from.count(); n < 11 || n > 14 {
			b.Errorf("%d fetches in two hours, want about 13", n)
		}
		b.want("later", b.verify("a", ring().ed), "")
		if n := strings.Count(b.logs.String(), "key set fetched"); n != 1 {
			b.Errorf("an unchanged set was logged %d times: %s", n, b.logs)
		}
	})
}

func TestKeySetWithdrawnKeyEndsAtRefresh(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.from.set(func(i *issuer) { i.body = keySetJSON(b, map[string]crypto.Signer{"r": ring().rsa}) })
		b.want("before the refresh", b.verify("a", ring().ed), "")
		advance(11 * time.Minute)
		b.want("withdrawn", b.verify("a", ring().ed), holdfast.CodeUnauthorized)
		b.want("kept", b.verify("r", ring().rsa), "")
		b.from.set(func(i *issuer) { i.body = `{"keys":[]}` })
		advance(11 * time.Minute)
		b.want("all withdrawn", b.verify("r", ring().rsa), holdfast.CodeUnauthorized)
		if !strings.Contains(b.logs.String(), "no key that fits") {
			b.Errorf("an empty set goes unnoticed: %s", b.logs)
		}
	})
}

func TestKeySetRotationIsSeenAtOnce(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.from.set(func(i *issuer) {
			i.body = keySetJSON(b, map[string]crypto.Signer{"a": ring().ed, "new": ring().otherRSA})
		})
		b.want("new key", b.verify("new", ring().otherRSA), "")
		if n := b.from.count(); n != 2 {
			b.Errorf("%d fetches, want 2", n)
		}
		for range 50 {
			b.want("unknown key", b.verify("guess", ring().ed), holdfast.CodeUnauthorized)
		}
		if n := b.from.count(); n != 2 {
			b.Errorf("%d fetches, want 2: unknown keys must not fetch again within 30 s", n)
		}
		advance(31 * time.Second)
		b.want("unknown key", b.verify("guess", ring().ed), holdfast.CodeUnauthorized)
		b.want("unknown key", b.verify("guess", ring().ed), holdfast.CodeUnauthorized)
		if n := b.from.count(); n != 3 {
			b.Errorf("%d fetches, want 3", n)
		}
	})
}

func TestKeySetFetchIsSingle(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.from.set(func(i *issuer) { i.hang = true })
		token := b.token("guess", ring().ed)
		var wg sync.WaitGroup
		begin := time.Now()
		for range 100 {
			wg.Go(func() {
				_, err := b.v.Verify(b.Context(), token)
				b.want("unknown key", err, holdfast.CodeUnauthorized)
			})
		}
		wg.Wait()
		if n := b.from.count(); n != 2 {
			b.Errorf("%d fetches, want 2", n)
		}
		if d := time.Since(begin); d != fetchTimeout {
			b.Errorf("waited %v for an issuer that hangs, want %v", d, fetchTimeout)
		}
		b.want("known key meanwhile", b.verify("a", ring().ed), "")
	})
}

func TestVerifyWaitsNoLongerThanItsContext(t *testing.T) {
	inBubble(t, Options{}, func(i *issuer) { i.hang = true }, func(b *bench) {
		ctx, cancel := context.WithTimeout(b.Context(), 70*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := b.v.Verify(ctx, b.token("a", ring().ed))
		b.want("first fetch hangs", err, holdfast.CodeUnavailable)
		if d := time.Since(begin); d != 70*time.Millisecond {
			b.Errorf("took %v", d)
		}
		// One caller that goes away must not take the fetch away from the others.
		b.from.set(func(i *issuer) { i.hang = false })
		b.want("after it", b.verify("a", ring().ed), holdfast.CodeUnavailable)
		advance(2 * time.Second)
		b.want("fetched again", b.verify("a", ring().ed), "")
	})
}

func TestKeySetOutage(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.from.set(func(i *issuer) { i.down = true })
		advance(23 * time.Hour)
		b.want("stale", b.verify("a", ring().ed), "")
		b.from.set(func(i *issuer) { i.down, i.body = false, "<html>we are upgrading</html>" })
		advance(30 * time.Minute)
		b.want("garbage", b.verify("a", ring().ed), "")
		before := b.from.count()
		advance(time.Hour)
		err := b.verify("a", ring().ed)
		b.want("too stale", err, holdfast.CodeUnavailable)
		if !strings.Contains(holdfast.MessageOf(err), "too long ago") {
			b.Error(err)
		}
		if n := b.from.count() - before; n > 70 {
			b.Errorf("%d fetches in an hour of outage", n)
		}
		b.from.set(func(i *issuer) { i.body = keySetJSON(b, map[string]crypto.Signer{"a": ring().ed}) })
		advance(2 * time.Minute)
		b.want("back", b.verify("a", ring().ed), "")
		if n := strings.Count(b.logs.String(), "key set fetched"); n != 2 {
			b.Errorf("the recovery was logged %d times", n-1)
		}
	})
}

// Where the issuer is down, who takes over from a verifier lives on its keys; those of another issuer are none of its own.
func TestKeysAreInherited(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.from.set(func(i *issuer) { i.down = true })
		o := Options{
			KeySetURL: "https://login.example/keys?apikey=geheim", HTTPClient: &http.Client{Transport: b.from}, Now: time.Now,
			Logger: slog.New(slog.NewTextHandler(b.logs, nil)),
		}
		heir := mustNew(b, o)
		if !heir.Inherit(b.v) {
			b.Error("the same key set was not inherited")
		}
		_, err := heir.Verify(b.Context(), b.token("a", ring().ed))
		b.want("with inherited keys", err, "")
		o.KeySetURL = "https://other.example/keys"
		if stranger := mustNew(b, o); stranger.Inherit(b.v) {
			b.Error("the keys of another issuer were inherited")
		}
		if v := mustNew(b, Options{Keys: []Key{publicKey(b, "s", ring().p256)}}); !v.Inherit(b.v) {
			b.Error("a verifier without a key set has something to fetch")
		}
	})
}

func TestKeySetNeverFetched(t *testing.T) {
	inBubble(t, Options{Keys: []Key{publicKey(t, "s", ring().p256)}}, func(i *issuer) { i.down = true }, func(b *bench) {
		err := b.verify("a", ring().ed)
		b.want("never fetched", err, holdfast.CodeUnavailable)
		if !strings.Contains(fmt.Sprint(err), "connection refused") || strings.Contains(holdfast.MessageOf(err), "refused") {
			b.Errorf("the cause belongs into the log and not to the client: %v", err)
		}
		claims := object{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
		if _, err := b.v.Verify(b.Context(), forge(b, object{"alg": "ES256", "kid": "s"}, claims, ring().p256)); err != nil {
			b.Errorf("a configured key needs no key set: %v", err)
		}
		b.from.set(func(i *issuer) { i.down = false })
		advance(10 * time.Second)
		b.want("up", b.verify("a", ring().ed), "")
	})
}

func TestNoFetchForTokensThatNoKeyCouldVerify(t *testing.T) {
	secret := publicKey(t, "s", ring().secret)
	inBubble(t, Options{Keys: []Key{secret}}, nil, func(b *bench) {
		for _, alg := range []string{"none", "PS512", "HS512", "ES384", "HS256"} {
			claims := object{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
			token := forge(b, object{"alg": alg, "kid": "guess"}, claims, []byte("x"))
			_, err := b.v.Verify(b.Context(), token)
			b.want(alg, err, holdfast.CodeUnauthorized)
		}
		if n := b.from.count(); n != 1 {
			b.Errorf("%d fetches, want only that of the start", n)
		}
	})
}

func TestKeySetRunOnce(t *testing.T) {
	inBubble(t, Options{}, nil, func(b *bench) {
		b.want("second Run", b.v.Run(b.Context()), holdfast.CodeConflict)
		b.stop()
		before := b.from.count()
		b.want("after Run ended, known", b.verify("a", ring().ed), "")
		begin := time.Now()
		b.want("after Run ended, unknown", b.verify("guess", ring().ed), holdfast.CodeUnauthorized)
		if time.Since(begin) != 0 || b.from.count() != before {
			b.Error("waited for a fetch that nobody makes")
		}
	})
}

func TestKeySetRunEndsWhileOthersWait(t *testing.T) {
	inBubble(t, Options{}, func(i *issuer) { i.hang = true }, func(b *bench) {
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { b.want("waiting", b.verify("a", ring().ed), holdfast.CodeUnavailable) })
		}
		synctest.Wait()
		begin := time.Now()
		b.stop()
		wg.Wait()
		if time.Since(begin) != 0 {
			b.Errorf("they were kept waiting for %v", time.Since(begin))
		}
		if strings.Contains(b.logs.String(), "not fetched") {
			b.Errorf("the end of the program was logged as a failure: %s", b.logs)
		}
	})
}

// A request that comes in between the end of the context and the end of Run must not wait for ever. Which of the two Run
// sees first is random, hence the rounds.
func TestKeySetRunEndsWhileOneAsks(t *testing.T) {
	for range 40 {
		inBubble(t, Options{}, nil, func(b *bench) {
			b.cancel()
			b.want("asking at the end", b.verify("guess", ring().ed), holdfast.CodeUnauthorized)
		})
	}
}

func TestVerifyWithoutRun(t *testing.T) {
	from := &issuer{body: keySetJSON(t, map[string]crypto.Signer{"a": ring().ed})}
	v := mustNew(t, Options{KeySetURL: "https://login.example/k", HTTPClient: &http.Client{Transport: from}})
	token := forge(t, object{"alg": "EdDSA", "kid": "a"}, goodClaims(nil), ring().ed)
	if _, err := v.Verify(context.Background(), token); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(context.Background(), token); err != nil {
		t.Errorf("after Refresh: %v", err)
	}
}

func TestRunWithoutKeySet(t *testing.T) {
	v := mustNew(t, Options{Keys: []Key{publicKey(t, "", ring().ed)}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(v.Run(ctx), v.Refresh(ctx)); err != nil {
		t.Error(err)
	}
}

func TestPause(t *testing.T) {
	const every = 10 * time.Minute
	for name, c := range map[string]struct {
		failures int
		every    time.Duration
		r        float64
		want     time.Duration
	}{
		"earliest":           {0, every, 0, 9 * time.Minute},
		"middle":             {0, every, 0.5, every},
		"first failure":      {1, every, 0.5, time.Second},
		"third failure":      {3, every, 0.5, 4 * time.Second},
		"many failures":      {1000, every, 0.5, time.Minute},
		"short refresh time": {1000, 10 * time.Second, 0.5, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := pause(c.failures, c.every, c.r); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
