package main

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	cases := map[string]struct {
		in                      string
		passed, failed, skipped int
		want                    string
	}{
		"nothing": {"", 0, 0, 0, ""},
		"a test that passes": {`
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"hidden\n"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p","Elapsed":1.5}`, 1, 0, 0, "1 tests    1.50s"},
		"subtests count, their test does not": {`
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA/b"}
			{"Action":"run","Package":"p","Test":"TestA/b/c"}
			{"Action":"run","Package":"p","Test":"TestA/d"}
			{"Action":"pass","Package":"p","Test":"TestA/b/c"}
			{"Action":"pass","Package":"p","Test":"TestA/b"}
			{"Action":"pass","Package":"p","Test":"TestA/d"}
			{"Action":"pass","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}`, 2, 0, 0, "2 tests"},
		"a subtest that fails": {`
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"run","Package":"p","Test":"TestA/b"}
			{"Action":"output","Package":"p","Test":"TestA/b","Output":"got 1\n"}
			{"Action":"fail","Package":"p","Test":"TestA/b"}
			{"Action":"fail","Package":"p","Test":"TestA"}
			{"Action":"fail","Package":"p"}`, 0, 1, 0, "got 1\nFAIL p"},
		"a skipped test": {`
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: no browser\n"}
			{"Action":"skip","Package":"p","Test":"TestA"}
			{"Action":"pass","Package":"p"}`, 0, 0, 1, "skip p TestA: a_test.go:3: no browser"},
		"a package that does not build": {`
			{"Action":"build-output","ImportPath":"p","Output":"p.go:1: undefined: x\n"}
			{"Action":"build-fail","ImportPath":"p"}
			{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}
			{"Action":"fail","Package":"p"}`, 0, 1, 0, "undefined: x"},
		"a panic": {`
			{"Action":"run","Package":"p","Test":"TestA"}
			{"Action":"output","Package":"p","Test":"TestA","Output":"panic: oh\n"}
			{"Action":"fail","Package":"p"}`, 0, 1, 0, "panic: oh"},
		"a package without tests": {`{"Action":"skip","Package":"p"}`, 0, 0, 0, ""},
		"the go command speaks":   {"go: cannot find x", 0, 0, 0, "go: cannot find x"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := newReader(&out)
			if err := r.read(strings.NewReader(strings.ReplaceAll(strings.TrimSpace(c.in), "\t", ""))); err != nil {
				t.Fatal(err)
			}
			if r.passed != c.passed || r.failed != c.failed || r.skipped != c.skipped {
				t.Errorf("got %d passed, %d failed, %d skipped, want %d, %d, %d", r.passed, r.failed, r.skipped,
					c.passed, c.failed, c.skipped)
			}
			if !strings.Contains(out.String(), c.want) || c.want == "" && out.String() != "" {
				t.Errorf("got\n%s\nwant it to contain\n%s", out.String(), c.want)
			}
		})
	}
}
