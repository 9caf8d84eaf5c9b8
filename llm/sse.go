package llm

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxEvent is how large one event of a provider may be, in bytes. The largest known ones hold a whole response.
const maxEvent = 8 << 20

var errEventTooLong = errors.New("the provider sent an event of more than 8 MiB")

// sseEvent is one event of a stream.
type sseEvent struct {
	name string
	data []byte
}

// sseReader reads an event stream as the HTML standard has it (§9.2.6): lines end with CR, LF or both, a byte order mark may
// come first, lines that start with a colon say nothing, several data lines are one text, and an event that the stream
// ends in is none. Not for concurrent use.
type sseReader struct {
	in *bufio.Reader
	// skipLF is set after a CR: waiting for the LF that may follow would hold the event back until the next one.
	skipLF  bool
	started bool
	line    []byte
	size    int
}

func newSSEReader(r io.Reader) *sseReader { return &sseReader{in: bufio.NewReaderSize(r, 16<<10)} }

// next returns the next event that has data, or io.EOF at the end.
func (r *sseReader) next() (sseEvent, error) {
	var ev sseEvent
	has := false
	r.size = 0
	for {
		if err := r.readLine(); err != nil {
			return sseEvent{}, err
		}
		if len(r.line) == 0 {
			if has {
				return ev, nil
			}
			ev, r.size = sseEvent{}, 0
			continue
		}
		field, value, _ := bytes.Cut(r.line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			ev.name = string(value)
		case "data":
			if has {
				ev.data = append(ev.data, '\n')
			}
			ev.data = append(ev.data, value...)
			has = true
		}
	}
}

// readLine reads one line, without its end, into line.
func (r *sseReader) readLine() error {
	r.line = r.line[:0]
	for {
		b, err := r.in.ReadByte()
		if err != nil {
			return err
		}
		skip := r.skipLF && b == '\n'
		r.skipLF = false
		switch {
		case skip:
			continue
		case b == '\r':
			r.skipLF = true
			return r.endLine()
		case b == '\n':
			return r.endLine()
		}
		if r.size++; r.size > maxEvent {
			return errEventTooLong
		}
		r.line = append(r.line, b)
	}
}

func (r *sseReader) endLine() error {
	if !r.started {
		r.started = true
		r.line = bytes.TrimPrefix(r.line, []byte("\ufeff"))
	}
	return nil
}
