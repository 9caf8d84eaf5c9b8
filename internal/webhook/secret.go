package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
)

// Secret is a key that an endpoint's receiver knows too. It does not print.
type Secret struct{ key []byte }

// secretPrefix begins every secret in its text form.
const secretPrefix = "whsec_"

// The bounds of a secret's length in bytes, of the Standard Webhooks specification.
const minSecret, maxSecret = 24, 64

// ParseSecret reads a secret from its text form: whsec_ and 24 to 64 bytes in base64. Errors never hold the secret.
func ParseSecret(text string) (Secret, error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), secretPrefix)
	if !ok {
		return Secret{}, holdfast.Errorf(holdfast.CodeInvalid, "a webhook secret begins with %s; make one with: "+
			"echo whsec_$(openssl rand -base64 32)", secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(digits)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, holdfast.Errorf(holdfast.CodeInvalid, "a webhook secret is %s and %d to %d bytes in base64; make one with: "+
			"echo whsec_$(openssl rand -base64 32)", secretPrefix, minSecret, maxSecret)
	}
	return Secret{key}, nil
}

// ParseSecrets reads secrets, one a line, as they stand in a file.
func ParseSecrets(text string) (all []Secret, err error) {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		s, err := ParseSecret(line)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "there is no secret; make one with: echo whsec_$(openssl rand -base64 32)")
	}
	return all, nil
}

// String hides the secret.
func (Secret) String() string { return secretPrefix + "…" }

// sign returns the value of webhook-signature: one signature for each secret, with a blank between.
func sign(secrets []Secret, id string, at time.Time, body []byte) string {
	all := make([]string, len(secrets))
	for i, s := range secrets {
		h := hmac.New(sha256.New, s.key)
		h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		h.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return strings.Join(all, " ")
}
