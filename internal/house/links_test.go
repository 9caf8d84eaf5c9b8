package house

import (
	"fmt"
	"go/ast"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// guarantees is the document that says which clause of the contract holds, and by which tests.
const guarantees = "docs/guarantees.md"

// clauses is the number of clauses of the contract.
const clauses = 12

var (
	inlineLink = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)`)
	refLink    = regexp.MustCompile(`^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?`)
	htmlLink   = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	htmlAnchor = regexp.MustCompile(`<[^>]+\b(?:id|name)="([^"]+)"`)
	heading    = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	codeSpan   = regexp.MustCompile("`([^`]+)`")
	goTest     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*(?:…|\.\.\.|\*)?`)
	clauseTest = regexp.MustCompile(`^TestClause(\d+)`)
	filePath   = regexp.MustCompile(`^[\w@.-]+(/[\w@.-]+)*\.(go|ts|tsx|mjs|js|json|txtar|txt|md|sh|yml|yaml|css|html)$`)
)

// document is a Markdown file with its code blocks blanked out.
type document struct {
	path  string
	lines []string
}

func parseDocument(file, content string) document {
	lines := strings.Split(content, "\n")
	fence := ""
	for i, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
			lines[i] = ""
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
			lines[i] = ""
		}
	}
	return document{file, lines}
}

// anchors returns what a link into the document may end with, named as code hosts name headings.
func (d document) anchors() map[string]bool {
	out := map[string]bool{}
	for _, line := range d.lines {
		for _, m := range htmlAnchor.FindAllStringSubmatch(line, -1) {
			out[m[1]] = true
		}
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		base := slug(m[1])
		name := base
		for n := 1; out[name]; n++ {
			name = base + "-" + strconv.Itoa(n)
		}
		out[name] = true
	}
	return out
}

func slug(title string) string {
	title = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(title, "$1")
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case unicode.IsLetter(r), unicode.IsNumber(r), r == '-', r == '_':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// checkLinks returns links of a document that lead nowhere. exists says whether a file or a directory of the repository
// exists; anchors returns those of a document.
func (d document) checkLinks(exists func(string) bool, anchors func(string) map[string]bool) (found []finding) {
	for i, line := range d.lines {
		line = codeSpan.ReplaceAllString(line, "")
		var targets []string
		for _, pattern := range []*regexp.Regexp{inlineLink, refLink, htmlLink} {
			for _, m := range pattern.FindAllStringSubmatch(line, -1) {
				targets = append(targets, m[1])
			}
		}
		for _, target := range targets {
			if what := d.checkLink(target, exists, anchors); what != "" {
				found = append(found, finding{d.path, i + 1, what})
			}
		}
	}
	return found
}

func (d document) checkLink(target string, exists func(string) bool, anchors func(string) map[string]bool) string {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Sprintf("link %q: %v", target, err)
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	to := d.path
	if u.Path != "" {
		to = path.Join(path.Dir(d.path), u.Path)
		if strings.HasPrefix(u.Path, "/") {
			return fmt.Sprintf("link %q: make it relative to this file, so that it works everywhere", target)
		}
		if !exists(to) {
			return fmt.Sprintf("link %q: there is no %s in the repository", target, to)
		}
	}
	switch {
	case u.Fragment == "":
		return ""
	case path.Ext(to) != ".md":
		return fmt.Sprintf("link %q: lines of a file move; link to the file and name what is meant", target)
	case !anchors(to)[u.Fragment]:
		return fmt.Sprintf("link %q: %s has no heading for #%s", target, to, u.Fragment)
	}
	return ""
}

// checkTests returns names of Go tests in a document that do not exist. A name that ends with an ellipsis stands for
// all that start with it.
func (d document) checkTests(tests []string) (found []finding) {
	for i, line := range d.lines {
		for _, name := range goTest.FindAllString(line, -1) {
			if !testExists(name, tests) {
				found = append(found, finding{d.path, i + 1, fmt.Sprintf("there is no test %s: name one that exists", name)})
			}
		}
	}
	return found
}

func testExists(name string, tests []string) bool {
	for _, ellipsis := range []string{"…", "...", "*"} {
		if prefix, cut := strings.CutSuffix(name, ellipsis); cut {
			return slices.ContainsFunc(tests, func(t string) bool { return strings.HasPrefix(t, prefix) })
		}
	}
	return slices.Contains(tests, name)
}

// checkFiles returns files named in code spans that do not exist.
func (d document) checkFiles(exists func(string) bool) (found []finding) {
	for i, line := range d.lines {
		for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
			if strings.Contains(m[1], "/") && filePath.MatchString(m[1]) && !exists(m[1]) && !exists(path.Join(path.Dir(d.path), m[1])) {
				found = append(found, finding{d.path, i + 1, fmt.Sprintf("there is no file %s: name one that exists", m[1])})
			}
		}
	}
	return found
}

var (
	clauseHeading = regexp.MustCompile(`^#{2,4}\s+(?:Clause\s+)?(\d+)[.:)]?\s`)
	clauseRow     = regexp.MustCompile(`^\|\s*(\d+)[. |]`)
	notHeld       = regexp.MustCompile(`(?i)\bnot\s+(?:yet\s+)?held\b`)
	held          = regexp.MustCompile(`(?i)\bheld\b`)
)

// clause is what the document says of one clause of the contract: its section under a heading "## 3. Order", or its row
// in a table whose first column is the number.
type clause struct {
	line int
	text string
}

func (d document) clauses() map[int]clause {
	out := map[int]clause{}
	current := 0
	add := func(n, line int, text string) {
		c, known := out[n]
		if !known {
			c.line = line
		}
		c.text += text + "\n"
		out[n] = c
	}
	for i, line := range d.lines {
		if m := clauseHeading.FindStringSubmatch(line); m != nil {
			current, _ = strconv.Atoi(m[1])
		} else if heading.MatchString(line) && !strings.HasPrefix(line, "####") {
			current = 0
		}
		if m := clauseRow.FindStringSubmatch(line); m != nil && current == 0 {
			n, _ := strconv.Atoi(m[1])
			add(n, i+1, line)
		} else if current != 0 {
			add(current, i+1, line)
		}
	}
	return out
}

// checkClauses returns clauses that are missing, that do not say whether they are held, or that are said to be held
// without a test that bears their number: a Go test TestClause3..., or a TypeScript test file, named in a code span,
// that says "clause 3".
func (d document) checkClauses(tests []string, read func(string) string) (found []finding) {
	all := d.clauses()
	for n := 1; n <= clauses; n++ {
		c, known := all[n]
		switch {
		case !known:
			found = append(found, finding{d.path, 1, fmt.Sprintf("clause %d is missing: give it a heading \"## %d. ...\" or a row", n, n)})
		case notHeld.MatchString(c.text):
		case !held.MatchString(c.text):
			found = append(found, finding{d.path, c.line, fmt.Sprintf("clause %d does not say \"held\" or \"not yet held\"", n)})
		case !c.tested(n, tests, read):
			found = append(found, finding{d.path, c.line, fmt.Sprintf("clause %d is said to be held and names no test that bears "+
				"its number: name a TestClause%d..., or the file of a TypeScript test that says \"clause %d\"", n, n, n)})
		}
	}
	return found
}

func (c clause) tested(n int, tests []string, read func(string) string) bool {
	for _, name := range goTest.FindAllString(c.text, -1) {
		if m := clauseTest.FindStringSubmatch(name); m != nil && m[1] == strconv.Itoa(n) && testExists(name, tests) {
			return true
		}
	}
	says := regexp.MustCompile(`(?i)\bclause ` + strconv.Itoa(n) + `\b`)
	for _, m := range codeSpan.FindAllStringSubmatch(c.text, -1) {
		if strings.HasSuffix(m[1], ".test.ts") || strings.HasSuffix(m[1], ".test.tsx") {
			if says.MatchString(read(m[1])) {
				return true
			}
		}
	}
	return false
}

// testNames returns the names of all Go tests, fuzz targets, benchmarks and examples.
func testNames(all []goFile) (names []string) {
	for _, f := range all {
		for _, decl := range f.tree.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.isTest() && fn.Recv == nil && goTest.MatchString(fn.Name.Name) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

func TestLinks(t *testing.T) {
	known := map[string]bool{".": true}
	for _, file := range files(t, func(string) bool { return true }) {
		for p := file; p != "."; p = path.Dir(p) {
			known[p] = true
		}
	}
	exists := func(p string) bool { return known[filepath.ToSlash(p)] }
	docs := map[string]document{}
	for _, file := range files(t, func(f string) bool { return hasExt(f, ".md") && !hasDir(f, "testdata") }) {
		content, _ := text(t, file)
		docs[file] = parseDocument(file, content)
	}
	anchors := func(file string) map[string]bool { return docs[file].anchors() }
	tests := testNames(allGo(t))
	for file, d := range docs {
		report(t, d.checkLinks(exists, anchors))
		if path.Dir(file) != "." && !strings.HasPrefix(file, "ts/") {
			report(t, d.checkTests(tests))
		}
	}
	g, ok := docs[guarantees]
	if !ok {
		t.Logf("nothing to check yet: %s", guarantees)
		return
	}
	report(t, g.checkFiles(exists))
	report(t, g.checkClauses(tests, func(file string) string {
		if !exists(file) {
			return ""
		}
		content, _ := text(t, file)
		return content
	}))
}

// TestLinksDecisions holds the index of the decision records complete.
func TestLinksDecisions(t *testing.T) {
	const dir = "docs/decisions"
	index, _ := text(t, dir+"/README.md")
	record := regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`)
	for _, file := range files(t, func(f string) bool { return path.Dir(f) == dir && path.Base(f) != "README.md" }) {
		switch name := path.Base(file); {
		case !record.MatchString(name):
			t.Errorf("%s: name a record NNNN-the-decision-in-words.md", file)
		case !strings.Contains(index, "("+name+")"):
			t.Errorf("%s is not in the index %s/README.md: add a line for it", file, dir)
		}
	}
}

// TestLinksClauseNumbers finds tests that bear the number of no clause.
func TestLinksClauseNumbers(t *testing.T) {
	for _, name := range testNames(allGo(t)) {
		if m := clauseTest.FindStringSubmatch(name); m != nil {
			if n, err := strconv.Atoi(m[1]); err != nil || n < 1 || n > clauses {
				t.Errorf("%s: the contract has clauses 1 to %d", name, clauses)
			}
		}
	}
}

func TestLinksChecks(t *testing.T) {
	d := parseDocument("docs/a.md", strings.Join([]string{
		"# A title, `code` & more", "## Twice", "## Twice", "<a id=\"here\"></a>",
		"[ok](b.md#b) [ok](../README.md) [ok](#twice-1) [ok](#here) [ok](#a-title-code--more) [ok](https://x.y/z#q)",
		"[bad](c.md)", "[bad](#nowhere)", "[bad](b.md#nowhere)", "[bad](/b.md)", "[bad](../x.go#L3)",
		"`[not](a.link)`", "```", "[not](a.link) TestNone", "```", "[ref]: gone.md", "<img src=\"gone.png\">",
		"TestHere, TestHe…, TestNone, TestNo…",
		"`docs/b.md`, `b.md`, `docs/gone.md`, `a/b`",
	}, "\n"))
	exists := func(p string) bool {
		return slices.Contains([]string{"docs/a.md", "docs/b.md", "README.md", "x.go"}, p)
	}
	anchors := func(p string) map[string]bool {
		if p == "docs/a.md" {
			return d.anchors()
		}
		return map[string]bool{"b": true}
	}
	wantFindings(t, d.checkLinks(exists, anchors), []string{"a.md:6: ", "a.md:7: ", "a.md:8: ", "a.md:9: ", "a.md:10: ",
		"a.md:15: ", "a.md:16: "})
	wantFindings(t, d.checkTests([]string{"TestHere"}), []string{"no test TestNone", "no test TestNo…"})
	wantFindings(t, d.checkFiles(exists), []string{"no file docs/gone.md"})

	var lines []string
	for n := 1; n <= clauses; n++ {
		lines = append(lines, fmt.Sprintf("## %d. Clause", n), fmt.Sprintf("Held by TestClause%d….", n))
	}
	tests := []string{"TestClause1Log", "TestClause12", "TestClause4Once"}
	lines[3] = "Not yet held."                         // 2
	lines[4], lines[5] = "## Third", "no number"       // 3
	lines[9] = "It says nothing."                      // 5
	lines[11] = "Held by `x.test.ts`."                 // 6
	lines[13] = "Held by TestClause1Log."              // 7
	lines[14], lines[15] = "", ""                      // 8
	lines = append(lines, "# Table", "| 8 | held | |") // 8
	g := parseDocument(guarantees, strings.Join(lines, "\n"))
	read := func(string) string { return "test('clause 6: answered')" }
	wantFindings(t, g.checkClauses(tests, read), []string{"clause 3 is missing", "clause 5 does not say",
		"clause 7 is said", "clause 8 is said", "clause 9 is said", "clause 10 is said", "clause 11 is said"})
}
