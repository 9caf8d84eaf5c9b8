package ws

import "sync"

// readSize is how much is read at once. Most messages of clients are far shorter. With what a buffer has besides, it makes 8 KiB.
const readSize = 8<<10 - 24

// buffer holds n bytes that came in, or the error that did in their place.
type buffer struct {
	p   [readSize]byte
	n   int
	err error
}

// attempt is one write that does not wait. The callback that syscall.RawConn wants is made once and kept with it, so
// that a write allocates nothing.
type attempt struct {
	p   []byte
	n   int
	err error
	try func(fd uintptr) bool
}

// pools holds what connections need for moments only.
type pools struct {
	buffers  sync.Pool
	readers  sync.Pool
	attempts sync.Pool
}

func newPools() *pools {
	p := &pools{}
	p.buffers.New = func() any { return new(buffer) }
	p.readers.New = func() any { return new(reader) }
	p.attempts.New = func() any {
		a := &attempt{}
		a.try = func(fd uintptr) bool {
			a.n, a.err = writeOnce(fd, a.p)
			return true
		}
		return a
	}
	return p
}

func (p *pools) buffer() *buffer     { return p.buffers.Get().(*buffer) }
func (p *pools) putBuffer(b *buffer) { p.buffers.Put(b) }

// reader returns a reader at the beginning of a frame.
func (p *pools) reader(limit int, to sink) *reader {
	r := p.readers.Get().(*reader)
	r.limit, r.sink = limit, to
	return r
}

func (p *pools) putReader(r *reader) {
	*r = reader{}
	p.readers.Put(r)
}
