// Package origin decides which web pages may use a server: one rule for everything that a browser can reach.
//
// Browsers alone send an Origin header, and a page cannot make them lie about it: this is what keeps other sites from
// using a visitor's cookies and network (RFC 6455 §10.2). A request without one does not come from a page, or comes from
// one of the server's own, and passes.
package origin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast/holdfast"
)

// Refusal is what a person is told whose page may not connect.
const Refusal = "pages of this origin may not connect here: the origin is neither that of the server's host (does a " +
	"proxy change the Host header?) nor among the origins that the server is configured to allow"

// Allowed are the pages that may connect besides those of the request's own host. The zero value is none. It is not
// changed once made.
type Allowed []pattern

// pattern is one of them, taken apart: scheme and host with port, in lower case; a host that begins with a dot stands for
// what ends with it.
type pattern struct {
	any, null    bool
	scheme, host string
}

// Parse reads patterns: "https://app.example.com"; "https://*.example.com", which is any depth of subdomains and not
// example.com itself; with a port if it is not the scheme's. "null" stands for pages without an origin, such as sandboxed
// frames and files, and "*" for every page on the web. Errors are [holdfast.CodeInvalid] and name the pattern.
func Parse(patterns []string) (Allowed, error) {
	all := make(Allowed, 0, len(patterns))
	for _, p := range patterns {
		o, ok := parse(p)
		if !ok {
			return nil, holdfast.Errorf(holdfast.CodeInvalid,
				"%q is not an origin; write scheme and host, such as https://app.example.com or https://*.example.com", p)
		}
		all = append(all, o)
	}
	return all, nil
}

// Admits reports whether a request comes from a page that may connect, or from no page at all.
func (all Allowed) Admits(r *http.Request) bool {
	from := r.Header.Values("Origin")
	return len(from) == 0 || len(from) == 1 && all.allows(from[0], r.Host)
}

// Share lets the page that a request comes from read the answer, which has no cookies in it and needs none (Fetch standard,
// CORS protocol). It reports whether the page may connect; if not, the caller refuses it with 403 and [Refusal].
func (all Allowed) Share(w http.ResponseWriter, r *http.Request) bool {
	// The answer depends on it, whatever it is, so caches must not give one page's to another.
	w.Header().Add("Vary", "Origin")
	if !all.Admits(r) {
		return false
	}
	if from := r.Header.Get("Origin"); from != "" {
		w.Header().Set("Access-Control-Allow-Origin", from)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
	return true
}

func parse(p string) (pattern, bool) {
	switch p {
	case "*":
		return pattern{any: true}, true
	case "null":
		return pattern{null: true}, true
	}
	scheme, host, ok := strings.Cut(strings.ToLower(p), "://")
	if !ok || scheme == "" {
		return pattern{}, false
	}
	wild := strings.HasPrefix(host, "*.")
	u, err := url.Parse(scheme + "://" + strings.TrimPrefix(host, "*."))
	if err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, "*") || u.User != nil || u.Host+u.Path != u.Host {
		return pattern{}, false
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return pattern{}, false
	}
	host = withPort(u)
	if wild {
		host = "." + host
	}
	return pattern{scheme: scheme, host: host}, true
}

// allows reports whether a page of the origin may connect to the host.
func (all Allowed) allows(from, host string) bool {
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
