package main

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A token without iat counts as older than any revocation, and would be of no use to a user who was revoked once.
func TestTokenSaysWhenItWasIssued(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if out, err := program(t, "token", "--new-secret", secret).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	before := time.Now().Unix()
	s := tokenSettings{secretFile: secret, user: "anna", life: time.Hour}
	token, err := s.mint()
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iat, Exp int64 }
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Iat < before || claims.Iat > time.Now().Unix() || claims.Exp-claims.Iat != 3600 {
		t.Errorf("issued at %d, and it expires at %d; it was made after %d, for an hour", claims.Iat, claims.Exp, before)
	}
}
