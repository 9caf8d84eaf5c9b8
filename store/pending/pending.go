// Package pending is a store that is opened later: when the process that has it open lets go of it. A server can be made with
// it, take connections and verify who they are, and begin when the store is there.
package pending

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Driver is a store that may not be open yet. Until [Driver.Open] has returned, whatever uses it is
// [holdfast.CodeUnavailable]; a server waits for it where it can.
type Driver struct {
	// Static after construction.
	level driver.Durability
	open  func(context.Context) (driver.Driver, error)

	// db is the store once it is open, nil before.
	db atomic.Pointer[driver.Driver]

	// Guarded by mu.
	mu      sync.Mutex
	watcher func(driver.Change)
	stop    func()
	closed  bool
}

// New returns a store of the given durability that open opens. open is called once, and waits until it can or its context
// ends.
func New(level driver.Durability, open func(context.Context) (driver.Driver, error)) *Driver {
	return &Driver{level: level, open: open, stop: func() {}}
}

// Open opens the store. It is called once. When the store was closed meanwhile, it is [holdfast.CodeUnavailable].
func (d *Driver) Open(ctx context.Context) error {
	db, err := d.open(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = db.Close()
		return holdfast.Errorf(holdfast.CodeUnavailable, "the store was closed before it was open")
	}
	d.db.Store(&db)
	if d.watcher != nil {
		d.stop = db.Watch(d.watcher)
	}
	return nil
}

// Watch implements driver.Driver.
func (d *Driver) Watch(fn func(driver.Change)) (stop func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watcher = fn
	if db := d.db.Load(); db != nil {
		d.stop = (*db).Watch(fn)
	}
	// Once, so that it does not end whoever watches next.
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watcher = nil
		d.stop()
	})
}

// Durability implements driver.Driver.
func (d *Driver) Durability() driver.Durability { return d.level }

// Close implements driver.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if db := d.db.Load(); db != nil {
		return (*db).Close()
	}
	return nil
}
