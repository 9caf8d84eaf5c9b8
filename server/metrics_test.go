package server_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/debiantest"
	"github.com/holdfast/holdfast/internal/metrics"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

func (n *node) scrape() string {
	w := httptest.NewRecorder()
	n.srv.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// What the server exports is what the table says, no more and no less.
func TestClause12_MetricsAreThoseOfTheTable(t *testing.T) {
	n := start(t, server.Options{})
	p := n.hello("anna", "c1", "chat-1")
	p.send(&wire.Send{Session: "chat-1", ID: "m1", Data: json.RawMessage(`1`)})
	for acked := false; !acked; {
		_, acked = p.next().(*wire.Ack)
	}
	want, got := map[string]string{}, map[string]string{}
	for _, d := range metrics.Table {
		want[d.Name] = string(d.Kind)
	}
	text := n.scrape()
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) == 4 && words[1] == "TYPE" && strings.HasPrefix(words[2], "holdfast_") {
			got[words[2]] = words[3]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPromtoolAcceptsTheMetrics(t *testing.T) {
	check := exec.Command(debiantest.Find(t, "promtool", "what the server exports"), "check", "metrics")
	n := start(t, server.Options{})
	n.hello("anna", "c1", "chat-1")
	check.Stdin = strings.NewReader(n.scrape())
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Each thing that happens is counted once.
func TestMetricsCount(t *testing.T) {
	n := start(t, server.Options{})
	p := n.hello("anna", "c1", "chat-1")
	for _, id := range []string{"m1", "m2"} {
		p.send(&wire.Send{Session: "chat-1", ID: id, Data: json.RawMessage(`1`)})
		for acked := false; !acked; {
			_, acked = p.next().(*wire.Ack)
		}
	}
	cursor := n.cursor("chat-1")
	run, err := n.srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.WriteString("a"); err != nil {
		t.Fatal(err)
	}
	if err := run.Complete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := p.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	n.await(func() bool {
		return strings.Contains(n.scrape(), `holdfast_connection_ends_total{by="network",class="network"} 1`)
	})
	q := n.dial()
	q.send(&wire.Hello{Version: 1, Token: n.user("anna"), Client: "c1", Gen: 2, Subs: []wire.Sub{{Session: "chat-1", Cursor: &cursor}}})
	for live := false; !live; {
		_, live = q.next().(*wire.Live)
	}
	n.await(func() bool { return strings.Contains(n.scrape(), `holdfast_resume_total{outcome="continuous"} 1`) })
	text := n.scrape()
	for _, want := range []string{
		"holdfast_ready 1", "holdfast_connections 1", "holdfast_users 1", "holdfast_attaches_total 2", "holdfast_fragments_total 1",
		`holdfast_entries_total{kind="message"} 2`, `holdfast_entries_total{kind="run"} 1`, `holdfast_runs_ended_total{status="complete"} 1`,
		`holdfast_away_seconds_count{class="network"} 1`, "holdfast_connection_age_seconds_count 1", `holdfast_limit{name="beat_seconds"} 10`,
		`holdfast_resume_total{outcome="snapshot"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(text, "holdfast_delivery_seconds_count 0\n") {
		t.Error("no delivery was measured")
	}
	if strings.Contains(text, "anna") || strings.Contains(text, "chat-1") {
		t.Error("the metrics name a user or a session")
	}
}

// A run that nobody looks after is interrupted, and counted.
func TestALostProducerIsCounted(t *testing.T) {
	n := start(t, server.Options{Lease: 200 * time.Millisecond})
	if _, err := n.srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "r"}); err != nil {
		t.Fatal(err)
	}
	n.await(func() bool { return strings.Contains(n.scrape(), `holdfast_runs_ended_total{status="interrupted"} 1`) })
	n.await(func() bool { return strings.Contains(n.scrape(), "holdfast_leases_expired_total 1\n") })
}

// What the operator's page shows was counted once, and is what the metrics say.
func TestFiguresAreThoseOfTheMetrics(t *testing.T) {
	n := start(t, server.Options{})
	c := newConsole(n)
	p, q := n.hello("anna", "c1", "chat-1"), n.hello("ben", "b1", "chat-1")
	for _, id := range []string{"m1", "m2"} {
		p.send(&wire.Send{Session: "chat-1", ID: id, Data: json.RawMessage(`1`)})
	}
	run, err := n.srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"a", "b", "c"} {
		if _, err := run.WriteString(word); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Complete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := q.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	if err := n.dial().ws.CloseNow(); err != nil { // nobody's, and so it is not among them
		t.Fatal(err)
	}
	type figures struct{ Attached, Ended, Entries, Fragments, RunsEnded int }
	want := figures{Attached: 2, Ended: 1, Entries: 3, Fragments: 3, RunsEnded: 1}
	var got figures
	n.await(func() bool {
		c.do(http.MethodGet, "/api/now", "", &got)
		return got == want || got.Ended > want.Ended
	})
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func (n *node) cursor(s holdfast.SessionID) holdfast.Cursor {
	n.t.Helper()
	info, err := n.srv.Session(s).Info(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	return info.Cursor()
}
