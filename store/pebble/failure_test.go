package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// faultyFS fails or holds the syncs of the write-ahead log on command.
type faultyFS struct {
	vfs.FS
	fail atomic.Bool
	gate atomic.Pointer[gate]
}

// gate holds a sync: it says that one has come and waits until it may go on.
type gate struct{ came, open chan struct{} }

func (fs *faultyFS) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return faultyFile{f, fs}, nil
}

func (fs *faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	return fs.wrap(name, f, err)
}

func (fs *faultyFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, c)
	return fs.wrap(name, f, err)
}

type faultyFile struct {
	vfs.File
	fs *faultyFS
}

var errDisk = errors.New("input/output error")

func (f faultyFile) hold() error {
	if g := f.fs.gate.Swap(nil); g != nil {
		close(g.came)
		<-g.open
	}
	if f.fs.fail.Load() {
		return errDisk
	}
	return nil
}

func (f faultyFile) Sync() error {
	if err := f.hold(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f faultyFile) SyncData() error {
	if err := f.hold(); err != nil {
		return err
	}
	return f.File.SyncData()
}

func one(text string) driver.Append {
	return driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, ID: text, Data: []byte(`1`)}}}
}

// TestClause2_NothingIsShownBeforeItIsDurable holds a sync and looks from everywhere a reader could.
func TestClause2_NothingIsShownBeforeItIsDurable(t *testing.T) {
	ctx := context.Background()
	fs := &faultyFS{FS: vfs.Default}
	d := opener(t, Options{fs: fs})()
	defer d.Close()
	var shown atomic.Int64
	defer d.Watch(func(driver.Change) { shown.Add(1) })()
	apply(t, d, "a", one("1"))
	g := &gate{came: make(chan struct{}), open: make(chan struct{})}
	fs.gate.Store(g)
	var writers sync.WaitGroup
	acked := make(chan error, 2)
	writers.Go(func() { _, err := d.Apply(ctx, "a", one("2")); acked <- err })
	<-g.came
	// Another one waits behind the held sync; and a third gives up.
	writers.Go(func() { _, err := d.Apply(ctx, "a", one("2")); acked <- err })
	short, cancel := context.WithCancel(ctx)
	cancelled := make(chan error, 1)
	go func() { _, err := d.Apply(short, "a", one("3")); cancelled <- err }()
	cancel()
	if err := <-cancelled; holdfast.CodeOf(err) != holdfast.CodeUnavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("gave up: %v", err)
	}
	info, err := d.Info(ctx, "a")
	if err != nil || info.Head != 1 {
		t.Errorf("head %d while the sync is held, %v", info.Head, err)
	}
	if p, err := d.Read(ctx, "a", driver.Query{}); err != nil || len(p.Entries) != 1 {
		t.Errorf("%d entries are read, %v", len(p.Entries), err)
	}
	if _, ok, err := d.TagAt(ctx, "a", 2); ok || err != nil {
		t.Errorf("the tag is read: %v, %v", ok, err)
	}
	if n := shown.Load(); n != 1 || len(acked) != 0 {
		t.Errorf("%d changes were shown and %d writes acknowledged", n, len(acked))
	}
	close(g.open)
	writers.Wait()
	if err := errors.Join(<-acked, <-acked); err != nil {
		t.Fatal(err)
	}
	if info, _ := d.Info(ctx, "a"); info.Head < 2 || shown.Load() < 2 {
		t.Errorf("head %d, %d changes shown after the sync", info.Head, shown.Load())
	}
}

// TestClause2_FailedSyncStopsTheStore: after a failed sync memory may be ahead of the disk, so nothing of it is shown or built upon.
func TestClause2_FailedSyncStopsTheStore(t *testing.T) {
	ctx := context.Background()
	fs := &faultyFS{FS: vfs.Default}
	o := Options{fs: fs, Dir: t.TempDir()}
	open := opener(t, o)
	d := open()
	var shown atomic.Int64
	defer d.Watch(func(driver.Change) { shown.Add(1) })()
	apply(t, d, "a", one("1"))
	fs.fail.Store(true)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			if _, err := d.Apply(ctx, "a", one(fmt.Sprint("x", i))); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
				t.Errorf("write with a failing disk: %v", err)
			}
		})
	}
	writers.Wait()
	fs.fail.Store(false)
	_, err1 := d.Apply(ctx, "a", one("2"))
	_, err2 := d.Info(ctx, "a")
	_, err3 := d.Read(ctx, "a", driver.Query{})
	err4 := d.Delete(ctx, "a")
	for _, err := range []error{err1, err2, err3, err4} {
		if holdfast.CodeOf(err) != holdfast.CodeUnavailable {
			t.Errorf("after the failure: %v", err)
		}
	}
	if shown.Load() != 1 {
		t.Errorf("%d changes were shown", shown.Load())
	}
	if err := d.Close(); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("closing: %v", err)
	}
	d = open()
	defer d.Close()
	r := apply(t, d, "a", one("1"))
	if !r.Entries[0].Duplicate {
		t.Error("what was acknowledged before is gone")
	}
	apply(t, d, "a", one("2"))
}

// TestLock: the second process is told what to do. It is a real one, since the lock is between processes.
func TestLock(t *testing.T) {
	const env = "HOLDFAST_TEST_LOCK"
	if dir := os.Getenv(env); dir != "" {
		_, err := Open(Options{Dir: dir})
		fmt.Printf("code=%s message=%s\n", holdfast.CodeOf(err), holdfast.MessageOf(err))
		return
	}
	dir := t.TempDir()
	d := opener(t, Options{Dir: dir})()
	defer d.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestLock$", "-test.v")
	child.Env = append(os.Environ(), env+"="+dir)
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := string(out); !strings.Contains(s, "code=unavailable") || !strings.Contains(s, "in use by another process") || !strings.Contains(s, dir) {
		t.Fatalf("second process: %s", s)
	}
	if _, err := Open(Options{Dir: dir}); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Fatalf("second time in one process: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err1 := Open(Options{})
	_, err2 := Open(Options{Dir: t.TempDir(), Sync: driver.DurableMemory})
	for _, err := range []error{err1, err2} {
		if holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("got %v", err)
		}
	}
}
