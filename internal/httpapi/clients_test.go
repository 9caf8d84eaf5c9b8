package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/clientlog"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/transport/origin"
)

const page = "https://app.example.com"

// desk is the routes that clients ask, on a socket.
type desk struct {
	*testing.T
	web     *httptest.Server
	ready   bool
	now     time.Time
	reports []*clientlog.Report
	logged  bytes.Buffer
}

func newDesk(t *testing.T) *desk {
	d := &desk{T: t, ready: true, now: time.Unix(1_790_000_000, 0)}
	pages, err := origin.Parse([]string{page})
	if err != nil {
		t.Fatal(err)
	}
	auth := someGrants()
	auth["tok-late"] = holdfast.Grant{User: "ada", Expires: d.now}
	d.web = httptest.NewServer(httpapi.NewClients(httpapi.ClientOptions{
		Auth: auth, Origins: pages, Ready: func() bool { return d.ready }, Now: func() time.Time { return d.now },
		Reports: func(_ context.Context, r *clientlog.Report) { d.reports = append(d.reports, r) },
		Logger:  slog.New(slog.NewTextHandler(&d.logged, nil)),
	}))
	t.Cleanup(d.web.Close)
	return d
}

// ask makes one request from a page, and returns the answer with its body read.
func (d *desk) ask(method, path, body, from string) (*http.Response, string) {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, d.web.URL+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	if from != "" {
		req.Header.Set("Origin", from)
	}
	res, err := d.web.Client().Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		d.Fatal(err)
	}
	return res, string(text)
}

func TestGate(t *testing.T) {
	d := newDesk(t)
	for name, tc := range map[string]struct {
		ready  bool
		from   string
		status int
	}{
		"ready":                  {true, page, 204},
		"ready, no page":         {true, "", 204},
		"ready, foreign page":    {true, "https://evil.example.org", 403},
		"stopping":               {false, page, 503},
		"stopping, no page":      {false, "", 503},
		"stopping, foreign page": {false, "https://evil.example.org", 403},
	} {
		d.ready = tc.ready
		res, _ := d.ask("GET", "/v1/ws/ready", "", tc.from)
		if res.StatusCode != tc.status {
			t.Errorf("%s: %d, want %d", name, res.StatusCode, tc.status)
		}
		if res.Header.Get("Cache-Control") != "no-store" || (res.Header.Get("Retry-After") != "") != (tc.status == 503) {
			t.Errorf("%s: %v", name, res.Header)
		}
		shared, exposed := res.Header.Get("Access-Control-Allow-Origin"), res.Header.Get("Access-Control-Expose-Headers")
		if mine := tc.from == page; mine != (shared == page) || mine != (exposed == "Retry-After") {
			t.Errorf("%s: shared with %q, which may read %q", name, shared, exposed)
		}
	}
	if res, _ := d.ask("POST", "/v1/ws/ready", "", ""); res.StatusCode != 405 || res.Header.Get("Allow") != "GET" {
		t.Errorf("POST: %d", res.StatusCode)
	}
	if d.logged.Len() > 0 {
		t.Errorf("a server that stops is no fault: %s", d.logged.String())
	}
}

func report(token, log string) string {
	return `{"token":"` + token + `","client":"c-7f","reason":"error","agent":"web/1","now":1790000000000,"log":[` + log + `]}`
}

func TestReport(t *testing.T) {
	d := newDesk(t)
	res, _ := d.ask("POST", "/v1/ws/report", report(readerToken, `{"at":1789999999000,"e":"dial","token":"`+readerToken+`"}`), page)
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != page || len(d.reports) != 1 {
		t.Fatalf("%d, %d reports", res.StatusCode, len(d.reports))
	}
	r := d.reports[0]
	if r.User != "ada" || r.Client != "c-7f" || r.Reason != clientlog.Error || !r.Received.Equal(d.now) || len(r.Records) != 1 {
		t.Errorf("%+v", r)
	}
	if text := string(r.Records[0].Data); strings.Contains(text, readerToken) {
		t.Errorf("the token is in %s", text)
	}
}

func TestReportRefused(t *testing.T) {
	one := `{"at":1,"e":"x"}`
	for name, tc := range map[string]struct {
		method, body, from string
		status             int
		code               holdfast.Code
	}{
		"no body":              {"POST", "", page, 422, holdfast.CodeInvalid},
		"not JSON":             {"POST", "log", page, 422, holdfast.CodeInvalid},
		"bad record":           {"POST", report(readerToken, `{"e":"x"}`), page, 422, holdfast.CodeInvalid},
		"too many records":     {"POST", report(readerToken, one+strings.Repeat(","+one, 500)), page, 413, holdfast.CodeTooLarge},
		"too large":            {"POST", report(readerToken, `{"at":1,"e":"x","text":"`+strings.Repeat("x", 64<<10)+`"}`), page, 413, holdfast.CodeTooLarge},
		"no token":             {"POST", report("", one), page, 401, holdfast.CodeUnauthorized},
		"forged token":         {"POST", report("forged", one), page, 401, holdfast.CodeUnauthorized},
		"expired token":        {"POST", report("tok-late", one), page, 401, holdfast.CodeUnauthorized},
		"token without a user": {"POST", report(backendToken, one), page, 401, holdfast.CodeUnauthorized},
		"foreign page":         {"POST", report(readerToken, one), "https://evil.example.org", 403, holdfast.CodeInvalid},
		"another method":       {"GET", "", page, 405, holdfast.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			res, text := d.ask(tc.method, "/v1/ws/report", tc.body, tc.from)
			var p struct {
				Status int
				Code   holdfast.Code
				Detail string
			}
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if res.StatusCode != tc.status || p.Status != tc.status || p.Code != tc.code || p.Detail == "" {
				t.Errorf("%d %s, want %d %s", res.StatusCode, text, tc.status, tc.code)
			}
			if res.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(text+d.logged.String(), "tok-") {
				t.Errorf("%s %s", text, d.logged.String())
			}
			if len(d.reports) != 0 {
				t.Error("it was taken all the same")
			}
		})
	}
}

// A user may send five reports at once and then one in ten seconds, from however many clients.
func TestReportLimit(t *testing.T) {
	d := newDesk(t)
	for i := range 5 {
		if res, text := d.ask("POST", "/v1/ws/report", report(readerToken, ""), ""); res.StatusCode != 204 {
			t.Fatalf("report %d: %d %s", i+1, res.StatusCode, text)
		}
	}
	d.now = d.now.Add(time.Second)
	res, text := d.ask("POST", "/v1/ws/report", report(readerToken, ""), page)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "9" || !strings.Contains(text, `"rate_limited"`) {
		t.Errorf("report 6: %d, Retry-After %q, %s", res.StatusCode, res.Header.Get("Retry-After"), text)
	}
	d.now = d.now.Add(9 * time.Second)
	if res, text := d.ask("POST", "/v1/ws/report", report(readerToken, ""), ""); res.StatusCode != 204 {
		t.Errorf("ten seconds later: %d %s", res.StatusCode, text)
	}
}
