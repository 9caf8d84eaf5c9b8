package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/wire"
)

// post is a request with a body of JSON, perhaps broken off.
func post(path, body string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, length, body)
}

func get(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n"
}

// Sockets that say nothing, do not come to an end, or are kept for later, and show no token, are gone within 10 s and a little. Those over
// which one came stay.
func TestStrangersDoNotHoldSockets(t *testing.T) {
	p, at := operated(t)
	operators := strings.TrimPrefix(at[1], "http://")
	look, err := os.ReadFile(at[3])
	if err != nil {
		t.Fatal(err)
	}
	bearer := func(token string) string { return "Authorization: Bearer " + token + "\r\n" }
	basic := func(password string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("otto:"+password)) + "\r\n"
	}
	poll := func(token string) string {
		hello := wire.AppendClient(nil, &wire.Hello{Version: 1, Token: token, Client: "c1", Gen: 1, Wait: 1000})
		return post("/v1/ws/1/poll", string(hello), len(hello))
	}
	backend := p.token(auth.Claims{Backend: true})
	cases := map[string]struct {
		addr, say string
		stays     bool
	}{
		"nothing":                 {p.addr, "", false},
		"half a header":           {p.addr, "GET /v1/sessions HTTP/1.1\r\nHost: x\r\nX-Slow: ", false},
		"a body without an end":   {p.addr, post("/v1/sessions/s/entries", "{", 1000), false},
		"a report without an end": {p.addr, post("/v1/ws/report", "{", 1000), false},
		"a poll without an end":   {p.addr, post("/v1/ws/1/poll", "{", 1000), false},
		"an upgrade without a hello": {p.addr, get("/v1/ws/1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), false},
		"kept after a request":        {p.addr, get("/healthz", ""), false},
		"kept after another":          {p.addr, get("/v1/openapi.json", ""), false},
		"kept after a wrong token":    {p.addr, get("/v1/sessions", bearer(backend[:len(backend)-9]+"forgeries")), false},
		"kept after a wrong hello":    {p.addr, poll("wrong"), false},
		"a backend's":                 {p.addr, get("/v1/sessions", bearer(backend)), true},
		"a user's":                    {p.addr, poll(p.token(auth.Claims{User: "anna"})), true},
		"the operator's page, silent": {operators, "", false},
		"with a wrong password":       {operators, get("/api/me", basic("wrong")), false},
		"with the right one":          {operators, get("/api/me", basic(strings.TrimSpace(string(look)))), true},
	}
	// All at once, and not a few at a time, as parallel tests are: each takes as long as it may.
	var all sync.WaitGroup
	defer all.Wait()
	for name, tc := range cases {
		c, err := net.Dial("tcp", tc.addr)
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer c.Close()
			began := time.Now()
			_, werr := io.WriteString(c, tc.say)
			// A hello is looked for once a second, and the goodbye of a WebSocket waits a little for an answer.
			_ = c.SetReadDeadline(began.Add(14 * time.Second))
			_, err := io.Copy(io.Discard, c)
			if stays := os.IsTimeout(err); stays != tc.stays || werr != nil {
				t.Errorf("%s: after %v: %v, %v", name, time.Since(began), err, werr)
			}
		})
	}
}
