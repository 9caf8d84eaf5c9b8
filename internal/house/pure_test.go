package house

import (
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impureCalls are functions that read or wait for the clock, or draw from a shared source of chance. A package maps to
// nil when all of its functions but those in pureCalls are meant.
var impureCalls = map[string][]string{
	"time":         {"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"},
	"context":      {"WithTimeout", "WithTimeoutCause", "WithDeadline", "WithDeadlineCause", "AfterFunc"},
	"math/rand":    nil,
	"math/rand/v2": nil,
}

// pureCalls make a source of chance of a seed that the caller gave.
var pureCalls = []string{"New", "NewSource", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf"}

// impurities returns what a pure package must not do although its imports allow it.
func impurities(f goFile) (found []finding) {
	imported := map[string]string{}
	for _, spec := range f.tree.Imports {
		full, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(full)
		if name == "v2" {
			name = path.Base(path.Dir(full))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imported[name] = full
		if _, bad := impureCalls[full]; bad && name == "." {
			found = append(found, f.at(spec.Pos(), "import %s by its name, so that its use can be seen", full))
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, f.at(n.Pos(), "a pure package starts no goroutine: return an effect and let the shell do it"))
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			full := imported[x.Name]
			calls, known := impureCalls[full]
			if known && (slices.Contains(calls, n.Sel.Name) || calls == nil && !slices.Contains(pureCalls, n.Sel.Name)) {
				found = append(found, f.at(n.Pos(), "a pure package takes time and chance as arguments: pass in the result of %s.%s",
					x.Name, n.Sel.Name))
			}
		}
		return true
	})
	return found
}

func TestPure(t *testing.T) {
	dirs := map[string]int{}
	for _, f := range allGo(t) {
		if dir := "./" + path.Dir(f.path); !f.isTest() && matchesAny(pure, dir, "") {
			dirs[dir]++
			report(t, impurities(f))
		}
	}
	for _, p := range pure {
		if p = strings.TrimSuffix(p, "/..."); dirs[p] == 0 {
			t.Logf("nothing to check yet: %s", p)
		}
	}
}

func TestPureChecks(t *testing.T) {
	f := mustParse(t, "bad.go", `package bad
import ("time"; clock "time"; "math/rand/v2")
func a(now time.Time) { go a(now) }
func b() { _ = time.Now(); _ = clock.NewTimer(0) }
func c() int { return rand.New(rand.NewPCG(1, 2)).IntN(3) + rand.IntN(3) }
var d = time.Since
`)
	wantFindings(t, impurities(f), []string{"bad.go:3: a pure package starts", "bad.go:4: a pure package takes time",
		"clock.NewTimer", "bad.go:5: a pure package takes time and chance as arguments: pass in the result of rand.IntN",
		"bad.go:6"})
}
