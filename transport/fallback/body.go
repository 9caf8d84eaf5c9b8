package fallback

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/holdfast/holdfast/transport"
)

// read returns the messages of a body.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, k *kind) ([][]byte, *refused) {
	if !streams(w) {
		return nil, &refused{http.StatusInternalServerError, "the server cannot stream: what it is embedded in hides the " +
			"connection from it; a wrapped http.ResponseWriter needs a method Unwrap"}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, &refused{http.StatusUnsupportedMediaType, "bodies with a Content-Encoding are not read; send it uncompressed"}
	}
	most := h.opts.MaxMessage
	if k.reach == transport.Once {
		most = h.opts.MaxBody
	}
	body, no := h.readAll(w, r, int64(most))
	if no != nil {
		return nil, no
	}
	if k.reach != transport.Once {
		return [][]byte{body}, nil
	}
	return h.split(body)
}

// streams reports whether answers can be flushed, and deadlines set, through w.
func streams(w http.ResponseWriter) bool {
	if http.NewResponseController(w).SetWriteDeadline(time.Time{}) != nil {
		return false
	}
	for {
		switch over := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = over.Unwrap()
		default:
			return false
		}
	}
}

func (h *Handler) readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, *refused) {
	tooLarge := &refused{http.StatusRequestEntityTooLarge, "the body is longer than this path takes; send less at a time"}
	if r.ContentLength > most {
		return nil, tooLarge
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(h.opts.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &refused{http.StatusRequestTimeout, "the body did not come in time"}
	case err != nil:
		return nil, &refused{http.StatusBadRequest, "the body broke off; repeat the request"}
	}
	// From here on net/http reads the connection to see the peer leave; a deadline would look like that.
	_ = rc.SetReadDeadline(time.Time{})
	return body, nil
}

// split returns the lines of a body. Those without anything in them do not count.
func (h *Handler) split(body []byte) ([][]byte, *refused) {
	var all [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(all) == h.opts.MaxMessages {
			return nil, &refused{http.StatusRequestEntityTooLarge, "the body has more messages than one request may; send the rest in another"}
		}
		all = append(all, line)
	}
	if len(all) == 0 {
		return nil, &refused{http.StatusBadRequest, "the body is empty; it has a message a line"}
	}
	return all, nil
}
