package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/store/driver"
)

// hookBook is a Webhooks of the test's making: one endpoint called default.
type hookBook struct {
	mu      sync.Mutex
	letters []httpapi.WebhookLetter
	did     []string
}

func newHookBook() *hookBook {
	return &hookBook{letters: []httpapi.WebhookLetter{
		{ID: "k3jx5q2m7a-00000000000000000042", Type: "holdfast.message.created", Session: "chat-42", Event: jsontext.Value(`{"id":"x"}`),
			Attempts: 7, At: time.Unix(5, 0), Died: time.Unix(6, 0), Error: "500"},
		{ID: "k3jx5q2m7a-00000000000000000043", Type: "holdfast.run.ended", Session: "chat-7", At: time.Unix(7, 0), Died: time.Unix(8, 0), Again: true},
	}}
}

func (h *hookBook) Endpoints() []httpapi.Webhook {
	return []httpapi.Webhook{
		{Name: "default", URL: "https://backend.example/hook", Place: "k3jx5q2m7a.00000000000000000044", Behind: 2, Delivered: time.Unix(9, 0)},
		{Name: "down", Failing: true, Failed: time.Unix(9, 0), Error: "refused", Events: []string{"holdfast.run.ended"}, Sessions: []string{"chat-*"}},
		{Name: "gone", Failing: true, Disabled: "410 Gone"},
	}
}

func (h *hookBook) do(endpoint, format string, args ...any) error {
	if endpoint != "default" {
		return holdfast.Errorf(holdfast.CodeNotFound, "no such endpoint")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, fmt.Sprintf(format, args...))
	return nil
}

func (h *hookBook) Letters(_ context.Context, endpoint, after string, limit int) (out []httpapi.WebhookLetter, err error) {
	for _, l := range h.letters {
		if l.ID > after && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, h.do(endpoint, "list")
}

func (h *hookBook) DropLetter(_ context.Context, endpoint, id string) error {
	return h.do(endpoint, "drop %s", id)
}

func (h *hookBook) ReplayLetters(_ context.Context, endpoint string, ids []string) (int, error) {
	return max(len(ids), 1), h.do(endpoint, "letters %v", ids)
}

func (h *hookBook) Replay(_ context.Context, endpoint, after string, since time.Time) error {
	return h.do(endpoint, "replay %q %d", after, max(since.UnixMilli(), 0))
}

func (h *hookBook) Enable(_ context.Context, endpoint string) error { return h.do(endpoint, "enable") }

func TestWebhooks(t *testing.T) {
	book := newHookBook()
	b := serve(t, func(o *httpapi.Options) { o.Webhooks = book })
	var list struct {
		Webhooks []struct {
			Name, State, Reason, Error string
			Delivered, Failed          int64
		}
	}
	b.must(200, request{path: "/v1/webhooks"}, &list)
	var states []string
	for _, w := range list.Webhooks {
		states = append(states, fmt.Sprint(w.Name, " ", w.State, " ", w.Reason, w.Error, " ", w.Delivered, " ", w.Failed))
	}
	if d := cmp.Diff([]string{"default active  9000 0", "down failing refused 0 9000", "gone disabled 410 Gone 0 0"}, states); d != "" {
		t.Error(d)
	}
	var page struct {
		Letters []struct {
			ID, Error string
			Again     bool
			Event     json.RawMessage
		}
		Next string
	}
	b.must(200, request{path: "/v1/webhooks/default/letters?limit=1"}, &page)
	if len(page.Letters) != 1 || string(page.Letters[0].Event) != `{"id":"x"}` || page.Next != page.Letters[0].ID {
		t.Errorf("%+v", page)
	}
	last := book.letters[1].ID
	page.Next = ""
	b.must(200, request{path: "/v1/webhooks/default/letters?after=" + last}, &page)
	if len(page.Letters) != 0 || page.Next != "" {
		t.Errorf("the end is %+v", page)
	}
	b.must(204, request{method: "DELETE", path: "/v1/webhooks/default/letters/" + last}, nil)
	b.must(204, request{method: "POST", path: "/v1/webhooks/default/enable"}, nil)
	for _, body := range []string{`{"letters":["a","b"]}`, `{"allLetters":true}`, `{"after":"c"}`, `{"since":1500}`} {
		b.must(200, post("/v1/webhooks/default/replay", body), nil)
	}
	want := []string{"list", "list", "drop " + last, "enable", "letters [a b]", "letters []", `replay "c" 0`, `replay "" 1500`}
	if d := cmp.Diff(want, book.did); d != "" {
		t.Error(d)
	}
}

func TestWebhooksRefuse(t *testing.T) {
	b := serve(t, func(o *httpapi.Options) { o.Webhooks = newHookBook() })
	for _, body := range []string{`{}`, `{"letters":[]}`, `{"after":"","since":1}`, `{"since":-1}`, `{"allLetters":false}`, `{"dead":true}`} {
		b.do(post("/v1/webhooks/default/replay", body)).refused(t, 400, holdfast.CodeInvalid)
	}
	b.do(post("/v1/webhooks/other/replay", `{"allLetters":true}`)).refused(t, 404, holdfast.CodeNotFound)
	b.do(request{path: "/v1/webhooks", token: readerToken}).refused(t, 403, holdfast.CodeForbidden)
	none := serve(t, func(o *httpapi.Options) { o.Webhooks = nil })
	none.must(200, request{path: "/v1/webhooks"}, nil)
	for _, r := range []request{
		{path: "/v1/webhooks/default/letters"}, {method: "DELETE", path: "/v1/webhooks/default/letters/x"},
		{method: "POST", path: "/v1/webhooks/default/enable"}, post("/v1/webhooks/default/replay", `{"allLetters":true}`),
		post("/v1/webhooks/default/replay", `{"since":1}`),
	} {
		none.do(r).refused(t, 404, holdfast.CodeNotFound)
	}
}

func TestFeedByKinds(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `1`)
	run := b.openRun("answer")
	b.must(200, post(fmt.Sprintf("/v1/sessions/chat-42/runs/%d/fragments", run.Run), `{"fence":1,"fragments":[{"text":"hi"}]}`), nil)
	b.must(200, post(fmt.Sprintf("/v1/sessions/chat-42/runs/%d/end", run.Run), `{"fence":1,"status":"complete","data":{"tokens":3}}`), nil)
	b.say("chat-42", "m2", `2`)
	for kinds, want := range map[string]string{"": "m1 m2", "kinds=message": "m1 m2", "kinds=end": "answer", "kinds=message,end": "m1 answer m2"} {
		for _, limit := range []string{"&limit=1", ""} {
			var got []string
			for after := ""; ; {
				var f struct {
					feed
					Items []struct {
						Cursor string
						Entry  json.RawMessage
						Ended  int64
					}
				}
				b.must(200, request{path: "/v1/feed?" + kinds + limit + "&after=" + after}, &f)
				if len(f.Items) == 0 {
					break
				}
				after = f.Next
				for _, i := range f.Items {
					var e struct{ ID string }
					if err := json.Unmarshal(i.Entry, &e); err != nil {
						t.Fatal(err)
					}
					got = append(got, e.ID)
					if end := e.ID == "answer"; end != (i.Ended != 0) || end && !strings.Contains(string(i.Entry), `"run":{"status":"complete","fragments":1,"end":{"tokens":3}}`) {
						t.Errorf("%+v", i)
					}
				}
			}
			if d := cmp.Diff(want, strings.Join(got, " ")); d != "" {
				t.Errorf("%s%s: %s", kinds, limit, d)
			}
		}
	}
	b.do(request{path: "/v1/feed?kinds=message,else"}).refused(t, 400, holdfast.CodeInvalid)
}

// A reader of messages is not woken for nothing by ends, and does not read them again and again.
func TestFeedPassesOverEnds(t *testing.T) {
	b := serve(t, nil)
	for n := range 5 {
		res, err := b.log.Apply(t.Context(), "chat-42", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: fmt.Sprint(n)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.log.Apply(t.Context(), "chat-42", driver.EndRun{Run: res.Run.Run, Status: holdfast.RunFailed, Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	var f, ends feed
	b.must(200, request{path: "/v1/feed?limit=2"}, &f)
	b.must(200, request{path: "/v1/feed?kinds=end"}, &ends)
	if len(f.Items) != 0 || len(ends.Items) != 5 || f.Next != ends.Next {
		t.Errorf("%d messages, next %q; %d ends, next %q", len(f.Items), f.Next, len(ends.Items), ends.Next)
	}
	cursors := []string{}
	for _, i := range ends.Items {
		cursors = append(cursors, i.Cursor)
	}
	if !slices.IsSorted(cursors) {
		t.Errorf("cursors %v", cursors)
	}
}
