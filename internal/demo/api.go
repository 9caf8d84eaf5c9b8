package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
)

// api is a client of the HTTP API, as small as a backend's may be.
type api struct {
	base  string
	token func() (string, error)
	http  *http.Client
}

// problem is a refusal of the API (RFC 9457).
type problem struct {
	Status int           `json:"status"`
	Code   holdfast.Code `json:"code"`
	Detail string        `json:"detail"`
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// final reports whether repeating the request would change nothing.
func final(err error) bool {
	var p *problem
	return errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests
}

// stopped reports whether somebody has asked for the run to be stopped.
func stopped(err error) bool {
	var p *problem
	return errors.As(err, &p) && p.Code == holdfast.CodeStopped
}

// ask is one request.
type ask struct {
	method, path string
	// key, if not empty, makes a write that has no id of its own idempotent.
	key string
	// lines asks for a stream of lines.
	lines bool
	body  any
}

func (a *api) request(ctx context.Context, q ask) (*http.Response, error) {
	var in io.Reader
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, a.base+q.path, in)
	if err != nil {
		return nil, err
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.lines {
		req.Header.Set("Accept", "application/x-ndjson")
	}
	if q.key != "" {
		req.Header.Set("Idempotency-Key", strconv.Quote(q.key))
	}
	return a.http.Do(req)
}

// call makes one request and decodes the answer, unless into is nil.
func (a *api) call(ctx context.Context, q ask, into any) error {
	res, err := a.request(ctx, q)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		p := &problem{Status: res.StatusCode}
		_ = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(p)
		return p
	}
	if into == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// insist repeats a call until it succeeds or is refused for good. Every write that the bot makes may be repeated.
func (a *api) insist(ctx context.Context, q ask, into any) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := a.call(ctx, q, into)
		if err == nil || final(err) || ctx.Err() != nil {
			return err
		}
		sleep(ctx, wait/2+rand.N(wait/2))
	}
}

// follow calls fn with each line of a stream until it ends.
func (a *api) follow(ctx context.Context, path string, fn func(line []byte) error) error {
	res, err := a.request(ctx, ask{method: http.MethodGet, path: path, lines: true})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return &problem{Status: res.StatusCode, Detail: res.Status}
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 2<<20)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := fn(lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func get(path string) ask { return ask{method: http.MethodGet, path: path} }

func post(path string, body any) ask { return ask{method: http.MethodPost, path: path, body: body} }

func sessionPath(s holdfast.SessionID, rest string) string {
	return "/v1/sessions/" + url.PathEscape(string(s)) + rest
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
