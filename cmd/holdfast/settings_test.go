package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast/holdfast"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

// reference is the page of all settings of serve.
func reference() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nThe settings of `holdfast serve`. Generated from its flags; do not edit.\n\n" +
		"Each may be given as a flag, as an environment variable, or in the file that `--config` names (YAML, the names of the\n" +
		"flags as keys); the first of these that is there counts. Lists are separated by commas. Names that do not exist are\n" +
		"refused. `holdfast dev` lacks keys (`jwt-…`), the certificate (`tls-…`), proxies, the limits of users, addresses and\n" +
		"the server, `bytes-rate`, `take-over` and `config`, and listens on `127.0.0.1:8080`, its operator's page on a free port;\n" +
		"`holdfast dev --help` lists what it has.\n\n| flag | variable | default | |\n|---|---|---|---|\n")
	serveCommand().Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		value := f.DefValue
		if value == "" || value == "[]" {
			value = " "
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Name, envName(f.Name), strings.TrimSpace("`"+value+"`"), strings.ReplaceAll(f.Usage, "|", `\|`))
	})
	return strings.ReplaceAll(b.String(), "| ` ` |", "| |")
}

func TestReferenceIsCurrent(t *testing.T) {
	const page = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, []byte(reference()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reference(), string(got)); diff != "" {
		t.Errorf("%s differs from the flags; write it anew with go test ./cmd/holdfast -run Reference -update:\n%s", page, diff)
	}
}

func TestSettle(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "holdfast.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cases := map[string]struct {
		args []string
		env  map[string]string
		file string
		flag string
		want string
		text string // of the error
	}{
		"default":                   {flag: "beat", want: "10s"},
		"file":                      {file: "beat: 15s", flag: "beat", want: "15s"},
		"file: a number":            {file: "max-data: 1000", flag: "max-data", want: "1000"},
		"file: a list":              {file: "origins: [https://a.example, https://b.example]", flag: "origins", want: "[https://a.example,https://b.example]"},
		"file: an empty value":      {file: "addr:", flag: "addr", want: ":8080"},
		"environment":               {env: map[string]string{"HOLDFAST_BEAT": "11s"}, file: "beat: 10s", flag: "beat", want: "11s"},
		"flag":                      {args: []string{"--beat", "12s"}, env: map[string]string{"HOLDFAST_BEAT": "11s"}, flag: "beat", want: "12s"},
		"file: unknown setting":     {file: "beet: 10s", text: `"beet"`},
		"file: not YAML":            {file: "beat: [", text: "not valid YAML"},
		"file: members":             {file: "beat: {a: b}", text: "beat"},
		"file: wrong type":          {file: "beat: soon", text: "beat in the configuration file"},
		"file: names itself":        {file: "config: other.yaml", text: `"config"`},
		"environment: unknown":      {env: map[string]string{"HOLDFAST_BEET": "1"}, text: "HOLDFAST_BEET"},
		"environment: wrong type":   {env: map[string]string{"HOLDFAST_BEAT": "1"}, text: "HOLDFAST_BEAT"},
		"environment: of the tests": {env: map[string]string{"HOLDFAST_TEST_X": "1"}, flag: "beat", want: "10s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if c.file != "" {
				c.args = append(c.args, "--config", file(c.file))
			}
			cmd := serveCommand()
			var settled error
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { settled = settle(cmd); return nil }
			cmd.SetArgs(append([]string{}, c.args...)) // nil would mean the tests' own
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			if c.text != "" {
				if holdfast.CodeOf(settled) != holdfast.CodeInvalid || !strings.Contains(settled.Error(), c.text) {
					t.Errorf("got %v, want an error that names %s", settled, c.text)
				}
				return
			}
			if settled != nil {
				t.Fatal(settled)
			}
			if got := cmd.Flags().Lookup(c.flag).Value.String(); got != c.want {
				t.Errorf("%s is %q, want %q", c.flag, got, c.want)
			}
		})
	}
}

// Commands that cannot do what they are asked say what to do instead, and fail.
func TestCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	cases := map[string]struct {
		args []string
		text string
	}{
		"serve without a key":    {[]string{"serve", "--addr", "127.0.0.1:0", "--data", dir}, "--jwt-secret-file"},
		"serve with a bad level": {[]string{"serve", "--log-level", "loud"}, "debug, info, warn or error"},
		"serve with a word":      {[]string{"serve", "now"}, "unknown command"},
		"no such command":        {[]string{"sing"}, "unknown command"},
		"token of nobody":        {[]string{"token", "--data", dir}, "holdfast dev"},
		"store that is not":      {[]string{"store", "ls", "--data", filepath.Join(dir, "none")}, "there is no store"},
		"verify what is not":     {[]string{"store", "verify", "--data", filepath.Join(dir, "none")}, "there is no store"},
		"cat without a session":  {[]string{"store", "cat"}, "arg"},
		"address in use":         {[]string{"dev", "--addr", "256.0.0.1:1", "--data", dir}, "--addr"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := program(t, c.args...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), c.text) {
				t.Errorf("got %v and %q, want a failure that names %q", err, out, c.text)
			}
			if lines := strings.Count(string(out), "\n"); lines != 1 {
				t.Errorf("%d lines were printed, want one:\n%s", lines, out)
			}
		})
	}
}

// A server that is asked to stop stops, without a complaint.
func TestStopsOnSignal(t *testing.T) {
	p := startProcess(t)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, p.out.String())
	}
}
