package house

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// maxTSLines is the budget for a TypeScript file of a package's src.
const maxTSLines = 500

var (
	anyType = regexp.MustCompile(`\bany\b`)
	// notAType are other uses of the word: a method, a function, a property, a parameter.
	notAType = regexp.MustCompile(`\.\s*any\b|\bany\s*\(|\bany\s*[?]?:`)
	// The pattern does not match its own text.
	ignored = regexp.MustCompile(`@ts-(ig[n]ore|no[c]heck)`)
)

// styleTS returns what breaks the rules in one TypeScript file.
func styleTS(file, src string) (found []finding) {
	if n := strings.Count(src, "\n"); n > maxTSLines {
		found = append(found, finding{file, n, fmt.Sprintf("the file has %d lines, the budget is %d: move one concept to a file "+
			"named after it", n, maxTSLines)})
	}
	found = append(found, grepText(file, src, ignored, "the compiler is right: mend the type, or use @ts-expect-error with a reason")...)
	for i, line := range strings.Split(codeOfTS(src), "\n") {
		if anyType.MatchString(notAType.ReplaceAllString(line, "")) {
			found = append(found, finding{file, i + 1, `"any" switches the compiler off: use unknown and look, or name the type`})
		}
	}
	return found
}

// codeOfTS blanks out comments, strings and the text of templates, and keeps the lines. Regular expressions are known by
// what stands before them, which is right for code that a formatter has written.
func codeOfTS(src string) string {
	var out strings.Builder
	var nested []int // Depths of braces at which the template around continues.
	depth := 0
	last := byte('\n') // The last character of code that is not a space.
	blank := func(s string) { out.WriteString(strings.Repeat("\n", strings.Count(s, "\n"))) }
	for i := 0; i < len(src); {
		rest := src[i:]
		n := 1
		switch c := src[i]; {
		case strings.HasPrefix(rest, "//"):
			n = until(rest, 2, "\n") - 1
			if n < 1 || !strings.Contains(rest, "\n") {
				n = len(rest)
			}
			blank(rest[:n])
		case strings.HasPrefix(rest, "/*"):
			n = until(rest, 2, "*/")
			blank(rest[:n])
		case c == '"' || c == '\'':
			n = until(rest, 1, string(c))
			blank(rest[:n])
			out.WriteString("''")
			last = c
		case c == '/' && strings.IndexByte("(,=:[!&|?{};\n>", last) >= 0:
			n = untilRegexp(rest)
			out.WriteString("''")
			last = '/'
		case c == '`' || c == '}' && len(nested) > 0 && nested[len(nested)-1] == depth:
			if c == '}' {
				nested = nested[:len(nested)-1]
			}
			var hole bool
			n, hole = untilTemplate(rest)
			blank(rest[:n])
			out.WriteString(" ")
			last = '`'
			if hole {
				nested = append(nested, depth)
				last = '{'
			}
		default:
			switch c {
			case '{':
				depth++
			case '}':
				depth--
			}
			out.WriteByte(c)
			if c != ' ' && c != '\t' {
				last = c
			}
		}
		i += n
	}
	return out.String()
}

// until returns the length of s up to and with the next end that is not escaped, from an index on.
func until(s string, from int, end string) int {
	for i := from; i < len(s); i++ {
		switch {
		case s[i] == '\\' && len(end) == 1 && end != "\n":
			i++
		case strings.HasPrefix(s[i:], end):
			return i + len(end)
		}
	}
	return len(s)
}

func untilRegexp(s string) int {
	class := false
	for i := 1; i < len(s) && s[i] != '\n'; i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '[':
			class = true
		case s[i] == ']':
			class = false
		case s[i] == '/' && !class:
			return i + 1
		}
	}
	return 1
}

// untilTemplate returns the length of a piece of a template, and whether an expression follows it.
func untilTemplate(s string) (n int, hole bool) {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '`':
			return i + 1, false
		case strings.HasPrefix(s[i:], "${"):
			return i + 2, true
		}
	}
	return len(s), false
}

func TestStyleTS(t *testing.T) {
	sources := files(t, func(f string) bool {
		return strings.HasPrefix(f, "ts/") && hasDir(f, "src") && hasExt(f, ".ts", ".tsx") && !strings.Contains(f, ".test.")
	})
	for _, file := range sources {
		src, _ := text(t, file)
		report(t, styleTS(file, src))
	}
	t.Logf("%d TypeScript files in src", len(sources))
}

func TestStyleTSChecks(t *testing.T) {
	cases := map[string]struct {
		src  string
		want []string
	}{
		"a parameter":   {"function f(x: any) {}", []string{"a.ts:1"}},
		"an array":      {"\nlet x: any[] = []", []string{"a.ts:2"}},
		"an argument":   {"const m = new Map<string, any>()", []string{"a.ts:1"}},
		"a cast":        {"(x as any).y()", []string{"a.ts:1"}},
		"comments":      {"// any of them\n/* any\nany */ let x = 1 /* any */", nil},
		"strings":       {`const s = "any" + 'it\'s any' + "` + "`" + `"; let y: any`, []string{"a.ts:1"}},
		"a template":    {"const s = `any ${f({a: `any`})} any`\nlet y: any", []string{"a.ts:2"}},
		"in a template": {"const s = `x ${y as any} z`", []string{"a.ts:1"}},
		"a method":      {"await Promise.any(xs); AbortSignal.any([a]); const o = { any: 1 }", nil},
		"a regexp":      {"const r = /[\"/']any/\nlet y: any", []string{"a.ts:2"}},
		"a division":    {"const r = a / b; let y: any // '", []string{"a.ts:1"}},
		"no end":        {"// any", nil},
		"ignored":       {"// @ts-ig" + "nore\nx()", []string{"the compiler is right"}},
		"a long file":   {strings.Repeat("\n", 501), []string{"the file has 501"}},
	}
	for name, c := range cases {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			wantFindings(t, styleTS("a.ts", c.src), c.want)
		})
	}
}
