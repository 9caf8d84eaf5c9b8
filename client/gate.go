package client

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gateRequest is how long the gate may take to answer.
const gateRequest = time.Second

// askGate asks whether the server takes connections. The latest question counts.
func (c *Client) askGate() {
	c.gates++
	turn := c.gates
	// Ends after gateRequest at the latest, if Ready does as it is told; Run waits for it.
	c.all.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, gateRequest)
		defer cancel()
		ok, after := c.opts.Ready(ctx, c.below("ready"))
		c.post(func() { c.gateSaid(turn, ok, after) })
	})
}

func (c *Client) gateSaid(turn uint64, ok bool, after time.Duration) {
	if turn != c.gates {
		return
	}
	// A dial whose socket is open is not slow: its token is.
	if l := c.links[c.machine.n]; c.machine.name == inDialing && l != nil && l.open {
		return
	}
	c.dispatch(event{kind: onGate, ok: ok, after: after}, nil)
}

// httpReady asks over HTTP. It keeps no connection, as it is hardly ever asked, and follows no redirect: the question is
// whether this server is there.
func httpReady() func(ctx context.Context, url string) (bool, time.Duration) {
	web := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, url string) (bool, time.Duration) {
		if rest, ok := strings.CutPrefix(url, "ws"); ok {
			url = "http" + rest
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, 0
		}
		res, err := web.Do(req)
		if err != nil {
			return false, 0
		}
		_ = res.Body.Close()
		return res.StatusCode >= 200 && res.StatusCode < 300, retryAfter(res.Header.Get("Retry-After"))
	}
}

// retryAfter reads the header, which is in seconds or a date (RFC 9110 §10.2.3); 0 if it says nothing.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
