package holdfast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawOffset(t *rapid.T, name string) Offset {
	return Offset(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 20), rapid.SampledFrom([]uint64{math.MaxUint64, 1 << 63})).Draw(t, name))
}

func drawPosition(t *rapid.T, name string) Position {
	return Position{
		Epoch:  Epoch(rapid.StringMatching(`([a-z2-7]{10})?`).Draw(t, name+" epoch")),
		Offset: drawOffset(t, name+" offset"),
		Tag:    Tag(rapid.Uint32().Draw(t, name+" tag")),
	}
}

func TestPositionStringIsParsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPosition(t, "p")
		if got, err := ParsePosition(p.String()); err != nil || got != p {
			t.Fatalf("%q parses as %+v, %v; it was %+v", p, got, err, p)
		}
	})
}

func TestPositionsSortAsTheirStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPosition(t, "p"), drawPosition(t, "q")
		q.Epoch = p.Epoch
		want := cmp.Or(cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Tag, q.Tag))
		if got := cmp.Compare(p.String(), q.String()); got != want {
			t.Fatalf("%q and %q compare as %d, the positions as %d", p, q, got, want)
		}
	})
}

func TestPositionStrings(t *testing.T) {
	for name, c := range map[string]struct {
		p    Position
		text string
	}{
		"zero":     {Position{}, ""},
		"one":      {Position{"abcdefgh23", 1, 0xab}, "abcdefgh23.00000000000000000001.000000ab"},
		"no epoch": {Position{"", 7, 0}, ".00000000000000000007.00000000"},
		"largest":  {Position{"zzzzzzzzzz", math.MaxUint64, math.MaxUint32}, "zzzzzzzzzz.18446744073709551615.ffffffff"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePosition(c.text)
			if c.p.String() != c.text || err != nil || got != c.p {
				t.Errorf("%q; parsed %+v, %v", c.p, got, err)
			}
		})
	}
}

func TestParsePositionRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"word":            "head",
		"no dots":         "abcdefgh23",
		"one dot":         "abcdefgh23.00000000000000000001",
		"three dots":      "abcdefgh23.00000000000000000001.000000ab.x",
		"long epoch":      "abcdefgh234.00000000000000000001.000000ab",
		"short offset":    "abcdefgh23.1.000000ab",
		"long offset":     "abcdefgh23.000000000000000000001.000000ab",
		"offset too big":  "abcdefgh23.99999999999999999999.000000ab",
		"offset signed":   "abcdefgh23.+0000000000000000001.000000ab",
		"offset negative": "abcdefgh23.-0000000000000000001.000000ab",
		"offset letters":  "abcdefgh23.0000000000000000000x.000000ab",
		"offset grouped":  "abcdefgh23.0000000000000000_001.000000ab",
		"short tag":       "abcdefgh23.00000000000000000001.ab",
		"tag not hex":     "abcdefgh23.00000000000000000001.000000xy",
		"tag prefixed":    "abcdefgh23.00000000000000000001.0x0000ab",
		"space":           "abcdefgh23.00000000000000000001.000000ab ",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePosition(text)
			if CodeOf(err) != CodeInvalid || p != (Position{}) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
	_, err := ParsePosition(strings.Repeat("x", 1<<16))
	if len(fmt.Sprint(err)) > 200 {
		t.Error("the error repeats a long input")
	}
}

// drawCursor draws a cursor over a short log in which some runs are open.
func drawCursor(t *rapid.T, name string) Cursor {
	c := Cursor{Position: Position{Epoch: "abcdefgh23", Offset: Offset(rapid.Uint64Range(0, 5).Draw(t, name+" offset"))}}
	for o := Offset(1); o <= c.Offset; o++ {
		if rapid.Bool().Draw(t, name+" open") {
			n := FragmentNo(rapid.Uint64Range(0, 3).Draw(t, name+" fragment"))
			c.Runs = append(c.Runs, RunCursor{Run: o, Fragment: n, Tag: Tag(n)})
		}
	}
	return c
}

// has says everything that a reader can have seen of a log of 6 entries, each a run of 4 fragments.
func has(c *Cursor) map[string]bool {
	seen := map[string]bool{}
	for o := Offset(1); o <= 6; o++ {
		seen[fmt.Sprint("entry ", o)] = c.HasEntry(o)
		seen[fmt.Sprint("end ", o)] = c.HasEnd(o)
		for n := FragmentNo(1); n <= 4; n++ {
			seen[fmt.Sprint("fragment ", o, " ", n)] = c.HasFragment(o, n)
		}
	}
	return seen
}

func TestCoversMeansHasSeenAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, d := drawCursor(t, "c"), drawCursor(t, "d")
		seenByC, want := has(&c), true
		for what, seen := range has(&d) {
			want = want && (!seen || seenByC[what])
		}
		if got := c.Covers(&d); got != want {
			t.Fatalf("%+v covers %+v: %v, want %v", c, d, got, want)
		}
	})
}

func TestCoversIsAPartialOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, d, e := drawCursor(t, "c"), drawCursor(t, "d"), drawCursor(t, "e")
		if !c.Covers(&c) {
			t.Fatalf("%+v does not cover itself", c)
		}
		if c.Covers(&d) && d.Covers(&e) && !c.Covers(&e) {
			t.Fatalf("not transitive: %+v, %+v, %+v", c, d, e)
		}
		if c.Covers(&d) && d.Covers(&c) && !gocmp.Equal(c, d) {
			t.Fatalf("%+v and %+v cover each other", c, d)
		}
	})
}

func TestCursorWithAndWithout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCursor(t, "c")
		old := Cursor{Position: c.Position, Runs: slices.Clone(c.Runs)}
		r := RunCursor{Run: Offset(rapid.Uint64Range(1, 6).Draw(t, "run")), Fragment: 2, Tag: 9}
		with, without := c.With(r), c.Without(r.Run)
		if !gocmp.Equal(c, old) {
			t.Fatalf("the cursor was changed: %+v, it was %+v", c, old)
		}
		if got, open := with.Run(r.Run); !open || got != r {
			t.Fatalf("With: %+v, %v", got, open)
		}
		if _, open := without.Run(r.Run); open {
			t.Fatal("Without: still open")
		}
		for o := Offset(1); o <= 6; o++ {
			was, open := c.Run(o)
			a, openA := with.Run(o)
			b, openB := without.Run(o)
			if o != r.Run && (a != was || b != was || openA != open || openB != open) {
				t.Fatalf("the run at %d changed too", o)
			}
		}
		sorted := slices.IsSortedFunc(with.Runs, func(a, b RunCursor) int { return cmp.Compare(a.Run, b.Run) })
		if !sorted || !gocmp.Equal(with.With(r), with) {
			t.Fatalf("With is not sorted or not idempotent: %+v", with.Runs)
		}
	})
}

func TestCursorOfNothing(t *testing.T) {
	var c Cursor
	if c.HasEntry(1) || c.HasFragment(1, 1) || c.HasEnd(1) || !c.Covers(&Cursor{}) {
		t.Error("the zero cursor has seen something, or does not cover itself")
	}
	beyond := Cursor{Position: Position{Offset: 3}}
	if beyond.HasFragment(4, 1) || beyond.HasEnd(4) || !beyond.HasEnd(3) || !beyond.HasFragment(3, math.MaxUint64) {
		t.Error("what is beyond the position counts as seen, or what is before it does not")
	}
}
