package ws

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
)

// controlTimeout bounds how long a connection without a bare socket waits to write a control frame. There, a write
// cannot be given up and tried again.
const controlTimeout = 5 * time.Second

// writer is the sending side of a connection. Messages come from one goroutine at a time; pongs and the closing frame
// come from others, as notes.
//
// Whoever leaves a note tries to get mu and to send it. Who does not get mu has nothing to do, since the one who holds it
// looks at the notes after letting it go: the flag fresh says that one was left in between.
type writer struct {
	// Static after construction.
	conn  net.Conn
	raw   syscall.RawConn // nil if conn is not a bare socket
	pools *pools

	// mu is the right to write to conn. Write waits for it; everyone else only tries, because Write holds it while it
	// waits for the socket.
	mu sync.Mutex
	// Guarded by mu.
	// mid: a message went out in part; nothing but its rest may follow.
	mid bool
	// closeTaken: the closing frame is in rest or is sent. closeSent: nothing follows.
	closeTaken, closeSent bool
	// rest is what is left of a control frame that went out in part, or not at all. It goes before anything else.
	rest []byte
	// err says why nothing can be written any more.
	err error

	notes notes
}

// notes are control frames that wait for the writer.
type notes struct {
	// fresh: a note was left since the writer last looked.
	fresh atomic.Bool
	// closing: a closing frame was left; no new message may be begun.
	closing atomic.Bool

	mu sync.Mutex
	// Guarded by mu. frames is there while one waits.
	frames *noted
}

// noted are the frames of the notes. pong answers the latest ping only, as RFC 6455 §5.5.3 allows: a flood of pings costs
// one frame.
type noted struct{ pong, bye []byte }

// leave notes a frame.
func (n *notes) leave(note func(*noted)) {
	n.mu.Lock()
	if n.frames == nil {
		n.frames = &noted{}
	}
	note(n.frames)
	n.mu.Unlock()
}

func (n *notes) leavePong(payload []byte) {
	n.leave(func(f *noted) { f.pong = appendFrame(f.pong[:0], ws.OpPong, payload) })
	n.fresh.Store(true)
}

func (n *notes) leaveClose(frame []byte) {
	n.leave(func(f *noted) { f.bye = frame })
	n.closing.Store(true)
	n.fresh.Store(true)
}

// take returns the next frame to send, nil if there is none.
func (n *notes) take() (frame []byte, isClose bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.frames
	switch {
	case f == nil:
		return nil, false
	case f.pong != nil:
		frame, f.pong = f.pong, nil
		return frame, false
	}
	n.frames = nil
	return f.bye, f.bye != nil
}

// errClosed is what a write meets after the connection was closed or aborted by this side or closed by the peer.
func errClosed() error {
	return holdfast.Wrap(holdfast.CodeUnavailable, net.ErrClosed, "the connection is closed")
}

// tryWrite is Conn.TryWrite.
func (w *writer) tryWrite(p []byte) (int, error) {
	if w.raw == nil || len(p) == 0 || !w.mu.TryLock() {
		// Either nothing can be tried, or a pong is just being sent, or Write waits: the socket counts as full.
		return 0, nil
	}
	defer w.release()
	if err := w.ready(); err != nil || len(w.rest) > 0 {
		return 0, err
	}
	n, err := w.send(p)
	w.mid = n < len(p) && (w.mid || n > 0)
	return n, err
}

// tryLast is Conn.TryLast: as tryWrite, and if all of p goes out, the closing frame goes with it.
func (w *writer) tryLast(p, closing []byte) (int, error) {
	if w.raw == nil || len(p) == 0 || !w.mu.TryLock() {
		return 0, nil
	}
	defer w.release()
	if err := w.ready(); err != nil || len(w.rest) > 0 {
		return 0, err
	}
	both := append(slices.Clip(p), closing...)
	n, err := w.send(both)
	if n < len(p) {
		w.mid = w.mid || n > 0
		return n, err
	}
	w.mid, w.closeTaken, w.rest = false, true, both[n:]
	return len(p), err
}

// ready sends what must go before a message and reports whether one may follow.
func (w *writer) ready() error {
	w.settle()
	switch {
	case w.err != nil:
		return w.err
	case w.closeTaken, w.notes.closing.Load() && !w.mid:
		return errClosed()
	}
	return nil
}

// write is Conn.Write.
func (w *writer) write(p []byte, timeout time.Duration) error {
	if len(p) == 0 {
		return nil // else the rest of a message would count as written
	}
	deadline := time.Now().Add(timeout)
	w.mu.Lock()
	defer w.release()
	if w.err != nil {
		return w.err
	}
	if w.closeTaken || w.notes.closing.Load() && !w.mid {
		return errClosed()
	}
	if len(w.rest) > 0 {
		if err := w.sendAll(w.rest, deadline); err != nil {
			return err
		}
		w.rest = nil
	}
	if err := w.sendAll(p, deadline); err != nil {
		return err
	}
	w.mid = false
	return nil
}

// release gives the right to write back, having sent the notes that were left meanwhile.
func (w *writer) release() {
	w.settle()
	w.letGo()
}

// letGo gives the right to write back, and takes it again for a note that was left since settle looked: its author found
// mu taken, went away, and relies on this.
func (w *writer) letGo() {
	for {
		w.mu.Unlock()
		if !w.notes.fresh.Load() || !w.mu.TryLock() {
			return
		}
		w.settle()
	}
}

// nudge sends the notes if nobody is writing.
func (w *writer) nudge() {
	if w.mu.TryLock() {
		w.release()
	}
}

// settle sends the control frames that wait, as far as that goes without waiting (with a bare socket). It needs mu.
func (w *writer) settle() {
	w.notes.fresh.Store(false)
	for !w.mid && w.err == nil {
		if len(w.rest) == 0 {
			w.closeSent = w.closeTaken
			if w.closeSent {
				return
			}
			if w.rest, w.closeTaken = w.notes.take(); w.rest == nil {
				return
			}
		}
		n, err := w.send(w.rest)
		w.rest = w.rest[n:]
		if err != nil || len(w.rest) > 0 {
			return
		}
	}
}

// send writes without waiting; without a bare socket it waits for controlTimeout and breaks the connection then.
func (w *writer) send(p []byte) (int, error) {
	if w.raw == nil {
		if err := w.sendAll(p, time.Now().Add(controlTimeout)); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	a := w.pools.attempts.Get().(*attempt)
	a.p, a.n, a.err = p, 0, nil
	err := w.raw.Write(a.try)
	n := a.n
	if err == nil {
		err = a.err
	}
	a.p, a.err = nil, nil
	w.pools.attempts.Put(a)
	if err != nil {
		w.err = holdfast.Wrap(holdfast.CodeUnavailable, err, "the connection is gone")
		return n, w.err
	}
	return n, nil
}

// sendAll writes all of p before the deadline.
func (w *writer) sendAll(p []byte, deadline time.Time) error {
	// An error of setting the deadline is one of the socket, which the write meets too.
	_ = w.conn.SetWriteDeadline(deadline)
	n, err := w.conn.Write(p)
	// A deadline that has passed would make every later attempt fail, those that do not wait too.
	_ = w.conn.SetWriteDeadline(time.Time{})
	if err == nil {
		return nil
	}
	wrapped := holdfast.Wrap(holdfast.CodeUnavailable, err, "the socket did not take the message")
	if n > 0 || w.raw == nil || !isTimeout(err) {
		// The caller is not told how much went out, so that nobody can go on where this stopped.
		w.err = wrapped
	}
	return wrapped
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// finish sends the closing frame, waiting for the socket until the deadline, and reports whether it went out.
func (w *writer) finish(deadline time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		w.settle()
		if w.closeSent || w.mid || w.err != nil || len(w.rest) == 0 {
			return w.closeSent
		}
		if w.sendAll(w.rest, deadline) != nil {
			return false
		}
		w.rest = nil
	}
}
