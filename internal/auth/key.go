package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/holdfast/holdfast"
)

// MinSecret is the shortest secret that is accepted, in bytes (RFC 7518 §3.2).
const MinSecret = 32

// An RSA key under 2048 bits can be factored; one over 8192 makes each verification cost as much as an attack.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is a secret, a public key or a private key. Make one with [SecretKey], [ParsePEM] or [ParseJWK]; the zero value
// is refused. Printed in whatever way it shows its id and kind only.
type Key struct {
	// ID is the key's id (kid). Default: empty, and the key is tried for tokens with any id.
	ID string
	// Algorithm is the one algorithm that the key is for. Default: with Options.Algorithms all of those that fit the key,
	// else HS256, RS256, EdDSA, or the ES algorithm of the curve.
	Algorithm string

	// public is []byte (a secret), *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey; private the other half, or nil.
	public  any
	private crypto.Signer
}

// verifyingKey is a key with the algorithms that it may verify.
type verifyingKey struct {
	id         string
	algorithms []string
	material   any
}

func (k *verifyingKey) fits(alg string) bool { return slices.Contains(k.algorithms, alg) }

// Format keeps secrets out of logs, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	kind := map[family]string{familyNone: "empty", familyHMAC: "secret", familyRSA: "RSA", familyP256: "P-256",
		familyP384: "P-384", familyP521: "P-521", familyEdwards: "Ed25519"}[familyOfMaterial(k.public)]
	_, _ = fmt.Fprintf(f, "key %q (%s)", k.ID, kind)
}

// SecretKey makes a key of a secret shared with whoever mints the tokens: at least [MinSecret] bytes, taken as they
// are (a text is not decoded). id may be empty.
func SecretKey(id string, secret []byte) (Key, error) {
	if len(secret) < MinSecret {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid,
			"the secret has %d bytes; it must have at least %d random ones, as from NewSecret", len(secret), MinSecret)
	}
	// A public key given as a secret is the classic algorithm confusion: everybody knows those bytes (RFC 8725 §2.1).
	trimmed := bytes.TrimSpace(secret)
	if bytes.HasPrefix(trimmed, []byte("-----BEGIN")) || bytes.HasPrefix(trimmed, []byte("ssh-")) ||
		(bytes.HasPrefix(trimmed, []byte("{")) && bytes.Contains(trimmed, []byte(`"kty"`))) {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid, "the secret looks like a key file; use ParsePEM or ParseJWK for it")
	}
	return Key{ID: id, public: bytes.Clone(secret)}, nil
}

// ParsePEM reads one key in PEM form: a public key, a certificate (only its key counts, not its dates or issuer) or,
// to mint with, a private key. id may be empty.
func ParsePEM(id string, data []byte) (Key, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid, "not a PEM file: there is no -----BEGIN line")
	}
	if next, _ := pem.Decode(rest); next != nil {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid, "the PEM file holds more than one block; give each key by itself")
	}
	parsed, err := parseBlock(block)
	if err != nil {
		return Key{}, err
	}
	return newKey(id, "", parsed)
}

func parseBlock(b *pem.Block) (parsed any, err error) {
	switch b.Type {
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(b.Bytes)
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(b.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(b.Bytes); err == nil {
			parsed = c.PublicKey
		}
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		return nil, holdfast.Errorf(holdfast.CodeInvalid,
			"the PEM block is a %.40q; a public key, a certificate or an unencrypted private key is needed", b.Type)
	}
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the PEM block %s cannot be read", b.Type)
	}
	return parsed, nil
}

// ParseJWK reads one key in JWK form (RFC 7517 §4), its id and algorithm included. A symmetric one becomes a secret.
func ParseJWK(data []byte) (Key, error) {
	var j jose.JSONWebKey
	if err := j.UnmarshalJSON(data); err != nil {
		// The cause may quote the key's secret members, so it goes no further.
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid, "not a JWK of a kind that is known here")
	}
	if j.Use != "" && j.Use != "sig" {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid, "the JWK is for use %.20q, not for sig(natures)", j.Use)
	}
	if secret, ok := j.Key.([]byte); ok {
		k, err := SecretKey(j.KeyID, secret)
		k.Algorithm = j.Algorithm
		return k, err
	}
	return newKey(j.KeyID, j.Algorithm, j.Key)
}

// newKey makes a key of what a parser returned, and refuses kinds and sizes that are not to be trusted.
func newKey(id, alg string, parsed any) (Key, error) {
	k := Key{ID: id, Algorithm: alg, public: parsed}
	switch p := parsed.(type) {
	case *rsa.PrivateKey:
		k.private, k.public = p, &p.PublicKey
	case *ecdsa.PrivateKey:
		k.private, k.public = p, &p.PublicKey
	case ed25519.PrivateKey:
		k.private, k.public = p, p.Public()
	}
	if r, ok := k.public.(*rsa.PublicKey); ok {
		if n := r.N.BitLen(); n < minRSABits || n > maxRSABits {
			return Key{}, holdfast.Errorf(holdfast.CodeInvalid,
				"the RSA key has %d bits; %d to %d are allowed", n, minRSABits, maxRSABits)
		}
	}
	if f := familyOfMaterial(k.public); f == familyNone || f == familyHMAC {
		return Key{}, holdfast.Errorf(holdfast.CodeInvalid,
			"a key of this kind cannot verify tokens; RSA, Ed25519, P-256, P-384 and P-521 are known")
	}
	return k, nil
}

// verifying returns the key with the algorithms it is for: its own, else the wanted ones that fit it, else its
// family's default.
func (k *Key) verifying(wanted []string) (verifyingKey, error) {
	f := familyOfMaterial(k.public)
	if f == familyNone {
		return verifyingKey{}, holdfast.Errorf(holdfast.CodeInvalid, "the key is empty; use SecretKey, ParsePEM or ParseJWK")
	}
	if k.Algorithm != "" && familyOf(k.Algorithm) != f {
		return verifyingKey{}, holdfast.Errorf(holdfast.CodeInvalid, "%v cannot be for the algorithm %.20q", k, k.Algorithm)
	}
	algs := []string{defaultOf(f)}
	if k.Algorithm != "" {
		algs = []string{k.Algorithm}
	}
	if len(wanted) != 0 {
		fitting := slices.DeleteFunc(slices.Clone(wanted), func(a string) bool {
			return familyOf(a) != f || (k.Algorithm != "" && a != k.Algorithm)
		})
		if len(fitting) == 0 {
			return verifyingKey{}, holdfast.Errorf(holdfast.CodeInvalid,
				"%v fits none of Algorithms (%s)", k, strings.Join(wanted, ", "))
		}
		algs = fitting
	}
	if err := k.checkSecret(algs); err != nil {
		return verifyingKey{}, err
	}
	return verifyingKey{id: k.ID, algorithms: algs, material: k.public}, nil
}

// checkSecret refuses secrets shorter than the hash of an algorithm.
func (k *Key) checkSecret(algs []string) error {
	secret, ok := k.public.([]byte)
	if !ok {
		return nil
	}
	for _, a := range algs {
		if len(secret) < minSecret(a) {
			return holdfast.Errorf(holdfast.CodeInvalid,
				"%v has %d bytes; %s needs at least %d", k, len(secret), a, minSecret(a))
		}
	}
	return nil
}
