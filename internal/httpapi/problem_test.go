package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/store/driver"
)

const (
	entriesPath = "/v1/sessions/chat-42/entries"
	runsPath    = "/v1/sessions/chat-42/runs"
)

func post(path, body string) request { return request{method: "POST", path: path, body: body} }

func with(r request, name, value string) request {
	r.header = map[string]string{name: value}
	return r
}

type refusal struct {
	name   string
	req    request
	status int
	code   holdfast.Code
	detail string // has to be in the problem's detail
}

// bad lists requests that are refused by what they are, whatever the store holds.
func bad() []refusal {
	const inv, large, unauth, forb, none = holdfast.CodeInvalid, holdfast.CodeTooLarge, holdfast.CodeUnauthorized,
		holdfast.CodeForbidden, holdfast.CodeNotFound
	frag, end, long := runsPath+"/1/fragments", runsPath+"/1/end", strings.Repeat("x", 300)
	get := func(path string) request { return request{path: path} }
	as := func(token, path string) request { return request{path: path, token: token} }
	basic := with(as("none", "/v1/runs"), "Authorization", "Basic Zm9v")
	return []refusal{
		{"no token", as("none", "/v1/runs"), 401, unauth, "Authorization: Bearer"},
		{"another scheme", basic, 401, unauth, "Bearer"},
		{"no token after Bearer", with(as("none", "/v1/runs"), "Authorization", "Bearer "), 401, unauth, "Bearer"},
		{"two tokens", with(as("none", "/v1/runs"), "Authorization", "Bearer a b"), 401, unauth, "once"},
		{"foreign token", as("somebody-elses", "/v1/runs"), 401, unauth, "verify"},
		{"expired token", as(expiredToken, "/v1/runs"), 401, unauth, "expired"},
		{"user's token lists sessions", as(readerToken, "/v1/sessions"), 403, forb, "backend"},
		{"user's token reads the feed", as(readerToken, "/v1/feed"), 403, forb, "backend"},
		{"user's token writes", request{method: "POST", path: entriesPath, token: readerToken, body: `{"data":1}`}, 403, forb, "backend"},
		{"user's token reads another session", as(readerToken, "/v1/sessions/secret/entries"), 403, forb, "reading"},
		{"user's token reads another run", as(readerToken, "/v1/sessions/secret/runs/1"), 403, forb, "reading"},

		{"unknown path", get("/v1/nothing"), 404, none, "openapi"},
		{"trailing slash", get("/v1/sessions/"), 404, none, "openapi"},
		{"doubled slash", get("/v1//sessions"), 404, none, "clean"},
		{"dot segment", get("/v1/sessions/../runs"), 404, none, "clean"},
		{"wrong method", request{method: "DELETE", path: entriesPath}, 405, inv, "GET and POST"},
		{"unknown method", request{method: "BREW", path: "/v1/runs"}, 405, inv, "GET"},

		{"form", with(post(entriesPath, `{"data":1}`), "Content-Type", "application/x-www-form-urlencoded"), 415, inv, "application/json"},
		{"malformed type", with(post(entriesPath, `{"data":1}`), "Content-Type", "json;;"), 415, inv, "application/json"},
		{"another charset", with(post(entriesPath, `{"data":1}`), "Content-Type", "application/json; charset=latin1"), 415, inv, "UTF-8"},
		{"compressed", with(post(entriesPath, `{"data":1}`), "Content-Encoding", "gzip"), 415, inv, "uncompressed"},
		{"no body", post(entriesPath, ""), 400, inv, "no body"},
		{"malformed JSON", post(entriesPath, `{"data":`), 400, inv, "not valid JSON"},
		{"two values", post(entriesPath, `{"data":1} {"data":2}`), 400, inv, "not valid JSON"},
		{"member twice", post(entriesPath, `{"data":1,"data":2}`), 400, inv, "twice"},
		{"bad UTF-8", post(entriesPath, "{\"data\":\"\xff\"}"), 400, inv, "not valid JSON"},
		{"unknown member", post(entriesPath, `{"dta":1}`), 400, inv, "/dta"},
		{"unknown member in a list", post(entriesPath, `{"entries":[{"data":1},{"data":1,"knd":"event"}]}`), 400, inv, "/entries/1/knd"},
		{"other case", post(entriesPath, `{"Data":1}`), 400, inv, "/Data"},
		{"array", post(entriesPath, `[1]`), 400, inv, "an object"},
		{"kind is a number", post(entriesPath, `{"data":1,"kind":4}`), 400, inv, "/kind must be a string"},
		{"entries is an object", post(entriesPath, `{"entries":{}}`), 400, inv, "/entries must be an array"},
		{"entries and data", post(entriesPath, `{"entries":[{"data":1}],"data":1}`), 400, inv, "one entry or a list"},
		{"no entries", post(entriesPath, `{"entries":[]}`), 400, inv, "empty"},
		{"too many entries", post(entriesPath, `{"entries":[{"data":1},{"data":1},{"data":1},{"data":1}]}`), 413, large, "at most 3"},
		{"no data", post(entriesPath, `{"id":"x"}`), 400, inv, "/data is missing"},
		{"no data in a list", post(entriesPath, `{"entries":[{"data":1},{}]}`), 400, inv, "/entries/1/data is missing"},
		{"unknown kind", post(entriesPath, `{"data":1,"kind":"note"}`), 400, inv, `"note"`},
		{"kind state", post(entriesPath, `{"data":1,"kind":"state"}`), 400, inv, "states/{key}"},
		{"id too long", post(entriesPath, `{"data":1,"id":"`+long+`"}`), 400, inv, "256"},
		{"id with a control character", post(entriesPath, `{"data":1,"id":"a\u0001"}`), 400, inv, "control"},
		{"body too large", post(entriesPath, `{"data":"`+strings.Repeat("x", 5000)+`"}`), 413, large, "4096"},
		{"ids that differ", with(post(entriesPath, `{"data":1,"id":"a"}`), "Idempotency-Key", "b"), 400, inv, "differ"},
		{"empty key", with(post(entriesPath, `{"data":1}`), "Idempotency-Key", ""), 400, inv, "empty"},
		{"half-quoted key", with(post(entriesPath, `{"data":1}`), "Idempotency-Key", `"b`), 400, inv, "quoted"},
		{"badly escaped key", with(post(entriesPath, `{"data":1}`), "Idempotency-Key", `"b\n"`), 400, inv, "quoted"},
		{"key too long for a list", with(post(entriesPath, `{"entries":[{"data":1}]}`), "Idempotency-Key", long[:255]), 400, inv, "/entries/0/id"},
		{"bad session id", get("/v1/sessions/a%2Fb/entries"), 400, inv, "session id"},
		{"session id too long", get("/v1/sessions/" + long + "/entries"), 400, inv, "128"},
		{"unknown parameter", get(entriesPath + "?ater=3"), 400, inv, `"ater"`},
		{"parameter on a write", post(entriesPath+"?id=3", `{"data":1}`), 400, inv, `"id"`},
		{"parameter twice", get(entriesPath + "?after=3&after=4"), 400, inv, "2 times"},
		{"malformed query", get(entriesPath + "?after=%zz"), 400, inv, "well-formed"},
		{"bad limit", get(entriesPath + "?limit=many"), 400, inv, "limit"},
		{"limit 0", get(entriesPath + "?limit=0"), 400, inv, "from 1"},
		{"limit too large", get(entriesPath + "?limit=1001"), 400, inv, "1000"},
		{"bad offset", get(entriesPath + "?after=-1"), 400, inv, "offset"},
		{"offset over 2^53", get(entriesPath + "?after=9007199254740993"), 400, inv, "offset"},
		{"before 0", get(entriesPath + "?before=0"), 400, inv, "before"},
		{"empty before", get(entriesPath + "?before="), 400, inv, "offset"},
		{"bad position", get(entriesPath + "?after=a.b.c"), 400, inv, "position"},

		{"state without value", request{method: "PUT", path: "/v1/sessions/s/states/k"}, 400, inv, "no body"},
		{"state's key too long", request{method: "PUT", path: "/v1/sessions/s/states/" + long, body: "1"}, 400, inv, "256"},
		{"state's value malformed", request{method: "PUT", path: "/v1/sessions/s/states/k", body: "{"}, 400, inv, "not valid JSON"},
		{"state's value twice", request{method: "PUT", path: "/v1/sessions/s/states/k", body: "1 2"}, 400, inv, "not valid JSON"},

		{"take over what", post(runsPath, `{"takeOver":true}`), 400, inv, "takeOver needs the id"},
		{"take over is a string", post(runsPath, `{"takeOver":"yes"}`), 400, inv, "/takeOver must be true or false"},
		{"run by name", post(runsPath+"/first/end", `{"fence":1,"status":"failed"}`), 400, inv, "offset"},
		{"run 0", get(runsPath + "/0"), 400, inv, "offset"},
		{"bad fragment number", get(runsPath + "/1?after=x"), 400, inv, "after"},
		{"no fence", post(frag, `{"fragments":[{"text":"x"}]}`), 400, inv, "/fence is missing"},
		{"fence is a string", post(frag, `{"fence":"1","fragments":[{"text":"x"}]}`), 400, inv, "/fence must be a whole number"},
		{"fence is negative", post(frag, `{"fence":-1,"fragments":[{"text":"x"}]}`), 400, inv, "/fence must be a whole number"},
		{"after is a fraction", post(frag, `{"fence":1,"after":1.5,"fragments":[{"text":"x"}]}`), 400, inv, "/after must be"},
		{"after too large", post(frag, `{"fence":1,"after":18446744073709551615,"fragments":[{"text":"x"}]}`), 400, inv, "/after must be"},
		{"no fragments", post(frag, `{"fence":1}`), 400, inv, "/fragments is missing"},
		{"too many fragments", post(frag, `{"fence":1,"fragments":[{"text":"a"},{"text":"a"},{"text":"a"},{"text":"a"}]}`), 413, large, "at most 3"},
		{"empty fragment", post(frag, `{"fence":1,"fragments":[{"text":"a"},{"part":"p"}]}`), 400, inv, "/fragments/1: a fragment needs"},
		{"text and event", post(frag, `{"fence":1,"fragments":[{"text":"a","event":1}]}`), 400, inv, "is both"},
		{"fragments by key", with(post(frag, `{"fence":1,"fragments":[{"text":"a"}]}`), "Idempotency-Key", "k"), 400, inv, "send after"},
		{"end without fence", post(end, `{"status":"failed"}`), 400, inv, "/fence is missing"},
		{"end as open", post(end, `{"fence":1,"status":"open"}`), 400, inv, "/status"},
		{"end without status", post(end, `{"fence":1}`), 400, inv, "/status"},
		{"bad place among runs", get("/v1/runs?after=3"), 400, inv, "after"},
		{"bad prefix", get("/v1/sessions?prefix=a%20b"), 400, inv, "prefix"},
		{"bad session to list after", get("/v1/sessions?after=a%20b"), 400, inv, "after"},

		{"wait too long", get("/v1/feed?wait=61"), 400, inv, "from 0 to 60"},
		{"wait is not a number", get("/v1/feed?wait=NaN"), 400, inv, "wait"},
		{"wait in a stream", with(get("/v1/feed?wait=1"), "Accept", "application/x-ndjson"), 400, inv, "wait"},
		{"bad cursor", get("/v1/feed?after=zzz"), 400, inv, "cursor"},
		{"consumer without name", get("/v1/feed?consumer="), 400, inv, "name"},
		{"consumer's name too long", get("/v1/feed/consumers/" + long[:254]), 400, inv, "251"},
		{"no cursor", post("/v1/feed/consumers/c", `{}`), 400, inv, "/cursor is missing"},
		{"bad user", get("/v1/users/a%00/connections"), 400, inv, "user id"},
		{"bad connection", request{method: "DELETE", path: "/v1/connections/%00"}, 400, inv, "control"},
		{"parameter on the document", get("/v1/openapi.json?v=1"), 400, inv, `"v"`},
	}
}

func TestBadRequests(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Limits.Body, o.Limits.Batch = 4096, 3 })
	for _, tt := range bad() {
		t.Run(tt.name, func(t *testing.T) {
			a := b.do(tt.req)
			p := a.refused(t, tt.status, tt.code)
			if !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("detail %q, want %q in it", p.Detail, tt.detail)
			}
			if len(p.Detail) > 300 {
				t.Errorf("the detail has %d bytes", len(p.Detail))
			}
			if got := a.header.Get("WWW-Authenticate"); (got != "") != (tt.status == 401) || (got != "" && !strings.HasPrefix(got, "Bearer")) {
				t.Errorf("WWW-Authenticate: %q", got)
			}
			if got := a.header.Get("Allow"); (got != "") != (tt.status == 405) {
				t.Errorf("Allow: %q", got)
			}
		})
	}
	if infos, err := b.log.Sessions(t.Context(), "", "", 10); err != nil || len(infos) > 0 {
		t.Errorf("bad requests have written: %v, %v", infos, err)
	}
	if b.logged.String() != "" {
		t.Errorf("bad requests are in the server's log: %s", b.logged)
	}
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	b := serve(t, nil)
	req := b.build(request{path: "/v1/runs"})
	req.Header.Add("Authorization", "Bearer "+readerToken)
	b.send(req).refused(t, 401, holdfast.CodeUnauthorized)
}

func TestUnstatedLengthIsBoundedToo(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Limits.Body = 100 })
	req := b.build(post(entriesPath, `{"data":"`+strings.Repeat("x", 200)+`"}`))
	req.ContentLength = -1
	b.send(req).refused(t, 413, holdfast.CodeTooLarge)
}

func TestReaderReadsItsSessions(t *testing.T) {
	b := serve(t, nil)
	b.fill(1)
	b.openRun("r")
	for _, path := range []string{"", "/entries", "/states", "/runs/2"} {
		b.must(200, request{path: "/v1/sessions/chat-42" + path, token: readerToken}, nil)
	}
}

// brokenLog fails every operation.
type brokenLog struct {
	httpapi.Log
	err error
}

func (l brokenLog) Apply(context.Context, holdfast.SessionID, driver.Op) (driver.Result, error) {
	return driver.Result{}, l.err
}

func (l brokenLog) Info(context.Context, holdfast.SessionID) (driver.Info, error) {
	return driver.Info{}, l.err
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	retries := map[holdfast.Code]string{holdfast.CodeRateLimited: "1", holdfast.CodeUnavailable: "2"}
	statuses := map[holdfast.Code]int{
		holdfast.CodeInvalid: 400, holdfast.CodeTooLarge: 413, holdfast.CodeUnauthorized: 401, holdfast.CodeForbidden: 403,
		holdfast.CodeNotFound: 404, holdfast.CodeConflict: 409, holdfast.CodeFenced: 409, holdfast.CodeEnded: 409,
		holdfast.CodeStopped: 409, holdfast.CodeGap: 409, holdfast.CodeLost: 410, holdfast.CodeRateLimited: 429, holdfast.CodeUnavailable: 503,
		holdfast.CodeInternal: 500,
	}
	cause := errors.New("a cause that is not for clients")
	type failure struct {
		name   string
		err    error
		code   holdfast.Code
		status int
	}
	var all []failure
	for _, code := range holdfast.Codes() {
		all = append(all, failure{string(code), holdfast.Wrap(code, cause, "text for people"), code, statuses[code]})
	}
	all = append(all,
		failure{"an engine's own error", fmt.Errorf("disk: %w", cause), holdfast.CodeInternal, 500},
		failure{"the store takes too long", fmt.Errorf("disk: %w", context.DeadlineExceeded), holdfast.CodeUnavailable, 503})
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			b := serve(t, func(o *httpapi.Options) { o.Log = brokenLog{o.Log, tt.err} })
			for _, req := range []request{post(entriesPath, `{"data":1}`), {path: "/v1/sessions/chat-42"}} {
				a := b.do(req)
				p := a.refused(t, tt.status, tt.code)
				if strings.Contains(p.Detail, cause.Error()) {
					t.Errorf("the cause is shown: %s", p.Detail)
				}
				if got := a.header.Get("Retry-After"); got != retries[tt.code] {
					t.Errorf("Retry-After: %q", got)
				}
			}
			logged := b.logged.String()
			if (tt.status >= 500) != strings.Contains(logged, "request failed") {
				t.Errorf("the server's log is %q", logged)
			}
			if strings.Contains(logged, backendToken) {
				t.Errorf("the log holds a token: %s", logged)
			}
		})
	}
}

// A server that has let go of its store is no reason to wait: the next one has it, and producers are not all to come at one moment.
func TestAStoppingServerNamesNoTime(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) {
		o.Log = brokenLog{o.Log, holdfast.Errorf(holdfast.CodeUnavailable, "the store is closed")}
	})
	close(b.stop)
	a := b.do(post(entriesPath, `{"data":1}`))
	a.refused(t, 503, holdfast.CodeUnavailable)
	if got := a.header.Get("Retry-After"); got != "" {
		t.Errorf("Retry-After: %q", got)
	}
	if logged := b.logged.String(); strings.Contains(logged, "request failed") {
		t.Errorf("the server's log is %q", logged)
	}
}

func TestStoreIsBounded(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Log = hangingLog{o.Log}; o.Limits.Store = 1 })
	b.do(post(entriesPath, `{"data":1}`)).refused(t, 503, holdfast.CodeUnavailable)
}

// hangingLog does not return before its context ends.
type hangingLog struct{ httpapi.Log }

func (l hangingLog) Apply(ctx context.Context, _ holdfast.SessionID, _ driver.Op) (driver.Result, error) {
	<-ctx.Done()
	return driver.Result{}, ctx.Err()
}

func TestNewNeedsLogAndAuth(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("New without a log does not panic")
		}
	}()
	httpapi.New(httpapi.Options{Auth: grants{}})
}
