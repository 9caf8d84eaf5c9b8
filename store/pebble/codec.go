package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// version begins every value, so that a later program knows how to read it.
const version = 3

// writer appends the parts of a value. Numbers are varints; strings have their length before them.
type writer struct{ b []byte }

func newWriter(size int) *writer {
	w := &writer{b: make([]byte, 0, size+1)}
	w.byte(version)
	return w
}

func (w *writer) byte(b byte)      { w.b = append(w.b, b) }
func (w *writer) uint(n uint64)    { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)      { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) time(t time.Time) { w.int(t.UnixMilli()) }
func (w *writer) tag(t uint32)     { w.b = binary.BigEndian.AppendUint32(w.b, t) }

func (w *writer) str(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(s []byte) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

var errShort = errors.New("it ends too early")

// reader takes a value apart. The first thing wrong is kept in err, after which all reads give zero values.
type reader struct {
	b   []byte
	err error
}

func newReader(b []byte) *reader {
	r := &reader{b: b}
	if v := r.byte(); r.err == nil && v != version {
		r.fail(fmt.Errorf("it has version %d; this program reads version %d", v, version))
	}
	return r
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errShort)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uint() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) int() int64 {
	n, k := binary.Varint(r.b)
	if k <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[k:]
	return n
}

func (r *reader) time() time.Time { return time.UnixMilli(r.int()).UTC() }

func (r *reader) tag() uint32 {
	if len(r.b) < 4 {
		r.fail(errShort)
		return 0
	}
	t := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return t
}

// count reads how many elements follow, of at least one byte each, so that a damaged number allocates nothing.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return 0
	}
	return int(n)
}

// raw returns the bytes of a string without copying them.
func (r *reader) raw() []byte {
	n := r.count()
	s := r.b[:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) str() string { return string(r.raw()) }

// bytes returns a copy, or nil for none.
func (r *reader) bytes() []byte {
	s := r.raw()
	if len(s) == 0 {
		return nil
	}
	return append([]byte(nil), s...)
}

// end reports what was wrong, or that something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.err = fmt.Errorf("%d bytes are left over", len(r.b))
	}
	return r.err
}
