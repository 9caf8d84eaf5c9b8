// Package pending is a store that is opened later: when the process that has it open lets go of it. A server can be made with
// it, take connections and verify who they are, and begin when the store is there.
package pending

import (
	"context"
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Driver is a store that may not be open yet. Before [Driver.Open] has returned only Watch, Durability and Close may be
// called; the server sees to that.
type Driver struct {
	// Driver is the store, once it is open.
	driver.Driver

	// Static after construction.
	level driver.Durability
	open  func(context.Context) (driver.Driver, error)

	// Guarded by mu.
	mu      sync.Mutex
	watcher func(driver.Change)
	stop    func()
	opened  bool
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
	d.Driver, d.opened = db, true
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
	if d.opened {
		d.stop = d.Driver.Watch(fn)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.watcher = nil
		d.stop()
	}
}

// Durability implements driver.Driver.
func (d *Driver) Durability() driver.Durability { return d.level }

// Close implements driver.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if !d.opened {
		return nil
	}
	return d.Driver.Close()
}

// Settle implements driver.Settler.
func (d *Driver) Settle() error {
	d.mu.Lock()
	db, opened := d.Driver, d.opened && !d.closed
	d.mu.Unlock()
	if settler, ok := db.(driver.Settler); ok && opened {
		return settler.Settle()
	}
	return nil
}
