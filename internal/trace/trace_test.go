package trace

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	cases := map[string]struct {
		header string
		ok     bool
	}{
		"the specification's own":             {example, true},
		"a later version with more behind it": {"cc" + example[2:] + "-what-comes", true},
		"this version with more behind it":    {example + "-what-comes", false},
		"a later version run together":        {"cc" + example[2:] + "what", false},
		"the version that is none":            {"ff" + example[2:], false},
		"upper case":                          {strings.ToUpper(example), false},
		"no trace id":                         {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		"no span id":                          {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		"empty":                               {"", false},
		"other separators":                    {strings.ReplaceAll(example, "-", "_"), false},
		"letters that are no digits":          {strings.Replace(example, "f9", "g9", 1), false},
		"flags that are none":                 {example[:53] + "x1", false},
	}
	for name, c := range cases {
		got, ok := Parse(c.header)
		if ok != c.ok || got.Valid() != c.ok {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, c.ok)
		}
	}
}

func TestString(t *testing.T) {
	for header, want := range map[string]string{
		example:                        example,
		example[:53] + "00":            example[:53] + "00",
		example[:53] + "ff":            example,
		example[:53] + "02":            example[:53] + "00",
		"cc" + example[2:] + "-future": example,
		"none":                         "",
	} {
		c, _ := Parse(header)
		if got := c.String(); got != want {
			t.Errorf("%s comes back as %s, want %s", header, got, want)
		}
	}
}

func TestHandlerAddsTheIDs(t *testing.T) {
	c, _ := Parse(example)
	var out bytes.Buffer
	log := slog.New(Handler(slog.NewTextHandler(&out, nil))).With("k", "v").WithGroup("g")
	log.InfoContext(With(t.Context(), c), "traced")
	if !strings.Contains(out.String(), "trace_id=4bf92f3577b34da6a3ce929d0e0e4736") || !strings.Contains(out.String(), "span_id=00f067aa0ba902b7") {
		t.Errorf("the record has no ids: %s", out.String())
	}
	out.Reset()
	log.Info("plain")
	if strings.Contains(out.String(), "trace_id") {
		t.Errorf("a record without a context has ids: %s", out.String())
	}
}
