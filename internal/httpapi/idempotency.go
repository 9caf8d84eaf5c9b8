package httpapi

import (
	"net/http"
	"strings"

	"github.com/holdfast/holdfast"
)

// idempotencyKey returns the Idempotency-Key header, or "" if there is none. The IETF draft has it as a structured-field
// string, in quotes; most senders leave the quotes out, so both are taken and mean the same.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "there are %d Idempotency-Key headers; send one", len(values))
	}
	key := values[0]
	if strings.HasPrefix(key, `"`) {
		var ok bool
		if key, ok = unquote(key); !ok {
			return "", holdfast.Errorf(holdfast.CodeInvalid, "the Idempotency-Key is not a well-formed quoted string")
		}
	}
	return key, holdfast.ValidateKey("the Idempotency-Key", key)
}

// unquote reads a structured-field string (RFC 8941 §3.3.3).
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	var out []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return "", false
		case s[i] == '\\' && (i+1 == len(s) || (s[i+1] != '"' && s[i+1] != '\\')):
			return "", false
		case s[i] == '\\':
			i++
		}
		out = append(out, s[i])
	}
	return string(out), true
}

// oneID reconciles the id of the body or query with the header's: they are the same thing said in two places.
func oneID(given, header string) (string, error) {
	switch {
	case given == "":
		return header, nil
	case header != "" && header != given:
		return "", holdfast.Errorf(holdfast.CodeInvalid, "the id and the Idempotency-Key differ; they mean the same, send one")
	}
	return given, holdfast.ValidateKey("the id", given)
}
