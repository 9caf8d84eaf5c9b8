package holdfast

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:@-"

func TestValidate(t *testing.T) {
	session := func(s string) error { return SessionID(s).Validate() }
	client := func(s string) error { return ClientID(s).Validate() }
	user := func(s string) error { return UserID(s).Validate() }
	key := func(s string) error { return ValidateKey("state key", s) }
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"session":              {session("chat-1:a@b.c_~"), ""},
		"session, all bytes":   {session(nameBytes), ""},
		"session, longest":     {session(strings.Repeat("a", MaxSessionID)), ""},
		"session, empty":       {session(""), "session id is empty"},
		"session, too long":    {session(strings.Repeat("a", MaxSessionID+1)), "session id has 129 bytes, at most 128"},
		"session, slash":       {session("a/b"), "session id has '/' at byte 1"},
		"session, star":        {session("chat-*"), "'*' at byte 5"},
		"session, brace":       {session("{user}"), "'{' at byte 0"},
		"session, space":       {session("a "), "' ' at byte 1"},
		"session, not ASCII":   {session("chät"), "at byte 2"},
		"session, line end":    {session("a\n"), `'\n' at byte 1`},
		"client":               {client("tab-1"), ""},
		"client, longest":      {client(strings.Repeat("a", MaxClientID)), ""},
		"client, too long":     {client(strings.Repeat("a", MaxClientID+1)), "client id has 65 bytes"},
		"client, empty":        {client(""), "client id is empty"},
		"client, plus":         {client("a+b"), "'+' at byte 1"},
		"user":                 {user("auth0|ann müller*{user}"), ""},
		"user, longest":        {user(strings.Repeat("ü", MaxUserID/2)), ""},
		"user, too long":       {user(strings.Repeat("ü", MaxUserID/2) + "x"), "user id has 257 bytes"},
		"user, empty":          {user(""), "user id is empty"},
		"user, not UTF-8":      {user("a\xff"), "not valid UTF-8"},
		"user, NUL":            {user("a\x00"), "control character at byte 1"},
		"user, line end":       {user("ü\n"), "control character at byte 2"},
		"user, DEL":            {user("\x7f"), "control character at byte 0"},
		"key":                  {key("progress/1"), ""},
		"key, empty":           {key(""), "state key is empty"},
		"key, too long":        {key(strings.Repeat("k", MaxKey+1)), "state key has 257 bytes, at most 256"},
		"key, cut in a letter": {key("\xc3"), "state key is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				if c.err != nil {
					t.Error(c.err)
				}
				return
			}
			if CodeOf(c.err) != CodeInvalid || !strings.Contains(MessageOf(c.err), c.want) {
				t.Errorf("got %v, want invalid with %q", c.err, c.want)
			}
		})
	}
}

func TestSessionIDHoldsOnlyItsBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := string(rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "id"))
		if rapid.Bool().Draw(t, "likely") {
			id = rapid.StringOfN(rapid.SampledFrom([]rune(nameBytes+"*{ü")), 1, 8, -1).Draw(t, "name")
		}
		want := strings.Trim(id, nameBytes) == ""
		if got := SessionID(id).Validate() == nil; got != want {
			t.Fatalf("%q is valid: %v, want %v", id, got, want)
		}
	})
}
