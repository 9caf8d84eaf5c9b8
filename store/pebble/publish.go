package pebble

import (
	"fmt"
	"sync/atomic"

	pebbledb "github.com/cockroachdb/pebble/v2"
)

// view is a snapshot that readers share. The last one to release it closes it.
type view struct {
	snapshot *pebbledb.Snapshot
	users    atomic.Int64
}

func newView(db *pebbledb.DB) *view {
	v := &view{snapshot: db.NewSnapshot()}
	v.users.Store(1) // the driver
	return v
}

func (v *view) release() {
	if v.users.Add(-1) == 0 {
		_ = v.snapshot.Close() // fails only if it is closed already
	}
}

// acquire returns what readers see now. The caller calls done when it has read.
func (d *Driver) acquire() (v *view, done func(), err error) {
	if err := d.failure(); err != nil {
		return nil, nil, err
	}
	d.viewMu.Lock()
	defer d.viewMu.Unlock()
	if d.closed {
		return nil, nil, errClosed()
	}
	v = d.view
	v.users.Add(1)
	d.readers.Add(1)
	return v, func() { v.release(); d.readers.Done() }, nil
}

// publish makes groups visible, in order: for each it waits for the sync, then shows it to readers, then to the
// watcher, and then answers the callers. It ends when the committer closes the channel.
func (d *Driver) publish(groups <-chan *group, synced chan<- struct{}) {
	for g := range groups {
		if g.batch != nil {
			if err := g.batch.SyncWait(); err != nil {
				d.fail(fmt.Errorf("syncing: %w", err))
			} else {
				d.show()
				_ = g.batch.Close()
			}
			synced <- struct{}{}
		}
		d.answer(g)
	}
}

// show replaces what readers see.
func (d *Driver) show() {
	v := newView(d.db)
	d.viewMu.Lock()
	old := d.view
	d.view = v
	d.viewMu.Unlock()
	old.release()
}

func (d *Driver) answer(g *group) {
	err := d.failure()
	if w := d.watcher.Load(); w != nil && err == nil {
		for i := range g.changes {
			w.fn(g.changes[i])
		}
	}
	for _, r := range g.requests {
		r.answer(err)
	}
}
