package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

const turnsPath = "/v1/sessions/chat-42/turns"

type turnsAnswer struct {
	Policy            string
	Limit, Wait, Turn int
	Until             int64
	Own               bool
	Queue             []struct{ ID, User, Data string }
}

func put(path, body string) request { return request{method: "PUT", path: path, body: body} }

// queue is what waits, in order.
func (t *turnsAnswer) queue() (ids []string) {
	for _, h := range t.Queue {
		ids = append(ids, h.User+"/"+h.ID+"/"+h.Data)
	}
	return ids
}

func TestTurnsOverHTTP(t *testing.T) {
	b := serve(t, nil)
	var turns turnsAnswer
	b.must(200, request{path: turnsPath}, &turns)
	if d := cmp.Diff(turnsAnswer{Policy: "parallel", Limit: 32, Wait: 30000, Queue: turns.Queue}, turns); d != "" {
		t.Errorf("before anything is said:\n%s", d)
	}
	b.must(200, put(turnsPath, `{"policy":"queue","limit":3,"wait":5000}`), &turns)
	if turns.Policy != "queue" || turns.Limit != 3 || turns.Wait != 5000 || !turns.Own {
		t.Errorf("set: %+v", turns)
	}
	first := b.say("chat-42", "m1", `"one"`)
	for _, id := range []string{"m2", "m3", "m4"} {
		if w := b.say("chat-42", id, fmt.Sprintf("%q", id+"!")); w.State != holdfast.TurnQueued {
			t.Errorf("%s is %+v", id, w)
		}
	}
	b.must(200, request{path: turnsPath, token: readerToken}, &turns)
	if d := cmp.Diff([]string{"ada/m2/m2!", "ada/m3/m3!", "ada/m4/m4!"}, turns.queue()); d != "" || turns.Turn != int(first.Offset) || turns.Until == 0 {
		t.Errorf("%+v waits:\n%s", turns, d)
	}
	var edit struct {
		Offset    int
		State     string
		Duplicate bool
	}
	b.must(200, with(post(turnsPath+"/move", `{"user":"ada","id":"m4","to":0}`), "Idempotency-Key", "k1"), &edit)
	if edit.State != "moved" || edit.Duplicate || edit.Offset == 0 {
		t.Errorf("moved: %+v", edit)
	}
	at := edit.Offset
	b.must(200, post(turnsPath+"/withdraw", `{"user":"ada","id":"m2"}`), &edit)
	b.must(200, post(turnsPath+"/withdraw", `{"user":"ada","id":"m2"}`), &edit)
	if edit.State != "withdrawn" || !edit.Duplicate {
		t.Errorf("withdrawn twice: %+v", edit)
	}
	b.must(200, with(post(turnsPath+"/move", `{"user":"ada","id":"m4","to":0}`), "Idempotency-Key", "k1"), &edit)
	if edit.Offset != at || !edit.Duplicate {
		t.Errorf("a repeated command: %+v, it stood at %d", edit, at)
	}
	b.must(200, post(fmt.Sprintf("%s/%d/done", turnsPath, turns.Turn), ""), &turns)
	if d := cmp.Diff([]string{"ada/m3/m3!"}, turns.queue()); d != "" || turns.Turn == int(first.Offset) {
		t.Errorf("after the first turn: %+v\n%s", turns, d)
	}
	turns = turnsAnswer{}
	b.must(200, put(turnsPath, `{"policy":"parallel"}`), &turns)
	if len(turns.Queue) > 0 || turns.Turn != 0 {
		t.Errorf("nothing waits where turns are not taken: %+v", turns)
	}
	b.do(post(turnsPath+"/withdraw", `{"user":"ada","id":"m3"}`)).refused(t, 409, holdfast.CodeConflict)
	// Those that were let in are in the feed, in the order of their turns; nothing else is.
	var feed struct {
		Items []struct{ Entry struct{ ID string } }
	}
	b.must(200, request{path: "/v1/feed?kinds=message"}, &feed)
	var ids []string
	for _, it := range feed.Items {
		ids = append(ids, it.Entry.ID)
	}
	if d := cmp.Diff([]string{"m1", "m4", "m3"}, ids); d != "" {
		t.Errorf("the feed (-want +got):\n%s", d)
	}
}

func TestTurnsRefusedOverHTTP(t *testing.T) {
	b := serve(t, nil)
	b.say("chat-42", "m1", `"hello"`)
	for name, c := range map[string]struct {
		req    request
		status int
		code   holdfast.Code
	}{
		"no policy":           {put(turnsPath, `{}`), 400, holdfast.CodeInvalid},
		"an unknown policy":   {put(turnsPath, `{"policy":"polite"}`), 400, holdfast.CodeInvalid},
		"no room":             {put(turnsPath, `{"policy":"queue","limit":0}`), 400, holdfast.CodeInvalid},
		"too much room":       {put(turnsPath, `{"policy":"queue","limit":1001}`), 400, holdfast.CodeInvalid},
		"no patience":         {put(turnsPath, `{"policy":"queue","wait":0}`), 400, holdfast.CodeInvalid},
		"too patient":         {put(turnsPath, `{"policy":"queue","wait":3600001}`), 400, holdfast.CodeInvalid},
		"of a user":           {request{method: "PUT", path: turnsPath, body: `{"policy":"queue"}`, token: readerToken}, 403, holdfast.CodeForbidden},
		"nobody's message":    {post(turnsPath+"/withdraw", `{"id":"m1"}`), 400, holdfast.CodeInvalid},
		"a place to withdraw": {post(turnsPath+"/withdraw", `{"id":"m1","user":"ada","to":1}`), 400, holdfast.CodeInvalid},
		"no place to move to": {post(turnsPath+"/move", `{"id":"m1","user":"ada"}`), 400, holdfast.CodeInvalid},
		"a place before all":  {post(turnsPath+"/move", `{"id":"m1","user":"ada","to":-1}`), 400, holdfast.CodeInvalid},
		"no such message":     {post(turnsPath+"/move", `{"id":"m9","user":"ada","to":1}`), 404, holdfast.CodeNotFound},
		"one in the log":      {post(turnsPath+"/move", `{"id":"m1","user":"ada","to":1}`), 409, holdfast.CodeConflict},
		"done with nothing":   {post(turnsPath+"/9/done", ""), 404, holdfast.CodeNotFound},
		"done with a word":    {post(turnsPath+"/m1/done", ""), 400, holdfast.CodeInvalid},
		"a reserved key":      {put("/v1/sessions/chat-42/states/holdfast:turns", `{}`), 400, holdfast.CodeInvalid},
		"a reserved id":       {post("/v1/sessions/chat-42/entries", `{"id":"holdfast:x","data":1}`), 400, holdfast.CodeInvalid},
		"a reserved stop":     {post(stopsPath, `{"id":"holdfast:interrupt:1","answers":1}`), 400, holdfast.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) { b.do(c.req).refused(t, c.status, c.code) })
	}
}
