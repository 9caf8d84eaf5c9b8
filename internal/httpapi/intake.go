package httpapi

import (
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/holdfast/holdfast/internal/text"
)

// intake reads a body in a goroutine of its own, so that what arrives during an append is there when it returns.
//
// The goroutine is owned by the request that started it. It ends at the end of the body, at a read error (a deadline
// in the past causes one), or after stop as soon as the read under way returns; wait waits for it.
type intake struct {
	// chunks is closed by the goroutine after the last chunk. It holds a little, then the sender is slowed down.
	chunks chan []byte
	// quit is closed by stop.
	quit chan struct{}
	// done is closed when the goroutine has ended.
	done chan struct{}
	// err is why the body ended: io.EOF if cleanly. Set before chunks is closed.
	err error
}

func startIntake(body io.Reader) *intake {
	in := &intake{chunks: make(chan []byte, 16), quit: make(chan struct{}), done: make(chan struct{})}
	// Owned and awaited by the handler (wait); it ends with the body, or after stop and a read deadline.
	go in.read(body)
	return in
}

func (in *intake) read(body io.Reader) {
	defer close(in.done)
	defer close(in.chunks)
	buf := make([]byte, 4<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			select {
			case in.chunks <- append([]byte(nil), buf[:n]...):
			case <-in.quit:
				return
			}
		}
		if err != nil {
			in.err = err
			return
		}
	}
}

// gather returns first and what has arrived since, up to about most bytes.
func (in *intake) gather(first []byte, most int) []byte {
	for len(first) < most {
		select {
		case more, ok := <-in.chunks:
			if !ok {
				return first
			}
			first = append(first, more...)
		default:
			return first
		}
	}
	return first
}

// stop makes the goroutine end after the read under way. It is called at most once.
func (in *intake) stop() { close(in.quit) }

func (in *intake) wait() { <-in.done }

// splitter cuts bytes into whole characters.
type splitter struct{ held []byte }

// next returns the whole characters of what was held back and b, and holds back the beginning of the last one if its
// rest is missing. bad: after them comes something that is not UTF-8.
func (s *splitter) next(b []byte) (whole []byte, bad bool) {
	b = append(s.held, b...)
	s.held = nil
	if utf8.Valid(b) {
		return b, false
	}
	i := len(b) - text.Unfinished(b)
	s.held = append([]byte(nil), b[i:]...)
	if utf8.Valid(b[:i]) {
		return b[:i], false
	}
	i, s.held = 0, nil
	for {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return b[:i], true
		}
		i += n
	}
}

func (s *splitter) pending() bool { return len(s.held) > 0 }

func count(n int) string { return strconv.Itoa(n) }
