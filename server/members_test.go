package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/store/pebble"
	"github.com/holdfast/holdfast/wire"
)

// hook is a receiver of webhooks: it keeps what comes of members.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	lines []string
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ev struct {
			Type, Subject string
			Data          struct {
				Entry  *json.RawMessage
				Member *struct {
					Change, User, Client string
					Away                 bool
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		m := ev.Data.Member
		if m == nil || ev.Data.Entry != nil || ev.Type != "holdfast.member."+m.Change {
			t.Errorf("got %+v", ev)
			return
		}
		h.lines = append(h.lines, fmt.Sprintf("%s %s/%s %s %v", ev.Subject, m.User, m.Client, m.Change, m.Away))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) has() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.lines...)
}

// TestWebhooksTellWhoIsThere: from coming to leaving, over a restart after which one does not come back.
func TestWebhooksTellWhoIsThere(t *testing.T) {
	h, dir := newHook(t), t.TempDir()
	var skew atomic.Int64
	options := func() server.Options {
		db, err := pebble.Open(pebble.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		secrets, err := server.ParseWebhookSecrets("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
		if err != nil {
			t.Fatal(err)
		}
		return server.Options{Store: db, Now: func() time.Time { return time.Now().Add(time.Duration(skew.Load())) },
			Webhooks: []server.Webhook{{URL: h.URL, Secrets: secrets, Sessions: []string{"chat-1"},
				Events: []server.WebhookType{"holdfast.member.joined", "holdfast.member.away", "holdfast.member.back", "holdfast.member.left"}}}}
	}
	n := start(t, options())
	wait := func(lines ...string) {
		t.Helper()
		n.await(func() bool { return len(h.has()) >= len(lines) })
		if d := cmp.Diff(lines, h.has()); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	}
	anna := n.hello("anna", "a1", "chat-1")
	wait("chat-1 anna/a1 joined false")
	n.hello("ben", "b1", "chat-1")
	n.hello("cleo", "c1", "chat-2")
	wait("chat-1 anna/a1 joined false", "chat-1 ben/b1 joined false")
	anna.send(&wire.View{Hidden: true})
	all := []string{"chat-1 anna/a1 joined false", "chat-1 ben/b1 joined false", "chat-1 anna/a1 away true"}
	wait(all...)

	code, body := n.request("GET", "/v1/feed?kinds=member", n.backend(), "")
	if code != http.StatusOK || strings.Count(body, `"change"`) != 3 || strings.Contains(body, `"entry"`) || strings.Contains(body, "chat-2") {
		t.Errorf("the feed: %d %s", code, body)
	}
	code, body = n.request("GET", "/v1/feed?kinds=message,end,stop,request", n.backend(), "")
	if code != http.StatusOK || strings.Contains(body, `"cursor"`) {
		t.Errorf("the feed without members: %d %s", code, body)
	}
	code, body = n.request("GET", "/v1/sessions", n.backend(), "")
	if code != http.StatusOK || strings.Contains(body, "chat-1") {
		t.Errorf("sessions were made by who reads them: %d %s", code, body)
	}

	n.stop()
	n.web.Close()
	if err := n.srv.Close(); err != nil {
		t.Fatal(err)
	}
	n = start(t, options())
	n.hello("anna", "a1", "chat-1")
	all = append(all, "chat-1 anna/a1 back false")
	wait(all...)
	skew.Store(int64(61 * time.Second)) // anna, who is silent meanwhile, may be told to be away
	n.await(func() bool { return slices.Contains(h.has(), "chat-1 ben/b1 left false") })
}

// What a client says of itself is cut where a character of two bytes may stand across the cut. Half of it would make the answer to who
// is there impossible, for everybody.
func TestWhatAClientIsCalledIsCutAtACharacter(t *testing.T) {
	n := start(t, server.Options{Store: memory.New(memory.Options{})})
	p := n.dial()
	long := func(most int) string { return strings.Repeat("x", most-1) + "éé" }
	p.send(&wire.Hello{Version: 1, Token: n.user("anna"), Client: "a1", Gen: 1, Agent: long(128), Device: long(64), Name: long(64),
		Subs: []wire.Sub{{Session: "chat-1"}}})
	for live := false; !live; {
		_, live = p.next().(*wire.Live)
	}
	for path, want := range map[string]string{
		"/v1/sessions/chat-1/members": `"name":"` + strings.Repeat("x", 63) + `"`,
		"/v1/users/anna/connections":  `"agent":"` + strings.Repeat("x", 127) + `"`,
	} {
		if code, body := n.request("GET", path, n.backend(), ""); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}
