package conn

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/transport"
)

// chunk is about how much is gathered for one write at most, in bytes. What does not go out with it stays in the log, not in
// a buffer.
const chunk = 64 << 10

// firstPace is how much is gathered for one write of a connection of which nothing is known, in bytes; see [Conn.paced].
const firstPace = 16 << 10

// paceLeast and paceMost are how long a pump's write should take: less, and it gathers more at a time; more, and less.
const (
	paceLeast = 50 * time.Millisecond
	paceMost  = 500 * time.Millisecond
)

// piece is how much a pump writes under one deadline: small, so that a socket that takes a little now and then is a slow
// one, and only a socket that takes nothing is a dead one.
const piece = 4 << 10

// together is how many pumps a lane may have for what is ready to go out with what a new one reads from the store. More, and they
// wait for each other for longer than an answer may take.
const together = 256

// flush writes what is ready, as far as it goes without waiting. What remains is a pump's work.
func (l *Lane) flush(ctx context.Context, c *Conn) {
	c.mu.Lock()
	if c.out.owner != queued {
		c.mu.Unlock()
		return
	}
	c.out.owner = writing
	c.mu.Unlock()

	out, slow := l.gather(c)
	n, err := 0, error(nil)
	if len(out) > 0 && !(slow && l.pumping.Load() < together) {
		n, err = c.try(out)
	}
	switch {
	case err != nil:
		c.fail(err)
	case n < len(out) || slow:
		l.pump(ctx, c, append([]byte(nil), out[n:]...))
	default:
		c.wrote(n)
		c.release()
	}
}

// try writes as far as that goes without waiting. The goodbye is the last that is gathered, and the close goes with it.
func (c *Conn) try(out []byte) (int, error) {
	last, ok := c.t.(transport.Laster)
	if !ok {
		return c.t.TryWrite(out)
	}
	c.mu.Lock()
	end, all := c.out.end, len(c.out.control) == 0
	c.mu.Unlock()
	if end == nil || !all {
		return c.t.TryWrite(out)
	}
	return last.TryLast(out, end.code, end.reason)
}

// gather collects what is ready. slow says that the store must be read for the rest.
func (l *Lane) gather(c *Conn) (out []byte, slow bool) {
	control, dirty := c.takeOutput()
	dirty = l.ripe(dirty)
	if len(control) == 0 && len(dirty) == 1 {
		if out, ok := l.fanOut(c, dirty[0]); ok {
			return out, false
		}
	}
	out, slow = c.collect(append(l.scratch[:0], control...), dirty)
	l.scratch = out
	return out, slow
}

// fanOut gathers for a connection of which one session has more, from what was gathered for the one before, if both stand
// at the same place and frame alike.
func (l *Lane) fanOut(c *Conn, s *sub) ([]byte, bool) {
	at, live := s.reader.Peek()
	if !live || s.gone.Load() {
		return nil, false
	}
	if l.last.carriage != c.carriage || l.last.from != at || !l.last.after.AtEnd() && !l.last.more {
		before := *s.reader
		b, ok := before.Live(chunk)
		if !ok {
			return nil, false
		}
		l.last = fanout{
			carriage: c.carriage, from: at, after: before, bytes: frameAll(c, l.last.bytes[:0], b.Frames), more: b.More,
		}
	}
	s.dirty.Store(false)
	s.reader.Jump(&l.last.after)
	s.moved(nil)
	if l.last.more || !s.reader.AtEnd() {
		s.Wake()
	}
	return l.last.bytes, true
}

func frameAll(c *Conn, dst []byte, frames [][]byte) []byte {
	for _, f := range frames {
		dst = c.t.AppendMessage(dst, f)
	}
	return dst
}

// takeOutput takes what waits. The caller is the owner. When the connection is to end, nothing follows the goodbye.
func (c *Conn) takeOutput() (control []byte, dirty []*sub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	control, dirty = c.out.control, c.out.dirty
	c.out.control, c.out.dirty = nil, nil
	if c.out.pace == 0 {
		c.out.pace = firstPace
	}
	c.roomLocked()
	if c.out.end != nil {
		dirty = nil
	}
	return control, dirty
}

// collect appends what follows the cursors of the dirty subs, as much as the connection's pace, sharing it between them. Those
// that have more are dirty again.
func (c *Conn) collect(out []byte, dirty []*sub) (_ []byte, slow bool) {
	for i, s := range dirty {
		if len(out) >= int(c.out.pace) {
			c.putBack(dirty[i:])
			break
		}
		if s.gone.Load() {
			continue
		}
		// Cleared first: a change that comes while the tail is read marks the sub anew.
		s.dirty.Store(false)
		b, ok := s.reader.Live(max(int(c.out.pace)-len(out), 1))
		s.moved(&b)
		out = frameAll(c, out, b.Frames)
		if !ok || b.More {
			s.Wake()
			slow = slow || !ok
		}
	}
	return out, slow
}

// putBack puts subs whose turn did not come at the head of the list, before those that had theirs and have more.
func (c *Conn) putBack(rest []*sub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*sub
	for _, s := range rest {
		if !s.gone.Load() {
			list = append(list, s)
		}
	}
	c.out.dirty = append(list, c.out.dirty...)
}

func (c *Conn) wrote(n int) {
	if n > 0 {
		c.lastOut.Store(int64(c.cfg.now().Sub(c.started)))
		c.bytesOut.Add(int64(n))
	}
}

// release lets go of the writing side, unless something came meanwhile: then the connection is queued again, behind the
// others of its lane. It carries an end out once everything before it has been written.
func (c *Conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.out.owner == closed:
	case len(c.out.control) > 0 || len(c.out.dirty) > 0 && c.out.end == nil:
		c.out.owner = queued
		c.lane.enqueue(c)
	case c.out.end != nil:
		c.out.owner = closed
		c.t.Close(c.out.end.code, c.out.end.reason)
		c.quietLocked()
	default:
		c.out.owner = nobody
		c.quietLocked()
	}
}

// fail gives up a connection whose socket failed. The reading side finds out by itself, and cleans up.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	switch {
	case c.out.end != nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.out.end = &goodbye{code: holdfast.CloseStalled, reason: "the socket took nothing for too long", by: ending.ByServer, since: c.cfg.now()}
	case errors.Is(err, syscall.ETIMEDOUT):
		// The kernel says so once, to whoever asks first: the reading side would take it for an end like any other.
		c.out.end = &goodbye{code: ending.CodeAbnormal, reason: err.Error(), by: ending.ByNetwork, late: true, since: c.cfg.now()}
	}
	c.out.owner = closed
	c.quietLocked()
	c.mu.Unlock()
	// A client that says goodbye and closes, while something is written to it, resets the socket; what it said is there to be read
	// all the same, and then the kernel tells the reading side. To abort would be to throw the goodbye away.
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		c.t.Abort()
	}
}

// pump writes rest, which did not go out without waiting, and goes on until nothing is left. Its goroutine ends then, or
// with the connection, whose transport fails its writes; the lane waits for it.
func (l *Lane) pump(ctx context.Context, c *Conn, rest []byte) {
	l.pumping.Add(1)
	l.pumps.Go(func() {
		defer l.pumping.Add(-1)
		for {
			out, idle, err := c.pumpOnce(ctx, rest)
			rest = nil
			began := c.cfg.now()
			if err == nil {
				err = c.writeAll(out)
			}
			c.paced(len(out), c.cfg.now().Sub(began))
			if err != nil {
				c.fail(err)
				return
			}
			if idle {
				c.release()
				return
			}
		}
	})
}

// pumpOnce gathers as a lane does, after what is gathered already, and reads the store where that is needed. Sessions take
// turns: one that is far behind does not hold up another that is live.
func (c *Conn) pumpOnce(ctx context.Context, before []byte) (out []byte, idle bool, err error) {
	control, dirty := c.takeOutput()
	out = append(before, control...)
	if len(out) == 0 && len(dirty) == 0 {
		return nil, true, nil
	}
	for i, s := range dirty {
		if len(out) >= int(c.out.pace) {
			c.putBack(dirty[i:])
			break
		}
		if s.gone.Load() {
			continue
		}
		if out, err = c.pumpSub(ctx, s, out); err != nil {
			return nil, false, err
		}
	}
	return out, false, nil
}

// pumpSub gathers for one sub, until it has all that there is or the write is full: an answer, what was missed and the word that this
// was all come from three places, and are one write.
func (c *Conn) pumpSub(ctx context.Context, s *sub, out []byte) ([]byte, error) {
	for {
		s.dirty.Store(false)
		left := int(c.out.pace) - len(out)
		b, ok := s.reader.Live(left)
		if !ok {
			var err error
			if b, err = c.catchUp(ctx, s, max(left, piece)); err != nil {
				return out, err
			}
		}
		s.moved(&b)
		out = frameAll(c, out, b.Frames)
		switch {
		case !b.More:
			return out, nil
		case len(out) >= int(c.out.pace) || s.gone.Load():
			s.Wake()
			return out, nil
		}
	}
}

// paced finds out how much a slow socket takes in a fraction of a second. Whatever is gathered comes before an answer that is
// given later, such as to a stop, and as it stood when it was gathered: of a second's text on a thin line, one frame.
func (c *Conn) paced(n int, took time.Duration) {
	switch pace := c.out.pace; {
	case took > paceMost:
		c.out.pace = max(pace/2, piece)
	case took < paceLeast && n >= int(pace):
		c.out.pace = min(pace*2, chunk)
	}
}

// catchUp reads the store for one sub, about so many bytes at most. Reads are few at a time, so that a thousand clients that come back at once do not
// hold a thousand pages in memory.
func (c *Conn) catchUp(ctx context.Context, s *sub, most int) (tail.Batch, error) {
	select {
	case c.lane.reads <- struct{}{}:
	case <-ctx.Done():
		return tail.Batch{}, ctx.Err()
	}
	defer func() { <-c.lane.reads }()
	b, err := s.reader.CatchUp(ctx, c.cfg.Log, most)
	if err != nil && (c.ending() || c.lane.isLeaving()) {
		c.leave(0) // the store is another one's now, and what is missing here is there
		return tail.Batch{}, nil
	}
	if err != nil {
		c.cfg.Logger.Error("reading a session failed", "session", s.reader.Tail().Session(), "err", err)
		c.bye(holdfast.CloseInternal, "the session cannot be read now", time.Second, 5*time.Second)
		return tail.Batch{}, nil
	}
	return b, nil
}

// writeAll writes with a deadline per piece; see piece.
func (c *Conn) writeAll(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		if err := c.t.Write(p[:n], c.cfg.WriteTimeout); err != nil {
			return err
		}
		c.wrote(n)
		p = p[n:]
	}
	return nil
}
