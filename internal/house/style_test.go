package house

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The budgets. They bind Go files that are neither tests nor generated, in all modules of the repository.
const (
	maxFuncLines  = 100 // unless a line of its comment starts with "Long because"
	p90FuncLines  = 40
	maxFileLines  = 600
	maxParameters = 5  // the receiver is not counted, a context is
	maxFields     = 15 // of a struct, or of each of its groups
)

// funcSize is the length of one function, from "func" to its closing brace.
type funcSize struct {
	lines int
	where string
}

// style returns what breaks a budget in one file, and the sizes of its functions.
func style(f goFile) (found []finding, sizes []funcSize) {
	if n := strings.Count(f.src, "\n"); n > maxFileLines {
		found = append(found, finding{f.path, n, fmt.Sprintf("the file has %d lines, the budget is %d: move one concept to a "+
			"file named after it", n, maxFileLines)})
	}
	for _, decl := range f.tree.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok {
			lines := f.line(fn.End()) - f.line(fn.Pos()) + 1
			sizes = append(sizes, funcSize{lines, fmt.Sprintf("%s:%d %s", f.path, f.line(fn.Pos()), fn.Name.Name)})
			if lines > maxFuncLines && !longBecause.MatchString(fn.Doc.Text()) {
				found = append(found, f.at(fn.Pos(), "func %s has %d lines, the budget is %d: split it, or add a line \"Long "+
					"because ...\" to its comment", fn.Name.Name, lines, maxFuncLines))
			}
			if fn.Name.Name == "init" && fn.Recv == nil {
				found = append(found, f.at(fn.Pos(), "func init does work that nobody asked for: call it from where it is needed"))
			}
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			if p := n.Params.NumFields(); p > maxParameters {
				found = append(found, f.at(n.Pos(), "%d parameters, the budget is %d: make a struct of those that belong together",
					p, maxParameters))
			}
		case *ast.StructType:
			found = append(found, fields(f, n)...)
		case *ast.GoStmt:
			if !commented(f, n) && !inTestPackage(f) {
				found = append(found, f.at(n.Pos(), "say on the line above who waits for this goroutine and when it ends"))
			}
		}
		return true
	})
	return found, sizes
}

var longBecause = regexp.MustCompile(`(?m)^Long because \S`)

// fields checks the size of a struct. One with many fields is split into groups by comments on lines of their own.
func fields(f goFile, s *ast.StructType) (found []finding) {
	if s.Fields.NumFields() <= maxFields {
		return nil
	}
	first, count := f.line(s.Pos()), 0
	closeGroup := func() {
		if count > maxFields {
			found = append(found, finding{f.path, first, fmt.Sprintf("%d fields in one group, the budget is %d: split the struct, "+
				"or the group by a comment that says who may touch what follows", count, maxFields)})
		}
	}
	above := 0 // The line on which the field before ended: a comment there is its own.
	for _, field := range s.Fields.List {
		line := f.line(field.Pos())
		if slices.ContainsFunc(f.tree.Comments, func(c *ast.CommentGroup) bool {
			return c.Pos() > s.Fields.Opening && f.line(c.Pos()) > above && f.line(c.End()) < line
		}) {
			closeGroup()
			first, count = line, 0
		}
		count += max(1, len(field.Names))
		above = f.line(field.End())
	}
	closeGroup()
	return found
}

// commented says whether a comment stands on the line of a statement or ends on the line above.
func commented(f goFile, n ast.Node) bool {
	line := f.line(n.Pos())
	return slices.ContainsFunc(f.tree.Comments, func(c *ast.CommentGroup) bool {
		return (f.line(c.End()) == line-1 || f.line(c.Pos()) == line) && len(c.Text()) > 10
	})
}

// inTestPackage says whether a file belongs to a package that tests others, such as a conformance suite.
func inTestPackage(f goFile) bool { return strings.HasSuffix(f.tree.Name.Name, "test") }

// wellKnown are methods whose meaning is that of an interface everybody knows.
var wellKnown = []string{"Error", "String", "Unwrap"}

// documented returns exported names without documentation, in packages that others can import.
func documented(f goFile) (found []finding) {
	if f.tree.Name.Name == "main" {
		return nil
	}
	for _, decl := range f.tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d)) && !slices.Contains(wellKnown, d.Name.Name)) {
				found = append(found, startsWith(f, d.Name, d.Doc)...)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				found = append(found, documentedSpec(f, d, spec)...)
			}
		}
	}
	return found
}

// documentedSpec checks one type, constant or variable. In a list in parentheses a comment above the list or beside the name
// will do, and need not start with the name.
func documentedSpec(f goFile, d *ast.GenDecl, spec ast.Spec) (found []finding) {
	list := d.Lparen.IsValid()
	switch s := spec.(type) {
	case *ast.TypeSpec:
		doc := s.Doc
		if doc == nil && !list {
			doc = d.Doc
		}
		if s.Name.IsExported() {
			found = startsWith(f, s.Name, doc)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			switch {
			case !name.IsExported():
			case !list:
				found = append(found, startsWith(f, name, d.Doc)...)
			case s.Doc == nil && s.Comment == nil && d.Doc == nil:
				found = append(found, f.at(name.Pos(), "%s is exported and has no comment: say what it means", name.Name))
			}
		}
	}
	return found
}

func startsWith(f goFile, name *ast.Ident, doc *ast.CommentGroup) []finding {
	words := strings.Fields(doc.Text())
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		return []finding{f.at(name.Pos(), "%s is exported and has no comment: write one that starts with its name", name.Name)}
	case strings.TrimRight(words[0], ",:.") != name.Name && strings.TrimSuffix(words[0], "'s") != name.Name:
		return []finding{f.at(name.Pos(), "the comment of %s starts with %q: start it with the name", name.Name, words[0])}
	}
	return nil
}

// receiver returns the name of the type a method belongs to.
func receiver(d *ast.FuncDecl) string {
	x := d.Recv.List[0].Type
	for {
		switch t := x.(type) {
		case *ast.StarExpr:
			x = t.X
		case *ast.IndexExpr:
			x = t.X
		case *ast.IndexListExpr:
			x = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

// sleeps returns sleeps in a test.
func sleeps(f goFile) (found []finding) {
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
				found = append(found, f.at(s.Pos(), "a test does not sleep: wait for a signal, or use testing/synctest and "+
					"synctest.Wait with a timer"))
			}
		}
		return true
	})
	return found
}

// undocumentedPackages returns packages of which no file has a package comment.
func undocumentedPackages(all []goFile) (found []finding) {
	seen := map[string]bool{}
	first := map[string]goFile{}
	for _, f := range all {
		dir := path.Dir(f.path)
		if _, ok := first[dir]; !ok {
			first[dir] = f
		}
		seen[dir] = seen[dir] || f.tree.Doc.Text() != ""
	}
	for dir, f := range first {
		if !seen[dir] {
			found = append(found, f.at(f.tree.Package, "package %s has no comment: say in one of its files what it is for", f.tree.Name))
		}
	}
	return found
}

func TestStyle(t *testing.T) {
	var product []goFile
	for _, f := range allGo(t) {
		if !f.isTest() && !f.isGenerated() {
			product = append(product, f)
		}
	}
	var sizes []funcSize
	for _, f := range product {
		found, s := style(f)
		sizes = append(sizes, s...)
		report(t, found)
		report(t, documented(f))
	}
	report(t, undocumentedPackages(product))
	if len(sizes) == 0 {
		t.Fatal("no function found: the counter looks in the wrong place")
	}
	report(t, summarize(t, product, sizes))
}

// summarize logs the figures that tell tired code from fresh, and returns whether the long tail is over its budget.
func summarize(t *testing.T, product []goFile, sizes []funcSize) (found []finding) {
	slices.SortFunc(sizes, func(a, b funcSize) int { return a.lines - b.lines })
	at := func(percent int) funcSize { return sizes[(len(sizes)-1)*percent/100] }
	lines, goroutines := 0, 0
	largest := product[0]
	for _, f := range product {
		n := strings.Count(f.src, "\n")
		lines += n
		if n > strings.Count(largest.src, "\n") {
			largest = f
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				goroutines++
			}
			return true
		})
	}
	t.Logf("%d files, %d lines, %d go statements, largest file %s with %d lines", len(product), lines, goroutines,
		largest.path, strings.Count(largest.src, "\n"))
	t.Logf("%d functions: median %d, p90 %d, p99 %d lines, max %d (%s)", len(sizes), at(50).lines, at(90).lines,
		at(99).lines, at(100).lines, at(100).where)
	if p90 := at(90); p90.lines > p90FuncLines {
		found = append(found, finding{p90.where, 0, fmt.Sprintf("one function in ten has %d lines or more, the budget is %d: "+
			"split the longest", p90.lines, p90FuncLines)})
	}
	return found
}

func TestStyleSleeps(t *testing.T) {
	for _, f := range allGo(t) {
		if f.isTest() || inTestPackage(f) {
			report(t, sleeps(f))
		}
	}
}

// unfinished matches marks of work left undone. It is put together so that it does not match itself.
var unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"}, "|") + `)\b`)

func TestStyleUnfinished(t *testing.T) {
	kinds := []string{".go", ".ts", ".tsx", ".mjs", ".js", ".sh", ".css", ".html", ".md", ".yml", ".yaml", ""}
	mine := files(t, func(f string) bool {
		return hasExt(f, kinds...) && !hasDir(f, "testdata") && !hasDir(f, "assets")
	})
	for _, file := range mine {
		report(t, grep(t, file, unfinished, "a mark of unfinished work: finish it, or write down the decision not to"))
	}
}

// grep returns the lines of a text file that match.
func grep(t *testing.T, file string, pattern *regexp.Regexp, what string) (found []finding) {
	content, ok := text(t, file)
	if !ok {
		return nil
	}
	return grepText(file, content, pattern, what)
}

func grepText(file, content string, pattern *regexp.Regexp, what string) (found []finding) {
	for i, line := range strings.Split(content, "\n") {
		if m := pattern.FindString(line); m != "" {
			found = append(found, finding{file, i + 1, fmt.Sprintf("%q: %s", strings.TrimSpace(m), what)})
		}
	}
	return found
}

func TestStyleChecks(t *testing.T) {
	names := func(n int) string { // n fields, one a line
		return strings.Repeat("\tx int\n", n)
	}
	lines := func(n int) string { return strings.Repeat("\t_ = 0\n", n) }
	cases := map[string]struct {
		src  string
		want []string
	}{
		"long function":           {"func a() {\n" + lines(99) + "}", []string{"func a has 101 lines"}},
		"longest function":        {"func a() {\n" + lines(98) + "}", nil},
		"long with a reason":      {"// a is long.\n// Long because it is a table.\nfunc a() {\n" + lines(120) + "}", nil},
		"long file":               {strings.Repeat("// x\n", 600), []string{"the file has 60"}},
		"init":                    {"func init() {}", []string{"func init does work"}},
		"parameters":              {"func a(b, c, d int, e, f string, g int) {}", []string{"6 parameters"}},
		"parameters of a literal": {"var a = func(b, c, d, e, f, g int) {}", []string{"6 parameters"}},
		"five parameters":         {"func (x y) a(b, c, d, e, f int) {}", nil},
		"small struct":            {"type a struct {\n" + names(15) + "}", nil},
		"struct without groups":   {"type a struct {\n\t// all\n" + names(16) + "}", []string{"16 fields in one group"}},
		"struct with groups":      {"type a struct {\n\t// one\n" + names(9) + "\n\t// two\n\n" + names(9) + "}", nil},
		"group without a comment": {"type a struct {\n" + names(9) + "\n" + names(9) + "}", []string{"18 fields"}},
		"comments beside fields":  {"type a struct {\n" + strings.Repeat("\tx int // y\n", 16) + "}", []string{"16 fields"}},
		"heading without a gap":   {"type a struct {\n" + names(9) + "\t// two\n" + names(9) + "}", nil},
		"options":                 {"type a struct {\n" + strings.Repeat("\t// x is documented.\n\tx int\n\n", 20) + "}", nil},
		"bare go":                 {"func a() {\n\n\tgo a()\n}", []string{"who waits for this goroutine"}},
		"go with a comment":       {"func a() {\n\t// a waits; ends with ctx.\n\tgo a()\n}", nil},
	}
	for name, c := range cases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			found, _ := style(mustParse(t, "bad.go", "package bad\n\n"+c.src+"\n"))
			wantFindings(t, found, c.want)
		})
	}
	docs := mustParse(t, "docs.go", `package docs
func A() {}
// Other is B.
func B() {}
// C is right.
func C() {}
type d struct{}
func (d) E() {}
// The F is right.
type F struct{}
func (*F) G() {}
func (*F) String() {}
const (
	H = 1
	I = 2 // right
)
// What they mean.
var (
	J, K int
)
var L int
`)
	wantFindings(t, documented(docs), []string{"A is exported and has no comment", `comment of B starts with "Other"`,
		"G is exported", "H is exported", "L is exported"})
	wantFindings(t, undocumentedPackages([]goFile{docs}), []string{"package docs has no comment"})
	wantFindings(t, sleeps(mustParse(t, "a_test.go", "package a\nimport \"time\"\nfunc a() { time."+"Sleep(1) }")),
		[]string{"a test does not sleep"})
	wantFindings(t, grepText("a.go", "x\n// TO"+"DO: y\nTO"+"DOS", unfinished, "unfinished"), []string{"a.go:2"})
}
