// Command gotest reads what `go test -json` prints and writes what a person wants to see: a line for each package, the
// output of what failed, the name and the reason of what was skipped, and the number of tests at the end.
//
// A test with subtests is not counted besides them. A package that fails without a failed test (it does not build, it
// panics, it leaks goroutines) counts as one failed test.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	tally := flag.String("tally", "", "append `passed failed skipped` as one line to this file")
	flag.Parse()
	r := newReader(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	if *tally != "" {
		if err := appendLine(*tally, fmt.Sprintf("%d %d %d\n", r.passed, r.failed, r.skipped)); err != nil {
			fmt.Fprintln(os.Stderr, "gotest:", err)
			os.Exit(2)
		}
	}
	if r.failed > 0 {
		os.Exit(1)
	}
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// event is one line of `go test -json`, as `go doc test2json` has it.
type event struct {
	Action     string
	Package    string
	ImportPath string // instead of Package, for what the compiler says
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// reader turns events into text and counts.
type reader struct {
	w                       io.Writer
	passed, failed, skipped int
	packages                map[string]*pkg
}

// pkg is a package under test.
type pkg struct {
	count  int
	failed bool
	output map[string][]string // by test; "" is the package's own
	parent map[string]bool     // tests that have subtests
	broken map[string]bool     // tests of which a subtest failed
}

func newReader(w io.Writer) *reader { return &reader{w: w, packages: map[string]*pkg{}} }

// read reads all events. Lines that are none are passed through: they come from the go command itself.
func (r *reader) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.w, line)
			} else {
				r.event(e)
			}
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (r *reader) event(e event) {
	if e.Action == "build-output" {
		fmt.Fprint(r.w, e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{output: map[string][]string{}, parent: map[string]bool{}, broken: map[string]bool{}}
		r.packages[e.Package] = p
	}
	switch e.Action {
	case "run":
		if up := above(e.Test); up != "" {
			p.parent[up] = true
		}
	case "output":
		p.output[e.Test] = append(p.output[e.Test], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(p, e)
		} else {
			r.endTest(p, e)
		}
	}
}

func (r *reader) endTest(p *pkg, e event) {
	p.count++
	out := p.output[e.Test]
	delete(p.output, e.Test)
	switch {
	case e.Action == "fail":
		p.failed = true
		p.broken[above(e.Test)] = true
		if !p.broken[e.Test] {
			r.failed++
		}
		fmt.Fprintf(r.w, "%s", strings.Join(out, ""))
	case p.parent[e.Test]:
		p.count--
	case e.Action == "skip":
		r.skipped++
		fmt.Fprintf(r.w, "skip %s %s: %s\n", e.Package, e.Test, reason(out))
	default:
		r.passed++
	}
}

// endPackage prints the line of a package. The output of tests that never ended, as after a panic, comes out with it.
func (r *reader) endPackage(p *pkg, e event) {
	switch e.Action {
	case "fail":
		for _, out := range p.output {
			fmt.Fprint(r.w, strings.Join(out, ""))
		}
		if !p.failed {
			r.failed++
		}
		fmt.Fprintf(r.w, "FAIL %s\n", e.Package)
	case "pass":
		fmt.Fprintf(r.w, "ok   %-60s %4d tests %7.2fs\n", e.Package, p.count, e.Elapsed)
	}
	delete(r.packages, e.Package)
}

// above returns the test that a subtest belongs to, or "".
func above(test string) string {
	i := strings.LastIndexByte(test, '/')
	return test[:max(i, 0)]
}

// reason returns what a test said when it skipped itself.
func reason(out []string) string {
	for _, line := range out {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "no reason given"
}
