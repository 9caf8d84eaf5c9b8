package ws

import (
	"net/url"
	"strings"

	"github.com/holdfast/holdfast"
)

// origins are the patterns of Options.Origins, taken apart.
type origins []origin

// origin is one pattern: scheme and host with port, in lower case; a host that begins with a dot stands for what ends
// with it.
type origin struct {
	any, null    bool
	scheme, host string
}

func parseOrigins(patterns []string) (origins, error) {
	all := make(origins, 0, len(patterns))
	for _, p := range patterns {
		o, ok := parseOrigin(p)
		if !ok {
			return nil, holdfast.Errorf(holdfast.CodeInvalid,
				"%q is not an origin; write scheme and host, such as https://app.example.com or https://*.example.com", p)
		}
		all = append(all, o)
	}
	return all, nil
}

func parseOrigin(p string) (origin, bool) {
	switch p {
	case "*":
		return origin{any: true}, true
	case "null":
		return origin{null: true}, true
	}
	scheme, host, ok := strings.Cut(strings.ToLower(p), "://")
	if !ok || scheme == "" {
		return origin{}, false
	}
	wild := strings.HasPrefix(host, "*.")
	u, err := url.Parse(scheme + "://" + strings.TrimPrefix(host, "*."))
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, "*") || u.User != nil || u.Host+u.Path != u.Host {
		return origin{}, false
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return origin{}, false
	}
	host = withPort(u)
	if wild {
		host = "." + host
	}
	return origin{scheme: scheme, host: host}, true
}

// allows reports whether a page of the origin may connect to the host. Browsers alone send Origin, and cannot be made to
// lie about it by a page: this is what keeps other sites from using a visitor's cookies (RFC 6455 §10.2).
func (all origins) allows(from, host string) bool {
	u, err := url.Parse(strings.ToLower(from))
	if err != nil {
		u = &url.URL{}
	}
	// The scheme of the request itself is not known here: TLS may end at a proxy.
	if u.Host != "" && u.Host == strings.ToLower(host) {
		return true
	}
	for _, o := range all {
		switch {
		case o.any, o.null && from == "null":
			return true
		case o.host == "" || u.Host == "" || o.scheme != u.Scheme:
		case o.host == withPort(u), strings.HasPrefix(o.host, ".") && strings.HasSuffix(withPort(u), o.host):
			return true
		}
	}
	return false
}

// withPort returns host and port, the port being the scheme's if none is given.
func withPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Host
	case u.Scheme == "https":
		return u.Host + ":443"
	case u.Scheme == "http":
		return u.Host + ":80"
	}
	return u.Host
}
