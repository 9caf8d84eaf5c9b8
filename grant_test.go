package holdfast

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatchSession(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		session SessionID
		user    UserID
		want    bool
	}{
		"exact":                         {"chat-1", "chat-1", "ann", true},
		"exact, longer":                 {"chat-1", "chat-10", "ann", false},
		"exact, shorter":                {"chat-1", "chat-", "ann", false},
		"star":                          {"*", "chat-1", "ann", true},
		"star without user":             {"*", "chat-1", "", true},
		"star at the end":               {"chat-*", "chat-1", "ann", true},
		"star for nothing":              {"chat-*", "chat-", "ann", true},
		"star at the end, other":        {"chat-*", "cha-1", "ann", false},
		"star at the start":             {"*-1", "chat-1", "ann", true},
		"star in the middle":            {"a*c", "abbbc", "ann", true},
		"star needs both ends":          {"aba*aba", "aba", "ann", false},
		"star, ends overlap":            {"ab*ba", "aba", "ann", false},
		"two stars":                     {"a*b*c", "a-b-b-c", "ann", true},
		"two stars, order":              {"a*b*c", "a-c-b", "ann", false},
		"two stars, last taken":         {"*ab*ab", "ab", "ann", false},
		"star star":                     {"a**b", "ab", "ann", true},
		"no regexp":                     {"chat.1", "chat-1", "ann", false},
		"case counts":                   {"Chat-*", "chat-1", "ann", false},
		"empty pattern":                 {"", "chat-1", "ann", false},
		"user":                          {"{user}", "ann", "ann", true},
		"user, other":                   {"{user}", "bob", "ann", false},
		"user and star":                 {"user-{user}:*", "user-ann:1", "ann", true},
		"user and star, other":          {"user-{user}:*", "user-bob:1", "ann", false},
		"user twice":                    {"{user}-{user}", "ann-ann", "ann", true},
		"user's star":                   {"user-{user}:*", "user-bob:1", "*", false},
		"user's star as it stands":      {"user-{user}:*", "user-*:1", "*", true},
		"user's star inside":            {"user-{user}:*", "user-bob:1", "b*", false},
		"user is a pattern":             {"{user}", "chat-1", "chat-*", false},
		"user is {user}":                {"{user}", "{user}", "{user}", true},
		"user is {user}, no expansion":  {"a{user}", "aa", "{user}", false},
		"user completes the braces":     {"{us{user}er}", "{user}", "er}", false},
		"user holds the rest of a name": {"{user}", "ann", "{user}ann", false},
		"no user":                       {"user-{user}:*", "user-:1", "", false},
		"no user, whole":                {"{user}", "", "", false},
		"no user, star":                 {"{user}*", "chat-1", "", false},
		"no user, plain pattern":        {"chat-*", "chat-1", "", true},
		"brace alone":                   {"{user", "ann", "ann", false},
		"star between the braces":       {"{us*er}", "ann", "ann", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := MatchSession(c.pattern, c.session, c.user); got != c.want {
				t.Errorf("MatchSession(%q, %q, %q) = %v", c.pattern, c.session, c.user, got)
			}
		})
	}
}

// The definition: the pattern as a regular expression in which the user stands quoted.
func TestMatchSessionIsTheRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "*", "{user}", "-", "{", "}"}), 0, 7).
			Draw(t, "pattern"), "")
		user := rapid.StringOfN(rapid.SampledFrom([]rune("ab*{}-")), 1, 4, -1).Draw(t, "user")
		session := rapid.StringOfN(rapid.SampledFrom([]rune("ab*{}-")), 0, 10, -1).Draw(t, "session")
		if rapid.Bool().Draw(t, "likely") { // random texts seldom match
			session = strings.NewReplacer("*", session, "{user}", user).Replace(pattern)
		}
		expr := ""
		for _, piece := range regexp.MustCompile(`\*|\{user\}|.`).FindAllString(pattern, -1) {
			switch piece {
			case "*":
				expr += ".*"
			case "{user}":
				expr += regexp.QuoteMeta(user)
			default:
				expr += regexp.QuoteMeta(piece)
			}
		}
		want := regexp.MustCompile("^" + expr + "$").MatchString(session)
		if got := MatchSession(pattern, SessionID(session), UserID(user)); got != want {
			t.Fatalf("MatchSession(%q, %q, %q) = %v, want %v", pattern, session, user, got, want)
		}
	})
}

// Whoever chooses a user id must not reach what the pattern's fixed texts and that id, literally, do not name.
func TestMatchSessionUserCannotWiden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		user := rapid.StringOfN(rapid.SampledFrom([]rune("ab*{}ersu")), 0, 8, -1).Draw(t, "user")
		session := rapid.StringOfN(rapid.SampledFrom([]rune("ab:*{}ersu")), 0, 14, -1).Draw(t, "session")
		if MatchSession("u:{user}:*", SessionID(session), UserID(user)) &&
			(user == "" || !strings.HasPrefix(session, "u:"+user+":")) {
			t.Fatalf("user %q reaches %q", user, session)
		}
	})
}

func TestGrantAllows(t *testing.T) {
	user := &Grant{User: "ann", Read: []string{"news", "chat-{user}:*"}, Send: []string{"chat-{user}:*"}, Stop: []string{"job-1"}}
	for name, c := range map[string]struct {
		grant   *Grant
		action  Action
		session SessionID
		want    bool
	}{
		"read first":         {user, ActionRead, "news", true},
		"read second":        {user, ActionRead, "chat-ann:1", true},
		"read other's":       {user, ActionRead, "chat-bob:1", false},
		"send":               {user, ActionSend, "chat-ann:1", true},
		"read is not send":   {user, ActionSend, "news", false},
		"stop":               {user, ActionStop, "job-1", true},
		"send is not stop":   {user, ActionStop, "chat-ann:1", false},
		"stop is not read":   {user, ActionRead, "job-1", false},
		"unknown action":     {user, Action("delete"), "news", false},
		"nothing":            {&Grant{User: "ann"}, ActionRead, "news", false},
		"zero":               {&Grant{}, ActionRead, "", false},
		"backend reads":      {&Grant{Backend: true}, ActionRead, "news", true},
		"backend sends":      {&Grant{Backend: true}, ActionSend, "any", true},
		"backend stops":      {&Grant{Backend: true}, ActionStop, "any", true},
		"nobody, {user}":     {&Grant{Read: []string{"chat-{user}:*"}}, ActionRead, "chat-:1", false},
		"user named as star": {&Grant{User: "*", Read: []string{"chat-{user}:*"}}, ActionRead, "chat-ann:1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.grant.Allows(c.action, c.session); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
