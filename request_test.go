package holdfast

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestEventComesBack(t *testing.T) {
	for _, want := range []RequestEvent{
		{ID: "q\"<1", State: RequestOpen, Run: 806, Outlives: true, To: []UserID{"anna"}, By: 1_790_000_300_000, Default: json.RawMessage(`false`),
			Data: json.RawMessage(`{"html":"<b>"}`)},
		{Offset: 812, ID: "q", State: RequestAnswered, User: "anna", Client: "c-7f", Data: json.RawMessage(`true`)},
		{Offset: 812, ID: "q", State: RequestExpired},
	} {
		data, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		e := Entry{Kind: KindEvent, Data: data}
		if got, ok := e.RequestEvent(); !ok || cmp.Diff(want, got) != "" {
			t.Errorf("%s came back as %+v, %v", data, got, ok)
		}
	}
	if _, err := (&RequestEvent{Data: json.RawMessage(`{`)}).Marshal(); CodeOf(err) != CodeInvalid {
		t.Errorf("data that is not JSON: %v", err)
	}
}

// What an application writes, and what the server writes of other things, is not taken for a request.
func TestOtherEventsAreNone(t *testing.T) {
	const open = `{"request":{"id":"q","state":"open"}}`
	for _, e := range []Entry{
		{Kind: KindMessage, Data: json.RawMessage(open)},
		{Kind: KindEvent},
		{Kind: KindEvent, Data: json.RawMessage(`{"stop":{"id":"x","state":"requested"}}`)},
		{Kind: KindEvent, Data: json.RawMessage(`{"request":{"id":"q","state":"soon"}}`)},
		{Kind: KindEvent, Data: json.RawMessage(`{"request":{"id":7,"state":"open"}}`)},
		{Kind: KindEvent, Data: json.RawMessage(`{"request":"coffee"}`)},
	} {
		if ev, ok := e.RequestEvent(); ok {
			t.Errorf("%s was taken for %+v", e.Data, ev)
		}
	}
	if _, ok := (&Entry{Kind: KindEvent, Data: json.RawMessage(open)}).RequestEvent(); !ok {
		t.Error("a request was not taken for one")
	}
}

func TestWhoMayAnswer(t *testing.T) {
	all, some := Request{}, Request{To: []UserID{"anna", "bob"}}
	for u, want := range map[UserID]bool{"anna": true, "bob": true, "eve": false, "": true} {
		if !all.MayAnswer(u) || some.MayAnswer(u) != want {
			t.Errorf("%q: %v, %v", u, all.MayAnswer(u), some.MayAnswer(u))
		}
	}
}
