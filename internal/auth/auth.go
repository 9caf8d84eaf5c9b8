// Package auth turns a signed token (a JSON Web Token, RFC 7519) into a [holdfast.Grant], and mints tokens for
// development and tests. It is the only importer of the token library.
//
// # Usage
//
//	v, err := auth.New(auth.Options{KeySetURL: "https://login.example/keys", Issuer: "https://login.example"})
//	go v.Run(ctx) // needed with KeySetURL only; wait for it before the program ends
//	grant, err := v.Verify(ctx, token)
//
// # The claims
//
// sub is the user, exp is required, nbf, iat, iss and aud are checked as RFC 7519 says. Holdfast's own claims are the
// members of one object, all optional, and a member that is not one of these is refused, so that a misspelt one does
// not go unnoticed:
//
//	"hf": {"read": ["chat-{user}:*"], "send": [...], "stop": [...], "backend": true}
//
// The lists hold session patterns, see [holdfast.MatchSession].
//
// # Errors
//
// A token that does not verify is [holdfast.CodeUnauthorized], and the text says why. [holdfast.CodeUnavailable] means
// that the server has no usable key set now; the token may be good. No error and no log line holds a token or a part
// of one: causes that come from the token library are dropped, because they can quote their input.
//
// # Concurrency
//
// A [Verifier] starts no goroutine. [Verifier.Run] is the only one that fetches in the background; [Verifier.Verify]
// waits for it at most until its context ends.
package auth

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
)

// Limits on what is parsed; input is untrusted until its signature has been checked.
const (
	// MaxToken is the largest token that is looked at, in bytes.
	MaxToken = 8 << 10
	// MaxPatterns is how many session patterns one list of a token may hold.
	MaxPatterns = 100
	// MaxPattern is the largest session pattern, in bytes.
	MaxPattern = 256
)

const (
	defaultRefresh  = 10 * time.Minute
	defaultMaxStale = 24 * time.Hour
	defaultLeeway   = 30 * time.Second
	// maxLeeway bounds Leeway: beyond it the operator has confused it with the lifetime of tokens.
	maxLeeway = 10 * time.Minute
)

// Options say which tokens are accepted. The zero value is refused: there must be a key.
type Options struct {
	// Keys are known from the start: secrets and public keys. Default: none. Whoever has a secret can mint tokens, so
	// every service that only verifies is better given a public key.
	Keys []Key
	// KeySetURL is where the issuer publishes its public keys (JWKS, RFC 7517 §5). Default: none. Whoever controls what
	// is served there can mint tokens.
	KeySetURL string
	// KeySetInsecure allows a KeySetURL, and redirects from it, without TLS on hosts other than this one. Default:
	// false. Whoever sits on the network path can then mint tokens.
	KeySetInsecure bool
	// RefreshEvery is how often the key set is fetched, give or take a tenth. Default: 10 minutes; at least 10 seconds.
	// A key that the issuer withdraws is accepted until the next fetch that succeeds.
	RefreshEvery time.Duration
	// MaxStale is for how long the last key set that was fetched serves while no fetch succeeds. Default: 24 hours; not
	// less than RefreshEvery. A long one accepts withdrawn keys during an outage of the issuer (or while somebody
	// blocks the way to it); a short one makes that outage ours.
	MaxStale time.Duration

	// Algorithms are the names of the accepted signature algorithms (RFC 7518 §3.1). Default: those that Keys are for
	// and, with KeySetURL, also RS256, ES256 and EdDSA. "none" is never accepted, an HS algorithm never with a
	// public key or a fetched one.
	Algorithms []string
	// Issuer must equal the claim iss. Default: not checked; any token signed with one of the keys is good, also
	// of another tenant of the same identity provider.
	Issuer string
	// Audience must be among the claim aud. Default: not checked; tokens that the same issuer made for other services
	// are accepted, so those services can act here as their users.
	Audience string
	// AllowNoExpiry accepts tokens without exp. Default: false. Such a token is good until its key is withdrawn.
	AllowNoExpiry bool
	// Leeway is by how much the issuer's clock and ours may differ when exp, nbf and iat are checked. Default: 30
	// seconds; at most 10 minutes; negative means none. Each token lives longer by it.
	Leeway time.Duration

	// Now is the clock. Default: time.Now. For tests.
	Now func() time.Time
	// HTTPClient fetches the key set. Default: one of our own with the default transport. A copy is used; its timeout
	// is kept, but a fetch never takes longer than 10 seconds.
	HTTPClient *http.Client
	// Logger is told of failed fetches and of changes of the key set. Default: slog.Default().
	Logger *slog.Logger
}

// New checks the options and makes a [Verifier]. It does no I/O. Errors are [holdfast.CodeInvalid] and name the option.
func New(o Options) (*Verifier, error) {
	if len(o.Keys) == 0 && o.KeySetURL == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"no key: set Keys to at least one secret or public key, or KeySetURL to where the issuer publishes its keys")
	}
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	keys, err := staticKeys(&o)
	if err != nil {
		return nil, err
	}
	algs, err := allowedAlgorithms(&o, keys)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		keys: keys, algorithms: algs,
		issuer: o.Issuer, audience: o.Audience, allowNoExpiry: o.AllowNoExpiry, leeway: o.Leeway, now: o.Now,
	}
	if o.KeySetURL != "" {
		v.remote, err = newKeySet(&o)
	}
	return v, err
}

func (o *Options) setDefaults() error {
	if o.RefreshEvery == 0 {
		o.RefreshEvery = defaultRefresh
	}
	if o.RefreshEvery < 10*time.Second {
		return holdfast.Errorf(holdfast.CodeInvalid, "RefreshEvery is %v; it must be at least 10s", o.RefreshEvery)
	}
	if o.MaxStale == 0 {
		o.MaxStale = max(defaultMaxStale, o.RefreshEvery)
	}
	if o.MaxStale < o.RefreshEvery {
		return holdfast.Errorf(holdfast.CodeInvalid, "MaxStale is %v; it must not be less than RefreshEvery (%v), or good "+
			"keys would lapse between two fetches", o.MaxStale, o.RefreshEvery)
	}
	if o.Leeway > maxLeeway {
		return holdfast.Errorf(holdfast.CodeInvalid, "Leeway is %v; at most %v is allowed", o.Leeway, maxLeeway)
	}
	if o.Leeway == 0 {
		o.Leeway = defaultLeeway
	}
	o.Leeway = max(o.Leeway, 0)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// staticKeys returns the configured keys as verifying keys, each with the algorithms that it may be used with.
func staticKeys(o *Options) ([]verifyingKey, error) {
	var out []verifyingKey
	seen := map[string]bool{}
	for i, k := range o.Keys {
		if k.ID != "" && seen[k.ID] {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "Keys has two keys with the id %q; give each its own", k.ID)
		}
		seen[k.ID] = true
		vk, err := k.verifying(o.Algorithms)
		if err != nil {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "Keys[%d]: %s", i, holdfast.MessageOf(err))
		}
		out = append(out, vk)
	}
	return out, nil
}

// allowedAlgorithms returns what a token's header may name. An algorithm for which there can be no key is an error,
// because it shows that the operator expects tokens that would all be refused.
func allowedAlgorithms(o *Options, keys []verifyingKey) ([]string, error) {
	var usable []string
	for _, k := range keys {
		usable = append(usable, k.algorithms...)
	}
	if o.KeySetURL != "" {
		usable = append(usable, publishedAlgorithms(o)...)
	}
	for _, a := range o.Algorithms {
		if familyOf(a) == familyNone {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "Algorithms has %q; the names are %s",
				a, strings.Join(algorithmNames(), ", "))
		}
		if !slices.Contains(usable, a) {
			return nil, holdfast.Errorf(holdfast.CodeInvalid,
				"Algorithms has %s, but no key can verify it; add such a key to Keys or leave it out", a)
		}
	}
	slices.Sort(usable)
	return slices.Compact(usable), nil
}

// checkKeySetURL refuses what would let others than the issuer serve keys.
func checkKeySetURL(u *url.URL, insecure bool) error {
	switch {
	case u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return holdfast.Errorf(holdfast.CodeInvalid, "KeySetURL must be an http or https URL with a host")
	case u.User != nil:
		return holdfast.Errorf(holdfast.CodeInvalid, "KeySetURL holds a user name; give credentials by HTTPClient")
	case u.Scheme == "http" && !insecure && !isLoopback(u.Hostname()):
		return holdfast.Errorf(holdfast.CodeInvalid,
			"KeySetURL has no TLS, so that anybody on the way could mint tokens; use https or set KeySetInsecure")
	}
	return nil
}
