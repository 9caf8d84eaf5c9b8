package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

const operatorPassword = "who looks sees"

// console asks the operator's page of a node.
type console struct {
	t    *testing.T
	page *server.Admin
}

func newConsole(n *node) *console {
	n.t.Helper()
	page, err := n.srv.Admin(server.AdminOptions{Password: "only for looking", ActPassword: operatorPassword})
	if err != nil {
		n.t.Fatal(err)
	}
	return &console{n.t, page}
}

func (c *console) do(method, path, body string, into any) int {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth("otto", operatorPassword)
	r.Header.Set("Holdfast-Operator", "test")
	w := httptest.NewRecorder()
	c.page.ServeHTTP(w, r)
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			c.t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
	}
	return w.Code
}

func (c *console) timeline(of string) (all []journal.Record) {
	c.t.Helper()
	c.do(http.MethodGet, "/api/timeline?"+of, "", &all)
	return all
}

func story(all []journal.Record) string {
	var events []string
	for _, r := range all {
		events = append(events, string(r.Source)+" "+r.Event)
	}
	return strings.Join(events, ", ")
}

// A phone that was cut off, came back and told of it is explained by the timeline of the session that it read.
func TestTimelineExplains(t *testing.T) {
	n := start(t, server.Options{})
	c := newConsole(n)
	phone := n.hello("anna", "phone", "chat-1")
	phone.send(&wire.View{Hidden: true})
	n.await(func() bool { return strings.HasSuffix(story(c.timeline("user=anna")), "hidden") })
	if err := phone.ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	n.await(func() bool { return strings.HasSuffix(story(c.timeline("user=anna")), "ended") })
	if code, body := n.request(http.MethodPost, "/v1/sessions/chat-1/entries", n.backend(), `{"id":"m1","data":"while it was away"}`); code != 200 && code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	again := n.dial()
	again.text(fmt.Sprintf(`{"t":"hello","v":1,"token":%q,"client":"phone","gen":2,"subs":[{"s":"chat-1"}]}`, n.user("anna")))
	for live := false; !live; {
		_, live = again.next().(*wire.Live)
	}
	// Its clock is an hour behind.
	now := time.Now().Add(-time.Hour).UnixMilli()
	report := fmt.Sprintf(`{"token":%q,"client":"phone","reason":"user","agent":"test","now":%d,"log":[{"at":%d,"e":"frozen","ms":41000}]}`, n.user("anna"), now, now)
	if code, body := n.request(http.MethodPost, "/v1/ws/report", "", report); code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}

	want := "server attached, server resumed, server hidden, server ended, log message, server attached, server resumed, client frozen"
	n.await(func() bool { return story(c.timeline("session=chat-1")) == want })
	all := c.timeline("session=chat-1")
	for i, wanted := range map[int]string{
		3: `"class":"network"`, 4: `"offset":1`, 5: `"class":"network"`, 6: `"outcome":"snapshot","from":1,"head":1`, 7: `"ms":41000`,
	} {
		data, err := json.Marshal(all[i].Data)
		if err != nil || !strings.Contains(reorder(t, data, wanted), wanted) {
			t.Errorf("record %d, %s, has %s", i, all[i].Event, data)
		}
	}
	if got := story(c.timeline("session=chat-2")); got != "" {
		t.Errorf("a session that nobody reads has %q", got)
	}
}

// reorder returns the members that are looked for as they stand in what was given: maps lose their order.
func reorder(t *testing.T, data []byte, wanted string) string {
	t.Helper()
	var all, some map[string]any
	if json.Unmarshal(data, &all) != nil || json.Unmarshal([]byte("{"+wanted+"}"), &some) != nil {
		return string(data)
	}
	for name, value := range some {
		if all[name] != value {
			return string(data)
		}
	}
	return wanted
}

func TestOperatorActs(t *testing.T) {
	n := start(t, server.Options{})
	c := newConsole(n)
	p := n.hello("anna", "phone", "chat-1")
	var live []struct{ Conn string }
	if c.do(http.MethodGet, "/api/connections?user=anna", "", &live); len(live) != 1 {
		t.Fatalf("anna has %+v", live)
	}
	var figures struct{ Connections, Users int }
	c.do(http.MethodGet, "/api/now", "", &figures)
	if figures.Connections != 1 || figures.Users != 1 {
		t.Errorf("%+v", figures)
	}
	if code := c.do(http.MethodPost, "/api/disconnect", fmt.Sprintf(`{"conn":%q}`, live[0].Conn), nil); code != 200 {
		t.Errorf("disconnecting: %d", code)
	}
	for bye := false; !bye; {
		_, bye = p.next().(*wire.Bye)
	}

	_, body := n.request(http.MethodPost, "/v1/sessions/chat-1/runs", n.backend(), `{"id":"answer"}`)
	var session struct {
		Open []struct{ Run int }
	}
	if c.do(http.MethodGet, "/api/session?session=chat-1", "", &session); len(session.Open) != 1 {
		t.Fatalf("%+v after %s", session, body)
	}
	if code := c.do(http.MethodPost, "/api/end-run", `{"session":"chat-1","run":1}`, nil); code != 200 {
		t.Errorf("ending a run: %d", code)
	}
	if c.do(http.MethodGet, "/api/session?session=chat-1", "", &session); len(session.Open) != 0 {
		t.Errorf("the run is still open: %+v", session)
	}
	if code := c.do(http.MethodGet, "/api/session?session=chat-9", "", nil); code != http.StatusNotFound {
		t.Errorf("a session that is not there: %d", code)
	}
}

// An operator takes back what a device may do, and later gives it back.
func TestOperatorRevokes(t *testing.T) {
	n := start(t, server.Options{})
	c := newConsole(n)
	phone := n.attach(n.token(claims("t1")), "phone", "chat-1")
	laptop := n.attach(n.token(claims("t2")), "laptop", "chat-1")
	var done struct {
		Revocation      struct{ ID string }
		Closed, Changed int
	}
	if code := c.do(http.MethodPost, "/api/revoke", `{"user":"anna","client":"phone","reason":"lost"}`, &done); code != 200 || done.Closed != 1 {
		t.Errorf("%d, %+v", code, done)
	}
	phone.cutWith(holdfast.CloseUnauthorized)
	if code := c.do(http.MethodPost, "/api/revoke", `{"session":"chat-*","actions":["read"]}`, &done); code != 200 || done.Changed != 1 {
		t.Errorf("%d, %+v", code, done)
	}
	laptop.deniedIn("chat-1")

	var list []server.Revocation
	if c.do(http.MethodGet, "/api/revocations", "", &list); len(list) != 2 || list[1].Client != "phone" || list[1].Reason != "lost" {
		t.Fatalf("revoked are %+v", list)
	}
	if code := c.do(http.MethodPost, "/api/revoke", `{"user":"anna","until":1000}`, nil); code != http.StatusBadRequest {
		t.Errorf("a revocation until long ago: %d", code)
	}
	for _, r := range list {
		if code := c.do(http.MethodPost, "/api/restore", fmt.Sprintf(`{"id":%q}`, r.ID), nil); code != 200 {
			t.Errorf("giving back: %d", code)
		}
	}
	if left := n.srv.Revocations(); len(left) != 0 {
		t.Errorf("still revoked are %+v", left)
	}
	n.attach(n.token(claims("t1")), "phone", "chat-1")
}
