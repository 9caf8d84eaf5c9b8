package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/server"
)

func TestWebhookSettings(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := file("secret", hookSecret+"\n")
	two := file("two", hookSecret+"\n"+hookSecret+"\n")
	cases := map[string]struct {
		args []string
		want []server.Webhook // secrets apart
		text string           // of the error
	}{
		"none": {},
		"flags": {
			args: []string{"--webhook-url", "https://a.example", "--webhook-secret-file", secret + "," + two,
				"--webhook-events", "holdfast.run.ended", "--webhook-sessions", "a*,b*"},
			want: []server.Webhook{{URL: "https://a.example", Events: []server.WebhookType{"holdfast.run.ended"}, Sessions: []string{"a*", "b*"}}},
		},
		"a file and flags": {
			args: []string{"--webhook-url", "https://c.example", "--webhook-file", file("good", "- name: a\n  url: https://a.example\n  secret-files: ["+secret+"]\n"+
				"- name: b\n  url: https://b.example\n  events: [x]\n  sessions: [\"s*\"]\n")},
			want: []server.Webhook{{Name: "a", URL: "https://a.example"},
				{Name: "b", URL: "https://b.example", Events: []server.WebhookType{"x"}, Sessions: []string{"s*"}}, {URL: "https://c.example"}},
		},
		"an empty file":      {args: []string{"--webhook-file", file("empty", "")}},
		"no URL":             {args: []string{"--webhook-secret-file", secret}, text: "--webhook-url"},
		"no such secret":     {args: []string{"--webhook-url", "https://a.example", "--webhook-secret-file", filepath.Join(dir, "none")}, text: "webhook-secret-file"},
		"a bad secret":       {args: []string{"--webhook-url", "https://a.example", "--webhook-secret-file", file("bad", "hush")}, text: "whsec_"},
		"no such file":       {args: []string{"--webhook-file", filepath.Join(dir, "none")}, text: "webhook-file"},
		"an unknown member":  {args: []string{"--webhook-file", file("unknown", "- name: a\n  uri: https://a.example\n")}, text: "not a list of endpoints"},
		"an endpoint's name": {args: []string{"--webhook-file", file("unnamed", "- url: https://a.example\n")}, text: "no name"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var w webhookSettings
			f := pflag.NewFlagSet("", pflag.ContinueOnError)
			w.register(f)
			if err := f.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			got, err := w.endpoints()
			if c.text != "" {
				if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hush") {
					t.Errorf("got %v, want an error that names %s", err, c.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if name == "flags" && len(got[0].Secrets) != 3 {
				t.Errorf("%d secrets", len(got[0].Secrets))
			}
			for i := range got {
				got[i].Secrets = nil
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// A server whose webhooks cannot work says so instead of starting.
func TestWebhooksThatCannotWork(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(hookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	jwt := filepath.Join(dir, "jwt")
	if out, err := program(t, "token", "--new-secret", jwt).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	serve := []string{"serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--jwt-secret-file", jwt}
	for text, args := range map[string][]string{
		"has no secret":   {"--webhook-url", "https://a.example"},
		"http://… or":     {"--webhook-url", "a.example", "--webhook-secret-file", secret},
		"kept for longer": {"--webhook-url", "https://a.example", "--webhook-secret-file", secret, "--feed-age", "1h"},
	} {
		out, err := program(t, append(serve[:len(serve):len(serve)], args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), text) {
			t.Errorf("got %v and %q, want a failure that names %q", err, out, text)
		}
	}
	out, err := program(t, "webhook", "ls", "--url", "http://"+freeAddr(t), "--token-file", secret).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--url") {
		t.Errorf("the tool without a server: %v, %q", err, out)
	}
}
