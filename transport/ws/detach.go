package ws

import "github.com/holdfast/holdfast/transport"

// Detach implements transport.Detacher.
func (c *conn) Detach(r transport.Receiver) { c.to, c.detached = r, true }

// attend is the goroutine of a detached connection: it waits until something arrives, handles it, and leaves the waiting to
// a new goroutine. A stack grows with the first message that is handled on it, and the runtime does not shrink one of 4 KiB
// to 2 of which a waiting goroutine uses more than some 200 bytes; nobody waits on less. So thousands of idle connections
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
	on, err := c.handle(p, err)
	if on {
		// It ends as this one does, and Shutdown and Wait wait for the last.
		go c.attend()
		return
	}
	c.to.Ended(err)
	c.h.end(c)
}
