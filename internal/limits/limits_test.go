package limits

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
)

var (
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("192.0.2.2")
)

// clock is a time that the test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func gate(l Limits) (*Gate, *clock) {
	c := &clock{time.Unix(1_790_000_000, 0)}
	return New(l, c.now), c
}

func wants(t *testing.T, what string, no *Refusal, code holdfast.CloseCode) {
	t.Helper()
	switch {
	case code == 0 && no != nil:
		t.Errorf("%s: refused with %d, %s", what, no.Code, no.Reason)
	case code != 0 && no == nil:
		t.Errorf("%s: let in, want %d", what, code)
	case code != 0 && (no.Code != code || no.After <= 0 || no.Reason == ""):
		t.Errorf("%s: %+v, want code %d, a reason, and when to come back", what, *no, code)
	}
}

func TestConnections(t *testing.T) {
	g, _ := gate(Limits{Node: Bounds{Connections: 3}, Address: Bounds{Connections: 2}, User: Bounds{Connections: 1}})
	wants(t, "first", g.Enter(here), 0)
	wants(t, "second", g.Enter(here), 0)
	wants(t, "third of one address", g.Enter(here), holdfast.CloseRateLimited)
	wants(t, "of another", g.Enter(there), 0)
	wants(t, "more than the node takes", g.Enter(there), holdfast.CloseOverload)
	wants(t, "what the readiness says", g.Full(), holdfast.CloseOverload)
	g.Leave(here)
	wants(t, "after one left", g.Enter(there), 0)

	wants(t, "anna", g.SignIn("anna", false), 0)
	wants(t, "anna again", g.SignIn("anna", false), holdfast.CloseRateLimited)
	wants(t, "anna's own successor", g.SignIn("anna", true), 0)
	wants(t, "ben", g.SignIn("ben", false), 0)
	for _, user := range []holdfast.UserID{"anna", "anna", "ben"} {
		g.SignOut(user)
	}
	for _, from := range []netip.Addr{here, there, there} {
		g.Leave(from)
	}
	if c, u, a := g.Counts(); c != 0 || u != 0 || a != 0 {
		t.Errorf("%d connections, %d users and %d addresses are left", c, u, a)
	}
}

// A user of IPv6 has more addresses than anybody can count.
func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	g, _ := gate(Limits{Address: Bounds{Connections: 1}})
	wants(t, "first", g.Enter(netip.MustParseAddr("2001:db8::1")), 0)
	wants(t, "its neighbour", g.Enter(netip.MustParseAddr("2001:db8::ffff:2")), holdfast.CloseRateLimited)
	wants(t, "another network", g.Enter(netip.MustParseAddr("2001:db8:0:1::1")), 0)
	wants(t, "IPv4", g.Enter(here), 0)
	wants(t, "the same, mapped", g.Enter(netip.MustParseAddr("::ffff:192.0.2.1")), holdfast.CloseRateLimited)
}

func TestAttachRates(t *testing.T) {
	g, c := gate(Limits{Node: Bounds{Attaches: 30}, User: Bounds{Attaches: 1}, Address: Bounds{Attaches: 2}})
	for range 10 {
		wants(t, "within the user's burst", g.SignIn("anna", false), 0)
	}
	no := g.SignIn("anna", false)
	wants(t, "beyond it", no, holdfast.CloseRateLimited)
	if no.After > time.Second {
		t.Errorf("to come back after %v, want at most 1s", no.After)
	}
	c.t = c.t.Add(no.After)
	wants(t, "when it was told to", g.SignIn("anna", false), 0)
	for i := range 30 {
		if no := g.SignIn(holdfast.UserID(rune('a'+i)), false); no != nil && no.Code != holdfast.CloseOverload {
			t.Errorf("a user's first is refused with %d", no.Code)
		}
	}
	wants(t, "beyond what the node takes", g.SignIn("zoe", false), holdfast.CloseOverload)
	for range 20 {
		wants(t, "within the address's burst", g.Enter(here), 0)
	}
	wants(t, "beyond it", g.Enter(here), holdfast.CloseRateLimited)
	wants(t, "from elsewhere", g.Enter(there), 0)
}

func TestFramesBytesAndSessions(t *testing.T) {
	g, c := gate(Limits{User: Bounds{Frames: 5, Bytes: 1 << 20, Sessions: 2}, Address: Bounds{Frames: 10}})
	for i := range 20 {
		if !g.Allow("anna", here, 1, 10) {
			t.Fatalf("frame %d is refused within the burst", i)
		}
	}
	if g.Allow("anna", here, 1, 10) {
		t.Error("a user sends more than one may")
	}
	for i := range 20 {
		if !g.Allow("ben", here, 1, 10) {
			t.Fatalf("frame %d of another user is refused", i)
		}
	}
	if g.Allow("cleo", here, 1, 10) {
		t.Error("an address sends more than one may")
	}
	c.t = c.t.Add(time.Minute)
	if !g.Allow("anna", there, 1, 4<<20) || g.Allow("anna", there, 1, 1<<20) {
		t.Error("a user's bytes are not bounded by a burst of four seconds")
	}
	for n, want := range []bool{true, true, false} {
		if got := g.Join("anna"); got != want {
			t.Errorf("session %d of a user who may have 2: %v", n+1, got)
		}
	}
	g.Part("anna")
	if !g.Join("anna") {
		t.Error("a session that was left counts")
	}
	g.Set(Limits{})
	if !g.Join("anna") || !g.Allow("cleo", here, 1000, 1<<30) {
		t.Error("limits that were lifted bind")
	}
}

func TestNilLetsThrough(t *testing.T) {
	var g *Gate
	g.Leave(here)
	g.SignOut("anna")
	g.Part("anna")
	if g.Enter(here) != nil || g.SignIn("anna", false) != nil || !g.Join("anna") || !g.Allow("anna", here, 1, 1) || g.Full() != nil {
		t.Error("a gate that is none says no")
	}
}
