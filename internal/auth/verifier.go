package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/holdfast/holdfast"
)

// maxTries is how many keys are tried for one token. Only a token that names no key id can fit many, and each try
// costs a signature check that anybody can ask for.
const maxTries = 8

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	// Static after New.
	keys          []verifyingKey
	remote        *keySet // nil without a KeySetURL
	algorithms    []string
	issuer        string
	audience      string
	allowNoExpiry bool
	leeway        time.Duration
	now           func() time.Time
}

// Run fetches the key set at once and then regularly, until ctx ends; it returns nil then. Without a KeySetURL it only
// waits. Call it once, in a goroutine that the caller waits for; a second call at the same time is
// [holdfast.CodeConflict].
func (v *Verifier) Run(ctx context.Context) error {
	if v.remote == nil {
		<-ctx.Done()
		return nil
	}
	return v.remote.run(ctx)
}

// Refresh fetches the key set now, in the caller's goroutine, for a start that must not go on without keys and for
// diagnosis. Its error is [holdfast.CodeUnavailable] with the reason in its text; keys fetched earlier stay in use.
// Without a KeySetURL it does nothing.
func (v *Verifier) Refresh(ctx context.Context) error {
	if v.remote == nil {
		return nil
	}
	return v.remote.refresh(ctx)
}

// Inherit takes the keys that another verifier has fetched, and reports whether there is nothing to fetch before this one can
// be used: both read the same key set with the same algorithms, or this one reads none. It is called before [Verifier.Run].
func (v *Verifier) Inherit(from *Verifier) bool {
	if v.remote == nil {
		return true
	}
	return from != nil && from.remote != nil && v.remote.inherit(from.remote)
}

// Verify checks a token and returns what it allows. The grant ends Options.Leeway after exp: that is when Verify would
// begin to refuse the token.
//
// Errors are [holdfast.CodeUnauthorized] when the token is not good, and [holdfast.CodeUnavailable] when that cannot be
// known because there is no key set (never fetched, older than MaxStale, or not fetched before ctx ended). Verify waits
// only when the token names a key that is not known yet and [Verifier.Run] is running.
func (v *Verifier) Verify(ctx context.Context, token string) (holdfast.Grant, error) {
	t, err := v.parse(token)
	if err != nil {
		return holdfast.Grant{}, err
	}
	payload, err := v.checkSignature(ctx, t)
	if err != nil {
		return holdfast.Grant{}, err
	}
	c, err := parseClaims(payload)
	if err != nil {
		return holdfast.Grant{}, err
	}
	return v.grant(c)
}

// unverified is a token whose form and header are right and whose signature has not been checked.
type unverified struct {
	sig   *jose.JSONWebSignature
	alg   string
	keyID string
	// shownKeyID is the key id as it may stand in an error.
	shownKeyID string
}

func refuse(format string, args ...any) error {
	return holdfast.Errorf(holdfast.CodeUnauthorized, format, args...)
}

// parse looks at form and header alone. Whatever is wrong here is found before a key is looked for.
func (v *Verifier) parse(token string) (*unverified, error) {
	if err := checkForm(token); err != nil {
		return nil, err
	}
	sig, err := jose.ParseSignedCompact(token, joseAlgorithms(v.algorithms))
	if err != nil {
		var unexpected *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &unexpected) {
			return nil, refuse("the token's algorithm %s is not allowed; allowed: %s",
				shown(string(unexpected.Got), token), strings.Join(v.algorithms, ", "))
		}
		return nil, refuse("the token's header is not one of a signed token")
	}
	header := sig.Signatures[0].Protected
	if err := checkHeader(&header, token); err != nil {
		return nil, err
	}
	return &unverified{sig: sig, alg: header.Algorithm, keyID: header.KeyID, shownKeyID: shown(header.KeyID, token)}, nil
}

// checkForm accepts three parts of canonical base64url. The decoder alone would skip line ends and ignore spare bits,
// and then one token has many spellings.
func checkForm(token string) error {
	if token == "" {
		return refuse("there is no token")
	}
	if len(token) > MaxToken {
		return refuse("the token has %d bytes; at most %d are allowed", len(token), MaxToken)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return refuse("the token is not a signed JWT: it has %d parts between dots, not 3", len(parts))
	}
	for i, p := range parts {
		_, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil || strings.ContainsAny(p, "\r\n") {
			return refuse("the token is not a signed JWT: part %d is not base64url", i+1)
		}
	}
	return nil
}

// checkHeader refuses extensions that change what is signed (crit, RFC 7515 §4.1.11; b64, RFC 7797 §7) and tokens that
// say they are for something else, such as logging out (RFC 8725 §3.11).
func checkHeader(h *jose.Header, token string) error {
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, ok := h.ExtraHeaders[name]; ok {
			return refuse("the token's header has %s, which is not supported", name)
		}
	}
	typ, ok := h.ExtraHeaders[jose.HeaderType]
	if !ok {
		return nil
	}
	name, _ := typ.(string)
	short := strings.TrimPrefix(strings.ToLower(name), "application/")
	if short != "jwt" && short != "at+jwt" {
		return refuse("the token's typ is %s; JWT or at+jwt is expected", shown(name, token))
	}
	return nil
}

// shown quotes a value of an unverified header for an error text, unless it is long or has to do with the token's own
// text, which must never stand in an error.
func shown(value, token string) string {
	hide := len(value) > 64 || (len(value) >= 8 && strings.Contains(token, value))
	for _, part := range strings.Split(token, ".") {
		hide = hide || (len(part) >= 8 && strings.Contains(value, part))
	}
	if hide {
		return "(not shown)"
	}
	return strconv.QuoteToASCII(value)
}

// search is what looking for a token's key has come to.
type search struct {
	// known: a key that could be the token's was tried. wrongKind: one has its id, but is not for its algorithm.
	known, wrongKind bool
}

// try returns the payload that one of the keys vouches for, nil if none does.
func (s *search) try(t *unverified, keys []verifyingKey) []byte {
	tries := 0
	for i := range keys {
		k := &keys[i]
		if t.keyID != "" && k.id != "" && k.id != t.keyID {
			continue
		}
		if !k.fits(t.alg) {
			s.wrongKind = true
			continue
		}
		s.known = true
		if tries++; tries > maxTries {
			return nil
		}
		if payload, err := t.sig.Verify(k.material); err == nil {
			return payload
		}
	}
	return nil
}

// checkSignature finds the key and returns the payload that it vouches for.
func (v *Verifier) checkSignature(ctx context.Context, t *unverified) ([]byte, error) {
	var s search
	if payload := s.try(t, v.keys); payload != nil {
		return payload, nil
	}
	// A token that no fetched key could verify is no reason to fetch.
	if v.remote != nil && slices.Contains(v.remote.algorithms, t.alg) {
		fetched, err := v.remote.find(ctx, t)
		if err != nil {
			return nil, err
		}
		if payload := s.try(t, fetched); payload != nil {
			return payload, nil
		}
	}
	switch {
	case s.known:
		return nil, refuse("the token's signature is wrong: it was changed, or signed with another key")
	case t.keyID == "" || s.wrongKind:
		return nil, refuse("no key here is for the token's algorithm %s and key id %s", t.alg, t.shownKeyID)
	}
	return nil, refuse("the token's key id %s is unknown", t.shownKeyID)
}

// grant checks the claims against the options.
func (v *Verifier) grant(c *claims) (holdfast.Grant, error) {
	if v.issuer != "" && c.issuer != v.issuer {
		return holdfast.Grant{}, refuse("the token's issuer is %s; %q is expected", clip(c.issuer), v.issuer)
	}
	if v.audience != "" && !slices.Contains(c.audience, v.audience) {
		return holdfast.Grant{}, refuse("the token is not for the audience %q", v.audience)
	}
	expires, err := v.checkTimes(c)
	if err != nil {
		return holdfast.Grant{}, err
	}
	if c.subject == "" && !c.hf.backend {
		return holdfast.Grant{}, refuse("the token has no sub; only a backend's token may be without a user")
	}
	if c.subject != "" {
		if err := holdfast.UserID(c.subject).Validate(); err != nil {
			return holdfast.Grant{}, refuse("the token's sub is not a user id: %s", holdfast.MessageOf(err))
		}
	}
	return holdfast.Grant{
		User: holdfast.UserID(c.subject), Read: c.hf.read, Send: c.hf.send, Stop: c.hf.stop,
		Backend: c.hf.backend, Connections: c.hf.connections, Expires: expires, ID: c.id, Issued: c.issuedAt,
	}, nil
}

// checkTimes returns when the grant ends, zero for never.
func (v *Verifier) checkTimes(c *claims) (time.Time, error) {
	now := v.now()
	var expires time.Time
	switch {
	case c.expires.IsZero() && !v.allowNoExpiry:
		return expires, refuse("the token has no exp; it must say when it expires")
	case !c.expires.IsZero():
		expires = c.expires.Add(v.leeway)
		if !now.Before(expires) {
			return expires, refuse("the token expired at %s", stamp(c.expires))
		}
	}
	if latest := now.Add(v.leeway); c.notBefore.After(latest) {
		return expires, refuse("the token is not valid before %s; here it is %s", stamp(c.notBefore), stamp(now))
	} else if c.issuedAt.After(latest) {
		return expires, refuse("the token was issued at %s, which is in the future; here it is %s",
			stamp(c.issuedAt), stamp(now))
	}
	return expires, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// clip quotes a verified claim for an error text.
func clip(s string) string {
	if s == "" {
		return "missing"
	}
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strconv.QuoteToASCII(s)
}
