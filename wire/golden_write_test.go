package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

func encodeAll() []golden {
	var out []golden
	client := clientFrames()
	for _, name := range slices.Sorted(maps.Keys(client)) {
		out = append(out, golden{name, "client", AppendClient(nil, client[name])})
	}
	for _, frames := range []map[string]ServerFrame{entryFrames(), controlFrames()} {
		for _, name := range slices.Sorted(maps.Keys(frames)) {
			out = append(out, golden{name, "server", Append(nil, frames[name])})
		}
	}
	return out
}

// writeGolden puts each frame on a line of its own, so that a change of one shows as one line.
func writeGolden(t *testing.T, all []golden) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("[\n")
	for i, g := range all {
		name, err := json.Marshal(g.Name)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(`  {"name":` + string(name) + `,"from":"` + g.From + `","frame":`)
		b.Write(g.Frame)
		b.WriteString("}")
		if i < len(all)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n")
	if err := os.WriteFile(goldenFile, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
