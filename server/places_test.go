package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/wire"
)

// window is a Go client of anna's, and what its Run came back with.
type window struct {
	*client.Client
	ended  chan error
	told   chan wire.Windows
	cancel context.CancelFunc
}

func (n *node) window(t *testing.T, id holdfast.ClientID, act holdfast.Act, rules ...string) *window {
	t.Helper()
	claims := auth.Claims{User: "anna", Read: []string{"chat-*"}, Send: []string{"chat-*"}}
	for _, text := range rules {
		rule, err := holdfast.ParseConnectionRule(text)
		if err != nil {
			t.Fatal(err)
		}
		claims.Connections = append(claims.Connections, rule)
	}
	token := n.token(claims)
	w := &window{ended: make(chan error, 1), told: make(chan wire.Windows, 100)}
	var err error
	w.Client, err = client.New(client.Options{
		URL: n.web.URL, ClientID: id, Name: "window " + string(id), Act: act, OnWindows: func(f wire.Windows) { w.told <- f },
		Token: func(context.Context) (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.ended <- w.Run(ctx) }() // ends with ctx at the latest; received below
	t.Cleanup(func() {
		cancel()
		select {
		case <-w.ended:
		case <-time.After(10 * time.Second):
			t.Error("the client does not end")
		}
	})
	return w
}

// mode waits until the window is told that it stands so.
func (w *window) mode(t *testing.T, mode wire.WindowMode) wire.Windows {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case f := <-w.told:
			if f.Mode == mode {
				return f
			}
		case <-limit:
			t.Fatalf("never told %q", mode)
		}
	}
}

// over waits for the end of the window, which must be by this code; the window is not used after that.
func (w *window) over(t *testing.T, code holdfast.CloseCode) {
	t.Helper()
	select {
	case err := <-w.ended:
		w.ended <- err
		var closed *client.CloseError
		if !errors.As(err, &closed) || closed.Code != code {
			t.Fatalf("ended with %v, want %d", err, code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("does not end")
	}
}

func TestClause10_TheLoserOfAPlaceIsToldAndStaysAway(t *testing.T) {
	n := start(t, server.Options{Connections: []server.ConnectionRule{{Max: 1, On: holdfast.ConflictEvictOldest}}})
	one := n.window(t, "one", holdfast.ActOpen)
	one.mode(t, wire.WindowFull)
	two := n.window(t, "two", holdfast.ActOpen)
	two.mode(t, wire.WindowFull)
	if f := one.mode(t, wire.WindowElsewhere); len(f.Others) != 1 || f.Others[0].Name != "window two" {
		t.Errorf("the loser was told %+v", f)
	}
	one.over(t, holdfast.CloseElsewhere)
	// Back by itself it is refused, and claimed it wins.
	n.window(t, "one", holdfast.ActNone).over(t, holdfast.CloseElsewhere)
	three := n.window(t, "one", holdfast.ActClaim)
	three.mode(t, wire.WindowFull)
	two.over(t, holdfast.CloseElsewhere)
}

// Rules that are replaced count for whoever comes then. Who is there stays, until somebody comes who by the new ones takes its place.
func TestRulesAreReplaced(t *testing.T) {
	n := start(t, server.Options{})
	set := func(rules ...server.ConnectionRule) {
		t.Helper()
		if err := n.srv.SetConnections(rules); err != nil {
			t.Fatal(err)
		}
	}
	one := n.window(t, "one", holdfast.ActOpen)
	one.mode(t, wire.WindowFull)
	two := n.window(t, "two", holdfast.ActOpen)
	two.mode(t, wire.WindowFull)
	set(server.ConnectionRule{Max: 2, On: holdfast.ConflictReject})
	n.window(t, "three", holdfast.ActOpen).over(t, holdfast.CloseTooMany)
	if err := n.srv.SetConnections([]server.ConnectionRule{{Max: 3}}); holdfast.CodeOf(err) != holdfast.CodeInvalid {
		t.Errorf("a rule without an answer: %v", err)
	}
	n.window(t, "three", holdfast.ActOpen).over(t, holdfast.CloseTooMany)
	set(server.ConnectionRule{Max: 1, On: holdfast.ConflictEvictOldest})
	select {
	case err := <-one.ended:
		t.Fatalf("sent away by a rule alone: %v", err)
	default:
	}
	n.window(t, "four", holdfast.ActOpen).mode(t, wire.WindowFull)
	one.over(t, holdfast.CloseElsewhere)
	two.over(t, holdfast.CloseElsewhere)
	set()
	n.window(t, "five", holdfast.ActOpen).mode(t, wire.WindowFull)
}

func TestATokenTightensTheRules(t *testing.T) {
	n := start(t, server.Options{Connections: []server.ConnectionRule{{Max: 3, On: holdfast.ConflictReject}}})
	one := n.window(t, "one", holdfast.ActOpen)
	one.mode(t, wire.WindowFull)
	n.window(t, "two", holdfast.ActOpen, "max=1 on=ask").over(t, holdfast.CloseElsewhere)
	two := n.window(t, "two", holdfast.ActOpen, "max=9 on=allow")
	two.mode(t, wire.WindowFull)
	n.window(t, "three", holdfast.ActOpen).mode(t, wire.WindowFull)
	// And does not loosen them.
	n.window(t, "four", holdfast.ActClaim, "max=9 on=allow").over(t, holdfast.CloseTooMany)
}

func TestAWindowThatReadsOnlyClaimsItsPlace(t *testing.T) {
	n := start(t, server.Options{Connections: []server.ConnectionRule{{Max: 1, On: holdfast.ConflictReadOnly}}})
	one, two := n.window(t, "one", holdfast.ActOpen), (*window)(nil)
	one.mode(t, wire.WindowFull)
	two = n.window(t, "two", holdfast.ActOpen)
	two.mode(t, wire.WindowReadOnly)
	if _, err := two.Send(t.Context(), "chat-1", "", json.RawMessage(`1`)); holdfast.CodeOf(err) != holdfast.CodeForbidden {
		t.Errorf("sending is answered with %v", err)
	}
	two.Claim()
	two.mode(t, wire.WindowFull)
	one.mode(t, wire.WindowReadOnly)
	if _, err := two.Send(t.Context(), "chat-1", "", json.RawMessage(`1`)); err != nil {
		t.Error(err)
	}
	// Who leaves with a goodbye makes room.
	two.cancel()
	one.mode(t, wire.WindowFull)
}

func TestWhoFlapsIsNoticed(t *testing.T) {
	var log bytes.Buffer
	n := start(t, server.Options{
		Connections: []server.ConnectionRule{{Max: 1, On: holdfast.ConflictEvictOldest}},
		Logger:      slog.New(slog.NewTextHandler(&log, nil)),
	})
	last := n.window(t, "a", holdfast.ActOpen)
	last.mode(t, wire.WindowFull)
	for i := range 8 {
		next := n.window(t, holdfast.ClientID("ab"[i%2:][:1]+"x"), holdfast.ActClaim)
		next.mode(t, wire.WindowFull)
		last.over(t, holdfast.CloseElsewhere)
		last = next
	}
	n.window(t, "z", holdfast.ActClaim).over(t, holdfast.CloseElsewhere)
	n.stop()
	if !strings.Contains(log.String(), "too often") || !strings.Contains(log.String(), "user=anna") {
		t.Errorf("the log says %s", log.String())
	}
	for _, line := range []string{
		"holdfast_place_fights_total 1", `holdfast_place_conflicts_total{outcome="evicted"} 8`, `holdfast_place_conflicts_total{outcome="refused"} 1`,
		`holdfast_place_conflicts_total{outcome="demoted"} 0`,
	} {
		if text := n.scrape(); !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the metrics lack %q: %s", line, text)
		}
	}
}

func TestOptionsNameABadRule(t *testing.T) {
	_, err := server.New(server.Options{Auth: anybody{}, Connections: []server.ConnectionRule{{On: holdfast.ConflictAsk}}})
	if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(err.Error(), "Connections") {
		t.Errorf("got %v", err)
	}
}

// anybody lets in whoever comes.
type anybody struct{}

func (anybody) Verify(context.Context, string) (holdfast.Grant, error) {
	return holdfast.Grant{User: "anna"}, nil
}

// TestMembersAreToldToGoClients: two programs that read a session, one of which wants to know who is there.
func TestMembersAreToldToGoClients(t *testing.T) {
	n := start(t, server.Options{})
	told := make(chan wire.Members, 100)
	ben := n.window(t, "ben", holdfast.ActNone)
	if _, err := ben.Session("chat-1", client.SessionOptions{OnMembers: func(f wire.Members) { told <- f }}); err != nil {
		t.Fatal(err)
	}
	anna := n.window(t, "anna", holdfast.ActNone)
	chat, err := anna.Session("chat-1", client.SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(what string, ok func(m wire.Member) bool, left bool) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for {
			select {
			case f := <-told:
				for _, m := range f.Members {
					if m.Who.Client == "anna" && ok(m) {
						return
					}
				}
				if left && len(f.Left) == 1 && f.Left[0].Client == "anna" {
					return
				}
			case <-limit:
				t.Fatalf("never told that anna %s", what)
			}
		}
	}
	until("came", func(m wire.Member) bool { return m.Name == "window anna" && !m.Away }, false)
	n.await(chat.Live)
	chat.Read(0, 0)
	if _, err := anna.Send(t.Context(), "chat-1", "", json.RawMessage(`1`)); err != nil {
		t.Fatal(err)
	}
	n.await(func() bool { return len(chat.Entries()) == 1 })
	chat.Read(1, 1)
	until("has read", func(m wire.Member) bool { return m.Read == 1 && m.Got == 1 && m.Epoch != "" }, false)
	chat.Unsubscribe()
	until("left", func(wire.Member) bool { return false }, true)
}
