package ws

import (
	"time"

	"github.com/holdfast/holdfast/transport"
)

// Detach implements transport.Detacher.
func (c *conn) Detach(r transport.Receiver) { c.to, c.detached = r, true }

// attend is the goroutine of a detached connection: it waits until something arrives, handles it, and leaves the waiting to
// a new goroutine. A stack grows with the first message that is handled on it, to 4 KiB at the least, and the runtime makes
// one of 4 KiB smaller only if less than some 200 bytes of it are in use; waiting takes 400. So thousands of idle connections
// would cost twice the memory that waiting takes.
//
// What is called up to the wait must stay shallow, about 1 KiB in all, for the same reason; see TestIdleMemory.
//
// One goroutine at a time attends a connection. The last of them ends the connection, which Shutdown and Wait wait for.
func (c *conn) attend() {
	p, err := c.read()
	c.attended(p, err)
}

// attended is not a part of attend, in which what it needs would lie on the stack while it waits.
//
//go:noinline
func (c *conn) attended(p []byte, err error) {
	for {
		on, end := c.handle(p, err)
		if !on {
			c.to.Ended(end)
			c.h.end(c)
			return
		}
		if !c.lively() {
			// It ends as this one does, and Shutdown and Wait wait for the last.
			go c.attend()
			return
		}
		p, err = c.read()
	}
}

// pause is how long nothing has arrived on a connection that counts as idle. Less would make those pay for new goroutines,
// some microseconds each, that have no time to be idle.
const pause = time.Second

// lively reports whether something arrived shortly before what arrived now.
func (c *conn) lively() bool {
	before := c.arrived
	c.arrived = time.Since(c.h.started)
	return before != 0 && c.arrived-before < pause
}
