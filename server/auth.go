package server

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
)

// Auth turns a token into what it allows. [NewJWT] makes one; an embedding program may bring its own.
type Auth interface {
	// Verify returns what a token allows. A token that is not good is [holdfast.CodeUnauthorized]; where that cannot be
	// found out now, it is [holdfast.CodeUnavailable]. Error texts never hold the token. It may be called at any time.
	Verify(ctx context.Context, token string) (holdfast.Grant, error)
}

// JWTOptions say which JSON Web Tokens are accepted.
type JWTOptions = auth.Options

// Key is a key that tokens are signed with; see [SecretKey].
type Key = auth.Key

// NewJWT returns an [Auth] for JSON Web Tokens. Errors are [holdfast.CodeInvalid] and name the option.
func NewJWT(o JWTOptions) (Auth, error) { return auth.New(o) }

// SecretKey makes a key of a shared secret for HS256 tokens, of at least 32 bytes. The id may be empty.
func SecretKey(id string, secret []byte) (Key, error) { return auth.SecretKey(id, secret) }

// ParsePEM reads a public key for RS, PS, ES or EdDSA tokens. The id may be empty.
func ParsePEM(id string, data []byte) (Key, error) { return auth.ParsePEM(id, data) }
