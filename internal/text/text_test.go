package text_test

import (
	"testing"
	"unicode/utf8"

	"github.com/holdfast/holdfast/internal/text"
)

func TestClip(t *testing.T) {
	for _, c := range []struct {
		name, in string
		most     int
		want     string
	}{
		{"nothing", "", 3, ""},
		{"what fits", "a€", 4, "a€"},
		{"the last character does not", "a€", 3, "a"},
		{"cut between two", "a€b", 4, "a€"},
		{"nothing fits", "🙂", 3, ""},
		{"no UTF-8, though short", "a\xffb\xe2", 64, "ab"},
		{"no UTF-8, and cut", "a\xff€", 4, "a"},
	} {
		if got := text.Clip(c.in, c.most); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUnfinished(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		want int
	}{
		{"nothing", "", 0},
		{"whole characters", "aä€🙂", 0},
		{"one of two", "a\xc3", 1},
		{"one of three", "a\xe2", 1},
		{"two of three", "a\xe2\x82", 2},
		{"three of four", "a\xf0\x9f\x99", 3},
		{"a rest without a beginning", "\x82\x82\x82\x82", 0},
		{"no beginning of anything", "a\xff", 0},
		{"a beginning with a wrong rest", "a\xe2\xc3", 1},
		{"too long a form", "\xc0", 0},
		{"half of a surrogate", "\xed\xa0", 0},
	} {
		if got := text.Unfinished([]byte(c.in)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// Cut anywhere, a text's parts are whole when what is unfinished is moved to the next one.
func FuzzUnfinished(f *testing.F) {
	f.Add("naïve €5 🙂", 3)
	f.Fuzz(func(t *testing.T, s string, cut int) {
		if !utf8.ValidString(s) || cut < 0 || cut > len(s) {
			t.Skip()
		}
		if n := cut - text.Unfinished([]byte(s[:cut])); !utf8.ValidString(s[:n]) || !utf8.ValidString(s[n:]) {
			t.Fatalf("%q is cut into %q and %q", s, s[:n], s[n:])
		}
	})
}
