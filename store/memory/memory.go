// Package memory is an engine that keeps everything in the program's memory, for tests and for programs whose sessions
// need not outlive them. It follows the same rules as every engine; nothing survives its Close.
package memory

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Options of the engine. The zero value is ready to use.
type Options struct {
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Driver is the engine. It is safe for concurrent use.
type Driver struct {
	now  func() time.Time
	feed string // identifies the feed in its cursors

	mu        sync.RWMutex // protects all below
	closed    bool
	sessions  map[holdfast.SessionID]*log
	items     []driver.FeedItem
	trimmed   uint64 // the number of the feed item before items[0]
	consumers map[string]string
	watcher   *watcher
}

type watcher struct{ fn func(driver.Change) }

var _ driver.Driver = (*Driver)(nil)

// New returns an empty engine.
func New(o Options) *Driver {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Driver{now: o.Now, feed: string(newEpoch()), sessions: make(map[holdfast.SessionID]*log),
		consumers: make(map[string]string)}
}

func newEpoch() holdfast.Epoch {
	var b [7]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return session.NewEpoch(b)
}

// Apply implements [driver.Driver].
func (d *Driver) Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error) {
	if err := s.Validate(); err != nil {
		return driver.Result{}, err
	}
	op = session.Own(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		return driver.Result{}, err
	}
	l := d.sessions[s]
	if l == nil {
		l = newLog()
	}
	in := session.Input{Session: s, Op: op, Now: d.now()}
	if l.info.Epoch == "" {
		in.Epoch = newEpoch()
	}
	out, err := session.Apply(l.info, in, l)
	if err != nil || !out.Changed {
		return out.Result, err
	}
	if out.Effects.Delete {
		d.remove(s)
		return out.Result, nil
	}
	trace := driver.TraceOf(ctx)
	if told := out.Effects.Tell; told != nil {
		d.tell(s, out.Info.Epoch, told, trace)
		return out.Result, nil
	}
	d.sessions[s] = l
	l.store(&out)
	if end := out.Effects.End; end != nil {
		i, _ := l.at(end.Info.Run)
		d.fed(l.records[i].compact.EndedItem(s, out.Info.Epoch), trace)
	}
	for _, e := range out.Effects.Feed {
		d.fed(driver.FeedItem{Session: s, Epoch: out.Info.Epoch, Entry: e}, trace)
	}
	if len(out.Items) > 0 {
		d.publish(driver.Change{Session: s, Epoch: out.Info.Epoch, Items: out.Items})
	}
	return out.Result, nil
}

// tell puts into the feed what is not in the log, and sets what goes with it. It is called with the lock held.
func (d *Driver) tell(s holdfast.SessionID, epoch holdfast.Epoch, t *session.Told, trace string) {
	for _, e := range t.Feed {
		d.fed(driver.FeedItem{Session: s, Epoch: epoch, Entry: e}, trace)
	}
	for _, c := range t.Consumers {
		d.setConsumer(c.Name, c.Value)
	}
}

// fed puts an item into the feed. It is called with the lock held.
func (d *Driver) fed(item driver.FeedItem, trace string) {
	item.Trace = trace
	item.Cursor = session.FeedCursor{Feed: d.feed, Seq: d.trimmed + uint64(len(d.items)) + 1}.String()
	d.items = append(d.items, item)
}

// Delete implements [driver.Driver].
func (d *Driver) Delete(ctx context.Context, s holdfast.SessionID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	if _, ok := d.sessions[s]; ok {
		d.remove(s)
	}
	return nil
}

// remove is called with the lock held.
func (d *Driver) remove(s holdfast.SessionID) {
	delete(d.sessions, s)
	d.publish(driver.Change{Session: s, Deleted: true})
}

// Watch implements [driver.Driver].
func (d *Driver) Watch(fn func(driver.Change)) (stop func()) {
	w := &watcher{fn}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watcher = w
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.watcher == w {
			d.watcher = nil
		}
	}
}

// publish is called with the lock held, so that changes come in the order of commit.
func (d *Driver) publish(c driver.Change) {
	if d.watcher != nil {
		d.watcher.fn(c)
	}
}

// Durability implements [driver.Driver].
func (d *Driver) Durability() driver.Durability { return driver.DurableMemory }

// Close implements [driver.Driver]. What was stored is gone.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.sessions, d.items, d.consumers, d.watcher = nil, nil, nil, nil
	return nil
}

// usable is called with the lock held.
func (d *Driver) usable(ctx context.Context) error {
	if d.closed {
		return holdfast.Errorf(holdfast.CodeUnavailable, "the store is closed")
	}
	if err := ctx.Err(); err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the caller gave up")
	}
	return nil
}
