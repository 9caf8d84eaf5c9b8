package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// What a backend writes over HTTP a client reads over its socket, and the other way round.
func TestBackendAndClientMeet(t *testing.T) {
	n := start(t, server.Options{})
	backend := n.token(auth.Claims{Backend: true})
	anna := n.hello("anna", "a1", "chat-1")

	if code, body := n.request("POST", "/v1/sessions/chat-1/entries", backend, `{"id":"k1","data":{"text":"hi"}}`); code != http.StatusCreated {
		t.Fatalf("append: %d %s", code, body)
	}
	if f, ok := anna.next().(*wire.EntryFrame); !ok || string(f.Entry.Data) != `{"text":"hi"}` || f.Entry.ID != "k1" {
		t.Errorf("anna got %v", f)
	}
	if code, body := n.request("POST", "/v1/sessions/chat-1/entries", backend, `{"id":"k1","data":{"text":"hi"}}`); code != http.StatusOK || !strings.Contains(body, `"duplicate":true`) {
		t.Errorf("append again: %d %s", code, body)
	}
	if code, body := n.request("PUT", "/v1/sessions/chat-1/pipe?id=a1", backend, ""); code != http.StatusCreated || !strings.Contains(body, "complete") {
		t.Errorf("an empty pipe: %d %s", code, body)
	}
	if f, ok := anna.next().(*wire.EntryFrame); !ok || f.Entry.Run == nil {
		t.Errorf("anna got %v, want a run", f)
	}
	if f, ok := anna.next().(*wire.EndFrame); !ok || f.Status != holdfast.RunComplete {
		t.Errorf("anna got %v, want its end", f)
	}

	anna.send(&wire.Send{Session: "chat-1", ID: "m1", Data: []byte(`"question"`)})
	wantEntry(t, anna, "m1")
	if code, body := n.request("GET", "/v1/feed", backend, ""); code != http.StatusOK || strings.Count(body, `"cursor"`) != 1 || !strings.Contains(body, `"question"`) {
		t.Errorf("the feed: %d %s", code, body)
	}
	if code, body := n.request("GET", "/v1/sessions/chat-1/entries", n.user("anna"), ""); code != http.StatusOK || !strings.Contains(body, `"question"`) {
		t.Errorf("history with a reader's token: %d %s", code, body)
	}
	if code, _ := n.request("POST", "/v1/sessions/chat-1/entries", n.user("anna"), `{"data":1}`); code != http.StatusForbidden {
		t.Errorf("a reader appended over HTTP: %d", code)
	}
}

// The backend sees who is connected, and can end a connection; its client is told not to come back.
func TestConnectionsOfAUser(t *testing.T) {
	n := start(t, server.Options{})
	backend := n.token(auth.Claims{Backend: true})
	laptop, phone, ben := n.hello("anna", "laptop", "chat-1"), n.hello("anna", "phone", "chat-1"), n.hello("ben", "b1", "chat-1")
	code, body := n.request("GET", "/v1/users/anna/connections", backend, "")
	if code != http.StatusOK || strings.Count(body, `"conn"`) != 2 || !strings.Contains(body, `"laptop"`) || !strings.Contains(body, `"chat-1"`) {
		t.Errorf("connections: %d %s", code, body)
	}
	if code, body := n.request("DELETE", "/v1/users/anna/connections", backend, ""); code != http.StatusOK || !strings.Contains(body, "2") {
		t.Errorf("disconnect: %d %s", code, body)
	}
	wantEnd(t, laptop, holdfast.CloseKicked)
	wantEnd(t, phone, holdfast.CloseKicked)
	ben.send(&wire.Ping{N: 1})
	if _, ok := ben.next().(*wire.Pong); !ok {
		t.Error("ben was disturbed")
	}
}

// A server that stops tells its clients to come back.
func TestStoppingServerSaysGoodbye(t *testing.T) {
	n := start(t, server.Options{})
	anna := n.hello("anna", "a1", "chat-1")
	n.stop()
	wantEnd(t, anna, holdfast.CloseRestart)
	if code := n.get("/readyz").StatusCode; code != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d", code)
	}
	if code := n.get("/healthz").StatusCode; code != http.StatusNoContent {
		t.Errorf("healthz answers %d", code)
	}
}
