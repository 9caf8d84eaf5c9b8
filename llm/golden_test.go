package llm_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/llm"
)

var update = flag.Bool("update", false, "write what the streams in testdata become beside them")

// golden is what a stream of testdata becomes. The TypeScript producer is tested against the same files.
type golden struct {
	Dialect llm.Dialect        `json:"dialect"`
	Body    []goldenSegment    `json:"body"`
	Status  holdfast.RunStatus `json:"status"`
	End     any                `json:"end"`
}

type goldenSegment struct {
	Part  string `json:"part,omitempty"`
	Text  string `json:"text,omitempty"`
	Event any    `json:"event,omitempty"`
}

func goldenOf(t *testing.T, d llm.Dialect, r *record) golden {
	t.Helper()
	out := golden{Dialect: d, Status: r.status, Body: []goldenSegment{}}
	if err := json.Unmarshal(r.end, &out.End); err != nil {
		t.Fatal(err)
	}
	for _, s := range r.body() {
		seg := goldenSegment{Part: s.Part, Text: s.Text}
		if s.Event != nil {
			if err := json.Unmarshal(s.Event, &seg.Event); err != nil {
				t.Fatal(err)
			}
		}
		out.Body = append(out.Body, seg)
	}
	return out
}

func streams(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(files) == 0 {
		t.Fatal("no streams in testdata", err)
	}
	return files
}

func dialectOf(file string) llm.Dialect {
	if strings.Contains(file, "anthropic") {
		return llm.Anthropic
	}
	return llm.OpenAI
}

// framings are ways of writing and sending one stream that mean the same.
var framings = map[string]func(s string) io.Reader{
	"whole":  func(s string) io.Reader { return strings.NewReader(s) },
	"bytes":  func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"halves": func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
	"CRLF":   func(s string) io.Reader { return strings.NewReader(strings.ReplaceAll(s, "\n", "\r\n")) },
	"CRLF bytes": func(s string) io.Reader {
		return iotest.OneByteReader(strings.NewReader(strings.ReplaceAll(s, "\n", "\r\n")))
	},
	"CR":       func(s string) io.Reader { return strings.NewReader(strings.ReplaceAll(s, "\n", "\r")) },
	"BOM":      func(s string) io.Reader { return strings.NewReader("\ufeff" + s) },
	"no space": func(s string) io.Reader { return strings.NewReader(strings.ReplaceAll(s, "data: {", "data:{")) },
	"comments": func(s string) io.Reader {
		return strings.NewReader(strings.ReplaceAll(s, "data: ", ":beat\nid: 7\nretry\ndata: "))
	},
	"several lines": func(s string) io.Reader {
		return strings.NewReader(strings.ReplaceAll(s, `,"`, ",\ndata: \""))
	},
}

func TestGolden(t *testing.T) {
	for _, file := range streams(t) {
		stream, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wanted := strings.TrimSuffix(file, ".sse") + ".json"
		for name, frame := range framings {
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				r := newRecord(t)
				_, err := llm.PipeReader(t.Context(), frame(string(stream)), dialectOf(file), r)
				var failed *llm.Error
				if err != nil && !errors.As(err, &failed) {
					t.Fatal(err)
				}
				got := goldenOf(t, dialectOf(file), r)
				if *update {
					b, _ := json.MarshalIndent(got, "", "  ")
					if err := os.WriteFile(wanted, append(b, '\n'), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				b, err := os.ReadFile(wanted)
				if err != nil {
					t.Fatal(err)
				}
				var want golden
				if err := json.Unmarshal(b, &want); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Error(d)
				}
				if strings.Contains(string(r.end), "SECRET") || strings.Contains(string(r.end), "secret") {
					t.Errorf("readers get what the provider said of an error: %s", r.end)
				}
			})
		}
	}
}
