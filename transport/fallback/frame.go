package fallback

import (
	"bytes"

	"github.com/holdfast/holdfast/transport"
)

// kind is one of the three carriages.
type kind struct {
	name        string
	reach       transport.Reach
	contentType string
	// before and after frame a message. A message holds no line feed, so that after ends it, and nothing else does.
	before, after string
}

var (
	events = &kind{"events", transport.Down, "text/event-stream", "data: ", "\n\n"}
	poll   = &kind{"poll", transport.Down, "application/x-ndjson", "", "\n"}
	send   = &kind{"send", transport.Once, "application/x-ndjson", "", "\n"}

	kinds = map[string]*kind{events.name: events, poll.name: poll, send.name: send}
)

// append appends msg as one message. A carriage return ends a line of an event stream as a line feed does; in JSON both
// are white space between tokens.
func (k *kind) append(dst, msg []byte) []byte {
	dst = append(dst, k.before...)
	at := len(dst)
	dst = append(dst, msg...)
	if bytes.IndexByte(msg, '\n') >= 0 || bytes.IndexByte(msg, '\r') >= 0 {
		for i := at; i < len(dst); i++ {
			if dst[i] == '\n' || dst[i] == '\r' {
				dst[i] = ' '
			}
		}
	}
	return append(dst, k.after...)
}

// boundary follows a stream of framed bytes, to know where a message ends.
type boundary struct {
	// ends is how many bytes of what ends a message have just come. It is that many after its last one, until another
	// message begins.
	ends int
	// begun: the stream has begun.
	begun bool
}

// within reports whether the stream is in the middle of a message.
func (b *boundary) within(k *kind) bool { return b.begun && b.ends < len(k.after) }

// pass moves on by p.
func (b *boundary) pass(k *kind, p []byte) {
	if len(p) > len(k.after) {
		b.ends = 0 // what ended before is not what ends now
	}
	for i := max(0, len(p)-len(k.after)); i < len(p); i++ {
		if p[i] != '\n' {
			b.ends = 0
			continue
		}
		if b.ends == len(k.after) {
			b.ends = 0
		}
		b.ends++
	}
	b.begun = b.begun || len(p) > 0
}

// rest returns what of p belongs to the message that the stream is in.
func (b *boundary) rest(k *kind, p []byte) []byte {
	ends := b.ends
	for i := range p {
		if ends++; p[i] != '\n' {
			ends = 0
		}
		if ends == len(k.after) {
			return p[:i+1]
		}
	}
	return p
}
