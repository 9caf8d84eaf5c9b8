package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/auth"
)

// operated is a server with an operator's page.
func operated(t *testing.T) (p *process, at []string) {
	t.Helper()
	dir := t.TempDir()
	look, act := filepath.Join(dir, "look"), filepath.Join(dir, "act")
	for _, path := range []string{look, act} {
		if err := auth.SaveSecret(path, auth.NewSecret()); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddr(t)
	p = startProcess(t, "--admin-addr", addr, "--admin-password-file", look, "--admin-act-password-file", act)
	return p, []string{"--admin-url", "http://" + addr, "--admin-password-file", look}
}

func TestConsole(t *testing.T) {
	p, at := operated(t)
	if err := p.call(t.Context(), "POST", "/v1/sessions/chat-1/entries", p.token(auth.Claims{Backend: true}), map[string]any{"id": "m1", "data": 1}, nil); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if err := auth.SaveSecret(other, auth.NewSecret()); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		fail bool
		says string
	}{
		"top":            {append([]string{"top", "--times", "2", "--every", "10ms"}, at...), false, "serving"},
		"session":        {append([]string{"trace", "session", "chat-1"}, at...), false, `message     chat-1`},
		"nothing":        {append([]string{"trace", "user", "nobody"}, at...), true, "remembers nothing of user nobody"},
		"unknown kind":   {append([]string{"trace", "run", "4"}, at...), true, "session, user or conn"},
		"wrong password": {[]string{"top", at[0], at[1], "--admin-password-file", other}, true, "refuses the password"},
		"no password":    {[]string{"top", at[0], at[1]}, true, "refuses the password"},
		"nobody there":   {[]string{"top", "--admin-url", "http://" + freeAddr(t)}, true, "cannot be reached"},
		"never":          {append([]string{"top", "--every", "0s"}, at...), true, "more than 0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, tc.args...).CombinedOutput()
			if (err != nil) != tc.fail || !strings.Contains(string(out), tc.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// What is missing for the operator's page is said before the server serves.
func TestAdminSettings(t *testing.T) {
	dir := t.TempDir()
	key, short := filepath.Join(dir, "key"), filepath.Join(dir, "short")
	if err := auth.SaveSecret(key, auth.NewSecret()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := []string{"serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--jwt-secret-file", key, "--admin-addr", "127.0.0.1:0"}
	cases := map[string]struct {
		args []string
		says string
	}{
		"no password":    {nil, "--admin-password-file"},
		"no such file":   {[]string{"--admin-password-file", filepath.Join(dir, "none")}, "cannot be opened"},
		"too short":      {[]string{"--admin-password-file", short}, "at least 32 random ones"},
		"same":           {[]string{"--admin-password-file", key, "--admin-act-password-file", key}, "are the same"},
		"audit nowhere":  {[]string{"--admin-password-file", key, "--audit-file", filepath.Join(dir, "no", "where")}, "--audit-file"},
		"address in use": {[]string{"--admin-password-file", key, "--admin-addr", "256.0.0.1:1"}, "cannot listen"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, append(serve, tc.args...)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), tc.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
