// Package pebble is the embedded engine: logs in one directory of the machine, on the Pebble key-value store.
//
// # How a write goes
//
// Callers queue their operations. One goroutine, the committer, takes all that wait, applies them one after another to
// the sessions as they stand, and writes one batch. While that batch is being synced to the disk it builds the next.
// A second goroutine, the publisher, waits for the sync, then makes the batch visible to readers, tells the watcher, and answers the callers,
// in this order. So a write costs its caller one sync, and hundreds of concurrent callers share it.
//
// # What readers see
//
// Pebble shows a batch to readers before it is synced. A reader who was shown an entry that a loss of power then takes
// back would hold a position of a log that never was. So readers do not look at the database as it is but at a
// snapshot that the publisher takes after each sync, and the committer applies no batch between a sync and its
// snapshot.
//
// # Failure
//
// After a failed sync nobody knows what is on the disk, and trying again proves nothing (the kernel may have dropped
// the pages). The engine then refuses everything with holdfast.CodeUnavailable until it is opened again. Where Pebble itself
// cannot go on, in its background work, it ends the program, as after a crash; nothing acknowledged is lost.
package pebble

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Driver is the engine. It is safe for concurrent use.
type Driver struct {
	db     *pebbledb.DB
	log    *slog.Logger
	level  driver.Durability
	feed   string // identifies the feed in its cursors
	failed *atomic.Pointer[error]

	// The way from callers to the committer.
	queue queue

	// The watcher; read by the publisher.
	watcher atomic.Pointer[watcher]

	// What readers see.
	viewMu  sync.Mutex
	closed  bool
	view    *view
	readers sync.WaitGroup // views in use

	// Goroutines: the committer ends when the queue is closed, and then the publisher. Close waits for both.
	workers sync.WaitGroup
	// release gives up the lock on the directory.
	release func() error
}

type watcher struct{ fn func(driver.Change) }

var _ driver.Driver = (*Driver)(nil)

// Apply implements [driver.Driver].
func (d *Driver) Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error) {
	if err := s.Validate(); err != nil {
		return driver.Result{}, err
	}
	r := &request{session: s, op: session.Own(op), trace: driver.TraceOf(ctx), done: make(chan struct{})}
	if err := d.do(ctx, r); err != nil {
		return driver.Result{}, err
	}
	return r.result, nil
}

// Delete implements [driver.Driver].
func (d *Driver) Delete(ctx context.Context, s holdfast.SessionID) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return d.do(ctx, &request{session: s, other: func(c *committer) error { return c.deleteSession(s) }, done: make(chan struct{})})
}

// SetConsumer implements [driver.Driver].
func (d *Driver) SetConsumer(ctx context.Context, name, value string) error {
	return d.do(ctx, &request{other: func(c *committer) error {
		c.consumer(name, value)
		return nil
	}, done: make(chan struct{})})
}

// trimStep bounds how many feed items one operation drops, so that others need not wait long for it.
const trimStep = 10_000

// TrimFeed implements [driver.Driver].
func (d *Driver) TrimFeed(ctx context.Context, before time.Time) error {
	for more := true; more; {
		r := &request{done: make(chan struct{})}
		dropped := 0
		r.other = func(c *committer) (err error) {
			dropped, err = c.trimFeed(before, trimStep)
			return err
		}
		if err := d.do(ctx, r); err != nil {
			return err
		}
		more = dropped == trimStep
	}
	return nil
}

// do queues a request and waits until it is durable and visible, or refused.
func (d *Driver) do(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the caller gave up before the write began")
	}
	if err := d.failure(); err != nil {
		return err
	}
	if !d.queue.put(r) {
		return errClosed()
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(),
			"the caller gave up before the write was durable; repeat it with the same ids to find out whether it was written")
	}
}

// Watch implements [driver.Driver].
func (d *Driver) Watch(fn func(driver.Change)) (stop func()) {
	w := &watcher{fn}
	d.watcher.Store(w)
	return func() { d.watcher.CompareAndSwap(w, nil) }
}

// Durability implements [driver.Driver].
func (d *Driver) Durability() driver.Durability { return d.level }

// fail makes the engine refuse everything from now on.
func (d *Driver) fail(err error) {
	if d.failed.CompareAndSwap(nil, &err) {
		d.log.Error("the store failed and refuses everything until it is opened again", "error", err)
	}
}

// failure returns the error that callers get after a failure, or nil.
func (d *Driver) failure() error {
	if p := d.failed.Load(); p != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, *p, "the store has failed; the server must be restarted")
	}
	return nil
}

func errClosed() error { return holdfast.Errorf(holdfast.CodeUnavailable, "the store is closed") }
