package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
)

type written struct {
	Epoch   string
	Entries []struct {
		Offset    uint64
		Position  string
		At        int64
		Duplicate bool
	}
}

func TestEntryIsWrittenOnce(t *testing.T) {
	b := serve(t, nil)
	const path = "/v1/sessions/chat-42/entries"
	same := []struct {
		name string
		req  request
	}{
		{"id in the body", request{body: `{"data": {"a" : 1}, "id":"m-1"}`}},
		{"id in the header", request{body: `{"data":{"a":1}}`, header: map[string]string{"Idempotency-Key": "m-1"}}},
		{"quoted in the header", request{body: `{"data":{"a":1}}`, header: map[string]string{"Idempotency-Key": `"m-1"`}}},
		{"in both", request{body: `{"data":{"a":1},"id":"m-1"}`, header: map[string]string{"Idempotency-Key": "m-1"}}},
	}
	var first written
	for i, tt := range same {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.method, tt.req.path = "POST", path
			status := 200
			if i == 0 {
				status = 201
			}
			var w written
			b.must(status, tt.req, &w)
			if len(w.Entries) != 1 || w.Entries[0].Offset != 1 || w.Entries[0].Duplicate != (i > 0) {
				t.Fatalf("got %+v", w)
			}
			if i == 0 {
				first = w
			}
			if w.Epoch != first.Epoch || w.Entries[0].Position != first.Entries[0].Position || w.Entries[0].At != first.Entries[0].At {
				t.Errorf("repeated, it is %+v, first it was %+v", w, first)
			}
		})
	}
	p, err := holdfast.ParsePosition(first.Entries[0].Position)
	if err != nil || p.Offset != 1 || string(p.Epoch) != first.Epoch {
		t.Errorf("position %q of epoch %q: %v, %v", first.Entries[0].Position, first.Epoch, p, err)
	}
	var h history
	b.must(200, request{path: path}, &h)
	if got := string(h.Entries[0].Data); len(h.Entries) != 1 || got != `{"a":1}` {
		t.Errorf("history has %d entries, the first is %s; data is kept without spaces", len(h.Entries), got)
	}
}

func TestListIsWrittenInOrderAndOnce(t *testing.T) {
	b := serve(t, nil)
	req := request{method: "POST", path: "/v1/sessions/chat-42/entries", header: map[string]string{"Idempotency-Key": "k"},
		body: `{"entries":[{"data":1},{"data":2,"id":"own","kind":"event"},{"data":null}]}`}
	var w, again written
	b.must(201, req, &w)
	b.must(200, req, &again)
	var h history
	b.must(200, request{path: req.path}, &h)
	var got []string
	for i, e := range h.Entries {
		got = append(got, fmt.Sprintf("%d %s %s %s", e.Offset, e.Kind, e.ID, e.Data))
		if w.Entries[i].Position != e.Position || again.Entries[i].Position != e.Position || !again.Entries[i].Duplicate {
			t.Errorf("entry %d: written at %s, again at %s, read at %s", i, w.Entries[i].Position, again.Entries[i].Position, e.Position)
		}
	}
	want := []string{"1 message k#0 1", "2 event own 2", "3 message k#2 null"}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("history (-got +want):\n%s", d)
	}
	// A list that is new in part only is created.
	req.body = `{"entries":[{"data":1},{"data":4,"id":"new"}]}`
	b.must(201, req, &w)
	if !w.Entries[0].Duplicate || w.Entries[1].Duplicate || w.Entries[1].Offset != 4 {
		t.Errorf("got %+v", w.Entries)
	}
}

func TestIfEpoch(t *testing.T) {
	b := serve(t, nil)
	var w written
	b.must(201, request{method: "POST", path: "/v1/sessions/s/entries", body: `{"data":1}`}, &w)
	b.must(201, request{method: "POST", path: "/v1/sessions/s/entries", body: `{"data":2,"ifEpoch":"` + w.Epoch + `"}`}, nil)
	b.do(request{method: "POST", path: "/v1/sessions/s/entries", body: `{"data":3,"ifEpoch":"aaaaaaaaaa"}`}).
		refused(t, 409, holdfast.CodeConflict)
}

func TestStates(t *testing.T) {
	b := serve(t, nil)
	put := func(key, value string, header map[string]string, status int) (w struct {
		Epoch, Position string
		Offset          uint64
		Duplicate       bool
	}) {
		b.must(status, request{method: "PUT", path: "/v1/sessions/job/states/" + key, body: value, header: header}, &w)
		return w
	}
	put("progress", `{"done":1}`, nil, 201)
	put("a%2Fb%20c", `"x"`, nil, 201)
	key := map[string]string{"Idempotency-Key": "p2"}
	w := put("progress", `{"done":2}`, key, 201)
	again := put("progress", `{"done":2}`, key, 200)
	if w.Offset != 3 || again.Offset != 3 || !again.Duplicate || again.Position != w.Position {
		t.Errorf("written %+v, repeated %+v", w, again)
	}
	var s struct{ States []entry }
	b.must(200, request{path: "/v1/sessions/job/states"}, &s)
	var got []string
	for _, e := range s.States {
		got = append(got, fmt.Sprintf("%d %s %s %s", e.Offset, e.Kind, e.Key, e.Data))
	}
	if d := cmp.Diff(got, []string{`2 state a/b c "x"`, `3 state progress {"done":2}`}); d != "" {
		t.Errorf("states (-got +want):\n%s", d)
	}
	b.must(200, request{path: "/v1/sessions/never/states"}, &s)
	if len(s.States) != 0 {
		t.Errorf("a session never written to has states: %+v", s)
	}
}
