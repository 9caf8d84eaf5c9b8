package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time at which the tests verify.
func noon() time.Time { return time.Unix(1_900_000_000, 0) }

// keyring is one private key of each kind, made once because RSA keys are slow to make.
type keyring struct {
	secret           []byte
	rsa, otherRSA    *rsa.PrivateKey
	p256, p384, p521 *ecdsa.PrivateKey
	ed               ed25519.PrivateKey
}

var ring = sync.OnceValue(func() *keyring {
	r := &keyring{secret: make([]byte, 64)}
	_, _ = rand.Read(r.secret)
	var errs [7]error
	r.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	r.otherRSA, errs[1] = rsa.GenerateKey(rand.Reader, 2048)
	r.p256, errs[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.p384, errs[3] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	r.p521, errs[4] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, r.ed, errs[5] = ed25519.GenerateKey(rand.Reader)
	for _, err := range errs {
		if err != nil {
			panic(err)
		}
	}
	return r
})

func publicPEM(tb testing.TB, signer crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func privatePEM(tb testing.TB, signer crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// publicKey is the verifying half of a private key, or the secret itself.
func publicKey(tb testing.TB, id string, key any) Key {
	tb.Helper()
	var k Key
	var err error
	if secret, ok := key.([]byte); ok {
		k, err = SecretKey(id, secret)
	} else {
		k, err = ParsePEM(id, publicPEM(tb, key.(crypto.Signer)))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func mustNew(tb testing.TB, o Options) *Verifier {
	tb.Helper()
	if o.Now == nil {
		o.Now = noon
	}
	v, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// object is a JSON object.
type object = map[string]any

// goodClaims are claims that verify, with changes on top; a nil value removes a claim.
func goodClaims(changes object) object {
	c := object{"sub": "ann", "exp": noon().Unix() + 600, "iat": noon().Unix(), "hf": object{"read": []string{"chat-*"}}}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func encode(tb testing.TB, part any) string {
	tb.Helper()
	raw, ok := part.(string)
	if !ok {
		b, err := json.Marshal(part)
		if err != nil {
			tb.Fatal(err)
		}
		raw = string(b)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}

// forge builds a token by the standard library alone, so that the verifier is not tested against its own library.
// Header and payload are objects or texts taken as they are.
func forge(tb testing.TB, header, payload, key any) string {
	tb.Helper()
	alg := ""
	if h, ok := header.(object); ok {
		alg, _ = h["alg"].(string)
	}
	input := encode(tb, header) + "." + encode(tb, payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature(tb, alg, []byte(input), key))
}

func signature(tb testing.TB, alg string, input []byte, key any) (sig []byte) {
	tb.Helper()
	hash := crypto.SHA256
	if len(alg) == 5 {
		hash = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	}
	digest := func() []byte { h := hash.New(); h.Write(input); return h.Sum(nil) }
	var err error
	switch k := key.(type) {
	case nil:
	case []byte:
		mac := hmac.New(hash.New, k)
		mac.Write(input)
		sig = mac.Sum(nil)
	case *rsa.PrivateKey:
		if alg[0] == 'P' {
			sig, err = rsa.SignPSS(rand.Reader, k, hash, digest(), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, k, hash, digest())
		}
	case *ecdsa.PrivateKey:
		r, s, e := ecdsa.Sign(rand.Reader, k, digest())
		size := (k.Curve.Params().BitSize + 7) / 8
		sig, err = make([]byte, 2*size), e
		r.FillBytes(sig[:size])
		s.FillBytes(sig[size:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(k, input)
	default:
		tb.Fatalf("no key: %T", key)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return sig
}
