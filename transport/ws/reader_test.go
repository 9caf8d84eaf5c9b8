package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

// log is a sink that writes down what it is told.
type log struct {
	events []string
	fail   error
}

func (l *log) message(msg []byte) error {
	l.events = append(l.events, "message "+string(msg))
	// A sink that appends must not harm the next frame.
	_ = append(msg, "overwrite"...)
	return l.fail
}

func (l *log) ping(p []byte) { l.events = append(l.events, "ping "+string(p)) }
func (l *log) bye(p []byte)  { l.events = append(l.events, "bye "+string(p)) }

// feedIn feeds a copy of p in pieces of n bytes and returns what the sink saw and how it ended.
func feedIn(p []byte, n, limit int) (events []string, r *reader) {
	l := &log{}
	r = &reader{limit: limit, sink: l}
	for piece := range slices.Chunk(bytes.Clone(p), n) {
		if err := r.feed(piece); err != nil {
			var v *violation
			if !errors.As(err, &v) {
				return append(l.events, "error "+err.Error()), r
			}
			return append(l.events, fmt.Sprintf("violation %d", v.code)), r
		}
	}
	return l.events, r
}

// TestReaderPieces: what arrives does not depend on where the network cuts it.
func TestReaderPieces(t *testing.T) {
	for name, tc := range protocolCases() {
		t.Run(name, func(t *testing.T) {
			whole, _ := feedIn(tc.send, len(tc.send), testLimit)
			for _, n := range []int{1, 2, 3, 7, 1021} {
				if n < 7 && len(tc.send) > 10_000 {
					continue
				}
				pieces, _ := feedIn(tc.send, n, testLimit)
				if diff := cmp.Diff(whole, pieces); diff != "" {
					t.Errorf("in pieces of %d (-whole +pieces):\n%s", n, diff)
				}
			}
		})
	}
}

// TestReaderSkips: after a refusal that leaves the framing whole, and after a sink that fails, the closing frame is
// found, and is not taken for the peer's own wish.
func TestReaderSkips(t *testing.T) {
	answer := closing(4503, "")
	tail := join(frame(ws.OpContinuation, true, "z"), frame(ws.OpPing, true, ""), text("\xff"), frame(ws.OpBinary, true, ""), answer)
	for name, first := range map[string][]byte{
		"too large":    frame(ws.OpText, false, "longer than ten"),
		"binary":       frame(ws.OpBinary, false, "b"),
		"not UTF-8":    frame(ws.OpText, false, "\xff"),
		"failing sink": join(text("fail"), frame(ws.OpText, false, "a")),
	} {
		t.Run(name, func(t *testing.T) {
			all := join(first, tail)
			for n := 1; n <= len(all); n++ {
				l := &log{fail: errors.New("no more")}
				r := &reader{limit: 10, sink: l}
				failed := 0
				for piece := range slices.Chunk(bytes.Clone(all), n) {
					if r.feed(piece) != nil {
						failed++
					}
				}
				if failed != 1 || !r.closed || r.lost || slices.Contains(l.events, "bye \x11\x97") {
					t.Fatalf("in pieces of %d: failed %d times, closed %v, lost %v, events %q", n, failed, r.closed, r.lost, l.events)
				}
			}
		})
	}
}

// TestReaderKeepsNothing: between messages no memory is held.
func TestReaderKeepsNothing(t *testing.T) {
	_, r := feedIn(join(frame(ws.OpText, false, "a"), frame(ws.OpPing, true, "pp"), frame(ws.OpContinuation, true, "b")), 1, 100)
	if r.msg != nil || r.control != nil {
		t.Fatalf("held: message %d bytes, control %d bytes", cap(r.msg), cap(r.control))
	}
}

// TestReaderBelievesBytesOnly: a header alone allocates nothing, whatever it claims.
func TestReaderBelievesBytesOnly(t *testing.T) {
	r := &reader{limit: 1 << 30, sink: &log{}}
	head := append([]byte{0x81, 0xff}, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'x')
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := r.feed(head); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<10 {
		t.Fatalf("a header that claims 1 GiB made the reader allocate %d bytes", grown)
	}
}

func TestUTF8Prefix(t *testing.T) {
	for name, tc := range map[string]struct {
		in string
		n  int
		ok bool
	}{
		"empty": {"", 0, true}, "ascii": {"abc", 3, true}, "whole": {"é", 2, true}, "one of two": {"a\xc3", 1, true},
		"two of three": {"a\xe2\x82", 1, true}, "three of four": {"\xf0\x9f\x98", 0, true}, "hopeless": {"a\xe0\x80", 3, false},
		"lone": {"\x80", 1, false}, "four lone": {"\x80\x80\x80\x80", 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			if n, ok := utf8Prefix([]byte(tc.in)); n != tc.n || ok != tc.ok {
				t.Errorf("got %d, %v; want %d, %v", n, ok, tc.n, tc.ok)
			}
		})
	}
}

// oracle reads the stream with the codec's own frame reader, which wants it whole, and applies the rules in the plainest
// way. It returns what a reader must report; a stream that is cut short ends without a word.
func oracle(p []byte, limit int) []string {
	var events []string
	var msg []byte
	open := false
	src := bytes.NewReader(p)
	for {
		h, err := ws.ReadHeader(src)
		if err == ws.ErrHeaderLengthMSB {
			return append(events, "violation 1002")
		}
		if err != nil {
			return events
		}
		if code := oracleHeader(h, open, limit-len(msg)); code != 0 {
			return append(events, fmt.Sprintf("violation %d", code))
		}
		payload := make([]byte, min(h.Length, int64(src.Len())))
		whole := int64(len(payload)) == h.Length
		_, _ = io.ReadFull(src, payload)
		ws.Cipher(payload, h.Mask, 0)
		switch {
		case h.OpCode.IsData():
			msg, open = append(msg, payload...), !h.Fin
			if bad := utf8Broken(msg, h.Fin && whole); bad {
				return append(events, "violation 1007")
			}
			if h.Fin && whole {
				events, msg = append(events, "message "+string(msg)), nil
			}
		case !whole:
		case h.OpCode == ws.OpPing:
			events = append(events, "ping "+string(payload))
		case h.OpCode == ws.OpClose:
			return append(events, oracleClose(payload))
		}
		if !whole {
			return events
		}
	}
}

func oracleHeader(h ws.Header, open bool, room int) holdfast.CloseCode {
	state := ws.StateServerSide
	if open {
		state = state.Set(ws.StateFragmented)
	}
	switch {
	case h.Length > maxFrame:
		return holdfast.CloseTooLarge
	case ws.CheckHeader(h, state) != nil:
		return codeProtocol
	case h.OpCode == ws.OpBinary:
		return codeUnsupported
	case h.OpCode.IsData() && h.Length > int64(room):
		return holdfast.CloseTooLarge
	}
	return 0
}

// utf8Broken decodes rune by rune; an error within the last three bytes of an unfinished message may be a rune to come.
func utf8Broken(p []byte, end bool) bool {
	for len(p) > 0 {
		c, n := utf8.DecodeRune(p)
		if c == utf8.RuneError && n == 1 {
			return end || utf8.FullRune(p)
		}
		p = p[n:]
	}
	return false
}

func oracleClose(p []byte) string {
	if len(p) == 0 {
		return "bye "
	}
	if len(p) == 1 {
		return "violation 1002"
	}
	code, reason := ws.ParseCloseFrameData(p)
	switch {
	case !validCloseCode(uint16(code)):
		return "violation 1002"
	case !utf8.ValidString(reason):
		return "violation 1007"
	}
	return "bye " + string(p)
}

// FuzzReader compares the reader, fed in pieces of any size, with the oracle, and watches what it holds.
func FuzzReader(f *testing.F) {
	for _, tc := range protocolCases() {
		if len(tc.send) < 2000 {
			f.Add(tc.send, uint8(3))
		}
	}
	const limit = 300
	f.Fuzz(func(t *testing.T, p []byte, n uint8) {
		got, r := feedIn(p, int(n)+1, limit)
		if diff := cmp.Diff(oracle(p, limit), got); diff != "" {
			t.Errorf("-oracle +reader:\n%s", diff)
		}
		if cap(r.msg) > 4*limit || cap(r.control) > 4*maxControl {
			t.Errorf("the reader holds %d and %d bytes", cap(r.msg), cap(r.control))
		}
	})
}
