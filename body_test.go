package holdfast

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func drawFragments(t *rapid.T) []Fragment {
	one := rapid.Custom(func(t *rapid.T) Fragment {
		f := Fragment{Part: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "part")}
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			f.Event = json.RawMessage(rapid.SampledFrom([]string{`1`, `{"x":2}`, `null`}).Draw(t, "event"))
		} else {
			f.Text = rapid.StringN(1, 5, -1).Draw(t, "text")
		}
		return f
	})
	return rapid.SliceOfN(one, 0, 12).Draw(t, "fragments")
}

func bodyOf(fragments []Fragment) Body {
	var b Body
	for _, f := range fragments {
		b = b.Append(f)
	}
	return b
}

// sameBody compares bodies; empty and nil are the same.
func sameBody(a, b Body) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }

func TestBodyGivesBackItsFragments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fragments := drawFragments(t)
		b := bodyOf(fragments)
		if d := cmp.Diff(fragments, b.Fragments(), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		if b.Len() != FragmentNo(len(fragments)) {
			t.Fatalf("Len is %d, want %d", b.Len(), len(fragments))
		}
		for _, part := range []string{"", "a", "b", "none"} {
			want := ""
			for _, f := range fragments {
				if f.Part == part {
					want += f.Text
				}
			}
			if got := b.Text(part); got != want {
				t.Fatalf("Text(%q) = %q, want %q", part, got, want)
			}
		}
	})
}

func TestBodyMergesAllThatMayMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bodyOf(drawFragments(t))
		for i := 1; i < len(b); i++ {
			if b[i-1].Part == b[i].Part && len(b[i-1].Event) == 0 && len(b[i].Event) == 0 {
				t.Fatalf("segments %d and %d could be one: %+v", i-1, i, b)
			}
		}
		for _, s := range b {
			if len(s.Event) != 0 && (s.Text != "" || !slices.Equal(s.Lens, []uint32{0})) {
				t.Fatalf("an event with a text or lengths: %+v", s)
			}
		}
	})
}

func TestBodySkipIsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fragments := drawFragments(t)
		b := bodyOf(fragments)
		n := rapid.IntRange(0, len(fragments)+2).Draw(t, "n")
		rest := fragments[min(n, len(fragments)):]
		if d := sameBody(bodyOf(rest), b.Skip(FragmentNo(n))); d != "" {
			t.Fatalf("Skip(%d): %s", n, d)
		}
		if d := sameBody(bodyOf(fragments), b); d != "" {
			t.Fatalf("Skip changed the body: %s", d)
		}
		m := rapid.IntRange(0, 4).Draw(t, "m")
		if d := sameBody(b.Skip(FragmentNo(n+m)), b.Skip(FragmentNo(n)).Skip(FragmentNo(m))); d != "" {
			t.Fatalf("Skip(%d) then Skip(%d): %s", n, m, d)
		}
	})
}

func TestBodyTagIsTheChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fragments := drawFragments(t)
		b := bodyOf(fragments)
		var tag Tag
		if got := b.TagAt(0); got != 0 {
			t.Fatalf("TagAt(0) = %x", got)
		}
		for i := range fragments {
			tag = ChainTag(tag, &fragments[i])
			if got := b.TagAt(FragmentNo(i + 1)); got != tag {
				t.Fatalf("TagAt(%d) = %x, the chain says %x", i+1, got, tag)
			}
		}
		if got := b.TagAt(FragmentNo(len(fragments) + 5)); got != tag {
			t.Fatalf("beyond the end: %x, want %x", got, tag)
		}
	})
}

func TestChainTagTellsApart(t *testing.T) {
	text := func(part, s string) Fragment { return Fragment{Part: part, Text: s} }
	event := func(part, s string) Fragment { return Fragment{Part: part, Event: json.RawMessage(s)} }
	for name, c := range map[string][2][]Fragment{
		"contents":         {{text("", "a")}, {text("", "b")}},
		"where it was cut": {{text("", "ab")}, {text("", "a"), text("", "b")}},
		"part and text":    {{text("a", "b")}, {text("", "ab")}},
		"text and event":   {{text("", "1")}, {event("", "1")}},
		"order":            {{text("", "a"), text("", "b")}, {text("", "b"), text("", "a")}},
		"one more":         {{text("", "a")}, {text("", "a"), text("", "a")}},
		"part of an event": {{event("a", "1")}, {event("b", "1")}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := bodyOf(c[0]), bodyOf(c[1])
			if a.TagAt(a.Len()) == b.TagAt(b.Len()) {
				t.Errorf("both have the tag %x", a.TagAt(a.Len()))
			}
		})
	}
}

// The clients compute the same tags, so these values are part of the contract: the CRC-32C of all that stands before, of
// each fragment the length of its part (two bytes, low first), its kind, the part and the contents.
func TestChainTagValues(t *testing.T) {
	b := bodyOf([]Fragment{{Text: "Hel"}, {Text: "lo"}, {Part: "p", Event: json.RawMessage(`{"a":1}`)}})
	got := []Tag{b.TagAt(1), b.TagAt(2), b.TagAt(3)}
	if d := cmp.Diff([]Tag{0x592f4289, 0x4d315ee4, 0x4a996c95}, got); d != "" {
		t.Error(d)
	}
}

func TestFragmentValidate(t *testing.T) {
	for name, c := range map[string]struct {
		f    Fragment
		want string
	}{
		"text":             {Fragment{Text: "a"}, ""},
		"text of a part":   {Fragment{Part: "thoughts", Text: "a"}, ""},
		"event":            {Fragment{Event: json.RawMessage(`{"a":[1]}`)}, ""},
		"event null":       {Fragment{Event: json.RawMessage(`null`)}, ""},
		"longest part":     {Fragment{Part: strings.Repeat("p", MaxKey), Text: "a"}, ""},
		"neither":          {Fragment{Part: "p"}, "neither"},
		"both":             {Fragment{Text: "a", Event: json.RawMessage(`1`)}, "both"},
		"part too long":    {Fragment{Part: strings.Repeat("p", MaxKey+1), Text: "a"}, "part has 257 bytes"},
		"part control":     {Fragment{Part: "a\tb", Text: "a"}, "control character"},
		"text not UTF-8":   {Fragment{Text: "a\xc3"}, "not valid UTF-8"},
		"event not JSON":   {Fragment{Event: json.RawMessage(`{`)}, "not valid JSON"},
		"event two values": {Fragment{Event: json.RawMessage(`1 2`)}, "not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.f.Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if CodeOf(err) != CodeInvalid || !strings.Contains(MessageOf(err), c.want) {
				t.Errorf("got %v, want invalid with %q", err, c.want)
			}
		})
	}
	if f := (Fragment{Part: "ab", Event: json.RawMessage(`null`)}); f.Size() != 6 {
		t.Errorf("Size is %d, want 6", f.Size())
	}
}
