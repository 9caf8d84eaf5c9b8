package auth

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
)

func TestNewRefuses(t *testing.T) {
	r := ring()
	secret, short, rsaKey := publicKey(t, "s", r.secret), publicKey(t, "s", NewSecret()), publicKey(t, "r", r.rsa)
	named := func(k Key, alg string) Key { k.Algorithm = alg; return k }
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"zero":                  {Options{}, "no key: "},
		"empty key":             {Options{Keys: []Key{{}}}, "Keys[0]: the key is empty"},
		"same id":               {Options{Keys: []Key{secret, short}}, `two keys with the id "s"`},
		"none":                  {Options{Keys: []Key{secret}, Algorithms: []string{"HS256", "none"}}, `Algorithms has "none"`},
		"none alone":            {Options{KeySetURL: "https://a/b", Algorithms: []string{"none"}}, `Algorithms has "none"`},
		"unknown algorithm":     {Options{Keys: []Key{secret}, Algorithms: []string{"HS256", "HS1"}}, `Algorithms has "HS1"`},
		"hs without secret":     {Options{Keys: []Key{rsaKey}, Algorithms: []string{"HS256", "RS256"}}, "no key can verify it"},
		"hs with key set":       {Options{KeySetURL: "https://a/b", Algorithms: []string{"HS256", "RS256"}}, "no key can verify it"},
		"key set, only hs":      {Options{Keys: []Key{secret}, KeySetURL: "https://a/b", Algorithms: []string{"HS256"}}, "none that a key of KeySetURL"},
		"key left out":          {Options{Keys: []Key{secret, rsaKey}, Algorithms: []string{"HS256"}}, "fits none of Algorithms"},
		"rsa key for hs":        {Options{Keys: []Key{named(rsaKey, "HS256")}}, "cannot be for the algorithm"},
		"secret for rs":         {Options{Keys: []Key{named(secret, "RS256")}}, "cannot be for the algorithm"},
		"key for none":          {Options{Keys: []Key{named(secret, "none")}}, "cannot be for the algorithm"},
		"secret short for 384":  {Options{Keys: []Key{named(short, "HS384")}}, "HS384 needs at least 48"},
		"secret short for 512":  {Options{Keys: []Key{short}, Algorithms: []string{"HS512"}}, "HS512 needs at least 64"},
		"refresh too often":     {Options{Keys: []Key{secret}, RefreshEvery: time.Second}, "at least 10s"},
		"refresh negative":      {Options{Keys: []Key{secret}, RefreshEvery: -time.Hour}, "at least 10s"},
		"stale before refresh":  {Options{Keys: []Key{secret}, MaxStale: time.Minute}, "MaxStale is 1m0s"},
		"leeway":                {Options{Keys: []Key{secret}, Leeway: time.Hour}, "at most 10m"},
		"url not one":           {Options{KeySetURL: "https://a b/%zz?token=geheim"}, "KeySetURL is not a URL"},
		"url without host":      {Options{KeySetURL: "keys.json"}, "with a host"},
		"url file":              {Options{KeySetURL: "file:///etc/keys"}, "with a host"},
		"url ftp":               {Options{KeySetURL: "ftp://host/keys"}, "http or https"},
		"url without TLS":       {Options{KeySetURL: "http://login.example/keys"}, "no TLS"},
		"url loopback in name":  {Options{KeySetURL: "http://127.0.0.1.example/keys"}, "no TLS"},
		"url with password":     {Options{KeySetURL: "https://u:geheim@login.example/keys"}, "user name"},
		"url without TLS, user": {Options{KeySetURL: "http://u@h/k", KeySetInsecure: true}, "user name"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := New(c.o)
			if v != nil && err == nil {
				t.Fatal("accepted")
			}
			if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want invalid with %q", err, c.want)
			}
			if strings.Contains(fmt.Sprint(err), "geheim") {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
}

func TestNewDerivesAlgorithms(t *testing.T) {
	r := ring()
	pss := publicKey(t, "p", r.otherRSA)
	pss.Algorithm = "PS512"
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"secret":       {Options{Keys: []Key{publicKey(t, "", r.secret)}}, "HS256"},
		"rsa":          {Options{Keys: []Key{publicKey(t, "", r.rsa)}}, "RS256"},
		"named":        {Options{Keys: []Key{pss}}, "PS512"},
		"curves":       {Options{Keys: []Key{publicKey(t, "", r.p256), publicKey(t, "", r.p384), publicKey(t, "", r.p521)}}, "ES256 ES384 ES512"},
		"ed":           {Options{Keys: []Key{publicKey(t, "", r.ed)}}, "EdDSA"},
		"set":          {Options{KeySetURL: "https://a/b"}, "ES256 EdDSA RS256"},
		"set loopback": {Options{KeySetURL: "http://[::1]:80/b"}, "ES256 EdDSA RS256"},
		"set cluster":  {Options{KeySetURL: "http://auth.svc/b", KeySetInsecure: true}, "ES256 EdDSA RS256"},
		"both":         {Options{Keys: []Key{publicKey(t, "", r.secret)}, KeySetURL: "https://a/b"}, "ES256 EdDSA HS256 RS256"},
		"explicit":     {Options{KeySetURL: "https://a/b", Algorithms: []string{"PS256"}}, "PS256"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(mustNew(t, c.o).algorithms, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
