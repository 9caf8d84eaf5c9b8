package auth

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/holdfast/holdfast"
)

const (
	// maxKeySetBytes bounds the answer of the key set's URL.
	maxKeySetBytes = 512 << 10
	// maxKeySetKeys bounds the keys in it.
	maxKeySetKeys = 200
	// maxRedirects bounds how often the URL may point elsewhere.
	maxRedirects = 3
)

// published is a key set as fetched.
type published struct {
	keys []verifyingKey
	// leftOut is how many keys were there that are of no use here.
	leftOut int
}

// keySetClient returns a copy of the configured client that follows redirects only where the keys stay authentic.
func keySetClient(o *Options) *http.Client {
	c := &http.Client{}
	if o.HTTPClient != nil {
		*c = *o.HTTPClient
	}
	insecure, theirs := o.KeySetInsecure, c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if err := checkKeySetURL(req.URL, insecure); err != nil {
			return errors.New("redirected to a URL that is not allowed")
		}
		// Not even to this host: what serves plain HTTP here need not be the issuer.
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" && !insecure {
			return errors.New("redirected from https to http")
		}
		if theirs != nil {
			return theirs(req, via)
		}
		return nil
	}
	return c
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func unfetched(err error, format string, args ...any) error {
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "the key set could not be fetched: "+format, args...)
}

// fetch gets the key set once. Its errors name no URL, whose query may hold credentials.
func (s *keySet) fetch(ctx context.Context) (published, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String(), nil)
	if err != nil {
		return published{}, unfetched(nil, "there is no request for its URL")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "holdfast")
	res, err := s.client.Do(req)
	if err != nil {
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return published{}, unfetched(err, "no answer")
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return published{}, unfetched(nil, "the answer's status is %d", res.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxKeySetBytes+1))
	if err != nil {
		return published{}, unfetched(err, "the answer broke off")
	}
	if len(data) > maxKeySetBytes {
		return published{}, unfetched(nil, "the answer has more than %d bytes", maxKeySetBytes)
	}
	return parseKeySet(data, s.algorithms)
}

// parseKeySet reads a JWKS (RFC 7517 §5) and keeps the keys that fit one of the algorithms. Others are left out, as §5
// says, so that one new kind of key does not end them all. A set without any is a set too: the issuer withdrew its keys.
func parseKeySet(data []byte, algorithms []string) (published, error) {
	var set struct {
		Keys *[]json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(data, &set) != nil || set.Keys == nil {
		return published{}, unfetched(nil, "the answer is not a JWKS")
	}
	if n := len(*set.Keys); n > maxKeySetKeys {
		return published{}, unfetched(nil, "the answer has %d keys; at most %d are allowed", n, maxKeySetKeys)
	}
	var out published
	for _, raw := range *set.Keys {
		k, err := ParseJWK(raw)
		// What is published is no secret: a symmetric key, or a private one, would let every reader mint tokens.
		if _, secret := k.public.([]byte); err != nil || secret || k.private != nil {
			out.leftOut++
			continue
		}
		vk, err := k.verifying(algorithms)
		if err != nil {
			out.leftOut++
			continue
		}
		out.keys = append(out.keys, vk)
	}
	return out, nil
}
