package ws

import "sync"

// readSize is how much is read at once. Most messages of clients are far shorter.
const readSize = 8 << 10

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
	attempts sync.Pool
}

func newPools() *pools {
	p := &pools{}
	p.buffers.New = func() any { return new([readSize]byte) }
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

func (p *pools) buffer() *[readSize]byte     { return p.buffers.Get().(*[readSize]byte) }
func (p *pools) putBuffer(b *[readSize]byte) { p.buffers.Put(b) }
