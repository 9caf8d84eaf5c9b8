package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	jose "github.com/go-jose/go-jose/v4"
)

// family is the kind of key that an algorithm works with. A key is tried only with algorithms of its own family: else
// a token "signed" by HMAC with the published bytes of a public key would verify (RFC 8725 §2.1).
type family int

const (
	familyNone family = iota
	familyHMAC
	familyRSA
	familyP256
	familyP384
	familyP521
	familyEdwards
)

// algorithm is one row of RFC 7518 §3.1 or RFC 8037 §3.1.
type algorithm struct {
	name   string
	family family
	// secret is how long an HMAC secret must be, in bytes: as long as the hash (RFC 7518 §3.2).
	secret int
}

// algorithms lists what is supported. The first of a family is its default. "none" is left out for good.
func algorithms() []algorithm {
	return []algorithm{
		{"HS256", familyHMAC, 32},
		{"HS384", familyHMAC, 48},
		{"HS512", familyHMAC, 64},
		{"RS256", familyRSA, 0},
		{"RS384", familyRSA, 0},
		{"RS512", familyRSA, 0},
		{"PS256", familyRSA, 0},
		{"PS384", familyRSA, 0},
		{"PS512", familyRSA, 0},
		{"ES256", familyP256, 0},
		{"ES384", familyP384, 0},
		{"ES512", familyP521, 0},
		{"EdDSA", familyEdwards, 0},
	}
}

func algorithmNames() []string {
	var out []string
	for _, a := range algorithms() {
		out = append(out, a.name)
	}
	return out
}

func familyOf(name string) family {
	for _, a := range algorithms() {
		if a.name == name {
			return a.family
		}
	}
	return familyNone
}

// defaultOf is the algorithm of a family when nobody chose one.
func defaultOf(f family) string {
	for _, a := range algorithms() {
		if a.family == f {
			return a.name
		}
	}
	return ""
}

// minSecret is how long a secret for the algorithm must be, in bytes.
func minSecret(name string) int {
	for _, a := range algorithms() {
		if a.name == name {
			return a.secret
		}
	}
	return 0
}

// familyOfMaterial says with what algorithms key material works.
func familyOfMaterial(material any) family {
	switch k := material.(type) {
	case []byte:
		return familyHMAC
	case *rsa.PublicKey:
		return familyRSA
	case ed25519.PublicKey:
		return familyEdwards
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return familyP256
		case elliptic.P384():
			return familyP384
		case elliptic.P521():
			return familyP521
		}
	}
	return familyNone
}

func joseAlgorithms(names []string) []jose.SignatureAlgorithm {
	out := make([]jose.SignatureAlgorithm, len(names))
	for i, n := range names {
		out[i] = jose.SignatureAlgorithm(n)
	}
	return out
}
