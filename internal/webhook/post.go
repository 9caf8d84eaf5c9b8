package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/internal/webhook/schedule"
)

const (
	// maxAnswer is how much of an answer's body is read, so that the connection can be used again. What a receiver says
	// beyond that ends the connection.
	maxAnswer = 16 << 10
	// maxExcerpt is how much of it is kept for whoever looks for the cause.
	maxExcerpt = 256
	// maxRetryAfter bounds what a receiver may ask to wait.
	maxRetryAfter = 24 * time.Hour
)

// answer is what came of one attempt. text is for people.
type answer struct {
	result     schedule.Result
	retryAfter time.Duration
	text       string
}

// newClient makes the client of one endpoint. A redirect is an answer like any other and not a success: followed, it would
// carry events to where nobody has said that they may go.
func newClient(rt http.RoundTripper) *http.Client {
	return &http.Client{Transport: rt, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func newTransport(slots int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, slots
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// post makes one attempt.
func (s *sender) post(ctx context.Context, e *event) answer {
	if e.err != nil {
		return answer{result: schedule.Refused, text: "the event cannot be made: " + e.err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.end.URL, bytes.NewReader(e.body))
	if err != nil {
		return answer{result: schedule.Unwell, text: err.Error()}
	}
	now := s.opts.Now()
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "Holdfast")
	req.Header.Set("webhook-id", e.id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", sign(s.end.Secrets, e.id, now, e.body))
	// It goes on as it came: Holdfast makes no spans of its own.
	if e.trace.Valid() {
		req.Header.Set("traceparent", e.trace.String())
	}
	res, err := s.client.Do(req)
	if err != nil {
		return failedAnswer(ctx, err, s.opts.Timeout)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // the status has come; more is not needed
	return classify(res, said, now)
}

// failedAnswer tells nobody being there from somebody who does not answer.
func failedAnswer(ctx context.Context, err error, timeout time.Duration) answer {
	a := answer{result: schedule.Unwell, text: err.Error()}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		a.result = schedule.Unreachable
	case ctx.Err() == context.DeadlineExceeded:
		a.text = fmt.Sprintf("no answer within %v", timeout)
	}
	return a
}

func classify(res *http.Response, said []byte, now time.Time) answer {
	a := answer{result: schedule.Refused, text: res.Status}
	if excerpt := strings.TrimSpace(string(said[:min(len(said), maxExcerpt)])); excerpt != "" {
		a.text += ": " + strings.ToValidUTF8(excerpt, "")
	}
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		a.result = schedule.Delivered
	case code == http.StatusGone:
		a.result = schedule.Gone
	case code == http.StatusTooManyRequests:
		a.result = schedule.Limited
	case code >= 500, code == http.StatusRequestTimeout:
		a.result = schedule.Unwell
	}
	if a.result == schedule.Limited || res.StatusCode == http.StatusServiceUnavailable {
		a.retryAfter = retryAfter(res.Header.Get("Retry-After"), now)
	}
	return a
}

// retryAfter reads the header of RFC 9110 §10.2.3: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
