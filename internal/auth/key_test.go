package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/holdfast/holdfast"
)

func publicJWK(tb testing.TB, id string, signer crypto.Signer) json.RawMessage {
	tb.Helper()
	b, err := jose.JSONWebKey{Key: signer.Public(), KeyID: id}.MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func certificate(t *testing.T, signer crypto.Signer) []byte {
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestParsePEMForms(t *testing.T) {
	r := ring()
	ec, err := x509.MarshalECPrivateKey(r.p256)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pem    []byte
		signer crypto.Signer
		signs  bool
	}{
		"public":        {publicPEM(t, r.ed), r.ed, false},
		"rsa public":    {pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&r.rsa.PublicKey)}), r.rsa, false},
		"certificate":   {certificate(t, r.p384), r.p384, false},
		"private":       {privatePEM(t, r.p521), r.p521, true},
		"private ed":    {privatePEM(t, r.ed), r.ed, true},
		"rsa private":   {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r.rsa)}), r.rsa, true},
		"ec private":    {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec}), r.p256, true},
		"text around":   {append([]byte("Subject: me\n"), publicPEM(t, r.rsa)...), r.rsa, false},
		"private p-256": {privatePEM(t, r.p256), r.p256, true},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParsePEM("id", c.pem)
			if err != nil {
				t.Fatal(err)
			}
			same := k.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(c.signer.Public())
			if !same || k.ID != "id" || (k.private != nil) != c.signs {
				t.Errorf("%v: same key %v, signs %v", k, same, k.private != nil)
			}
		})
	}
}

func TestParsePEMRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := publicPEM(t, ring().p256)
	for name, c := range map[string]struct {
		pem  []byte
		want string
	}{
		"empty":       {nil, "no -----BEGIN"},
		"text":        {[]byte("secret"), "no -----BEGIN"},
		"two":         {append(bytes.Clone(good), good...), "more than one block"},
		"other block": {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY"}), "ENCRYPTED PRIVATE KEY"},
		"broken":      {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}), "cannot be read"},
		"small rsa":   {publicPEM(t, small), "1024 bits"},
		"p-224":       {publicPEM(t, p224), "of this kind"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePEM("", c.pem)
			if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestParseJWK(t *testing.T) {
	r := ring()
	k, err := ParseJWK(publicJWK(t, "one", r.ed))
	if err != nil || k.ID != "one" || !r.ed.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(k.public) {
		t.Fatalf("%v, %v", k, err)
	}
	oct := `{"kty":"oct","kid":"o","alg":"HS384","k":"` + strings.Repeat("QUJD", 16) + `"}`
	if k, err = ParseJWK([]byte(oct)); err != nil || k.Algorithm != "HS384" || len(k.public.([]byte)) != 48 {
		t.Fatalf("%v, %v", k, err)
	}
	for name, c := range map[string]struct{ jwk, want string }{
		"not JSON":     {`x`, "not a JWK"},
		"unknown kind": {`{"kty":"XYZ"}`, "not a JWK"},
		"no kind":      {`{}`, "not a JWK"},
		"short secret": {`{"kty":"oct","k":"QUJDRA"}`, "4 bytes"},
		"for enc":      {strings.Replace(string(publicJWK(t, "e", r.rsa)), "{", `{"use":"enc",`, 1), "for use"},
		"off curve":    {`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}`, "not a JWK"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseJWK([]byte(c.jwk))
			if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSecretKeyRefuses(t *testing.T) {
	r := ring()
	for name, secret := range map[string][]byte{
		"empty": nil, "31 bytes": make([]byte, 31), "public key PEM": publicPEM(t, r.rsa),
		"public key PEM, indented": append([]byte("\n  "), publicPEM(t, r.ed)...),
		"jwk":                      publicJWK(t, "", r.rsa), "ssh": []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := SecretKey("", secret); holdfast.CodeOf(err) != holdfast.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	secret := NewSecret()
	k, err := SecretKey("", secret)
	if err != nil {
		t.Fatal(err)
	}
	secret[0]++
	if bytes.Equal(k.public.([]byte), secret) {
		t.Error("the key shares memory with its caller")
	}
}

func TestKeyNeverPrintsItsSecret(t *testing.T) {
	secret := NewSecret()
	k := publicKey(t, "mine", secret)
	var logs bytes.Buffer
	slog.New(slog.NewTextHandler(&logs, nil)).Info("m", "key", k, "keys", []Key{k})
	slog.New(slog.NewJSONHandler(&logs, nil)).Info("m", "key", k, "keys", []Key{k})
	text := logs.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		text += fmt.Sprintf(verb+verb+verb, k, &k, []Key{k})
	}
	bytesList := strings.Trim(fmt.Sprint(secret), "[]")
	for _, form := range []string{string(secret), bytesList, hex.EncodeToString(secret)} {
		if strings.Contains(text, form) {
			t.Errorf("printed the secret: %s", text)
		}
	}
	if !strings.Contains(text, `key "mine" (secret)`) {
		t.Errorf("does not show the key's id: %s", text)
	}
}
