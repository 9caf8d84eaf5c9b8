package httpapi_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
)

const requestsPath = "/v1/sessions/chat-42/requests"

type requestAnswer struct {
	Offset, Run     int
	ID, State       string
	To              []string
	Duplicate, Lost bool
	Data, Default   any
	At, By          int64
	Settled         *struct {
		Offset int
		User   string
		Data   any
	}
}

func TestRequestOverHTTP(t *testing.T) {
	b := serve(t, nil)
	b.openRun("r")
	var asked, again requestAnswer
	b.must(201, post(requestsPath, `{"id":"q","data":{ "text": "go on?" },"default":false,"within":0.5,"to":["ada"],"run":1,"fence":1}`), &asked)
	if asked.By-asked.At != 500 {
		t.Errorf("half a second is %d ms", asked.By-asked.At)
	}
	want := requestAnswer{Offset: 2, Run: 1, ID: "q", State: "open", To: []string{"ada"}, Data: map[string]any{"text": "go on?"}, Default: false,
		At: asked.At, By: asked.By}
	if d := cmp.Diff(want, asked); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
	b.must(200, with(post(requestsPath, `{}`), "Idempotency-Key", "q"), &again)
	if want.Duplicate = true; cmp.Diff(want, again) != "" {
		t.Errorf("asked again: %+v", again)
	}
	b.must(201, post(requestsPath, `{}`), &again)
	if again.ID == "" || again.By-again.At != 3_600_000 {
		t.Errorf("asked without a word: %+v", again)
	}
	var list struct{ Requests []requestAnswer }
	b.must(200, request{path: requestsPath, token: readerToken}, &list)
	want.Duplicate = false
	if len(list.Requests) != 2 || cmp.Diff(want, list.Requests[0]) != "" {
		t.Errorf("listed: %+v", list)
	}

	b.must(201, post(requestsPath+"/3/answer", `{"id":"a","user":"ada","data":{"ok":true}}`), &again)
	if again.State != "answered" || again.Lost || again.Settled == nil || again.Settled.User != "ada" || again.Settled.Offset != 4 {
		t.Errorf("answered: %+v", again)
	}
	b.must(200, post(requestsPath+"/3/answer", `{"id":"b","user":"bob","data":0}`), &again)
	if !again.Lost || !again.Duplicate || again.Settled.User != "ada" || cmp.Diff(again.Settled.Data, any(map[string]any{"ok": true})) != "" {
		t.Errorf("answered by another: %+v", again)
	}
	b.must(200, post(requestsPath+"/3/withdraw", `{}`), &again)
	if again.State != "answered" || !again.Lost {
		t.Errorf("withdrawn: %+v", again)
	}
	b.must(201, post(requestsPath, `{"id":"w","data":1}`), nil)
	b.must(201, post(requestsPath+"/5/withdraw", `{"data":"why"}`), &again)
	if again.State != "withdrawn" || again.Settled.Data != "why" {
		t.Errorf("withdrawn: %+v", again)
	}
	b.must(200, request{path: requestsPath + "/5", token: readerToken}, &again)
	if again.State != "withdrawn" || again.Data != 1.0 {
		t.Errorf("read: %+v", again)
	}
	for query, n := range map[string]int{"": 0, "?kinds=stop": 0, "?kinds=request": 5, "?kinds=request,end": 5} {
		var f struct {
			Items []struct{ Entry struct{ Kind string } }
		}
		b.must(200, request{path: "/v1/feed" + query}, &f)
		if len(f.Items) != n {
			t.Errorf("the feed%s has %d items", query, len(f.Items))
		}
	}
}

func TestRequestRefusedOverHTTP(t *testing.T) {
	b := serve(t, nil)
	b.openRun("r")
	b.must(201, post(requestsPath, `{"id":"q","to":["ada"]}`), nil)
	for name, c := range map[string]struct {
		req    request
		status int
		code   holdfast.Code
	}{
		"for too long":          {post(requestsPath, `{"within":2592001}`), 400, holdfast.CodeInvalid},
		"for less than no time": {post(requestsPath, `{"within":-1}`), 400, holdfast.CodeInvalid},
		"a bad user":            {post(requestsPath, `{"to":["\u0001"]}`), 400, holdfast.CodeInvalid},
		"a bad id":              {post(requestsPath, `{"id":"\u0001"}`), 400, holdfast.CodeInvalid},
		"two ids":               {with(post(requestsPath, `{"id":"a"}`), "Idempotency-Key", "b"), 400, holdfast.CodeInvalid},
		"of no run":             {post(requestsPath, `{"run":9}`), 404, holdfast.CodeNotFound},
		"of another's run":      {post(requestsPath, `{"run":1,"fence":7}`), 409, holdfast.CodeFenced},
		"a misspelt member":     {post(requestsPath, `{"witihn":1}`), 400, holdfast.CodeInvalid},
		"of a user":             {request{method: "POST", path: requestsPath, body: `{}`, token: readerToken}, 403, holdfast.CodeForbidden},
		"answered by a user":    {request{method: "POST", path: requestsPath + "/2/answer", body: `{"data":1}`, token: readerToken}, 403, holdfast.CodeForbidden},
		"answered by nothing":   {post(requestsPath+"/2/answer", `{}`), 400, holdfast.CodeInvalid},
		"answered for another":  {post(requestsPath+"/2/answer", `{"user":"bob","data":1}`), 403, holdfast.CodeForbidden},
		"withdrawn by a user":   {post(requestsPath+"/2/withdraw", `{"user":"ada"}`), 400, holdfast.CodeInvalid},
		"a run":                 {request{path: requestsPath + "/1"}, 404, holdfast.CodeNotFound},
		"no offset":             {request{path: requestsPath + "/q"}, 400, holdfast.CodeInvalid},
		"a wait without end":    {request{path: requestsPath + "/2?wait=3600"}, 400, holdfast.CodeInvalid},
		"to too many": {post(requestsPath, `{"to":["1","2","3","4","5","6","7","8","9","a","b","c","d","e","f","g","h"]}`), 413,
			holdfast.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) { b.do(c.req).refused(t, c.status, c.code) })
	}
}

// Who waits for an answer gets it when it is there: at once if the server is told, else within a second.
func TestWaitingForAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration // after which it is answered; 0: never
		told   bool
		within time.Duration
		state  string
	}{
		"told":            {3 * time.Second, true, 0, "answered"},
		"not told":        {3500 * time.Millisecond, false, time.Second, "answered"},
		"nobody answered": {0, true, 0, "open"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *bench
				b = newBench(t, func(o *httpapi.Options) {
					if c.told {
						o.RequestSettled = func(holdfast.SessionID, holdfast.Offset) (<-chan struct{}, func()) {
							return b.watched.changed(), func() {}
						}
					}
				})
				api := httpapi.New(b.opts)
				call := func(method, path, body string) (got requestAnswer) {
					w, r := httptest.NewRecorder(), httptest.NewRequest(method, requestsPath+path, strings.NewReader(body))
					r.Header.Set("Authorization", "Bearer "+backendToken)
					api.ServeHTTP(w, r)
					if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code >= 300 {
						t.Errorf("%d %s", w.Code, w.Body)
					}
					return got
				}
				call("POST", "", `{"id":"q"}`)
				begun := time.Now()
				if c.after > 0 {
					time.AfterFunc(c.after, func() { call("POST", "/1/answer", `{"data":1}`) })
				}
				got := call("GET", "/1?wait=20", "")
				took, due := time.Since(begun), c.after
				synctest.Wait() // for who answers: who waits may be told before the answer's own call has returned
				if due == 0 {
					due = 20 * time.Second
				}
				if got.State != c.state || took < due || took > due+c.within {
					t.Errorf("%s after %v", got.State, took)
				}
			})
		})
	}
}
