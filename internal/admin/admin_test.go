package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/remote"
	"github.com/holdfast/holdfast/internal/revocation"
)

// desk is a node whose acts are written down.
type desk struct{ did []string }

func (d *desk) Figures(context.Context) (Figures, error) { return Figures{Connections: 3}, nil }
func (d *desk) Connections(u holdfast.UserID, limit int) []Connection {
	return []Connection{{Conn: "c1", User: u}}
}
func (d *desk) Session(_ context.Context, s holdfast.SessionID) (Session, error) {
	return Session{}, holdfast.Errorf(holdfast.CodeNotFound, "there is no session %s", s)
}
func (d *desk) Timeline(_ context.Context, q journal.Query) ([]journal.Record, error) {
	return []journal.Record{{Event: string(q.User), At: q.From}}, nil
}
func (d *desk) Search(context.Context, string) (journal.Names, error) { return journal.Names{}, nil }
func (d *desk) Disconnect(_ context.Context, c holdfast.ConnID) (bool, error) {
	d.did = append(d.did, "disconnect "+string(c))
	return c == "c1", nil
}
func (d *desk) DisconnectUser(_ context.Context, u holdfast.UserID) (int, error) {
	d.did = append(d.did, "disconnect user "+string(u))
	return 2, nil
}
func (d *desk) AskReport(_ context.Context, c holdfast.ConnID) (bool, error) {
	d.did = append(d.did, "report "+string(c))
	return true, nil
}
func (d *desk) EndRun(_ context.Context, s holdfast.SessionID, run holdfast.Offset) error {
	d.did = append(d.did, "end-run "+string(s))
	return nil
}

func (d *desk) Revoke(_ context.Context, r revocation.Rule) (done revocation.Rule, closed, changed int, err error) {
	if err := r.Validate(); err != nil {
		return r, 0, 0, err
	}
	d.did = append(d.did, fmt.Sprintf("revoke %s %s %s %s %v %d %s", r.Token, r.User, r.Client, r.Session, r.Actions, r.Until.Unix(), r.Reason))
	r.ID = "r1"
	return r, 2, 1, nil
}
func (d *desk) Restore(_ context.Context, id string) (bool, error) {
	d.did = append(d.did, "restore "+id)
	return id == "r1", nil
}
func (d *desk) Revocations() []revocation.Rule {
	return []revocation.Rule{{ID: "r1", User: "anna"}, {ID: "r2", Token: "t1"}}
}

const looks, acting = "only looking 12", "looking and acting"

func page(t *testing.T, audit *bytes.Buffer) (*Admin, *desk) {
	t.Helper()
	d := &desk{}
	o := Options{Node: d, Password: looks, ActPassword: acting, Logger: slog.New(slog.DiscardHandler)}
	if audit != nil {
		o.Audit = audit
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, d
}

func ask(a *Admin, method, path, password, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if password != "" {
		r.SetBasicAuth("otto", password)
	}
	if method == http.MethodPost {
		r.Header.Set("Holdfast-Operator", "test")
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func TestLook(t *testing.T) {
	a, _ := page(t, nil)
	cases := map[string]struct {
		status int
		has    string
	}{
		"/":                                    {200, "admin.js"},
		"/admin.js":                            {200, ""},
		"/api/me":                              {200, `{"name":"otto","acts":false}`},
		"/api/now":                             {200, `"connections":3`},
		"/api/history":                         {200, `[]`},
		"/api/connections?user=anna":           {200, `"user":"anna"`},
		"/api/session?session=x":               {404, "there is no session x"},
		"/api/search?q=a":                      {200, ""},
		"/api/timeline?user=anna&from=1000":    {200, `"event":"anna"`},
		"/api/timeline":                        {400, "say whose timeline"},
		"/api/timeline?user=anna&to=yesterday": {400, "yesterday"},
		"/api/revocations":                     {200, `[{"id":"r2","token":"t1"`},
		"/api/disconnect":                      {404, ""},
		"/api/revoke":                          {404, ""},
		"/api/nothing":                         {404, ""},
	}
	for path, tc := range cases {
		w := ask(a, http.MethodGet, path, looks, "")
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.has) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAct(t *testing.T) {
	cases := map[string]struct {
		path, body string
		status     int
		did        string
	}{
		"disconnect": {"disconnect", `{"conn":"c1"}`, 200, "disconnect c1"},
		"gone":       {"disconnect", `{"conn":"c9"}`, 404, "disconnect c9"},
		"user":       {"disconnect", `{"user":"anna"}`, 200, "disconnect user anna"},
		"report":     {"report", `{"conn":"c1"}`, 200, "report c1"},
		"run":        {"end-run", `{"session":"s","run":4}`, 200, "end-run s"},
		"nonsense":   {"end-run", `{"sesion":"s"}`, 400, ""},
		"no object":  {"end-run", `[]`, 400, ""},
		"two":        {"disconnect", `{"conn":"c1"}{"conn":"c2"}`, 400, ""},

		"a user's tokens": {"revoke", `{"user":"anna"}`, 200, "revoke  anna   [] -62135596800 "},
		"all there is to say": {
			"revoke", `{"token":"t1","user":"anna","client":"phone","session":"chat-*","actions":["send"],"until":1800000000000,"reason":"lost"}`,
			200, "revoke t1 anna phone chat-* [send] 1800000000 lost",
		},
		"given back":         {"restore", `{"id":"r1"}`, 200, "restore r1"},
		"never taken":        {"restore", `{"id":"r9"}`, 404, "restore r9"},
		"a device, to cut":   {"disconnect", `{"user":"anna","client":"phone"}`, 400, ""},
		"a session, to cut":  {"disconnect", `{"user":"anna","session":"s"}`, 400, ""},
		"words in capitals":  {"disconnect", `{"User":"anna"}`, 400, ""},
		"a device, to heed":  {"report", `{"conn":"c1","user":"anna"}`, 400, ""},
		"another word":       {"revoke", `{"user":"anna","device":"phone"}`, 400, ""},
		"what is no list":    {"revoke", `{"user":"anna","actions":"send"}`, 400, ""},
		"more than is taken": {"revoke", `{"user":"anna","reason":"` + strings.Repeat("x", maxOrder) + `"}`, 400, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var lines bytes.Buffer
			a, d := page(t, &lines)
			w := ask(a, http.MethodPost, "/api/"+tc.path, acting, tc.body)
			if got := strings.Join(d.did, ", "); w.Code != tc.status || got != tc.did {
				t.Errorf("%d %s, and did %q", w.Code, w.Body, got)
			}
			if tc.did == "" {
				return
			}
			var line map[string]any
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line["by"] != "otto" || line["act"] != tc.path || line["at"] == nil {
				t.Errorf("the audit log has %q", lines.String())
			}
		})
	}
}

// The audit log says of a revocation all that the order said, so that it can be understood, and repeated.
func TestAuditOfARevocation(t *testing.T) {
	var lines bytes.Buffer
	a, _ := page(t, &lines)
	words := `"user":"anna","client":"phone","session":"chat-*","token":"t1","actions":["read","send"],"until":1800000000000,"reason":"lost"`
	w := ask(a, http.MethodPost, "/api/revoke", acting, "{"+words+"}")
	if want := `"closed":2,"changed":1`; w.Code != 200 || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), `"id":"r1"`) {
		t.Errorf("%d %s has no %s", w.Code, w.Body, want)
	}
	if !strings.Contains(lines.String(), `"by":"otto"`) || !strings.Contains(lines.String(), `"act":"revoke",`+words+"}\n") {
		t.Errorf("the audit log has %q", lines.String())
	}
	// One that is refused was tried all the same.
	lines.Reset()
	if w := ask(a, http.MethodPost, "/api/revoke", acting, `{"client":"phone"}`); w.Code != 400 || !strings.Contains(lines.String(), `"client":"phone"`) {
		t.Errorf("%d %s, and the audit log has %q", w.Code, w.Body, lines.String())
	}
}

// It says where the operator was, and not which proxy stood in front, if that is trusted.
func TestAuditNamesTheClientsAddress(t *testing.T) {
	for name, c := range map[string]struct{ peer, forwarded, want string }{
		"nothing in front":   {peer: "198.51.100.7:1234", want: "198.51.100.7:1234"},
		"a trusted proxy":    {peer: "10.1.1.1:1234", forwarded: "198.51.100.7", want: "198.51.100.7"},
		"anybody's word":     {peer: "203.0.113.9:1234", forwarded: "198.51.100.7", want: "203.0.113.9:1234"},
		"a socket of a file": {peer: "@", want: "@"},
	} {
		var lines bytes.Buffer
		a, _ := page(t, &lines)
		a.opts.Remote = remote.Trusted{netip.MustParsePrefix("10.0.0.0/8")}.Of
		r := httptest.NewRequest(http.MethodPost, "/api/disconnect", strings.NewReader(`{"conn":"c1"}`))
		r.SetBasicAuth("otto", acting)
		r.Header.Set("Holdfast-Operator", "test")
		r.RemoteAddr = c.peer
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		a.ServeHTTP(httptest.NewRecorder(), r)
		want := `"from":"` + c.want + `"`
		if c.want != c.peer {
			want += `,"via":"` + c.peer + `"`
		}
		if !strings.Contains(lines.String(), want) {
			t.Errorf("%s: the audit log has %q, without %s", name, lines.String(), want)
		}
	}
}

// Who may only look does nothing, and no other page does it in an operator's name.
func TestMayNotAct(t *testing.T) {
	var lines bytes.Buffer
	a, d := page(t, &lines)
	for name := range acts {
		if w := ask(a, http.MethodPost, "/api/"+name, looks, `{}`); w.Code != 403 {
			t.Errorf("%s with the password to look: %d", name, w.Code)
		}
		r := httptest.NewRequest(http.MethodPost, "/api/"+name, strings.NewReader(`{}`))
		r.SetBasicAuth("otto", acting)
		w := httptest.NewRecorder()
		if a.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s without the header: %d", name, w.Code)
		}
	}
	if len(d.did) != 0 || lines.Len() != 0 {
		t.Errorf("it did %q and wrote %q", d.did, lines.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// What cannot be written down is not done.
func TestAuditFails(t *testing.T) {
	a, d := page(t, nil)
	a.audit.to = full{}
	for name, body := range map[string]string{"disconnect": `{"conn":"c1"}`, "revoke": `{"user":"anna"}`, "restore": `{"id":"r1"}`} {
		if w := ask(a, http.MethodPost, "/api/"+name, acting, body); w.Code != 503 || len(d.did) != 0 {
			t.Errorf("%s: %d, and did %q", name, w.Code, d.did)
		}
	}
}

func TestOptions(t *testing.T) {
	n := &desk{}
	for name, o := range map[string]Options{
		"no node":        {Password: looks},
		"no password":    {Node: n},
		"short":          {Node: n, Password: "short"},
		"short act":      {Node: n, Password: looks, ActPassword: "short"},
		"same passwords": {Node: n, Password: looks, ActPassword: looks},
	} {
		if _, err := New(o); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The history holds the last hour and no more.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := page(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		a.Run(ctx)
		if n := len(a.history.all()); n != samples {
			t.Errorf("it has %d samples", n)
		}
	})
}

// What a phone loads.
func TestScriptIsSmall(t *testing.T) {
	a, _ := page(t, nil)
	r := httptest.NewRequest(http.MethodGet, "/admin.js", nil)
	r.SetBasicAuth("otto", looks)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 60_000 || w.Body.Len() < 10_000 {
		t.Errorf("the script has %d bytes, as %q", w.Body.Len(), w.Header().Get("Content-Encoding"))
	}
}
