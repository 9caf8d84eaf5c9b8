package pebble

import (
	"fmt"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// groupBytes is when a group is committed although more requests wait: larger ones gain nothing and make callers wait.
const groupBytes = 4 << 20

// group is what is committed together.
type group struct {
	batch    *pebbledb.Batch // nil if nothing was written
	requests []*request
	changes  []driver.Change
}

// committer applies requests to the sessions. It belongs to its goroutine alone, which ends when the queue is closed.
//
// It reads the database as it is, synced or not: what it builds on will be durable before what it builds, as both are
// in one write-ahead log.
type committer struct {
	d     *Driver
	db    *pebbledb.DB
	now   func() time.Time
	cache *cache
	last  uint64 // number of the last feed item
	trace string // of the operation under way

	// Of the batch being built.
	batch   *pebbledb.Batch
	overlay map[string][]byte // what it wrote of the two indexes that are read for every entry
	touched []*held           // sessions that it changes
	changes []driver.Change
	partial bool // an earlier part of the group was applied without a sync

	// synced brings one token when the group under way is synced and visible. While underway is set it must be
	// taken before the next batch is applied.
	synced   chan struct{}
	underway bool
}

func newCommitter(d *Driver, o *Options, lastFeed uint64) *committer {
	return &committer{d: d, db: d.db, now: o.Now, cache: newCache(o.CachedSessions), last: lastFeed,
		overlay: make(map[string][]byte), synced: make(chan struct{}, 1)}
}

func (c *committer) run(groups chan<- *group) {
	defer close(groups)
	defer c.settled()
	var waiting []*request
	for {
		if len(waiting) == 0 {
			var ok bool
			if waiting, ok = c.d.queue.take(); !ok {
				return
			}
		}
		c.batch = c.db.NewBatch()
		var taken []*request
		for len(waiting) > 0 && c.batch.Len() <= groupBytes {
			n := c.build(waiting)
			taken = append(taken, waiting[:n]...)
			if waiting = waiting[n:]; len(waiting) == 0 {
				waiting = c.more()
			}
		}
		groups <- c.seal(taken)
	}
}

// more returns what can still join the batch: as long as the group under way is not synced, this one cannot be applied
// and may as well grow. Nothing is returned when there is no reason to wait longer.
func (c *committer) more() []*request {
	for c.underway {
		select {
		case <-c.synced:
			c.underway = false
			return c.d.queue.drain()
		case <-c.d.queue.wake:
			if got := c.d.queue.drain(); len(got) > 0 {
				return got
			}
			if c.d.queue.isClosed() {
				return nil
			}
		}
	}
	return nil
}

// build applies requests to the batch and returns how many it took.
func (c *committer) build(requests []*request) int {
	for i, r := range requests {
		if c.d.failed.Load() != nil {
			continue // the publisher answers all of the group with the failure
		}
		c.guard(func() { r.err = c.one(r) })
		if c.batch.Len() > groupBytes {
			return i + 1
		}
	}
	return len(requests)
}

// guard runs what may find out that Pebble cannot go on, which it says by a panic out of [logger.Fatalf].
func (c *committer) guard(fn func()) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		f, ok := v.(fatal)
		if !ok {
			panic(v)
		}
		c.d.fail(f)
	}()
	fn()
}

func (c *committer) one(r *request) error {
	if r.other != nil {
		return r.other(c)
	}
	c.trace = r.trace
	h, err := c.held(r.session)
	if err != nil {
		return err
	}
	if h.deleted || (h.touched && rereads(r.op)) {
		if err := c.settle(); err != nil {
			return err
		}
	}
	in := session.Input{Session: r.session, Op: r.op, Now: c.now()}
	if h.info.Epoch == "" {
		in.Epoch = newEpoch()
	}
	out, err := session.Apply(h.info, in, lookup{c, h})
	if err != nil {
		return err
	}
	r.result = out.Result
	switch {
	case !out.Changed:
		return nil
	case out.Effects.Delete:
		return c.deleteSession(r.session)
	case out.Effects.Tell != nil:
		c.tell(r.session, out.Info.Epoch, out.Effects.Tell)
		return nil
	}
	return c.store(h, &out)
}

// rereads reports whether an operation reads more than the overlay holds, so that what the batch has of its session
// must be applied first.
func rereads(op driver.Op) bool {
	switch op.(type) {
	case driver.EndRun, driver.SettleStop, driver.Trim:
		return true
	}
	return false
}

// held returns a session as it stands after all that the committer did.
func (c *committer) held(s holdfast.SessionID) (*held, error) {
	if h := c.cache.get(s); h != nil {
		return h, nil
	}
	info, err := loadInfo(c.db, s)
	if err != nil {
		return nil, err
	}
	info.Session = s
	return c.cache.add(info), nil
}

// touch notes that the batch changes a session; meta says that its own record must be written.
func (c *committer) touch(h *held, meta bool) {
	if !h.touched {
		h.touched = true
		c.touched = append(c.touched, h)
	}
	h.meta = h.meta || meta
}

// finish puts what is written once per batch into it.
func (c *committer) finish() {
	for _, h := range c.touched {
		if h.meta {
			c.set(metaKey(h.info.Session), encodeMeta(&h.info))
		}
		h.touched, h.meta, h.deleted = false, false, false
	}
	c.touched = c.touched[:0]
	clear(c.overlay)
}

// settle applies what the batch has so far, so that it can be read; the sync comes with the rest of the group.
func (c *committer) settle() error {
	c.finish()
	if c.batch.Empty() {
		return nil
	}
	c.settled()
	if err := c.d.failure(); err != nil {
		return err
	}
	c.partial = true
	if err := c.db.Apply(c.batch, pebbledb.NoSync); err != nil {
		c.d.fail(fmt.Errorf("committing: %w", err))
		return c.d.failure()
	}
	_ = c.batch.Close()
	c.batch = c.db.NewBatch()
	return nil
}

// settled waits until the group under way is synced and visible.
func (c *committer) settled() {
	if c.underway {
		<-c.synced
		c.underway = false
	}
}

// seal ends the group and applies it; the publisher waits for its sync.
func (c *committer) seal(requests []*request) *group {
	c.finish()
	g := &group{requests: requests, changes: c.changes}
	c.changes = nil
	if c.batch.Empty() && c.partial {
		_ = c.batch.LogData(nil, nil) // carries the sync of the parts
	}
	c.partial = false
	c.settled() // before looking at failed, so that a failed sync is known
	if c.batch.Empty() || c.d.failed.Load() != nil {
		_ = c.batch.Close()
		return g
	}
	c.guard(func() {
		if err := c.db.ApplyNoSyncWait(c.batch, pebbledb.Sync); err != nil {
			c.d.fail(fmt.Errorf("committing: %w", err))
			return
		}
		g.batch = c.batch
		c.underway = true
	})
	c.cache.trim()
	return g
}

// set writes one key. A batch in memory takes everything.
func (c *committer) set(key, value []byte) { _ = c.batch.Set(key, value, nil) }

// index writes one key of an index that is read for every entry.
func (c *committer) index(key, value []byte) {
	c.set(key, value)
	c.overlay[string(key)] = value
}

// indexed reads such a key.
func (c *committer) indexed(key []byte) ([]byte, bool, error) {
	if v, ok := c.overlay[string(key)]; ok {
		return v, true, nil
	}
	return get(c.db, key)
}
