package house

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"
	"testing"
)

// A word that must not get into the repository. The patterns are written so that they do not match their own text.
type word struct {
	pattern *regexp.Regexp
	what    string
	// skip are file names that the tools write themselves.
	skip []string
}

var words = []word{
	{
		regexp.MustCompile(`(?i)npm[j]s\.(org|com)|yarn[p]kg\.com|\b(proxy|sum)\.go[l]ang\.org|\bgo[p]roxy\.(io|cn)`),
		"the host of a package registry: which one is used is decided by the machine, not by the repository",
		[]string{"go.sum", "package-lock.json"},
	},
	{
		regexp.MustCompile(`(?i)\b(deb|security|archive|snapshot|ftp|packages)\.de[b]ian\.org|\barchive\.ubu[n]tu\.com`),
		"the host of a distribution: which mirror is used is decided by the machine, not by the repository", nil,
	},
	{
		// What is relative is left alone: there, a dot or a variable stands before the slash.
		regexp.MustCompile(`(^|[^\w.$})/-])/(wo[r]k|ro[o]t|ho[m]e)/`),
		"a path of one machine: use a relative path or a temporary directory", nil,
	},
}

func TestWords(t *testing.T) {
	for _, file := range files(t, func(string) bool { return true }) {
		for _, w := range words {
			if !skips(w, file) {
				report(t, grep(t, file, w.pattern, w.what))
			}
		}
	}
}

func skips(w word, file string) bool {
	for _, s := range w.skip {
		if path.Base(file) == s {
			return true
		}
	}
	return false
}

// resolvedAddresses returns the packages of an npm lock file that are bound to a download address.
func resolvedAddresses(file, content string) (found []finding) {
	var lock struct {
		Packages map[string]struct {
			Resolved string `json:"resolved"`
		} `json:"packages"`
	}
	if err := json.Unmarshal([]byte(content), &lock); err != nil {
		return []finding{{file, 1, "not a lock file: " + err.Error()}}
	}
	for name, p := range lock.Packages {
		if strings.HasPrefix(p.Resolved, "http") {
			found = append(found, finding{file, 1, name + " is bound to a download address: set " +
				"omit-lockfile-registry-resolved=true in .npmrc and write the lock file again"})
		}
	}
	return found
}

func TestWordsLockFiles(t *testing.T) {
	for _, file := range files(t, func(f string) bool { return path.Base(f) == "package-lock.json" }) {
		content, _ := text(t, file)
		report(t, resolvedAddresses(file, content))
	}
}

func TestWordsChecks(t *testing.T) {
	cases := map[string]struct {
		line string
		bad  bool
	}{
		"npm":           {"https://registry.npm" + "js.org/x", true},
		"Go proxy":      {"GOPROXY=https://proxy.go" + "lang.org", true},
		"Go sums":       {"sum.go" + "lang.org", true},
		"Go module":     {"golang.org/x/time/rate", false},
		"Debian":        {"deb http://deb.de" + "bian.org/debian stable main", true},
		"Debian's name": {"on Debian, apt-get install chromium", false},
		"machine path":  {"cd /wo" + "rk/main", true},
		"root's home":   {`path := "/ro` + `ot/go/pkg"`, true},
		"a user's home": {"/ho" + "me/me/src", true},
		"relative path": {"../wo" + "rk/x ./ro" + "ot/ $HOME/ro" + "ot/x", false},
		"a temp path":   {"mktemp -d /tmp/x", false},
	}
	for name, c := range cases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			bad := false
			for _, w := range words {
				bad = bad || len(grepText("x", c.line, w.pattern, w.what)) > 0
			}
			if bad != c.bad {
				t.Errorf("%q: got %v, want %v", c.line, bad, c.bad)
			}
		})
	}
	wantFindings(t, resolvedAddresses("package-lock.json", `{"packages":{"a":{"version":"1"},"b":{"resolved":"https://x"},
		"c":{"resolved":"packages/c","link":true}}}`), []string{"b is bound"})
}
