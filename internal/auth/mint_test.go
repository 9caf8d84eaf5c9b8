package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

func TestMintedTokensVerify(t *testing.T) {
	r := ring()
	hs512 := publicKey(t, "s", r.secret)
	hs512.Algorithm = "HS512"
	keys := map[string]Key{"secret": publicKey(t, "s", r.secret), "hs512": hs512}
	for name, pem := range map[string][]byte{
		"rsa": privatePEM(t, r.rsa), "p256": privatePEM(t, r.p256), "p384": privatePEM(t, r.p384),
		"p521": privatePEM(t, r.p521), "ed25519": privatePEM(t, r.ed),
	} {
		k, err := ParsePEM(name, pem)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	for name, k := range keys {
		t.Run(name, func(t *testing.T) {
			c := Claims{User: "ann", Read: []string{"a-{user}:*"}, Send: []string{"b"}, Stop: []string{"*"}, Issuer: "i",
				Audience: []string{"x", "y"}, Expires: noon().Add(time.Hour), NotBefore: noon(), IssuedAt: noon()}
			token, err := Mint(k, c)
			if err != nil {
				t.Fatal(err)
			}
			v := mustNew(t, Options{Keys: []Key{k}, Issuer: "i", Audience: "y", Leeway: -1})
			g, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			want := holdfast.Grant{User: "ann", Read: c.Read, Send: c.Send, Stop: c.Stop, Expires: c.Expires.UTC(), Issued: c.IssuedAt.UTC()}
			if d := cmp.Diff(want, g); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMintBackend(t *testing.T) {
	k := publicKey(t, "", NewSecret())
	token, err := Mint(k, Claims{Backend: true})
	if err != nil {
		t.Fatal(err)
	}
	g, err := mustNew(t, Options{Keys: []Key{k}, AllowNoExpiry: true}).Verify(t.Context(), token)
	if d := cmp.Diff(holdfast.Grant{Backend: true}, g); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := mustNew(t, Options{Keys: []Key{k}}).Verify(t.Context(), token); err == nil {
		t.Error("a token without exp was accepted")
	}
}

func TestMintRefuses(t *testing.T) {
	k, long := publicKey(t, "", NewSecret()), strings.Repeat("a", 256)
	for name, c := range map[string]struct {
		key    Key
		claims Claims
		code   holdfast.Code
		want   string
	}{
		"no key":       {Key{}, Claims{User: "u"}, holdfast.CodeInvalid, "empty"},
		"public key":   {publicKey(t, "p", ring().ed), Claims{User: "u"}, holdfast.CodeInvalid, "is public"},
		"no user":      {k, Claims{}, holdfast.CodeInvalid, "no user"},
		"bad user":     {k, Claims{User: "a\x00"}, holdfast.CodeInvalid, "control character"},
		"bad pattern":  {k, Claims{User: "u", Send: []string{"a", "b c"}}, holdfast.CodeInvalid, "Send has a pattern at index 1"},
		"many":         {k, Claims{User: "u", Stop: repeat("a", 101)}, holdfast.CodeInvalid, "Stop has 101"},
		"old time":     {k, Claims{User: "u", Expires: time.Unix(-5, 0)}, holdfast.CodeInvalid, "cannot stand"},
		"too large":    {k, Claims{User: "u", Read: strings.Split(strings.Repeat(long+" ", 40)+"a", " ")}, holdfast.CodeTooLarge, "at most 8192"},
		"pattern long": {k, Claims{User: "u", Read: []string{long + "a"}}, holdfast.CodeInvalid, "257 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := Mint(c.key, c.claims)
			if token != "" || holdfast.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %q, %v; want %s with %q", token, err, c.code, c.want)
			}
		})
	}
}
