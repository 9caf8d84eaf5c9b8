package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

// FuzzVerify looks for a token that verifies although nobody signed it, that crashes the verifier, or that gets into an
// error. Whatever verifies must be one of the seeds.
func FuzzVerify(f *testing.F) {
	r := ring()
	v := mustNew(f, Options{Keys: []Key{publicKey(f, "r", r.rsa), publicKey(f, "s", r.secret), publicKey(f, "e", r.ed)}})
	good := map[string]bool{}
	for alg, key := range map[string]any{"RS256": r.rsa, "HS256": r.secret, "EdDSA": r.ed} {
		token := forge(f, object{"alg": alg}, goodClaims(nil), key)
		good[token] = true
		f.Add(token)
		f.Add(token[:len(token)-1])
		f.Add(strings.Replace(token, ".", "..", 1))
	}
	for _, header := range []string{`{"alg":"none"}`, `{"alg":null,"kid":null}`, `{"alg":"HS256","crit":["b64"],"b64":false}`,
		`{"alg":"RS256","x5c":["AA"]}`, `{"alg":"RS256","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"EdDSA","typ":[]}`} {
		f.Add(encode(f, header) + "." + encode(f, goodClaims(nil)) + ".AAAA")
	}
	f.Fuzz(func(t *testing.T, token string) {
		g, err := v.Verify(t.Context(), token)
		if err == nil {
			if !good[token] {
				t.Fatalf("a forged token verifies: %s", token)
			}
			return
		}
		if holdfast.CodeOf(err) != holdfast.CodeUnauthorized || !cmp.Equal(g, holdfast.Grant{}) {
			t.Fatalf("refused with %v and the grant %+v", err, g)
		}
		for _, part := range strings.Split(token, ".") {
			if len(part) >= 16 && !strings.ContainsAny(part, " ,;:") && strings.Contains(fmt.Sprint(err), part) {
				t.Fatalf("the error holds a part of the token: %v", err)
			}
		}
	})
}

// FuzzParseClaims looks for payloads that crash the decoder or get past the limits.
func FuzzParseClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"ann","exp":1900000600,"nbf":1e9,"aud":["a"],"hf":{"read":["a-{user}:*"],"backend":true}}`))
	f.Add([]byte(`{"exp":1e400,"iat":-0,"hf":null,"aud":{}}`))
	f.Add([]byte(`{"hf":{"read":[null]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := parseClaims(payload)
		if err != nil {
			if holdfast.CodeOf(err) != holdfast.CodeUnauthorized {
				t.Fatal(err)
			}
			return
		}
		for _, list := range [][]string{c.hf.read, c.hf.send, c.hf.stop} {
			if err := validPatterns(list); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range []int64{c.expires.Unix(), c.notBefore.Unix(), c.issuedAt.Unix()} {
			if d > maxDate {
				t.Fatalf("date %d", d)
			}
		}
	})
}

// FuzzParseKeySet looks for key sets that crash the parser or yield a key that must not be trusted.
func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[` + string(publicJWK(f, "a", ring().ed)) + `,` + string(publicJWK(f, "r", ring().rsa)) + `]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGk"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeySet(data, []string{"RS256", "ES256", "EdDSA"})
		if err != nil && holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Fatal(err)
		}
		for _, k := range set.keys {
			if f := familyOfMaterial(k.material); f == familyHMAC || f == familyNone || len(k.algorithms) == 0 {
				t.Fatalf("a key of family %d for %v", f, k.algorithms)
			}
		}
	})
}
