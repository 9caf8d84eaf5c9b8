// Package policy decides what becomes of a connection when a rule has no place left for it: who is let in, who has to go, and
// who may only read.
//
// It is pure: the registry of connections (package hub) asks it with its lock held, and does what it says before the lock is let
// go. So a rule holds at every moment, however many come at once.
//
// Two things keep clients from fighting over a place. Nobody is turned out for a connection that came by itself: only one that
// its user has just opened or claimed can do that, and each such act does it once. And [Pace] bounds how often it is
// done, for clients that say of each dial that it was their user's act.
package policy

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
)

// Conn is what a decision looks at in a connection.
type Conn struct {
	ID     holdfast.ConnID
	Client holdfast.ClientID
	// Device groups the clients of one device; "" if the client named none.
	Device string
	// Since is when it came, Used when its user last did something there.
	Since, Used time.Time
	// Hidden: nobody looks at it.
	Hidden bool
	// Dead: it was asked for a sign of life, and gave none.
	Dead bool
	// ReadOnly: it has no place, and needs none.
	ReadOnly bool
}

// Verdict is what becomes of the one that comes.
type Verdict uint8

// The verdicts, the gravest last.
const (
	// Admit: it has a place.
	Admit Verdict = iota
	// ReadOnly: it is let in without one.
	ReadOnly
	// Ask: its user is to say whether it is worth another's place.
	Ask
	// Elsewhere: the place is another's, and it did not come by an act of its user.
	Elsewhere
	// Reject: there is no place, whatever the user does.
	Reject
)

// Decision is a verdict and what goes with it.
type Decision struct {
	Verdict Verdict
	// Dead are to be dropped, Evicted told that they are continued elsewhere, Demoted made to read only.
	Dead, Evicted, Demoted []holdfast.ConnID
}

// Conflict reports whether the decision is more than to let it in beside the others.
func (d *Decision) Conflict() bool {
	return d.Verdict != Admit || len(d.Dead)+len(d.Evicted)+len(d.Demoted) > 0
}

// Decide says what becomes of a connection that comes by an act of its user. existing are the same user's that the rules
// count. With several rules the gravest verdict counts, and then nobody has to go but the dead.
func Decide(rules []holdfast.ConnectionRule, existing []Conn, incoming Conn, act holdfast.Act) Decision {
	// Its own ghost is replaced and counts for nothing.
	existing = slices.DeleteFunc(slices.Clone(existing), func(c Conn) bool { return c.Client == incoming.Client })
	var all Decision
	for _, rule := range rules {
		d := decide(rule, existing, incoming, act)
		all.Verdict = max(all.Verdict, d.Verdict)
		all.Dead = union(all.Dead, d.Dead)
	}
	if all.Verdict != Admit {
		// One rule may make room where another one has none: nobody goes for one that is not let in.
		return all
	}
	for _, rule := range rules {
		d := decide(rule, existing, incoming, act)
		all.Evicted, all.Demoted = union(all.Evicted, d.Evicted), union(all.Demoted, d.Demoted)
		// Who goes by one rule makes room by the next, too.
		existing = slices.DeleteFunc(existing, func(c Conn) bool {
			return slices.Contains(all.Evicted, c.ID) || slices.Contains(all.Demoted, c.ID)
		})
	}
	return all
}

func union(a, b []holdfast.ConnID) []holdfast.ConnID {
	for _, id := range b {
		if !slices.Contains(a, id) {
			a = append(a, id)
		}
	}
	return a
}

// decide follows one rule.
func decide(rule holdfast.ConnectionRule, existing []Conn, incoming Conn, act holdfast.Act) Decision {
	var live, dead []Conn
	for _, c := range existing {
		switch {
		case c.ReadOnly || rule.PerDevice && deviceOf(c) != deviceOf(incoming):
		case c.Dead:
			dead = append(dead, c)
		default:
			live = append(live, c)
		}
	}
	if rule.On == holdfast.ConflictAllow || len(live)+len(dead) < rule.Max {
		return Decision{}
	}
	d := Decision{Dead: ids(dead)}
	// More than one only where the rule has become tighter than it was when they came.
	over := len(live) + 1 - rule.Max
	if over <= 0 {
		return d
	}
	switch rule.On {
	case holdfast.ConflictReject:
		d.Verdict = Reject
	case holdfast.ConflictAsk:
		if act != holdfast.ActClaim {
			d.Verdict = Ask
			break
		}
		d.Evicted = first(live, over, idlest)
	case holdfast.ConflictReadOnly:
		if act != holdfast.ActClaim {
			d.Verdict = ReadOnly
			break
		}
		d.Demoted = first(live, over, idlest)
	default:
		if act != holdfast.ActOpen && act != holdfast.ActClaim {
			d.Verdict = Elsewhere
			break
		}
		d.Evicted = first(live, over, order(rule.On))
	}
	return d
}

func deviceOf(c Conn) string {
	if c.Device == "" {
		// No device has such a name: ids hold no space.
		return "client " + string(c.Client)
	}
	return c.Device
}

// order says who goes first.
func order(on holdfast.Conflict) func(a, b Conn) int {
	switch on {
	case holdfast.ConflictEvictIdle:
		return idlest
	case holdfast.ConflictTakeOver:
		return func(a, b Conn) int { return idlest(b, a) }
	}
	return func(a, b Conn) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) }
}

// idlest puts first what nobody looks at, and of the rest what was used least lately.
func idlest(a, b Conn) int {
	if a.Hidden != b.Hidden {
		if a.Hidden {
			return -1
		}
		return 1
	}
	return cmp.Or(a.Used.Compare(b.Used), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
}

func first(all []Conn, n int, by func(a, b Conn) int) []holdfast.ConnID {
	sorted := slices.SortedFunc(slices.Values(all), by)
	return ids(sorted[:min(n, len(sorted))])
}

func ids(all []Conn) []holdfast.ConnID {
	var out []holdfast.ConnID
	for _, c := range all {
		out = append(out, c.ID)
	}
	return out
}
