package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/relay"
	"github.com/holdfast/holdfast/internal/revocation"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/pebble"
	"github.com/holdfast/holdfast/store/pending"
)

// A process takes over from another one that has the store, through three files in the data folder:
//
//	successor   locked by the one that waits, for as long as it does; holds its address once it takes connections
//	leaving     made by the one that leaves, when it knows that somebody waits
//	relay       what the one that took over has committed since, until the other has no clients any more; see package relay
//
// The one that leaves lets go of the store and the other opens it; then its clients stand by there, one after the other, and go on
// there. A lock ends with its process, however that ends, so none of the files can mislead for longer.
const (
	successorFile = "successor"
	leavingFile   = "leaving"
	relayFile     = "relay"
	// lookEvery is how often one process looks what the other has done: files tell nobody.
	lookEvery = 2 * time.Millisecond
	// deadEvery is after how many looks one of them asks for the other's lock. Not each time: whoever comes to wait finds it taken then.
	deadEvery = 25
	// arriveTime is how long the one that leaves waits for the other to take connections.
	arriveTime = 2 * time.Second
)

// successorOf reports whether another process takes over the store in dir, and waits until that one takes connections.
func successorOf(ctx context.Context, dir string) bool {
	if !waits(dir) {
		return false
	}
	_ = os.Remove(filepath.Join(dir, relayFile)) // of a process that ended before its time
	leaving := filepath.Join(dir, leavingFile)
	if err := os.WriteFile(leaving, nil, 0o600); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, arriveTime)
	defer cancel()
	arrived := awaitSuccessor(ctx, dir, func() bool {
		addr, err := os.ReadFile(filepath.Join(dir, successorFile))
		return err == nil && len(addr) > 0
	}) && waits(dir)
	if !arrived {
		_ = os.Remove(leaving)
	}
	return arrived
}

// awaitTaken waits until the process that waited for the store in dir has opened it, and reports whether it has: it may have ended.
func awaitTaken(ctx context.Context, dir string) bool {
	return awaitSuccessor(ctx, dir, func() bool {
		_, err := os.Stat(filepath.Join(dir, leavingFile))
		return err != nil
	})
}

// awaitSuccessor looks until ok, and reports whether it is: ctx may end before that, or the process that waits for the store.
func awaitSuccessor(ctx context.Context, dir string, ok func() bool) (done bool) {
	looks := 0
	poll(ctx, func() bool {
		done = ok()
		looks++
		return done || looks%deadEvery == 0 && !waits(dir)
	})
	return done || ok() // it may have been done between the two looks
}

// waits reports whether a process waits for the store in dir, or opens it.
func waits(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, successorFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close() // and a lock that was got goes with it
	free, err := lockFile(f)
	return err == nil && !free
}

// poll looks until ok, or ctx ends.
func poll(ctx context.Context, ok func() bool) bool {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// successor is a process that waits for a store.
type successor struct {
	dir  string
	file *os.File
	log  *slog.Logger
}

// queueFor makes this process the one that takes over the store in dir.
func queueFor(dir string, log *slog.Logger) (*successor, error) {
	f, err := os.OpenFile(filepath.Join(dir, successorFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "this process cannot queue for the store")
	}
	locked, err := lockFile(f)
	if err == nil && !locked {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "another process waits for the store in %s already", dir)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &successor{dir, f, log}, nil
}

// awaitLeave waits until the other process is about to leave, or is gone.
func (s *successor) awaitLeave(ctx context.Context) error {
	s.log.Info("another process has the store; waiting for it to stop", "data", s.dir)
	left := poll(ctx, func() bool {
		_, err := os.Stat(filepath.Join(s.dir, leavingFile))
		return err == nil || !pebble.InUse(s.dir)
	})
	if !left {
		return ctx.Err()
	}
	return nil
}

// arrived tells the other process that this one takes connections.
func (s *successor) arrived(addr net.Addr) error {
	_, err := s.file.WriteAt([]byte(addr.String()), 0)
	return err
}

// open opens the store as soon as the other process lets go of it.
func (s *successor) open(ctx context.Context, open func() (*pebble.Driver, error)) (driver.Driver, error) {
	defer s.file.Close()
	began := time.Now()
	var opened time.Time
	var db *pebble.Driver
	var err error
	done := poll(ctx, func() bool {
		if pebble.InUse(s.dir) {
			return false
		}
		opened = time.Now()
		db, err = open()
		return holdfast.CodeOf(err) != holdfast.CodeUnavailable
	})
	switch {
	case !done:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	passed := driver.Driver(db)
	if _, err := os.Stat(filepath.Join(s.dir, leavingFile)); err == nil { // one that was killed has no clients
		passed = s.passOn(db)
	}
	tidyTakeOver(s.dir, leavingFile)
	s.log.Info("took over the store", "waited", time.Since(began).Round(time.Millisecond), "opening", time.Since(opened).Round(time.Millisecond))
	return passed, nil
}

// passOn has all that is committed from now on passed on to the other process, for the clients that it has still. Without that
// they all come at once.
func (s *successor) passOn(db *pebble.Driver) driver.Driver {
	w, err := relay.Create(filepath.Join(s.dir, relayFile))
	if err != nil {
		s.log.Warn("what is written cannot be passed on to the process that leaves; its clients come at once", "err", err)
		return db
	}
	return &passingOn{db, w}
}

// passingOn is a store that passes on what it commits.
type passingOn struct {
	*pebble.Driver
	relay *relay.Writer
}

// Watch implements driver.Driver.
func (p *passingOn) Watch(fn func(driver.Change)) (stop func()) {
	return p.Driver.Watch(func(ch driver.Change) {
		p.relay.Pass(ch)
		fn(ch)
	})
}

// SetConsumer implements driver.Driver. A revocation is not for readers to be told, and the process that leaves would not hear of
// it: its clients have to come.
func (p *passingOn) SetConsumer(ctx context.Context, name, value string) error {
	if value != "" && strings.HasPrefix(name, revocation.Prefix) {
		defer p.relay.End()
	}
	return p.Driver.SetConsumer(ctx, name, value)
}

// Close implements driver.Driver.
func (p *passingOn) Close() error {
	p.relay.Close()
	return p.Driver.Close()
}

// tidyTakeOver removes files of an earlier take-over. Whoever has the store calls it.
func tidyTakeOver(dir string, files ...string) {
	for _, name := range files {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Warn("a file of an earlier take-over cannot be removed", "err", err)
		}
	}
}

// turn is a process's turn to serve: now, or when another process has left.
type turn struct {
	// db is the store, which may be pending. Whoever makes a server of it owns it.
	db driver.Driver
	// await returns where to serve, when it is this process's turn; it is called once.
	await func(context.Context) (net.Listener, error)
	// giveUp lets go of all but db.
	giveUp func()
}

// claim returns this process's turn. With take-over the store may be another process's still: then all that can be wrong with this
// one's settings is to be found before its turn comes, while the other one serves.
func (n *nodeSettings) claim(log *slog.Logger) (*turn, error) {
	if n.takeOver && pebble.InUse(n.data) {
		return n.queue(log)
	}
	l, err := n.listen()
	if err != nil {
		return nil, err
	}
	db, err := n.open(log)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	tidyTakeOver(n.data, leavingFile, relayFile)
	return &turn{db, func(context.Context) (net.Listener, error) { return l, nil }, func() { _ = l.Close() }}, nil
}

// queue returns the turn after another process's.
func (n *nodeSettings) queue(log *slog.Logger) (*turn, error) {
	if err := n.trySides(); err != nil {
		return nil, err
	}
	s, err := queueFor(n.data, log)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	await := func(ctx context.Context) (net.Listener, error) {
		if err := s.awaitLeave(ctx); err != nil {
			return nil, err
		}
		var err error
		l, err = n.listen()
		return l, err
	}
	db := pending.New(driver.Durability(strings.TrimSpace(n.durability)), func(ctx context.Context) (driver.Driver, error) {
		// Only now does anybody answer at the address: the server is made, and Run was called.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.arrived(l.Addr()); err != nil {
			return nil, err
		}
		return s.open(ctx, func() (*pebble.Driver, error) { return n.open(log) })
	})
	giveUp := func() {
		_ = s.file.Close() // it is closed already when the store was opened
		if l != nil {
			_ = l.Close()
		}
	}
	return &turn{db, await, giveUp}, nil
}
