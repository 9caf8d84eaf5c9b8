package pebble

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Options of the engine. Only Dir must be set.
type Options struct {
	// Dir is the directory that holds everything; it is made if it is not there. No two programs may use it at once.
	Dir string
	// Sync names what an acknowledged write survives: driver.DurableFsync (the default) or driver.DurableProcess, which leaves the
	// sync to the operating system: several times faster for few writers, and a loss of power takes the last
	// seconds, acknowledged ones too.
	Sync driver.Durability
	// Logger gets warnings and errors, and Pebble's own talk at level debug. Default: nothing is logged.
	Logger *slog.Logger
	// CacheBytes is the cache of blocks read from disk. Default 32 MiB.
	CacheBytes int64
	// MemTableBytes is how much is collected in memory before it is written out as a table; up to four of them may
	// exist. Default 16 MiB.
	MemTableBytes uint64
	// CachedSessions is how many sessions' states are kept in memory, about 500 bytes each. Others are read when they
	// are next written to. Default 16,384.
	CachedSessions int
	// Now is the clock. Default: time.Now.
	Now func() time.Time

	fs vfs.FS // for tests; default: the operating system's
}

func (o *Options) setDefaults() error {
	if o.Dir == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "the store needs a directory: set Options.Dir")
	}
	if o.Sync == "" {
		o.Sync = driver.DurableFsync
	}
	if o.Sync != driver.DurableFsync && o.Sync != driver.DurableProcess {
		return holdfast.Errorf(holdfast.CodeInvalid, "unknown durability %q; %q and %q are known", o.Sync,
			driver.DurableFsync, driver.DurableProcess)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 32 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.CachedSessions <= 0 {
		o.CachedSessions = 1 << 14
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.fs == nil {
		o.fs = vfs.Default
	}
	return nil
}

// Open opens the store in a directory, or makes a new one. How long it takes does not depend on how many sessions
// there are. A directory that another process has open is [holdfast.CodeUnavailable].
func Open(o Options) (*Driver, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	d := &Driver{log: o.Logger, level: o.Sync, failed: new(atomic.Pointer[error])}
	db, release, err := openDB(&o, false)
	if err != nil {
		return nil, err
	}
	d.db, d.release = db, release
	c, err := d.start(&o)
	if err != nil {
		return nil, errors.Join(err, db.Close(), release())
	}
	d.view = newView(db)
	d.queue.init()
	groups := make(chan *group) // the committer closes it
	d.workers.Go(func() { c.run(groups) })
	d.workers.Go(func() { d.publish(groups, c.synced) })
	return d, nil
}

// openDB locks the directory and opens the database in it.
func openDB(o *Options, readOnly bool) (*pebbledb.DB, func() error, error) {
	if err := o.fs.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("making the store's directory: %w", err)
	}
	lock, err := pebbledb.LockDirectory(o.Dir, o.fs)
	if err != nil {
		return nil, nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "the store in %s is in use by another process "+
			"or cannot be locked; stop that process, or give this one a directory of its own", o.Dir)
	}
	po := pebbleOptions(o)
	defer po.Cache.Unref()
	po.Lock = lock
	po.ReadOnly = readOnly
	db, err := pebbledb.Open(o.Dir, po)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening the store in %s: %w", o.Dir, err), lock.Close())
	}
	return db, lock.Close, nil
}

func pebbleOptions(o *Options) *pebbledb.Options {
	po := &pebbledb.Options{
		FS: o.fs,
		// Pebble takes memtables out of the cache's memory. Without room for them nothing would be cached just when much
		// is written, and each new id would read its tables' filters from disk.
		Cache:                       pebbledb.NewCache(o.CacheBytes + 2*int64(o.MemTableBytes)),
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		FormatMajorVersion:          pebbledb.FormatNewest,
		Logger:                      logger{o.Logger},
		EventListener:               eventListener(o.Logger),
	}
	if o.Sync == driver.DurableProcess {
		po.FS = unsyncedLog{o.fs}
	}
	for i := range po.Levels {
		// Most lookups are of ids that were never used; the filter answers them without reading a block.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// start reads or writes what belongs to the store itself.
func (d *Driver) start(o *Options) (*committer, error) {
	feed, found, err := get(d.db, keyFeed)
	if err != nil {
		return nil, err
	}
	if !found {
		if feed, err = d.initialize(); err != nil {
			return nil, err
		}
	}
	format, _, err := get(d.db, keyFormat)
	if err != nil {
		return nil, err
	}
	if len(format) != 1 || format[0] != version {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the store in %s has format %v; this program reads format %d", o.Dir,
			format, version)
	}
	d.feed = string(feed)
	if err := d.indexFeed(); err != nil {
		return nil, err
	}
	r, err := feedRange(d.db, d.feed)
	if err != nil {
		return nil, err
	}
	return newCommitter(d, o, r.Last), nil
}

func (d *Driver) initialize() (feed []byte, err error) {
	it, err := d.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	notEmpty := it.First()
	if err := it.Close(); err != nil {
		return nil, err
	}
	if notEmpty {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the directory holds a database of another program; choose another one")
	}
	feed = []byte(newEpoch())
	b := d.db.NewBatch()
	_ = b.Set(keyFeed, feed, nil) // a batch in memory takes everything
	_ = b.Set(keyFormat, []byte{version}, nil)
	_ = b.Set(keyFeedOf, []byte{version}, nil)
	return feed, b.Commit(pebbledb.Sync)
}

func newEpoch() holdfast.Epoch {
	var b [7]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return session.NewEpoch(b)
}

// Close implements [driver.Driver]. Operations that are queued are finished first.
func (d *Driver) Close() error {
	d.viewMu.Lock()
	if d.closed {
		d.viewMu.Unlock()
		return nil
	}
	d.closed = true
	d.viewMu.Unlock()
	d.queue.close()
	d.workers.Wait()
	d.readers.Wait()
	d.view.release()
	if d.failed.Load() != nil {
		return d.abandon()
	}
	return errors.Join(d.db.Close(), d.release())
}

// abandon closes a failed store. Pebble may wait for ever for background work that died with the disk, so it is given
// some seconds; the goroutine that waits for it then ends with the program.
func (d *Driver) abandon() error {
	closed := make(chan error, 1)
	go func() { // ends when Pebble lets it, waited for below for a while
		defer func() {
			if v := recover(); v != nil {
				closed <- fmt.Errorf("closing the failed store: %v", v)
			}
		}()
		closed <- d.db.Close()
	}()
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	select {
	case err := <-closed:
		d.log.Debug("closed the failed store", "error", err)
		return errors.Join(d.failure(), d.release())
	case <-timeout.C:
		return d.failure()
	}
}

// exists reports whether the directory holds a store.
func exists(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return holdfast.Wrap(holdfast.CodeNotFound, err, "there is no store in %s", dir)
	}
	desc, err := pebbledb.Peek(dir, vfs.Default)
	if err != nil || !desc.Exists {
		return holdfast.Wrap(holdfast.CodeNotFound, err, "there is no store in %s", dir)
	}
	return nil
}
