package auth

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/holdfast/holdfast"
)

// serve makes a verifier whose key set is what the handler answers, over real TLS.
func serve(t *testing.T, h http.HandlerFunc) (*Verifier, *httptest.Server) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	v := mustNew(t, Options{KeySetURL: server.URL + "/keys?apikey=geheim", HTTPClient: server.Client(),
		Logger: slog.New(slog.DiscardHandler)})
	return v, server
}

func verifyEd(t *testing.T, v *Verifier) error {
	t.Helper()
	_, err := v.Verify(t.Context(), forge(t, object{"alg": "EdDSA", "kid": "a"}, goodClaims(nil), ring().ed))
	return err
}

func TestFetchRefusesAnswers(t *testing.T) {
	good := keySetJSON(t, map[string]crypto.Signer{"a": ring().ed})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }))
	defer plain.Close()
	var answer http.HandlerFunc
	v, server := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	answer = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) }
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"500":            {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, 500) }, "status is 500"},
		"404":            {http.NotFound, "status is 404"},
		"204":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status is 204"},
		"html":           {text("<html>login</html>"), "not a JWKS"},
		"empty":          {text(""), "not a JWKS"},
		"other object":   {text(`{"error":"rate limited"}`), "not a JWKS"},
		"keys null":      {text(`{"keys":null}`), "not a JWKS"},
		"keys an object": {text(`{"keys":{}}`), "not a JWKS"},
		"cut":            {text(good[:len(good)-3]), "not a JWKS"},
		"two values":     {text(good + good), "not a JWKS"},
		"large":          {text(good + strings.Repeat(" ", maxKeySetBytes)), "more than 524288 bytes"},
		"many keys":      {text(`{"keys":[{}` + strings.Repeat(",{}", maxKeySetKeys) + `]}`), "201 keys"},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			fmt.Fprint(w, good)
		}, "broke off"},
		"hangs up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "no answer"},
		"redirect to http": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) }, "no answer"},
		"redirect to file": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "no answer"},
		"redirect for ever": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		}, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			answer = c.answer
			err := v.Refresh(t.Context())
			if holdfast.CodeOf(err) != holdfast.CodeUnavailable || !strings.Contains(holdfast.MessageOf(err), c.want) {
				t.Errorf("got %v, want unavailable with %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), "geheim") {
				t.Errorf("the error shows the URL's query: %v", err)
			}
			if err := verifyEd(t, v); err != nil {
				t.Errorf("the last good set is gone: %v", err)
			}
		})
	}
	server.Close()
	if err := v.Refresh(t.Context()); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("the server has gone: %v", err)
	}
	if err := verifyEd(t, v); err != nil {
		t.Errorf("the last good set is gone with its server: %v", err)
	}
}

func TestFetchFollowsARedirect(t *testing.T) {
	good := keySetJSON(t, map[string]crypto.Signer{"a": ring().ed})
	v, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			http.Redirect(w, r, "/v2/keys", http.StatusFound)
			return
		}
		fmt.Fprint(w, good)
	})
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := verifyEd(t, v); err != nil {
		t.Error(err)
	}
}

func TestFetchThatHangsEndsWithItsContext(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	v, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // the header comes, the body never
		arrived <- struct{}{}
		<-release
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- v.Refresh(ctx) }()
	<-arrived
	cancel()
	if err := <-done; holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

func TestParseKeySetLeavesOutWhatIsOfNoUse(t *testing.T) {
	r := ring()
	private, err := jose.JSONWebKey{Key: r.ed, KeyID: "private"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	with := func(member string, k crypto.Signer) string {
		return strings.Replace(string(publicJWK(t, "x", k)), "{", "{"+member+",", 1)
	}
	for name, c := range map[string]struct {
		key  string
		kept bool
	}{
		"public":           {string(publicJWK(t, "x", r.rsa)), true},
		"for RS256":        {with(`"alg":"RS256"`, r.rsa), true},
		"for sig":          {with(`"use":"sig"`, r.p256), true},
		"unknown member":   {with(`"ext":true`, r.p256), true},
		"unknown kind":     {`{"kty":"new","kid":"x"}`, false},
		"private":          {string(private), false},
		"secret":           {`{"kty":"oct","k":"` + strings.Repeat("QUJD", 20) + `"}`, false},
		"for enc":          {with(`"use":"enc"`, r.rsa), false},
		"for RSA-OAEP":     {with(`"alg":"RSA-OAEP"`, r.rsa), false},
		"for PS256":        {with(`"alg":"PS256"`, r.rsa), false},
		"for HS256":        {with(`"alg":"HS256"`, r.rsa), false},
		"another curve":    {string(publicJWK(t, "x", r.p384)), false},
		"not an object":    {`7`, false},
		"wrong coordinate": {`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseKeySet([]byte(`{"keys":[`+c.key+`]}`), []string{"RS256", "ES256", "EdDSA"})
			if err != nil {
				t.Fatal(err)
			}
			if (len(got.keys) == 1) != c.kept || len(got.keys)+got.leftOut != 1 {
				t.Errorf("kept %d, left out %d", len(got.keys), got.leftOut)
			}
		})
	}
}
