package holdfast

import (
	"slices"
	"strings"
	"time"
)

// Grant is what a verified token allows.
type Grant struct {
	User UserID
	// Read, Send and Stop hold session patterns, see [MatchSession].
	Read, Send, Stop []string
	// Backend allows everything on every session over the HTTP API. Such a token belongs to a server, never to a page.
	Backend bool
	// Expires is when the grant ends; zero means never.
	Expires time.Time
	// ID names the token, and Issued is when it was made, as far as it says so: revocations go by them.
	ID     string
	Issued time.Time
	// Denied is what was taken back of what the lists above allow.
	Denied []Denial
}

// Denial takes actions on sessions back.
type Denial struct {
	// Session is a pattern, see [MatchSession].
	Session string
	// Actions are what is taken back; all if there are none.
	Actions []Action
}

// Action is something a grant allows on a session.
type Action string

// The actions, a closed set.
const (
	ActionRead Action = "read"
	ActionSend Action = "send"
	ActionStop Action = "stop"
)

// Allows reports whether the grant allows the action on the session.
func (g *Grant) Allows(a Action, s SessionID) bool {
	if g.Backend {
		return true
	}
	for _, d := range g.Denied {
		if (len(d.Actions) == 0 || slices.Contains(d.Actions, a)) && MatchSession(d.Session, s, g.User) {
			return false
		}
	}
	var patterns []string
	switch a {
	case ActionRead:
		patterns = g.Read
	case ActionSend:
		patterns = g.Send
	case ActionStop:
		patterns = g.Stop
	}
	for _, p := range patterns {
		if MatchSession(p, s, g.User) {
			return true
		}
	}
	return false
}

// MatchSession reports whether a pattern covers a session. In a pattern, * stands for any number of characters and
// {user} for the token's user. What the user's id holds has no meaning, be it * or {user}: it is matched as it stands.
// Without a user, a pattern with {user} covers nothing.
//
// Between {user} and a *, put a character that no user id of the application holds: with "chat-{user}-*" the user "ann"
// also covers the sessions of the user "ann-marie".
func MatchSession(pattern string, s SessionID, user UserID) bool {
	// Else a token without a user would cover "chat--1", a session of nobody that anybody may have made.
	if user == "" && strings.Contains(pattern, "{user}") {
		return false
	}
	name := string(s)
	pieces := strings.Split(pattern, "*")
	for i := range pieces {
		pieces[i] = strings.ReplaceAll(pieces[i], "{user}", string(user))
	}
	if len(pieces) == 1 {
		return name == pieces[0]
	}
	if !strings.HasPrefix(name, pieces[0]) {
		return false
	}
	name = name[len(pieces[0]):]
	last := pieces[len(pieces)-1]
	for _, piece := range pieces[1 : len(pieces)-1] {
		i := strings.Index(name, piece)
		if i < 0 {
			return false
		}
		name = name[i+len(piece):]
	}
	return strings.HasSuffix(name, last)
}
