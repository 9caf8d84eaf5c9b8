package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/holdfast/holdfast/transport/origin"
)

// refused is an answer to a request that is not upgraded.
type refused struct {
	status int
	header map[string]string
	text   string
}

func (r *refused) write(w http.ResponseWriter) {
	for k, v := range r.header {
		w.Header().Set(k, v)
	}
	http.Error(w, r.text, r.status)
}

// check says what is wrong with a request to upgrade (RFC 6455 §4.2.1), or nil. The order is that of what the person
// who reads the answer should learn first.
func (h *Handler) check(r *http.Request) *refused {
	switch {
	case r.Method != http.MethodGet:
		return &refused{http.StatusMethodNotAllowed, map[string]string{"Allow": http.MethodGet},
			"open a WebSocket here with GET"}
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1, !hasToken(r.Header, "Upgrade", "websocket"),
		!hasToken(r.Header, "Connection", "upgrade"):
		return &refused{http.StatusUpgradeRequired, map[string]string{"Upgrade": "websocket", "Connection": "Upgrade"},
			"this is a WebSocket endpoint: connect with a WebSocket client over HTTP/1.1; if you did, a proxy in between " +
				"dropped the Upgrade and Connection headers"}
	case !only(r.Header, "Sec-Websocket-Version", func(v string) bool { return v == "13" }):
		return &refused{http.StatusUpgradeRequired, map[string]string{"Sec-WebSocket-Version": "13"},
			"Sec-WebSocket-Version must be 13"}
	case !only(r.Header, "Sec-Websocket-Key", validKey):
		return &refused{http.StatusBadRequest, nil, "Sec-WebSocket-Key must be there once and be 16 bytes in base64"}
	}
	if !h.origins.Admits(r) {
		return &refused{http.StatusForbidden, nil, origin.Refusal}
	}
	switch first, err := greeting(r.Header); {
	case err != nil || !utf8.Valid(first):
		return &refused{http.StatusBadRequest, nil,
			"what follows " + greets + " in Sec-WebSocket-Protocol is not UTF-8 in base64url without padding"}
	case len(first) > h.opts.MaxMessage:
		return &refused{http.StatusRequestHeaderFieldsTooLarge, nil, "the first message is too large; send it when the connection is open"}
	}
	return nil
}

// greets begins the name of a subprotocol that is none: what follows is the connection's first message, in base64url. It is
// the one header that a browser lets a page fill, and so a client's hello comes with the dial itself, a round trip sooner.
const greets = "hello."

// greeting returns the first message, if it came with the request; nil if not.
func greeting(h http.Header) ([]byte, error) {
	for t := range tokens(h, "Sec-WebSocket-Protocol") {
		if said, ok := strings.CutPrefix(t, greets); ok {
			return base64.RawURLEncoding.DecodeString(said)
		}
	}
	return nil, nil
}

// only reports whether the header is there exactly once and ok.
func only(h http.Header, name string, ok func(string) bool) bool {
	v := h[name]
	return len(v) == 1 && ok(v[0])
}

func validKey(k string) bool {
	b, err := base64.StdEncoding.DecodeString(k)
	return err == nil && len(b) == 16
}

// hasToken reports whether a header with a list of tokens holds one, in whatever case.
func hasToken(h http.Header, name, token string) bool {
	for t := range tokens(h, name) {
		if strings.EqualFold(t, token) {
			return true
		}
	}
	return false
}

// tokens yields the elements of a header with a list, which may be spread over several lines.
func tokens(h http.Header, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range h.Values(name) {
			for t := range strings.SplitSeq(line, ",") {
				if !yield(strings.TrimSpace(t)) {
					return
				}
			}
		}
	}
}

// answer is the response that upgrades the connection. No extension is ever agreed on.
func (h *Handler) answer(r *http.Request) []byte {
	const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 §1.3
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + magic))
	var b strings.Builder
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
	b.WriteString(base64.StdEncoding.EncodeToString(sum[:]))
	for t := range tokens(r.Header, "Sec-WebSocket-Protocol") {
		if t == h.opts.Subprotocol {
			b.WriteString("\r\nSec-WebSocket-Protocol: ")
			b.WriteString(t)
			break
		}
	}
	b.WriteString("\r\n\r\n")
	return []byte(b.String())
}
