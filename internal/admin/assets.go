package admin

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// files serves the page's files, compressed: they are few, and compressed once.
type files map[string]file

type file struct {
	kind        string
	plain, gzip []byte
}

func newFiles() files {
	all := files{}
	list, err := fs.ReadDir(assets, "assets")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	for _, entry := range list {
		plain, err := assets.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(err)
		}
		all["/"+entry.Name()] = file{mime.TypeByExtension(path.Ext(entry.Name())), plain, compress(plain)}
	}
	all["/"] = all["/index.html"]
	return all
}

// compress never fails: it writes to memory.
func compress(plain []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(plain)
	_ = w.Close()
	return out.Bytes()
}

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := f[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.kind)
	h.Set("Vary", "Accept-Encoding")
	body := found.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = found.gzip
	}
	_, _ = w.Write(body) // the only failure is the reader's, who is gone then
}
