package revocation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/memory"
)

var now = time.Unix(1_790_000_000, 500_000_000)

func TestApply(t *testing.T) {
	grant := holdfast.Grant{User: "anna", ID: "t1", Read: []string{"*"}, Send: []string{"*"}, Issued: now.Add(-time.Hour)}
	with := func(change func(*holdfast.Grant)) holdfast.Grant { g := grant; change(&g); return g }
	later := with(func(g *holdfast.Grant) { g.Issued = now.Add(2 * time.Second) })
	cases := map[string]struct {
		rule         Rule
		grant        holdfast.Grant
		client       holdfast.ClientID
		cut          bool
		reads, sends bool
	}{
		"its token":                     {Rule{Token: "t1"}, grant, "", true, false, false},
		"another token":                 {Rule{Token: "t2"}, grant, "", false, true, true},
		"its token, whenever issued":    {Rule{Token: "t1"}, later, "", true, false, false},
		"its user":                      {Rule{User: "anna"}, grant, "", true, false, false},
		"another user":                  {Rule{User: "ben"}, grant, "", false, true, true},
		"a token that is newer":         {Rule{User: "anna"}, later, "", false, true, true},
		"one of the same second":        {Rule{User: "anna"}, with(func(g *holdfast.Grant) { g.Issued = now.Truncate(time.Second) }), "", true, false, false},
		"one that does not say when":    {Rule{User: "anna"}, with(func(g *holdfast.Grant) { g.Issued = time.Time{} }), "", true, false, false},
		"its device":                    {Rule{User: "anna", Client: "phone"}, grant, "phone", true, false, false},
		"another device":                {Rule{User: "anna", Client: "phone"}, grant, "laptop", false, true, true},
		"where no device is known":      {Rule{User: "anna", Client: "phone"}, grant, "", false, true, true},
		"a session":                     {Rule{User: "anna", Session: "chat-1"}, grant, "", false, false, false},
		"another session":               {Rule{User: "anna", Session: "chat-2"}, grant, "", false, true, true},
		"a session, for everybody":      {Rule{Session: "chat-*"}, grant, "", false, false, false},
		"only sending":                  {Rule{User: "anna", Actions: []holdfast.Action{holdfast.ActionSend}}, grant, "", false, true, false},
		"a backend is no user":          {Rule{Session: "*"}, holdfast.Grant{Backend: true}, "", false, true, true},
		"a backend's token by its name": {Rule{Token: "b1"}, holdfast.Grant{Backend: true, ID: "b1"}, "", true, false, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := New(memory.New(memory.Options{}), func() time.Time { return now })
			if _, err := b.Add(t.Context(), c.rule); err != nil {
				t.Fatal(err)
			}
			g, err := b.Apply(c.grant, c.client)
			if c.cut {
				if holdfast.CodeOf(err) != holdfast.CodeUnauthorized {
					t.Fatalf("got %v, want unauthorized", err)
				}
				return
			}
			reads, sends := g.Allows(holdfast.ActionRead, "chat-1"), g.Allows(holdfast.ActionSend, "chat-1")
			if err != nil || reads != c.reads || sends != c.sends {
				t.Errorf("reads %v, sends %v, %v; want %v, %v", reads, sends, err, c.reads, c.sends)
			}
		})
	}
}

// Rules outlive the program, and are forgotten when their time is over.
func TestRulesAreDurable(t *testing.T) {
	db := memory.New(memory.Options{})
	at := now
	clock := func() time.Time { return at }
	b := New(db, clock)
	first, err := b.Add(t.Context(), Rule{User: "anna", Until: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Second)
	second, err := b.Add(t.Context(), Rule{Token: "t9", Reason: "leaked"})
	if err != nil {
		t.Fatal(err)
	}
	again := New(db, clock)
	if err := again.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Rule{first, second}, again.List()); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	at = now.Add(time.Hour)
	if err := again.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Rule{second}, again.List()); d != "" {
		t.Errorf("after its time: %s", d)
	}
	if found, err := again.Remove(t.Context(), second.ID); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	last := New(db, clock)
	if err := last.Load(t.Context()); err != nil || len(last.List()) != 0 {
		t.Errorf("%v are left, %v", last.List(), err)
	}
}
