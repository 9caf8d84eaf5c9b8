package ws

import (
	"encoding/binary"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

// sink is told what a reader has read. A slice that it is given is valid during the call only. An error ends the reading.
type sink interface {
	message(msg []byte) error
	ping(payload []byte)
	// bye is called once, with the payload of a closing frame that is in order: empty, or a code and a reason.
	bye(payload []byte)
}

// reader takes a stream of client frames apart, in pieces as they arrive. It reads nothing itself and owns no buffer
// between messages; the pieces are unmasked in place.
type reader struct {
	// Static after construction.
	limit int
	sink  sink

	// The frame under way.
	head header
	h    ws.Header
	// inside: the header is whole, and left of the payload's bytes are to come.
	inside bool
	left   int
	// control is the payload of a control frame that is arriving in pieces.
	control []byte

	// The message under way.
	open bool
	// msg is what has arrived of it, if it comes in pieces; its first valid bytes are known to be UTF-8.
	msg   []byte
	valid int

	// How it ends.
	// closed: a closing frame has come; what follows is not read (RFC 6455 §1.4).
	closed bool
	// discard: this side has closed; messages are skipped, and only the closing frame matters. Set by skip.
	discard bool
	// lost: the peer's framing makes no sense any more, so the end of a frame cannot be found.
	lost bool
}

// header gathers the header of a frame, which may arrive byte by byte, and is the io.Reader that the codec wants.
type header struct {
	raw  [maxHeader]byte
	have uint8
	off  uint8
}

func (h *header) Read(p []byte) (int, error) {
	if h.off == h.have {
		return 0, io.EOF
	}
	n := copy(p, h.raw[h.off:h.have])
	h.off += uint8(n)
	return n, nil
}

// need returns how long the header is, as far as the bytes at hand tell.
func (h *header) need() int {
	if h.have < 2 {
		return 2
	}
	n := 2
	switch h.raw[1] &^ maskBit {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if h.raw[1]&maskBit != 0 {
		n += 4
	}
	return n
}

// fill takes bytes of a header from p, and reports how many and whether the header is whole.
func (h *header) fill(p []byte) (n int, whole bool) {
	for int(h.have) < h.need() {
		if n == len(p) {
			return n, false
		}
		c := copy(h.raw[h.have:h.need()], p[n:])
		h.have += uint8(c)
		n += c
	}
	return n, true
}

// parse returns the header and makes room for the next.
func (h *header) parse() (ws.Header, error) {
	// The codec reads into the very bytes it reads from: it asks for them in order, and each piece moves to the front.
	parsed, err := ws.ReadHeaderBuffer(h, h.raw[:])
	h.have, h.off = 0, 0
	return parsed, err
}

// between reports whether the reader stands between two messages, with nothing to remember.
func (r *reader) between() bool {
	return r.head.have == 0 && !r.inside && !r.open && !r.closed && !r.discard && !r.lost
}

// feed reads p, which it may change. It returns a *violation if the peer broke the protocol, or what the sink
// returned; from then on the reader skips what comes, and finds the peer's closing frame unless it is lost.
func (r *reader) feed(p []byte) error {
	rest, err := r.read(p)
	if err == nil || r.discard {
		return err
	}
	r.skip()
	for len(rest) > 0 && !r.lost && !r.closed {
		rest, _ = r.read(rest)
	}
	return err
}

// read reads p up to its end, the first error or a closing frame, and returns what is left of it.
func (r *reader) read(p []byte) (rest []byte, err error) {
	for len(p) > 0 && !r.closed {
		if !r.inside {
			n, whole := r.head.fill(p)
			p = p[n:]
			if !whole {
				return nil, nil
			}
			if err := r.begin(); err != nil {
				return p, err
			}
		}
		n := min(r.left, len(p))
		// The capacity is cut, so that a sink that appends to its message cannot overwrite the next frame.
		piece := p[:n:n]
		p = p[n:]
		ws.Cipher(piece, r.h.Mask, int(r.h.Length)-r.left)
		r.left -= n
		r.inside = r.left > 0
		if err := r.payload(piece); err != nil {
			return p, err
		}
	}
	return p, nil
}

// begin checks a header that is whole, before anything is allocated for what it announces.
func (r *reader) begin() error {
	h, err := r.head.parse()
	if err != nil {
		r.lost = true
		return &violation{codeProtocol, "a frame's length has its highest bit set"}
	}
	if h.Length > maxFrame {
		r.lost = true
		return tooLarge()
	}
	if v := r.checkHeader(h); v != nil && v.code == codeProtocol {
		r.lost = true
		return v
	} else if v != nil {
		err = v
	} else if !r.discard && h.OpCode.IsData() && h.Length > int64(r.limit-len(r.msg)) {
		err = tooLarge()
	}
	// What is refused for what it carries is skipped like any other frame, so that the peer's closing frame is found.
	r.h, r.inside, r.left = h, true, int(h.Length)
	r.open = r.open || h.OpCode.IsData()
	return err
}

func tooLarge() *violation {
	return &violation{holdfast.CloseTooLarge, "the message is longer than the limit"}
}

func (r *reader) checkHeader(h ws.Header) *violation {
	switch {
	case h.Rsv != 0:
		return &violation{codeProtocol, "a reserved bit is set, and no extension was agreed on"}
	case h.OpCode.IsReserved():
		return &violation{codeProtocol, "the opcode is reserved"}
	case !h.Masked:
		// RFC 6455 §5.1: without masks a page could make a proxy in between cache what it likes.
		return &violation{codeProtocol, "a client's frame is not masked"}
	case h.OpCode.IsControl():
		return checkControl(h)
	case h.OpCode == ws.OpContinuation && !r.open:
		return &violation{codeProtocol, "a continuation without a message to continue"}
	case h.OpCode != ws.OpContinuation && r.open:
		return &violation{codeProtocol, "a new message inside another that is not finished"}
	case h.OpCode == ws.OpBinary && !r.discard:
		return &violation{codeUnsupported, "binary messages are not taken; send text"}
	}
	return nil
}

// maxFrame bounds lengths that are skipped, so that they fit an int everywhere.
const maxFrame = 1<<31 - 1

func checkControl(h ws.Header) *violation {
	switch {
	case !h.Fin:
		return &violation{codeProtocol, "a control frame is fragmented"}
	case h.Length > maxControl:
		return &violation{codeProtocol, "a control frame has more than 125 bytes"}
	}
	return nil
}

// payload takes the next piece of the frame under way.
func (r *reader) payload(piece []byte) error {
	if r.h.OpCode.IsControl() {
		return r.controlPiece(piece)
	}
	last := r.h.Fin && !r.inside
	r.open = !last
	switch {
	case r.discard:
		return nil
	case last && len(r.msg) == 0:
		// The whole message lies in the read buffer: no copy.
		if !utf8.Valid(piece) {
			return invalidText()
		}
		return r.sink.message(piece)
	}
	r.msg = append(r.msg, piece...)
	n, ok := utf8Prefix(r.msg[r.valid:])
	r.valid += n
	if !ok || last && r.valid < len(r.msg) {
		return invalidText()
	}
	if !last {
		return nil
	}
	msg := r.msg
	r.drop()
	return r.sink.message(msg)
}

func invalidText() *violation {
	return &violation{codeInvalidData, "the message is not valid UTF-8"}
}

// drop lets go of the message under way, so that no memory stays behind.
func (r *reader) drop() { r.msg, r.valid = nil, 0 }

// skip makes the reader look for the closing frame only.
func (r *reader) skip() {
	r.discard = true
	r.drop()
}

func (r *reader) controlPiece(piece []byte) error {
	if r.inside || len(r.control) > 0 {
		r.control = append(r.control, piece...)
		if r.inside {
			return nil
		}
		piece = r.control
		r.control = nil
	}
	switch r.h.OpCode {
	case ws.OpPing:
		if !r.discard {
			r.sink.ping(piece)
		}
	case ws.OpClose:
		return r.closeFrame(piece)
	}
	// A pong is no answer to anything: Holdfast's heartbeats are messages.
	return nil
}

func (r *reader) closeFrame(p []byte) error {
	r.closed = true
	switch {
	case len(p) == 1:
		return &violation{codeProtocol, "a closing frame has half a code"}
	case len(p) >= 2 && !validCloseCode(binary.BigEndian.Uint16(p)):
		return &violation{codeProtocol, "the close code is not one that may be sent"}
	case len(p) > 2 && !utf8.Valid(p[2:]):
		return &violation{codeInvalidData, "the reason for closing is not valid UTF-8"}
	}
	if !r.discard {
		// Else this side has closed already, or is about to for a reason of its own, which the peer must not miss.
		r.sink.bye(p)
	}
	return nil
}
