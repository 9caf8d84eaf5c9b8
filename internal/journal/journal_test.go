package journal

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/clientlog"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }

func story() *Journal {
	j := New(100, func() time.Time { return at(99) })
	for _, r := range []Record{
		{At: at(1), Event: Attached, User: "anna", Client: "phone", Conn: "c1", Data: &Attach{Generation: 1}},
		{At: at(2), Event: Resumed, User: "anna", Client: "phone", Conn: "c1", About: "chat-1", Data: &Resume{Head: 3}},
		{At: at(3), Event: Attached, User: "bert", Client: "tab", Conn: "c2"},
		{At: at(4), Event: Resumed, User: "bert", Client: "tab", Conn: "c2", About: "chat-2"},
		{At: at(5), Event: Hidden, User: "anna", Client: "phone", Conn: "c1"},
		{At: at(9), Event: Ended, User: "anna", Client: "phone", Conn: "c1", Data: &End{Class: "timeout"}},
	} {
		j.Add(r)
	}
	return j
}

func events(all []Record) string {
	out := ""
	for _, r := range all {
		out += fmt.Sprintf("%d%s ", int(r.At.Sub(noon).Seconds()), r.Event)
	}
	return out
}

func TestFind(t *testing.T) {
	cases := map[string]struct {
		q    Query
		want string
	}{
		"user":    {Query{User: "anna"}, "1attached 2resumed 5hidden 9ended "},
		"client":  {Query{User: "anna", Client: "tab"}, ""},
		"conn":    {Query{Conn: "c2"}, "3attached 4resumed "},
		"session": {Query{Session: "chat-1"}, "1attached 2resumed 5hidden 9ended "},
		"nobody":  {Query{Session: "chat-3"}, ""},
		"between": {Query{User: "anna", From: at(2), To: at(5)}, "2resumed 5hidden "},
		"latest":  {Query{User: "anna", Limit: 1}, "9ended "},
	}
	for name, tc := range cases {
		if got := events(story().Find(tc.q)); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// What is full forgets the oldest, and nothing else.
func TestRing(t *testing.T) {
	j := New(3, time.Now)
	for i := range 7 {
		j.Add(Record{At: at(i), Event: "e", User: "anna"})
	}
	if got := events(j.Find(Query{User: "anna"})); got != "4e 5e 6e " {
		t.Error(got)
	}
}

func TestSearch(t *testing.T) {
	n := story().Search("", 10)
	if fmt.Sprint(n) != "{[anna bert] [chat-2 chat-1] [c1 c2]}" {
		t.Error(n)
	}
	if n := story().Search("be", 10); fmt.Sprint(n) != "{[bert] [] []}" {
		t.Error(n)
	}
	if n := story().Search("c", 1); fmt.Sprint(n) != "{[] [chat-2] [c1]}" {
		t.Error(n)
	}
}

func report(sent, received time.Time, records ...string) *clientlog.Report {
	r := &clientlog.Report{User: "anna", Client: "phone", Sent: sent, Received: received}
	for _, text := range records {
		var head struct {
			At int64
			E  string
		}
		if err := json.Unmarshal([]byte(text), &head); err != nil {
			panic(err)
		}
		r.Records = append(r.Records, clientlog.Record{At: time.UnixMilli(head.At), Event: head.E, Data: json.RawMessage(text)})
	}
	return r
}

// A phone whose clock is an hour slow stands at the right places, and what it sends twice is there once.
func TestReport(t *testing.T) {
	j := story()
	slow := func(s int) time.Time { return at(s).Add(-time.Hour) }
	first := fmt.Sprintf(`{"at":%d,"e":"frozen"}`, slow(6).UnixMilli())
	second := fmt.Sprintf(`{"at":%d,"e":"probe"}`, slow(8).UnixMilli())
	j.AddReport(report(slow(7), at(7), first))
	j.AddReport(report(slow(10), at(10), first, second))
	if got, want := events(j.Find(Query{Session: "chat-1", From: at(5)})), "5hidden 6frozen 8probe 9ended "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := events(j.Find(Query{Session: "chat-2", From: at(5)})); got != "" {
		t.Errorf("another user's session has %q", got)
	}
	if got, want := events(j.Find(Query{User: "anna", From: at(5)})), "5hidden 6frozen 8probe 9ended "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	out, err := json.Marshal(j.Find(Query{User: "anna", From: at(8)})[0])
	if want := `{"at":"2026-03-01T12:00:08Z","source":"client","event":"probe","user":"anna","client":"phone","data":` + second + `}`; err != nil || string(out) != want {
		t.Errorf("%s, %v, want %s", out, err, want)
	}
}

func TestNil(t *testing.T) {
	var j *Journal
	j.Add(Record{})
	j.AddReport(&clientlog.Report{})
	if j.Find(Query{User: "anna"}) != nil || len(j.Search("", 1).Users) != 0 {
		t.Error("a journal that is not there has something")
	}
}
