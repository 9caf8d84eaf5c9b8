package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/lease"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
)

// leases runs the tables of leases and of stops' graces: it feeds them what the store did, ends the runs whose producers
// are gone, and settles the stops that nobody heeded. It implements httpapi.Leases.
type leases struct {
	now  func() time.Time
	term time.Duration
	// expired is told of each lease that ran out. Set before run.
	expired func()

	// Guarded by mu.
	mu    sync.Mutex
	table *lease.Table
	grace *lease.Grace
	// holds has the latest holder of each run; its channel is closed when the hold is lost.
	holds map[driver.RunRef]chan struct{}
}

func (l *leases) init(term, grace time.Duration, now func() time.Time) {
	l.term = term
	l.now, l.table, l.grace, l.holds = now, lease.New(term), lease.NewGrace(grace), map[driver.RunRef]chan struct{}{}
}

// found gives the stops that are requested, of runs that have not begun, one grace.
func (l *leases) found(info *driver.Info) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range info.Stops {
		l.grace.See(info.Session, &info.Stops[i], l.now())
	}
}

// load gives every open run one term, and its stop one grace.
func (l *leases) load(ctx context.Context, db *store.Store) error {
	var after driver.RunRef
	for {
		page, err := db.OpenRuns(ctx, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		l.mu.Lock()
		for _, r := range page {
			after = driver.RunRef{Session: r.Session, Run: r.Run}
			l.table.Renew(after, l.now())
			l.see(r.Session, &driver.StopInfo{Stop: r.Stop, Run: r.Run, Answers: r.Answers})
		}
		l.mu.Unlock()
	}
}

func (l *leases) changed(ch *driver.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ch.Deleted {
		l.table.Drop(ch.Session)
		l.grace.Drop(ch.Session)
		for ref := range l.holds {
			if ref.Session == ch.Session {
				l.letGo(ref)
			}
		}
		return
	}
	for i := range ch.Items {
		switch it := &ch.Items[i]; {
		case it.Entry != nil && it.Entry.Kind == holdfast.KindRun && !it.Entry.Run.Status.Ended():
			l.table.Renew(driver.RunRef{Session: ch.Session, Run: it.Entry.Offset}, l.now())
			l.see(ch.Session, &driver.StopInfo{Stop: it.Entry.Run.Stop, Run: it.Entry.Offset, Answers: it.Entry.Run.Answers})
		case it.Stop != nil:
			l.see(ch.Session, it.Stop)
		case it.Fragments != nil:
			l.table.Renew(driver.RunRef{Session: ch.Session, Run: it.Fragments.Run}, l.now())
		case it.End != nil:
			ref := driver.RunRef{Session: ch.Session, Run: it.End.Run}
			l.table.Ended(ref)
			l.grace.Ended(ref)
			l.letGo(ref)
		}
	}
}

// see takes note of a stop, and has the run's holder look at once.
func (l *leases) see(s holdfast.SessionID, stop *driver.StopInfo) {
	if stop.State == "" {
		return
	}
	l.grace.See(s, stop, l.now())
	l.letGo(driver.RunRef{Session: s, Run: stop.Run})
}

// letGo tells the holder of a run that it is its own no more. The hold ends here: when that holder goes, another run may
// stand at the same place, and have a holder.
func (l *leases) letGo(ref driver.RunRef) {
	lost, held := l.holds[ref]
	if !held {
		return
	}
	close(lost)
	l.table.Release(ref, l.now())
	delete(l.holds, ref)
}

// Hold implements httpapi.Leases.
func (l *leases) Hold(s holdfast.SessionID, run holdfast.Offset, _ holdfast.Fence) (<-chan struct{}, func()) {
	ref := driver.RunRef{Session: s, Run: run}
	lost := make(chan struct{})
	l.mu.Lock()
	defer l.mu.Unlock()
	// An earlier holder is told to look whether the run is still its own: this one may have taken it over.
	l.letGo(ref)
	l.table.Hold(ref, l.now())
	l.holds[ref] = lost
	return lost, func() { l.release(ref, lost) }
}

func (l *leases) release(ref driver.RunRef, lost chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holds[ref] == lost {
		l.table.Release(ref, l.now())
		delete(l.holds, ref)
	}
}

// lookAtLeases is how late a lapsed lease is found at most: readers are promised to know within a second.
const lookAtLeases = time.Second / 4

// keep renews the lease of an open run, again and again, until stop is called: its producer waits for somebody else.
func (l *leases) keep(s holdfast.SessionID, run holdfast.Offset) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	// It ends when stop is called, which waits for it.
	go func() {
		defer close(ended)
		tick := time.NewTicker(l.term / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				l.mu.Lock()
				l.table.Keep(driver.RunRef{Session: s, Run: run}, l.now())
				l.mu.Unlock()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// due ends the runs whose leases have lapsed, and settles the stops that were not heeded.
func (l *leases) due(ctx context.Context, db *store.Store, log *slog.Logger) {
	l.mu.Lock()
	over, lapsed := l.grace.Over(l.now()), l.table.Lapsed(l.now())
	l.mu.Unlock()
	for i := range over {
		l.settle(ctx, db, log, &over[i])
	}
	for _, r := range lapsed {
		l.interrupt(ctx, db, log, r)
	}
}

func (l *leases) interrupt(ctx context.Context, db *store.Store, log *slog.Logger, r driver.RunRef) {
	_, err := db.Apply(ctx, r.Session, driver.EndRun{Run: r.Run, Status: holdfast.RunInterrupted, Force: true})
	switch holdfast.CodeOf(err) {
	case "":
		l.expired()
		log.Info("a run lost its producer and was interrupted", "session", r.Session, "run", r.Run)
	case holdfast.CodeEnded, holdfast.CodeNotFound:
		l.mu.Lock()
		l.table.Ended(r)
		l.mu.Unlock()
	default:
		log.Error("a run that lost its producer cannot be ended", "session", r.Session, "run", r.Run, "err", err)
	}
}

func (l *leases) settle(ctx context.Context, db *store.Store, log *slog.Logger, o *lease.Overdue) {
	_, err := db.Apply(ctx, o.Session, o.SettleStop)
	switch holdfast.CodeOf(err) {
	case "":
		log.Info("a stop was not heeded in time", "session", o.Session, "run", o.Run, "answers", o.Answers)
	case holdfast.CodeEnded, holdfast.CodeNotFound, holdfast.CodeConflict:
		// It was settled, or its run came, while this was on its way.
		l.mu.Lock()
		l.grace.See(o.Session, &driver.StopInfo{Run: o.Run, Answers: o.Answers}, l.now())
		l.mu.Unlock()
	default:
		log.Error("a stop that was not heeded cannot be settled", "session", o.Session, "run", o.Run, "err", err)
	}
}
