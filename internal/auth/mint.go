package auth

import (
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/holdfast/holdfast"
)

// Claims are what [Mint] puts into a token.
type Claims struct {
	// User is the claim sub. Needed unless Backend is set.
	User holdfast.UserID
	// Read, Send and Stop hold session patterns, see [holdfast.MatchSession]: at most [MaxPatterns] each, of at most
	// [MaxPattern] bytes.
	Read, Send, Stop []string
	// Backend allows everything. Such a token belongs to a server, never to a page.
	Backend bool
	// Issuer and Audience are iss and aud. Default: left out.
	Issuer   string
	Audience []string
	// Expires is exp, in whole seconds. Default: left out, and the token is refused except with Options.AllowNoExpiry.
	Expires time.Time
	// NotBefore and IssuedAt are nbf and iat, in whole seconds. Default: left out.
	NotBefore, IssuedAt time.Time
	// ID is jti: what a revocation can name. Default: left out.
	ID string
}

type mintedPermissions struct {
	Read    []string `json:"read,omitempty"`
	Send    []string `json:"send,omitempty"`
	Stop    []string `json:"stop,omitempty"`
	Backend bool     `json:"backend,omitempty"`
}

type mintedClaims struct {
	Subject   string             `json:"sub,omitempty"`
	Issuer    string             `json:"iss,omitempty"`
	Audience  []string           `json:"aud,omitempty"`
	Expires   int64              `json:"exp,omitempty"`
	NotBefore int64              `json:"nbf,omitempty"`
	IssuedAt  int64              `json:"iat,omitempty"`
	ID        string             `json:"jti,omitempty"`
	HF        *mintedPermissions `json:"hf,omitempty"`
}

// Mint signs a token with a secret or a private key, by the key's Algorithm or the default one of its kind. It is meant
// for development, tests and small backends. Claims that [Verifier.Verify] would refuse are [holdfast.CodeInvalid], a
// token over [MaxToken] is [holdfast.CodeTooLarge].
func Mint(key Key, c Claims) (string, error) {
	if err := c.validate(); err != nil {
		return "", err
	}
	payload, err := json.Marshal(mintedClaims{
		Subject: string(c.User), Issuer: c.Issuer, Audience: c.Audience,
		Expires: seconds(c.Expires), NotBefore: seconds(c.NotBefore), IssuedAt: seconds(c.IssuedAt), ID: c.ID,
		HF: &mintedPermissions{Read: c.Read, Send: c.Send, Stop: c.Stop, Backend: c.Backend},
	})
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "the claims cannot be encoded")
	}
	token, err := sign(key, payload)
	if err != nil {
		return "", err
	}
	if len(token) > MaxToken {
		return "", holdfast.Errorf(holdfast.CodeTooLarge,
			"the token would have %d bytes, at most %d are allowed; use fewer or wider patterns", len(token), MaxToken)
	}
	return token, nil
}

func (c *Claims) validate() error {
	if c.User == "" && !c.Backend {
		return holdfast.Errorf(holdfast.CodeInvalid, "no user: set User, or Backend for a server's token")
	}
	if c.User != "" {
		if err := c.User.Validate(); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		name string
		list []string
	}{{"Read", c.Read}, {"Send", c.Send}, {"Stop", c.Stop}} {
		if err := validPatterns(l.list); err != nil {
			return holdfast.Errorf(holdfast.CodeInvalid, "%s %s", l.name, err.Message)
		}
	}
	for _, t := range []time.Time{c.Expires, c.NotBefore, c.IssuedAt} {
		if !t.IsZero() && (t.Unix() <= 0 || t.Unix() > maxDate) {
			return holdfast.Errorf(holdfast.CodeInvalid, "the time %v cannot stand in a token", t)
		}
	}
	return nil
}

// sign makes the compact form of RFC 7515 §7.1.
func sign(key Key, payload []byte) (string, error) {
	vk, err := key.verifying(nil)
	if err != nil {
		return "", err
	}
	var material any = key.private
	if secret, ok := key.public.([]byte); ok {
		material = secret
	} else if key.private == nil {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "%v is public; a private key or a secret is needed to sign", key)
	}
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if key.ID != "" {
		opts = opts.WithHeader("kid", key.ID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(vk.algorithms[0]), Key: material}, opts)
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInvalid, err, "%v cannot sign", key)
	}
	sig, err := signer.Sign(payload)
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "%v failed to sign", key)
	}
	token, err := sig.CompactSerialize()
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "the signed token cannot be encoded")
	}
	return token, nil
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
