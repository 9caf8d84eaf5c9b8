// Package roster keeps the connections of one carriage until they have ended, for an orderly shutdown.
package roster

import (
	"context"
	"sync"

	"github.com/holdfast/holdfast"
)

// Conn is a connection that can be ended at once.
type Conn interface {
	comparable
	Abort()
}

// Roster counts connections in and out. All methods may be called at any time.
type Roster[C Conn] struct {
	// Static after construction. ctx ends with Shutdown.
	ctx    context.Context
	cancel context.CancelFunc

	// running counts connections. Added to under mu only, so that it cannot grow during Wait.
	running sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu. conns is nil once the connections that were left have been aborted.
	conns map[C]struct{}
	down  bool
}

// New returns an empty roster.
func New[C Conn]() *Roster[C] {
	r := &Roster[C]{conns: map[C]struct{}{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Context ends when Shutdown is called.
func (r *Roster[C]) Context() context.Context { return r.ctx }

// Enter counts a connection in, which may still be in the making; false after Shutdown was called. From here on Shutdown
// waits until Leave, or Quit where nothing came of it.
func (r *Roster[C]) Enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.down {
		r.running.Add(1)
	}
	return !r.down
}

// Add makes a connection that was counted in known, so that Shutdown can abort it. If it is too late for that, Add aborts it
// and returns false.
func (r *Roster[C]) Add(c C) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		c.Abort()
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

// Leave counts out a connection that was added.
func (r *Roster[C]) Leave(c C) {
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	r.running.Done()
}

// Quit counts out what was counted in and not added.
func (r *Roster[C]) Quit() { r.running.Done() }

// Shutdown lets nobody in any more, ends the context, and waits until all have left. When ctx ends first, it aborts the
// connections that are left and returns, as a *holdfast.Error with CodeUnavailable, how many.
func (r *Roster[C]) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.down = true
	r.mu.Unlock()
	r.cancel()

	done := make(chan struct{})
	// Ends with the last connection: Wait waits for the same, when ctx ends before.
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	n := r.abortAll()
	return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "%d connections did not end in time and were aborted", n)
}

func (r *Roster[C]) abortAll() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.conns)
	for c := range r.conns {
		c.Abort()
	}
	r.conns = nil
	return n
}

// Wait waits until all have left. Use it after Shutdown returned an error, to be sure that nothing runs any more.
func (r *Roster[C]) Wait() { r.running.Wait() }
