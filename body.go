package holdfast

import (
	"encoding/json"
	"hash/crc32"
	"unicode/utf8"
)

// Fragment is one append to a run: a text delta of a named part, or an opaque event. Exactly one of Text and Event is
// set; Part may be empty in both and then means the answer itself.
type Fragment struct {
	Part  string
	Text  string
	Event json.RawMessage
}

// Size is what the fragment counts against limits, in bytes.
func (f *Fragment) Size() int { return len(f.Part) + len(f.Text) + len(f.Event) }

// Validate reports what is wrong with the fragment, as an [Error] with [CodeInvalid], or nil.
func (f *Fragment) Validate() error {
	switch {
	case f.Text == "" && len(f.Event) == 0:
		return Errorf(CodeInvalid, "a fragment needs a text or an event; this one has neither")
	case f.Text != "" && len(f.Event) != 0:
		return Errorf(CodeInvalid, "a fragment is a text or an event; this one is both")
	case f.Part != "" && ValidateKey("part", f.Part) != nil:
		return ValidateKey("part", f.Part)
	case !utf8.ValidString(f.Text):
		return Errorf(CodeInvalid, "a fragment's text is not valid UTF-8; do not cut inside a character")
	case len(f.Event) != 0 && !json.Valid(f.Event):
		return Errorf(CodeInvalid, "a fragment's event is not valid JSON")
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ChainTag continues the chain over a run's fragments. Because it depends on their contents alone, it can be computed
// again from the compact form at any fragment, and two runs that grew differently differ in it.
func ChainTag(t Tag, f *Fragment) Tag {
	c := crc32.Update(uint32(t), castagnoli, []byte{byte(len(f.Part)), byte(len(f.Part) >> 8), kindByte(f)})
	c = crc32.Update(c, castagnoli, []byte(f.Part))
	c = crc32.Update(c, castagnoli, []byte(f.Text))
	return Tag(crc32.Update(c, castagnoli, f.Event))
}

func kindByte(f *Fragment) byte {
	if len(f.Event) != 0 {
		return 1
	}
	return 0
}

// Segment is a stretch of fragments that can be shown as one: adjacent texts of one part, or a single event.
type Segment struct {
	Part  string
	Text  string
	Event json.RawMessage
	// Lens are the lengths in bytes of the fragments' texts, in order; for an event it is one zero.
	Lens []uint32
}

// Body is the contents of a run: its fragments in order, adjacent texts of one part merged, each fragment's end kept.
type Body []Segment

// Append returns the body with f at its end. The result may share memory with b, as with the append built-in.
func (b Body) Append(f Fragment) Body {
	if len(f.Event) != 0 {
		return append(b, Segment{Part: f.Part, Event: f.Event, Lens: []uint32{0}})
	}
	if n := len(b); n > 0 && len(b[n-1].Event) == 0 && b[n-1].Part == f.Part {
		last := &b[n-1]
		last.Text += f.Text
		last.Lens = append(last.Lens, uint32(len(f.Text)))
		return b
	}
	return append(b, Segment{Part: f.Part, Text: f.Text, Lens: []uint32{uint32(len(f.Text))}})
}

// Fragments returns the fragments one by one, as they were appended.
func (b Body) Fragments() []Fragment {
	var out []Fragment
	for _, s := range b {
		if len(s.Event) != 0 {
			out = append(out, Fragment{Part: s.Part, Event: s.Event})
			continue
		}
		at := 0
		for _, n := range s.Lens {
			out = append(out, Fragment{Part: s.Part, Text: s.Text[at : at+int(n)]})
			at += int(n)
		}
	}
	return out
}

// Len is the number of fragments in the body.
func (b Body) Len() FragmentNo {
	n := 0
	for _, s := range b {
		n += len(s.Lens)
	}
	return FragmentNo(n)
}

// Skip returns the body without its first n fragments; what a reader who has n of them still needs. It is empty when
// there are no more than n. The result shares memory with b.
func (b Body) Skip(n FragmentNo) Body {
	for i, s := range b {
		if n >= FragmentNo(len(s.Lens)) {
			n -= FragmentNo(len(s.Lens))
			continue
		}
		if n == 0 {
			return b[i:]
		}
		cut := 0
		for _, l := range s.Lens[:n] {
			cut += int(l)
		}
		rest := Body{{Part: s.Part, Text: s.Text[cut:], Lens: s.Lens[n:]}}
		return append(rest, b[i+1:]...)
	}
	return nil
}

// TagAt computes the chain tag after the first n fragments; see [ChainTag].
func (b Body) TagAt(n FragmentNo) Tag {
	var t Tag
	for _, f := range b.Fragments() {
		if n == 0 {
			break
		}
		t, n = ChainTag(t, &f), n-1
	}
	return t
}

// Text returns the texts of one part, joined.
func (b Body) Text(part string) string {
	var out []byte
	for _, s := range b {
		if s.Part == part {
			out = append(out, s.Text...)
		}
	}
	return string(out)
}

// BodyBuilder builds a body from many fragments in linear time, which [Body.Append] does not: that copies the text of
// the last segment each time. The zero value is ready to use; not for concurrent use.
type BodyBuilder struct {
	body Body
	text []byte // of the last segment, as long as it can grow
}

// Append puts f at the end.
func (b *BodyBuilder) Append(f Fragment) {
	if len(f.Event) != 0 {
		b.settle()
		b.body = append(b.body, Segment{Part: f.Part, Event: f.Event, Lens: []uint32{0}})
		return
	}
	if n := len(b.body); n == 0 || len(b.body[n-1].Event) != 0 || b.body[n-1].Part != f.Part {
		b.settle()
		b.body = append(b.body, Segment{Part: f.Part})
	}
	last := &b.body[len(b.body)-1]
	last.Lens = append(last.Lens, uint32(len(f.Text)))
	b.text = append(b.text, f.Text...)
}

// Body returns what was appended so far. The builder may go on after it.
func (b *BodyBuilder) Body() Body {
	b.settle()
	return b.body
}

func (b *BodyBuilder) settle() {
	if len(b.text) == 0 {
		return
	}
	b.body[len(b.body)-1].Text += string(b.text)
	b.text = b.text[:0]
}
