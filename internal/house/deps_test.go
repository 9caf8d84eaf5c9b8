package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// pkg is a package as the rules see it. Paths are short: "." is the root, "./wire" is ours, anything else is as imported.
type pkg struct {
	path    string
	name    string
	ours    bool
	imports []string // of its own files without tests, for any platform
	deps    []string // everything below it, on this platform
}

// A rule binds the packages that match who and not but. Patterns are short paths; "/..." at the end stands for the package
// and all below it; "std" is the standard library; "self" is the package and what lies below it. What a rule says holds for
// imports; with deep, never holds for everything below too.
type rule struct {
	name string
	who  []string
	but  []string
	only []string
	not  []string
	deep bool
	why  string
}

const jsonLib = "github.com/go-json-experiment/json/..."

var (
	pure  = []string{"./internal/webhook/schedule/...", "./internal/session/...", "./internal/policy/...", "./internal/presence/..."}
	doors = []string{"./internal/door/...", "./internal/doors/..."}
	// effects are what pure packages leave to the shells around them.
	effects = []string{
		"net", "net/http/...", "net/rpc/...", "net/smtp", "os/...", "log/...", "syscall", "io/ioutil", "crypto/rand",
		"runtime/debug", "expvar",
	}
	forbiddenNames = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base"}
)

// rules are those of docs/architecture.md on imports.
var rules = []rule{
	{
		name: "the vocabulary stands alone", who: []string{"."}, only: []string{"std"},
		why: "package holdfast is the vocabulary: standard library only",
	},
	{
		name: "the wire knows the vocabulary only", who: []string{"./wire/..."},
		only: []string{"std", ".", "self", jsonLib},
		why:  "the protocol can be read and implemented alone",
	},
	{
		name: "transports know no session", who: []string{"./transport/..."}, deep: true,
		not: []string{"./internal/hub/...", "./internal/session/...", "./store/...", "./internal/auth/...",
			"./internal/conn/...", "./server/..."},
		why: "a transport carries bytes; what they mean is decided above it",
	},
	{
		name: "engines know no engine", who: []string{"./store/..."},
		but:  []string{"./store", "./store/storetest/..."},
		only: []string{"std", "third", ".", "self", "./store/driver/...", "./internal/session/..."},
		why:  "an engine implements store/driver and knows neither package store nor another engine",
	},
	{
		name: "the store knows no engine", who: []string{"./store"}, deep: true,
		not: []string{"./store/pebble/...", "./store/memory/...", "./store/redis/...", "./store/postgres/..."},
		why: "package store works on a driver; which one is chosen by who opens it",
	},
	{
		name: "network engines are chosen by the program", who: []string{"./..."},
		but: []string{"./cmd/holdfast/...", "./store/redis/...", "./store/postgres/..."},
		not: []string{"./store/redis/...", "./store/postgres/..."},
		why: "an embedding program does not compile an engine it has not asked for",
	},
	{
		name: "pure packages see no effects", who: pure, not: effects,
		why: "decisions are pure: state, event and now come in, effects are returned",
	},
	{
		name: "pure packages see pure packages", who: pure,
		only: append([]string{"std", ".", "self", "./store/driver", jsonLib}, pure...),
		why:  "whatever a pure package imports has to be pure too",
	},
	{
		name: "the hub knows no HTTP", who: []string{"./internal/hub/..."}, not: []string{"net/http"}, deep: true,
		why: "the hub wakes readers; how they are connected is not its matter",
	},
	{
		name: "a connection declares the interfaces it needs", who: []string{"./internal/conn/..."},
		not: []string{"./internal/auth/...", "./internal/httpapi/...", "./server/...",
			"./store/memory/...", "./store/redis/...", "./store/postgres/..."},
		why: "conn is given what it talks to by server",
	},
	{
		name: "conn is wired by the server", who: []string{"./..."},
		but: []string{"./server/...", "./internal/conn/..."}, not: []string{"./internal/conn/..."},
		why: "only server imports conn",
	},
	edgeRule("httpapi"), edgeRule("durablestreams"), edgeRule("demo"), edgeRule("admin"), edgeRule("webhook"), edgeRule("doctor"),
	{
		name: "doors are wired by the server", who: []string{"./..."},
		but: append([]string{"./server/...", "./cmd/holdfast/..."}, doors...), not: doors,
		why: "only server and cmd/holdfast import the doors",
	},
	{
		name: "product code imports no test code", who: []string{"./..."},
		but: []string{"*test"},
		not: []string{"testing/...", "net/http/httptest", "*test"},
		why: "testing and packages called ...test belong in _test.go files and in packages called ...test",
	},
}

// edgeRule says that a package of the server's outer edge is wired by server or by the program and by nobody else.
func edgeRule(name string) rule {
	p := "./internal/" + name + "/..."
	return rule{
		name: name + " is wired by the server", who: []string{"./..."},
		but: []string{"./server/...", "./cmd/holdfast/...", p}, not: []string{p},
		why: "only server and cmd/holdfast import " + name,
	}
}

// libraries says who may import each third-party library: one place, so that it can be replaced. In tests, and in packages
// called ...test, every library is free.
var libraries = []struct {
	lib string
	by  []string
}{
	{jsonLib, []string{"./..."}},
	{"golang.org/x/...", []string{"./..."}},
	{"github.com/cockroachdb/pebble/v2/...", []string{"./store/pebble"}},
	{"github.com/gobwas/ws/...", []string{"./transport/ws"}},
	{"github.com/gobwas/httphead", []string{"./transport/ws"}},
	{"github.com/klauspost/compress/...", []string{"./transport/ws"}},
	{"github.com/go-jose/go-jose/v4/...", []string{"./internal/auth"}},
	{"github.com/spf13/cobra/...", []string{"./cmd/holdfast/..."}},
	{"github.com/spf13/pflag", []string{"./cmd/holdfast/..."}},
	{"go.yaml.in/yaml/v3", []string{"./cmd/holdfast/..."}},
	{"github.com/prometheus/...", []string{"./internal/metrics"}},
	{"github.com/redis/rueidis/...", []string{"./store/redis"}},
	{"github.com/jackc/pgx/v5/...", []string{"./store/postgres"}},
	{"github.com/anishathalye/porcupine", nil},
	{"github.com/coder/websocket/...", nil},
	{"github.com/google/go-cmp/...", nil},
	{"github.com/rogpeppe/go-internal/...", nil},
	{"github.com/standard-webhooks/standard-webhooks/...", nil},
	{"go.uber.org/goleak", nil},
	{"pgregory.net/rapid", nil},
}

// matches says whether a short path matches a pattern. self is what "self" stands for.
func matches(pattern, p, self string) bool {
	ours := p == "." || strings.HasPrefix(p, "./")
	first, _, _ := strings.Cut(p, "/")
	switch pattern {
	case "std":
		return !ours && !strings.Contains(first, ".")
	case "third":
		return !ours && strings.Contains(first, ".")
	case "./...":
		return ours
	case "self":
		return p == self || strings.HasPrefix(p, self+"/")
	case "*test":
		return ours && strings.HasSuffix(path.Base(p), "test")
	}
	if base, deep := strings.CutSuffix(pattern, "/..."); deep {
		return p == base || strings.HasPrefix(p, base+"/")
	}
	return p == pattern
}

func matchesAny(patterns []string, p, self string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p, self) })
}

// check returns what breaks the rule, and whether there was anything to check.
func (r rule) check(all []pkg) (broken []string, checked bool) {
	targets := len(r.only) > 0 || slices.ContainsFunc(r.not, func(pattern string) bool {
		return !strings.HasPrefix(pattern, "./") || slices.ContainsFunc(all, func(p pkg) bool {
			return matches(pattern, p.path, "")
		})
	})
	for _, p := range all {
		if !p.ours || !matchesAny(r.who, p.path, "") || matchesAny(r.but, p.path, "") {
			continue
		}
		checked = checked || targets
		below := p.imports
		if r.deep {
			below = append(slices.Clone(p.imports), p.deps...)
		}
		slices.Sort(below)
		for _, imp := range slices.Compact(below) {
			if matchesAny(r.not, imp, p.path) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.path, imp, r.why))
			}
		}
		for _, imp := range p.imports {
			if len(r.only) > 0 && !matchesAny(r.only, imp, p.path) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.path, imp, r.why))
			}
		}
	}
	return broken, checked
}

// checkLibraries returns imports of third-party libraries from where they do not belong.
func checkLibraries(all []pkg) (broken []string) {
	for _, p := range all {
		if !p.ours || matches("*test", p.path, "") {
			continue
		}
		for _, imp := range p.imports {
			if !matches("third", imp, "") {
				continue
			}
			i := slices.IndexFunc(libraries, func(l struct {
				lib string
				by  []string
			}) bool {
				return matches(l.lib, imp, "")
			})
			switch {
			case i < 0:
				broken = append(broken, fmt.Sprintf("%s imports %s: a new library; name the one package that may import it "+
					"in the table libraries of internal/house/deps_test.go", p.path, imp))
			case len(libraries[i].by) == 0:
				broken = append(broken, fmt.Sprintf("%s imports %s: this library is for tests only", p.path, imp))
			case !matchesAny(libraries[i].by, p.path, ""):
				broken = append(broken, fmt.Sprintf("%s imports %s: only %s may", p.path, imp,
					strings.Join(libraries[i].by, ", ")))
			}
		}
	}
	return broken
}

// checkNames returns packages whose name says nothing.
func checkNames(all []pkg) (broken []string) {
	for _, p := range all {
		if p.ours && (slices.Contains(forbiddenNames, p.name) || slices.Contains(forbiddenNames, path.Base(p.path))) {
			broken = append(broken, fmt.Sprintf("%s: a package called %q says nothing; name it after its one idea",
				p.path, p.name))
		}
	}
	return broken
}

// checkTypos returns names in the rules that no package has, but that are two letters or less away from one that no
// rule names: most likely the rule, and not the package, is misspelt, and guards nothing.
func checkTypos(rules []rule, all []pkg) (broken []string) {
	var named []string
	for _, r := range rules {
		for _, pattern := range slices.Concat(r.who, r.but, r.only, r.not) {
			if base := strings.TrimSuffix(pattern, "/..."); strings.HasPrefix(base, "./") {
				named = append(named, base)
			}
		}
	}
	for _, l := range libraries {
		for _, by := range l.by {
			named = append(named, strings.TrimSuffix(by, "/..."))
		}
	}
	slices.Sort(named)
	named = slices.Compact(named)
	exists := func(name string) bool {
		return slices.ContainsFunc(all, func(p pkg) bool { return p.ours && matches(name+"/...", p.path, "") })
	}
	for _, name := range named {
		if exists(name) {
			continue
		}
		for _, p := range all {
			if p.ours && path.Dir(p.path) == path.Dir(name) && !slices.Contains(named, p.path) &&
				len(path.Base(name)) > 3 && distance(path.Base(p.path), path.Base(name)) <= 2 {
				broken = append(broken, fmt.Sprintf("a rule names %s, which does not exist: is %s meant? "+
					"Correct internal/house/deps_test.go", name, p.path))
			}
		}
	}
	return broken
}

// distance is the number of letters to insert, remove or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath, Name, Dir string
	Standard              bool
	Module                *struct{ Path string }
	Imports, Deps         []string
	IgnoredGoFiles        []string
}

// listPackages returns our packages and all below them. What does not build is the matter of the build: here it is read as far
// as it goes.
var listPackages = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-e", "-deps",
		"-json=ImportPath,Name,Dir,Standard,Module,Imports,Deps,IgnoredGoFiles", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		p := pkg{path: short(l.ImportPath), name: l.Name, ours: l.Module != nil && l.Module.Path == module}
		if p.ours {
			elsewhere, err := ignoredImports(l)
			if err != nil {
				return nil, err
			}
			l.Imports = append(l.Imports, elsewhere...)
		}
		for _, imp := range l.Imports {
			p.imports = append(p.imports, short(imp))
		}
		for _, dep := range l.Deps {
			p.deps = append(p.deps, short(dep))
		}
		slices.Sort(p.imports)
		p.imports = slices.Compact(p.imports)
		all = append(all, p)
	}
})

// ignoredImports returns the imports of files that are not built on this platform: they are bound by the rules as well.
func ignoredImports(l listed) (imports []string, err error) {
	for _, name := range l.IgnoredGoFiles {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(l.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		if f.Name.Name != l.Name {
			continue // A program beside the package, run by hand.
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			imports = append(imports, imp)
		}
	}
	return imports, nil
}

func short(importPath string) string {
	if importPath == module {
		return "."
	}
	if rest, ours := strings.CutPrefix(importPath, module+"/"); ours {
		return "./" + rest
	}
	return importPath
}

func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := listPackages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDeps(t *testing.T) {
	all := packages(t)
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			broken, checked := r.check(all)
			for _, b := range broken {
				t.Error(b)
			}
			if !checked {
				t.Logf("nothing to check yet: %q", r.name)
			}
		})
	}
	for name, check := range map[string]func([]pkg) []string{
		"libraries": checkLibraries,
		"names":     checkNames,
		"typos":     func(all []pkg) []string { return checkTypos(rules, all) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, b := range check(all) {
				t.Error(b)
			}
		})
	}
}

// TestDepsTemplates keeps the template packages out of our own code: calling a method by its name, as they do, switches off
// the linker's removal of dead code for the whole program. Where a library imports them the build script looks at what
// has really been linked.
func TestDepsTemplates(t *testing.T) {
	all := packages(t)
	i := slices.IndexFunc(all, func(p pkg) bool { return p.path == "./cmd/holdfast" })
	if i < 0 {
		t.Log("nothing to check yet: ./cmd/holdfast")
		return
	}
	linked := append(all[i].deps, all[i].path)
	for _, p := range all {
		for _, lib := range []string{"text/template", "html/template", "testing"} {
			switch {
			case !slices.Contains(linked, p.path) || !slices.Contains(p.imports, lib) || p.path == "html/template":
			case p.ours:
				t.Errorf("%s imports %s, which does not belong in the program; write the text by hand", p.path, lib)
			default:
				t.Logf("library %s imports %s", p.path, lib)
			}
		}
	}
}

// TestDepsChecks shows that each rule can be broken.
func TestDepsChecks(t *testing.T) {
	one := func(path string, imports ...string) pkg {
		return pkg{path: path, name: strings.TrimPrefix(path[strings.LastIndex(path, "/")+1:], "."), ours: true,
			imports: imports, deps: imports}
	}
	cases := map[string]struct {
		all  []pkg
		want string
	}{
		"the vocabulary stands alone":             {[]pkg{one(".", "github.com/x/y")}, ". imports github.com/x/y"},
		"the wire knows the vocabulary only":      {[]pkg{one("./wire", "./store/driver")}, "./wire imports ./store/driver"},
		"transports know no session":              {[]pkg{one("./transport/ws", "./internal/hub"), one("./internal/hub")}, "./internal/hub"},
		"engines know no engine":                  {[]pkg{one("./store/redis", "./store/memory")}, "./store/memory"},
		"the store knows no engine":               {[]pkg{one("./store", "./store/pebble"), one("./store/pebble")}, "./store/pebble"},
		"network engines are chosen by":           {[]pkg{one("./server", "./store/redis"), one("./store/redis")}, "./store/redis"},
		"pure packages see no effects":            {[]pkg{one("./internal/policy", "log/slog")}, "log/slog"},
		"pure packages see pure packages":         {[]pkg{one("./internal/session", "./transport")}, "./transport"},
		"the hub knows no HTTP":                   {[]pkg{one("./internal/hub", "net/http")}, "net/http"},
		"a connection declares the interfaces":    {[]pkg{one("./internal/conn", "./internal/auth"), one("./internal/auth")}, "./internal/auth"},
		"conn is wired by the server":             {[]pkg{one("./client", "./internal/conn"), one("./internal/conn")}, "./internal/conn"},
		"admin is wired by the server":            {[]pkg{one("./internal/hub", "./internal/admin"), one("./internal/admin")}, "./internal/admin"},
		"doors are wired by the server":           {[]pkg{one("./client", "./internal/door/jarvis"), one("./internal/door/jarvis")}, "jarvis"},
		"product code imports no test code":       {[]pkg{one("./server", "testing")}, "./server imports testing"},
		"product code imports no test code, ours": {[]pkg{one("./server", "./store/storetest"), one("./store/storetest")}, "storetest"},
	}
	for name, c := range cases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			ruleName, _, _ := strings.Cut(name, ",")
			i := slices.IndexFunc(rules, func(r rule) bool { return strings.HasPrefix(r.name, ruleName) })
			if i < 0 {
				t.Fatal("no such rule")
			}
			broken, checked := rules[i].check(c.all)
			if !checked || len(broken) != 1 || !strings.Contains(broken[0], c.want) {
				t.Errorf("got %q (checked: %v), want one breach with %q", broken, checked, c.want)
			}
		})
	}
	tables := map[string]struct {
		got  []string
		want string
	}{
		"library elsewhere": {checkLibraries([]pkg{one("./server", "github.com/gobwas/ws")}), "only ./transport/ws may"},
		"library for tests": {checkLibraries([]pkg{one("./server", "pgregory.net/rapid")}), "for tests only"},
		"library unknown":   {checkLibraries([]pkg{one("./server", "example.com/new")}), "a new library"},
		"name":              {checkNames([]pkg{one("./internal/util")}), "says nothing"},
		"typo": {checkTypos([]rule{{who: []string{"./internal/polcy"}}}, []pkg{one("./internal/policy")}),
			"is ./internal/policy meant?"},
	}
	for name, c := range tables {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if len(c.got) != 1 || !strings.Contains(c.got[0], c.want) {
				t.Errorf("got %q, want one breach with %q", c.got, c.want)
			}
		})
	}
}
