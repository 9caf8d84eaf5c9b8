package auth

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	// This decoder, unlike the standard one, takes member names exactly and refuses a name that occurs twice, so that
	// two readers of one token cannot see different claims.
	"github.com/go-jose/go-jose/v4/json"

	"github.com/holdfast/holdfast"
)

// maxDate is the last second that RFC 3339 can write, so that every accepted date can be shown and added to.
const maxDate = 253402300799

// maxAudiences bounds aud.
const maxAudiences = 100

// claims are the payload of a token whose signature is right. A zero time means that the claim is absent.
type claims struct {
	subject, issuer, id          string
	audience                     []string
	expires, notBefore, issuedAt time.Time
	hf                           permissions
}

// permissions are the claim hf.
type permissions struct {
	read, send, stop []string
	backend          bool
}

// members are an object's members, undecoded, so that an error can name the one that is wrong.
type members map[string]json.RawMessage

// parseClaims decodes a payload. Errors are CodeUnauthorized and hold no values.
func parseClaims(payload []byte) (*claims, error) {
	var m members
	if !utf8.Valid(payload) || json.Unmarshal(payload, &m) != nil || m == nil {
		return nil, refuse("the token's payload is not one JSON object with distinct names")
	}
	c := &claims{}
	err := firstError(
		m.decode("sub", "a text", &c.subject),
		m.decode("iss", "a text", &c.issuer),
		m.decode("jti", "a text", &c.id),
		m.audience(&c.audience),
		m.date("exp", &c.expires),
		m.date("nbf", &c.notBefore),
		m.date("iat", &c.issuedAt),
		m.permissions(&c.hf),
	)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (m members) has(name string) bool {
	raw, ok := m[name]
	return ok && string(raw) != "null"
}

// decode reads one member if it is there. What names the right type for the error's text.
func (m members) decode(name, what string, into any) error {
	if !m.has(name) {
		return nil
	}
	if json.Unmarshal(m[name], into) != nil {
		return refuse("the token's claim %s must be %s", name, what)
	}
	return nil
}

// date reads a NumericDate (RFC 7519 §2): seconds, fractions allowed. It is bounded because a huge number would
// overflow into the past or the future.
func (m members) date(name string, into *time.Time) error {
	if !m.has(name) {
		return nil
	}
	f, err := strconv.ParseFloat(string(m[name]), 64)
	if err != nil || math.IsNaN(f) || f <= 0 || f > maxDate {
		return refuse("the token's claim %s must be a number of seconds since 1970", name)
	}
	*into = time.Unix(int64(f), 0).UTC()
	return nil
}

// audience reads aud: one text or a list.
func (m members) audience(into *[]string) error {
	var one string
	if m.has("aud") && json.Unmarshal(m["aud"], &one) == nil {
		*into = []string{one}
		return nil
	}
	if err := m.decode("aud", "a text or a list of texts", into); err != nil {
		return err
	}
	if len(*into) > maxAudiences {
		return refuse("the token's claim aud has %d members; at most %d are allowed", len(*into), maxAudiences)
	}
	return nil
}

// permissions reads hf. An unknown member is refused: ignored, a misspelt list would grant nothing for no visible
// reason, and a restriction that a later version knows would be lost.
func (m members) permissions(into *permissions) error {
	var hf members
	if err := m.decode("hf", "an object", &hf); err != nil {
		return err
	}
	for name := range hf {
		switch name {
		case "read", "send", "stop", "backend":
		default:
			return refuse("the token's claim hf has an unknown member %s; read, send, stop and backend are known", clip(name))
		}
	}
	if hf.has("backend") && json.Unmarshal(hf["backend"], &into.backend) != nil {
		return refuse("the token's claim hf.backend must be true or false")
	}
	return firstError(
		hf.patterns("read", &into.read),
		hf.patterns("send", &into.send),
		hf.patterns("stop", &into.stop),
	)
}

func (m members) patterns(name string, into *[]string) error {
	if !m.has(name) {
		return nil
	}
	// Pointers tell a null in the list from an empty text.
	var list []*string
	if json.Unmarshal(m[name], &list) != nil {
		return refuse("the token's claim hf.%s must be a list of texts", name)
	}
	var out []string
	for _, p := range list {
		if p == nil {
			return refuse("the token's claim hf.%s must be a list of texts", name)
		}
		out = append(out, *p)
	}
	if err := validPatterns(out); err != nil {
		return refuse("the token's claim hf.%s %s", name, err.Message)
	}
	*into = out
	return nil
}

// validPatterns says what is wrong with a list of session patterns; the text continues a sentence.
func validPatterns(list []string) *holdfast.Error {
	if len(list) > MaxPatterns {
		return holdfast.Errorf(holdfast.CodeInvalid, "has %d patterns; at most %d are allowed", len(list), MaxPatterns)
	}
	for i, p := range list {
		if p == "" || len(p) > MaxPattern {
			return holdfast.Errorf(holdfast.CodeInvalid,
				"has a pattern of %d bytes at index %d; 1 to %d are allowed", len(p), i, MaxPattern)
		}
		if !patternBytes(p) {
			return holdfast.Errorf(holdfast.CodeInvalid, "has a pattern at index %d that can match no session: besides * "+
				"and {user} only letters, digits and . _ ~ : @ - are allowed", i)
		}
	}
	return nil
}

// patternBytes reports whether a pattern holds, besides * and {user}, only what a session id may hold. Anything else,
// such as a misspelt {usr}, is a mistake of whoever mints the tokens.
func patternBytes(p string) bool {
	p = strings.ReplaceAll(strings.ReplaceAll(p, "{user}", ""), "*", "")
	for i := range len(p) {
		if holdfast.SessionID(p[i:i+1]).Validate() != nil {
			return false
		}
	}
	return true
}
