package doctor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast/holdfast/wire"
)

const (
	// certificateDays is how long before its end a certificate is overdue for renewal: what renews them does so after two
	// thirds of 90 days.
	certificateDays = 14
	// maxSkew is how far clocks may differ. The Date header has whole seconds, and tokens live for minutes.
	maxSkew = 3 * time.Second
)

// get asks for a path as the page would.
func (e *examination) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.o.URL+path, nil)
	if err != nil {
		return nil, err
	}
	return e.send(req)
}

func (e *examination) post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.o.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "text/plain")
	return e.send(req)
}

func (e *examination) send(req *http.Request) (*http.Response, error) {
	if e.o.Origin != "" {
		req.Header.Set("Origin", e.o.Origin)
	}
	return e.http.Do(req)
}

// status asks for a path and drops the body.
func (e *examination) status(ctx context.Context, path string) (*http.Response, error) {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	res, err := e.get(ctx, path)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	_ = res.Body.Close()
	return res, err
}

func (e *examination) reach(ctx context.Context) Finding {
	res, err := e.status(ctx, "/v1/ws/ready")
	switch {
	case err != nil:
		return Finding{Level: Fail, What: cause(err), Do: "check the name, the port, the firewall, and that the proxy and the server run"}
	case res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusGatewayTimeout:
		return Finding{Level: Fail, What: "the proxy answers " + res.Status, Do: "start the server, and check the address that the proxy has for it"}
	}
	return Finding{Level: OK, What: "something answers at " + e.o.URL}
}

// cause is the part of an error that tells a person something.
func cause(err error) string {
	if u, ok := err.(*url.Error); ok {
		err = u.Err
	}
	return err.Error()
}

func (e *examination) certificate(ctx context.Context) Finding {
	if !strings.HasPrefix(e.o.URL, "https://") {
		return e.plain()
	}
	res, err := e.status(ctx, "/v1/ws/ready")
	if err != nil {
		return Finding{Level: Fail, What: cause(err), Do: "mend the proxy's certificate"}
	}
	end := res.TLS.PeerCertificates[0].NotAfter
	left := int(time.Until(end).Hours() / 24)
	if left < certificateDays {
		return Finding{
			Level: Warn, What: fmt.Sprintf("the certificate ends in %d days, on %s", left, end.Format(time.DateOnly)),
			Do: "see why it was not renewed",
		}
	}
	return Finding{Level: OK, What: fmt.Sprintf("valid for %d days", left)}
}

// plain judges a server without TLS. On loopback that is as it should be.
func (e *examination) plain() Finding {
	u, err := url.Parse(e.o.URL)
	if err == nil {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip.IsLoopback() {
			return Finding{Level: Skip, What: "there is no TLS, on this machine's own address"}
		}
	}
	return Finding{Level: Warn, What: "there is no TLS: tokens travel in the open, and proxies on the way break WebSockets", Do: "put TLS in front"}
}

func (e *examination) clock(ctx context.Context) Finding {
	before := time.Now()
	res, err := e.status(ctx, "/v1/ws/ready")
	if err != nil {
		return Finding{Level: Fail, What: cause(err)}
	}
	server, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return Finding{Level: Skip, What: "the answer has no Date"}
	}
	after := time.Now()
	// The header says when within a second, and anywhere between the request and the answer.
	ahead, behind := server.Sub(after), before.Sub(server.Add(time.Second))
	if off := max(ahead, behind); off > maxSkew {
		return Finding{
			Level: Warn, What: fmt.Sprintf("its clock and this one differ by %s", off.Round(time.Second)),
			Do: "set both by NTP: tokens begin and end by the clock of whoever looks",
		}
	}
	return Finding{Level: OK, What: "as here"}
}

// ready is the gate that clients ask when dials fail.
func (e *examination) ready(ctx context.Context) Finding {
	res, err := e.status(ctx, "/v1/ws/ready")
	switch {
	case err != nil:
		return Finding{Level: Fail, What: cause(err)}
	case res.StatusCode == http.StatusForbidden:
		return e.foreign()
	case res.StatusCode == http.StatusServiceUnavailable:
		return Finding{Level: Warn, What: "the server takes no connections now: it starts, stops or is full", Do: "look at its log"}
	case res.StatusCode != http.StatusNoContent:
		return Finding{Level: Fail, What: "/v1/ws/ready is answered with " + res.Status, Do: "pass /v1/ to the server as it is, without a rewrite"}
	case e.o.Origin != "" && res.Header.Get("Access-Control-Allow-Origin") == "" && e.o.Origin != e.o.URL:
		return Finding{
			Level: Fail, What: "the answer lost its Access-Control-Allow-Origin on the way",
			Do: "let the proxy pass that header; without it pages of " + e.o.Origin + " cannot ask whether dialing is of use",
		}
	}
	return Finding{Level: OK, What: "the server takes connections"}
}

func (e *examination) foreign() Finding {
	origin := e.o.Origin
	if origin == "" {
		origin = "this origin"
	}
	return Finding{
		Level: Fail, What: "the server refuses pages of " + origin,
		Do: "name it with --origins, or, where the page has the server's own host, let the proxy pass the Host header as it came",
	}
}

// events is the first way round a network without WebSockets. Its answer never ends, so whoever gathers it breaks it.
func (e *examination) events(ctx context.Context) Finding {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	res, err := e.post(ctx, "/v1/ws/1/events", e.hello())
	if err != nil {
		return Finding{
			Level: Fail, What: "nothing of the stream arrived: " + cause(err),
			Do: "switch off the proxy's buffering for /v1/ (nginx: proxy_buffering off)",
		}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Finding{Level: Fail, What: "it is answered with " + res.Status, Do: "let POST requests pass below /v1/ws/"}
	}
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil {
		return Finding{
			Level: Fail, What: "the stream began, and its first event did not arrive: " + cause(err),
			Do: "switch off the proxy's buffering for /v1/ (nginx: proxy_buffering off), and compression of text/event-stream",
		}
	}
	return answered(strings.TrimPrefix(line, "data: "), "events arrive as they are sent")
}

func (e *examination) polling(ctx context.Context) Finding {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	hello := e.helloFrame()
	hello.Wait = 1000
	res, err := e.post(ctx, "/v1/ws/1/poll", wire.AppendClient(nil, &hello))
	if err != nil {
		return Finding{Level: Fail, What: cause(err), Do: "let requests that take 25 s pass: raise the proxy's timeout for answers to 60 s"}
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || res.StatusCode != http.StatusOK {
		return Finding{Level: Fail, What: "it is answered with " + res.Status, Do: "let POST requests pass below /v1/ws/"}
	}
	return answered(line, "polls are answered")
}

// answered judges the server's first frame.
func answered(frame, well string) Finding {
	f, err := wire.DecodeServer([]byte(strings.TrimSpace(frame)))
	if err != nil {
		return Finding{Level: Fail, What: "what arrived is not the server's: " + err.Error(), Do: "see what the proxy does to bodies"}
	}
	if bye, ok := f.(*wire.Bye); ok {
		return refused(bye)
	}
	return Finding{Level: OK, What: well}
}
