package bench

import (
	"bytes"
	"strconv"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// scan reads a frame as the server writes it, member after member, without decoding JSON. Whatever is written in another
// way is bad: then the frame is decoded in full, or the reader reports it.
type scan struct {
	rest []byte
	bad  bool
}

// must takes a text that has to be there.
func (s *scan) must(lit string) {
	if !s.may(lit) {
		s.bad = true
	}
}

// may takes a text if it is there.
func (s *scan) may(lit string) bool {
	if len(s.rest) < len(lit) || string(s.rest[:len(lit)]) != lit {
		return false
	}
	s.rest = s.rest[len(lit):]
	return true
}

func (s *scan) number() uint64 {
	n, i := uint64(0), 0
	for i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9' {
		n = n*10 + uint64(s.rest[i]-'0')
		i++
	}
	s.bad = s.bad || i == 0 || i > 19
	s.rest = s.rest[i:]
	return n
}

// fragment is a frag frame whose text needs no unescaping.
type fragment struct {
	run  holdfast.Offset
	n, m holdfast.FragmentNo
	tag  uint64
	text []byte
}

// scanFragment reads a frag frame of the answer itself. prefix is what it begins with, the session included.
func scanFragment(msg []byte, prefix string) (f fragment, ok bool) {
	s := scan{rest: msg}
	s.must(prefix)
	f.run = holdfast.Offset(s.number())
	s.must(`,"n":`)
	f.n, f.m = holdfast.FragmentNo(s.number()), 1
	if s.may(`,"m":`) {
		f.m = holdfast.FragmentNo(s.number())
	}
	s.must(`,"h":`)
	f.tag = s.number()
	s.must(`,"d":"`)
	n := len(s.rest) - len(`"}`)
	if s.bad || n < 0 || string(s.rest[n:]) != `"}` || bytes.ContainsAny(s.rest[:n], `"\`) {
		return f, false
	}
	f.text = s.rest[:n]
	return f, true
}

// typeOf returns the member t, with which every frame begins; "" for one that is not expected.
func typeOf(msg []byte) wire.Type {
	s := scan{rest: msg}
	s.must(`{"t":"`)
	end := bytes.IndexByte(s.rest, '"')
	if s.bad || end < 0 {
		return ""
	}
	// Listed, so that no text is made for each frame.
	switch string(s.rest[:end]) {
	case string(wire.TypeEntry):
		return wire.TypeEntry
	case string(wire.TypeFrag):
		return wire.TypeFrag
	case string(wire.TypePing):
		return wire.TypePing
	}
	return wire.Type(s.rest[:end])
}

func prefixOf(frame string, s holdfast.SessionID) string {
	return `{"t":"` + frame + `","s":` + strconv.Quote(string(s)) + `,"o":`
}

func containsLine(text []byte, prefix string) bool {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(prefix)) {
			return true
		}
	}
	return false
}
