package ws

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

const (
	finBit  = 0x80
	maskBit = 0x80
	// maxControl is the longest payload of a control frame (RFC 6455 §5.5).
	maxControl = ws.MaxControlFramePayloadSize
	// maxReason is what a closing frame has left for text after the code.
	maxReason = maxControl - 2
	// maxHeader is a frame's header with a mask and a length of 64 bits.
	maxHeader = ws.MaxHeaderSize
)

// appendFrame appends a whole frame as a server sends it: never masked (RFC 6455 §5.1).
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	// Room for all of it at once: dst is nil where a ping is all that waits for a connection.
	switch n := len(payload); {
	case n < 126:
		dst = append(slices.Grow(dst, 2+n), finBit|byte(op), byte(n))
	case n <= 0xffff:
		dst = append(slices.Grow(dst, 4+n), finBit|byte(op), 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(slices.Grow(dst, 10+n), finBit|byte(op), 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// closeFrame makes a closing frame. A reason that is too long is cut between characters: a broken one would make
// the peer fail the connection instead of reading the code.
func closeFrame(code holdfast.CloseCode, reason string) []byte {
	if len(reason) > maxReason {
		n := maxReason
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	if !utf8.ValidString(reason) {
		reason = ""
	}
	body := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), uint16(code))
	return appendFrame(nil, ws.OpClose, append(body, reason...))
}
