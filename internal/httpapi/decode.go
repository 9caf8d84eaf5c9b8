package httpapi

import (
	stdjson "encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
)

// readJSON reads the body, which must be one JSON value of the form of dst, without members that dst does not know.
func (a *api) readJSON(c *call, dst any) error {
	body, err := a.readBody(c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true)); err != nil {
		return badJSON(err)
	}
	return nil
}

// readBody reads a body that must say that it is JSON, or say nothing.
func (a *api) readBody(c *call) ([]byte, error) {
	if err := checkEncoding(c.r); err != nil {
		return nil, err
	}
	if err := checkJSONType(c.r.Header.Values("Content-Type")); err != nil {
		return nil, err
	}
	most := a.Limits.Body
	tooLarge := holdfast.Errorf(holdfast.CodeTooLarge, "the body is larger than %d bytes; send less at a time", most)
	if c.r.ContentLength > most {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the body broke off after %d bytes; repeat the request", len(body))
	case len(body) == 0:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "there is no body; send JSON")
	}
	return body, nil
}

func checkEncoding(r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return statusError(http.StatusUnsupportedMediaType, "bodies with a Content-Encoding are not read; send it uncompressed")
	}
	return nil
}

func checkJSONType(values []string) error {
	if len(values) == 0 {
		return nil
	}
	t, params, err := mime.ParseMediaType(values[0])
	charset, given := params["charset"]
	if err != nil || len(values) > 1 || (t != "application/json" && !strings.HasSuffix(t, "+json")) {
		return statusError(http.StatusUnsupportedMediaType, "the body must be JSON; send Content-Type: application/json")
	}
	if given && !strings.EqualFold(charset, "utf-8") {
		return statusError(http.StatusUnsupportedMediaType, "JSON is UTF-8; leave the charset out")
	}
	return nil
}

// badJSON turns the JSON library's error into ours: where, and what was expected. Values are not repeated.
func badJSON(err error) error {
	var syn *jsontext.SyntacticError
	if errors.As(err, &syn) {
		what := "not valid JSON"
		if errors.Is(err, jsontext.ErrDuplicateName) {
			what = "ambiguous: a member is there twice"
		}
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the body is %s, at byte %d", what, syn.ByteOffset)
	}
	var sem *json.SemanticError
	if !errors.As(err, &sem) {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the body cannot be read as JSON")
	}
	at := clip(string(sem.JSONPointer))
	if errors.Is(err, json.ErrUnknownName) {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "the body has a member that is not known here: %s", at)
	}
	if at == "" {
		at = "itself"
	}
	return holdfast.Wrap(holdfast.CodeInvalid, err, "the body's value at %s must be %s", at, expected(sem.GoType))
}

func expected(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Uint64, reflect.Uint32:
		return "a whole number from 0 on"
	case reflect.Int64, reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "an array"
	case reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return expected(t.Elem())
	}
	return "of another type"
}

// compact returns v without the spaces between its tokens, or nil for an absent value. Streams of lines rely on it: no
// entry's data holds a line feed.
func compact(v jsontext.Value) (stdjson.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	out := v.Clone()
	if err := out.Compact(); err != nil {
		return nil, badJSON(err)
	}
	return stdjson.RawMessage(out), nil
}

// clip shortens what is repeated to a caller.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
