package holdfast

import (
	"strconv"
	"strings"
)

// Conflict says what becomes of a connection that comes when a [ConnectionRule] has no place left for it.
type Conflict string

// The answers to a conflict, a closed set. The last word on who goes is the same for all: connections that are dead go first.
const (
	// ConflictAllow: it is let in; the rule has no effect.
	ConflictAllow Conflict = "allow"
	// ConflictReject: it is refused, with [CloseTooMany].
	ConflictReject Conflict = "reject"
	// ConflictEvictOldest: it is let in if a user has just opened or claimed it, and the one that has been there longest goes.
	ConflictEvictOldest Conflict = "evict_oldest"
	// ConflictEvictIdle: the same, and the one goes that nobody looks at, or that was used least lately.
	ConflictEvictIdle Conflict = "evict_idle"
	// ConflictTakeOver: the same, and the one goes that was used last: the user goes on here from there.
	ConflictTakeOver Conflict = "take_over"
	// ConflictAsk: its user is asked. It is let in once he claims it, and the idlest goes.
	ConflictAsk Conflict = "ask"
	// ConflictReadOnly: it is let in, to read. Once its user claims it, it changes places with the idlest.
	ConflictReadOnly Conflict = "read_only"
)

var conflicts = []Conflict{ConflictAllow, ConflictReject, ConflictEvictOldest, ConflictEvictIdle, ConflictTakeOver, ConflictAsk, ConflictReadOnly}

// Act is what a user has just done to make a connection come. Without one nobody is ever turned out for it.
type Act string

// The acts. Anything else counts as none.
const (
	// ActNone: it comes by itself, after an outage.
	ActNone Act = ""
	// ActOpen: its user has opened the page, or the session.
	ActOpen Act = "open"
	// ActClaim: its user was told that there is no place, and wants it all the same.
	ActClaim Act = "claim"
)

// ConnectionRule limits how many connections of one user live at a time. A client has one at most, whatever the rules say:
// its newer one replaces its older one.
type ConnectionRule struct {
	// Max is how many there may be, at least 1.
	Max int
	// On is what happens to one more.
	On Conflict
	// PerDevice counts those of each device of the user apart. Clients that name no device are one each.
	PerDevice bool
	// PerSession counts, for each session apart, the connections that read it. A refusal then is one of the session alone: the
	// connection stays.
	PerSession bool
}

// ParseConnectionRule reads a rule from words: "max=3 on=evict_oldest", with "per=device" and "in=session" where wanted.
// Errors are [CodeInvalid].
func ParseConnectionRule(text string) (ConnectionRule, error) {
	var r ConnectionRule
	for word := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(word, "=")
		known := true
		switch name {
		case "max":
			n, err := strconv.Atoi(value)
			known = err == nil
			r.Max = n
		case "on":
			r.On = Conflict(value)
		case "per":
			r.PerDevice = value == "device"
			known = r.PerDevice || value == "user"
		case "in":
			r.PerSession = value == "session"
			known = r.PerSession || value == "all"
		default:
			known = false
		}
		if !known {
			return r, Errorf(CodeInvalid, "%q is no part of a rule on connections; write max=3 on=evict_oldest, and per=device or in=session where wanted", clipped(word))
		}
	}
	return r, r.Validate()
}

// Validate returns nil for a rule that can be followed.
func (r ConnectionRule) Validate() error {
	if r.Max < 1 || r.Max > 1<<20 {
		return Errorf(CodeInvalid, "a rule on connections needs max, from 1 to %d", 1<<20)
	}
	for _, c := range conflicts {
		if r.On == c {
			return nil
		}
	}
	return Errorf(CodeInvalid, "a rule on connections needs on: allow, reject, evict_oldest, evict_idle, take_over, ask or read_only")
}

// String returns the rule as [ParseConnectionRule] reads it.
func (r ConnectionRule) String() string {
	s := "max=" + strconv.Itoa(r.Max) + " on=" + string(r.On)
	if r.PerDevice {
		s += " per=device"
	}
	if r.PerSession {
		s += " in=session"
	}
	return s
}

func clipped(s string) string { return s[:min(len(s), 40)] }
