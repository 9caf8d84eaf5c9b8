package clientlog

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// removed stands where a credential was.
const removed = "[removed]"

var (
	// secretName are members whose values nobody should see, whatever they are.
	secretName = regexp.MustCompile(`(?i)token|secret|password|authorization|cookie|api[-_]?key`)
	// secretText is what looks like a credential anywhere in a text: a JSON Web Token, or what follows Bearer.
	secretText = regexp.MustCompile(`eyJ[\w-]{5,}\.[\w-]+(\.[\w-]*)?|(?i:bearer)\s+\S+`)
)

// redact returns a JSON value on one line, without what looks like a credential and without token, which is one.
func redact(v jsontext.Value, token string) (stdjson.RawMessage, error) {
	in := jsontext.NewDecoder(bytes.NewReader(v))
	var out bytes.Buffer
	to := jsontext.NewEncoder(&out)
	for {
		t, err := in.ReadToken()
		if errors.Is(err, io.EOF) {
			return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
		}
		if err != nil {
			return nil, err
		}
		secret := false
		if t.Kind() == '"' {
			text := t.String()
			where, n := in.StackIndex(in.StackDepth())
			secret = where == '{' && n%2 == 1 && secretName.MatchString(text)
			t = jsontext.String(clean(text, token))
		}
		if err := to.WriteToken(t); err != nil {
			return nil, err
		}
		if !secret {
			continue
		}
		if err := in.SkipValue(); err != nil {
			return nil, err
		}
		if err := to.WriteToken(jsontext.String(removed)); err != nil {
			return nil, err
		}
	}
}

func clean(text, token string) string {
	if token != "" {
		text = strings.ReplaceAll(text, token, removed)
	}
	return secretText.ReplaceAllString(text, removed)
}
