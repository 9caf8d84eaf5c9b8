package house

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path of the main module.
const module = "github.com/holdfast/holdfast"

// root is the repository, seen from this package.
const root = "../.."

// notWalked are directories that a walk leaves out where git cannot be asked.
var notWalked = []string{".git", "node_modules", "dist", "bin", "tmp"}

// finding is one breach of a rule.
type finding struct {
	file string
	line int
	what string
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.what) }

// report fails the test once for each finding, in the order of files and lines.
func report(t *testing.T, found []finding) {
	t.Helper()
	slices.SortStableFunc(found, func(a, b finding) int {
		if c := strings.Compare(a.file, b.file); c != 0 {
			return c
		}
		return a.line - b.line
	})
	for _, f := range found {
		t.Error(f)
	}
}

// listFiles returns the files of the repository, relative to its root, with slashes.
var listFiles = sync.OnceValues(func() ([]string, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	// No git, a checkout that git distrusts, or a copy inside another repository that ignores it.
	if err != nil || !slices.Contains(files, "go.mod") {
		files, err = walkFiles(os.DirFS(root))
	}
	// A tracked file may have been removed and a link may lead anywhere: neither is read.
	files = slices.DeleteFunc(files, func(f string) bool {
		info, err := os.Lstat(filepath.Join(root, f))
		return err != nil || !info.Mode().IsRegular()
	})
	slices.Sort(files)
	return slices.Compact(files), err
})

func walkFiles(tree fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(notWalked, d.Name()):
			return fs.SkipDir
		case !d.IsDir():
			files = append(files, p)
		}
		return nil
	})
	return files, err
}

// files returns those files of the repository that match.
func files(t *testing.T, match func(file string) bool) []string {
	t.Helper()
	all, err := listFiles()
	if err != nil {
		t.Fatalf("cannot list the repository: %v", err)
	}
	var out []string
	for _, f := range all {
		if match(f) {
			out = append(out, f)
		}
	}
	return out
}

// text reads a file of the repository, or returns "" and false when it is not text.
func text(t *testing.T, file string) (string, bool) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
		return "", false
	}
	return string(b), true
}

func hasExt(file string, exts ...string) bool { return slices.Contains(exts, path.Ext(file)) }

// hasDir says whether one of the directories of a file has the name.
func hasDir(file, name string) bool {
	return slices.Contains(strings.Split(path.Dir(file), "/"), name)
}

// goFile is one parsed Go file.
type goFile struct {
	path string // relative to the root of the repository
	src  string
	fset *token.FileSet
	tree *ast.File
}

func (f goFile) isTest() bool      { return strings.HasSuffix(f.path, "_test.go") }
func (f goFile) isGenerated() bool { return ast.IsGenerated(f.tree) }

// line returns the line of a position.
func (f goFile) line(p token.Pos) int { return f.fset.Position(p).Line }

// at makes a finding at a position.
func (f goFile) at(p token.Pos, format string, args ...any) finding {
	return finding{f.path, f.line(p), fmt.Sprintf(format, args...)}
}

func parseGo(name, src string) (goFile, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return goFile{name, src, fset, tree}, err
}

// goFiles returns every Go file of the repository, of all its modules, without test data.
var goFiles = sync.OnceValues(func() ([]goFile, error) {
	all, err := listFiles()
	if err != nil {
		return nil, err
	}
	var out []goFile
	for _, name := range all {
		if !hasExt(name, ".go") || hasDir(name, "testdata") {
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		f, err := parseGo(name, string(src))
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
})

func allGo(t *testing.T) []goFile {
	t.Helper()
	fs, err := goFiles()
	if err != nil {
		t.Fatalf("cannot read the Go files: %v", err)
	}
	return fs
}

// mustParse parses a snippet of a test.
func mustParse(t *testing.T, name, src string) goFile {
	t.Helper()
	f, err := parseGo(name, src)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantFindings compares what a check found in a bad example with what it must find: each want is part of one finding,
// in order.
func wantFindings(t *testing.T, got []finding, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: a finding with %q", want[i])
		case i >= len(want):
			t.Errorf("unexpected: %v", got[i])
		case !strings.Contains(got[i].String(), want[i]):
			t.Errorf("got %v, want a finding with %q", got[i], want[i])
		}
	}
}
