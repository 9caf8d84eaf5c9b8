package httpapi_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

type entry struct {
	Offset, First           uint64
	Position, Kind, ID, Key string
	User, Client            string
	At                      int64
	Data                    json.RawMessage
	Run                     *contents
}

type contents struct {
	Run, Fence, Fragments, After uint64
	ID, Status                   string
	Body                         []segment
	Data, End                    json.RawMessage
}

type segment struct {
	Part, Text string
	Event      json.RawMessage
}

type history struct {
	Epoch       string
	First, Head uint64
	Entries     []entry
	More        bool
	Next        string
}

// fill writes n messages into chat-42.
func (b *bench) fill(n int) {
	b.Helper()
	for i := range n {
		b.must(201, request{method: "POST", path: "/v1/sessions/chat-42/entries", body: fmt.Sprintf(`{"data":%d}`, i+1)}, nil)
	}
}

func offsets(h history) []uint64 {
	var out []uint64
	for _, e := range h.Entries {
		out = append(out, e.Offset)
	}
	return out
}

func TestHistoryBothWays(t *testing.T) {
	b := serve(t, nil)
	b.fill(5)
	const path = "/v1/sessions/chat-42/entries?limit=2"
	for _, tt := range []struct {
		name, start, param string
		want               [][]uint64
	}{
		{"from the start", "", "after", [][]uint64{{1, 2}, {3, 4}, {5}}},
		{"after an offset", "&after=2", "after", [][]uint64{{3, 4}, {5}}},
		{"back from the end", "&before=end", "before", [][]uint64{{4, 5}, {2, 3}, {1}}},
		{"back from an offset", "&before=4", "before", [][]uint64{{2, 3}, {1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			query := tt.start
			for i, want := range tt.want {
				var h history
				b.must(200, request{path: path + query}, &h)
				if d := cmp.Diff(offsets(h), want); d != "" {
					t.Fatalf("page %d (-got +want):\n%s", i, d)
				}
				if last := i == len(tt.want)-1; h.More == last || h.First != 1 || h.Head != 5 {
					t.Errorf("page %d: more %v, first %d, head %d", i, h.More, h.First, h.Head)
				}
				query = "&" + tt.param + "=" + h.Next
			}
		})
	}
	t.Run("next waits at the head", func(t *testing.T) {
		var h history
		b.must(200, request{path: path + "&after=5"}, &h)
		if len(h.Entries) != 0 || h.More || h.Next != "5" {
			t.Errorf("got %+v", h)
		}
	})
	t.Run("a session never written to", func(t *testing.T) {
		a := b.must(200, request{path: "/v1/sessions/never/entries"}, nil)
		if got := string(a.body); got != `{"epoch":"","first":0,"head":0,"entries":[],"more":false}`+"\n" {
			t.Errorf("got %s", got)
		}
	})
}

func TestPositionOfAnotherLogIsLost(t *testing.T) {
	b := serve(t, nil)
	b.fill(4)
	var h history
	b.must(200, request{path: "/v1/sessions/chat-42/entries"}, &h)
	p, err := holdfast.ParsePosition(h.Entries[2].Position)
	if err != nil {
		t.Fatal(err)
	}
	wrongTag, past, wrongEpoch := p, p, p
	wrongTag.Tag++
	past.Offset = 40
	wrongEpoch.Epoch = "zzzzzzzzzz"
	for _, tt := range []struct{ name, query string }{
		{"after, wrong tag", "after=" + wrongTag.String()},
		{"before, wrong tag", "before=" + wrongTag.String()},
		{"after, past the head", "after=" + past.String()},
		{"before, past the head", "before=" + past.String()},
		{"after, wrong epoch", "after=" + wrongEpoch.String()},
		{"after, bare and past the head", "after=5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.do(request{path: "/v1/sessions/chat-42/entries?" + tt.query}).refused(t, 410, holdfast.CodeLost)
		})
	}
	t.Run("after the log was deleted", func(t *testing.T) {
		b.must(204, request{method: "DELETE", path: "/v1/sessions/chat-42"}, nil)
		b.do(request{path: "/v1/sessions/chat-42/entries?after=" + p.String()}).refused(t, 410, holdfast.CodeLost)
		b.fill(4)
		b.do(request{path: "/v1/sessions/chat-42/entries?after=" + p.String()}).refused(t, 410, holdfast.CodeLost)
	})
}

func TestDroppedEntriesAreNotSkippedSilently(t *testing.T) {
	b := serve(t, nil)
	b.fill(6)
	var h history
	b.must(200, request{path: "/v1/sessions/chat-42/entries"}, &h)
	at := func(o int) string { return h.Entries[o-1].Position }
	if _, err := b.log.Apply(t.Context(), "chat-42", driver.Trim{Before: 4}); err != nil {
		t.Fatal(err)
	}
	b.do(request{path: "/v1/sessions/chat-42/entries?after=2"}).refused(t, 410, holdfast.CodeLost)
	b.do(request{path: "/v1/sessions/chat-42/entries?after=" + at(2)}).refused(t, 410, holdfast.CodeLost)
	for _, query := range []string{"", "?after=3", "?after=" + at(3), "?before=end", "?before=7", "?after=0"} {
		var h history
		b.must(200, request{path: "/v1/sessions/chat-42/entries" + query}, &h)
		if d := cmp.Diff(offsets(h), []uint64{4, 5, 6}); d != "" || h.First != 4 {
			t.Errorf("%q, first %d (-got +want):\n%s", query, h.First, d)
		}
	}
}

func TestSessionsAreListedAndDescribed(t *testing.T) {
	b := serve(t, nil)
	for _, s := range []string{"chat-1", "chat-2", "chat-3", "job-1"} {
		b.must(201, request{method: "POST", path: "/v1/sessions/" + s + "/entries", body: `{"data":1}`}, nil)
	}
	type session struct {
		Session, Epoch, Position string
		Head, Entries, Bytes     uint64
		Created, Changed         int64
		Open                     []runObject
	}
	var got []string
	query := "?prefix=chat-&limit=2"
	for next := ""; ; {
		var l struct {
			Sessions []session
			Next     string
		}
		b.must(200, request{path: "/v1/sessions" + query + next}, &l)
		for _, s := range l.Sessions {
			got = append(got, s.Session)
		}
		if l.Next == "" {
			break
		}
		next = "&after=" + l.Next
	}
	if d := cmp.Diff(got, []string{"chat-1", "chat-2", "chat-3"}); d != "" {
		t.Errorf("sessions (-got +want):\n%s", d)
	}
	var r runObject
	b.must(201, request{method: "POST", path: "/v1/sessions/chat-1/runs", body: `{"id":"r"}`}, &r)
	var s session
	b.must(200, request{path: "/v1/sessions/chat-1"}, &s)
	if s.Session != "chat-1" || s.Head != 2 || s.Entries != 2 || len(s.Open) != 1 || s.Open[0].ID != "r" || s.Created == 0 {
		t.Errorf("got %+v", s)
	}
	b.must(200, request{path: "/v1/sessions/chat-1/entries?after=" + s.Position}, nil)
	b.must(204, request{method: "DELETE", path: "/v1/sessions/chat-1"}, nil)
	b.must(204, request{method: "DELETE", path: "/v1/sessions/chat-1"}, nil)
	b.do(request{path: "/v1/sessions/chat-1"}).refused(t, 404, holdfast.CodeNotFound)
}
