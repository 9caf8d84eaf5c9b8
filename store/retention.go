package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Retention says what is dropped. Zero fields are no limit, so that the zero value keeps everything for ever. Open runs,
// open requests and the latest state of each key stay whatever their age, as long as their session stays.
type Retention struct {
	// MaxAge drops entries that are older, and sessions that were not written to for longer, with all that is in them:
	// their ids may then be used again, in a new epoch.
	MaxAge time.Duration
	// MaxEntries drops all but so many of the last offsets of each session.
	MaxEntries int64
	// MaxBytes drops the oldest entries of a session until it holds no more.
	MaxBytes int64
	// MaxTotalBytes bounds all sessions together: those least recently written to are deleted first, or trimmed where
	// a run or a request is open. The one written to last is trimmed only.
	MaxTotalBytes int64
}

// trimStep is how many offsets one operation drops at most, so that writers need not wait long for it.
const trimStep = 4096

// listStep is how many sessions are listed at once.
const listStep = 1000

// Sweep enforces retention every Options.SweepEvery until ctx ends. It is run once per store, in a goroutine of its own.
// What goes wrong is logged and tried again the next time.
func (s *Store) Sweep(ctx context.Context) {
	tick := time.NewTicker(s.opts.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.SweepOnce(ctx); err != nil && ctx.Err() == nil {
				s.opts.Logger.Error("retention could not be enforced and is tried again", "error", err)
			}
		}
	}
}

// SweepOnce enforces retention once. It does what it can and returns all errors joined.
func (s *Store) SweepOnce(ctx context.Context) error {
	var errs []error
	if s.opts.FeedMaxAge > 0 {
		errs = append(errs, s.driver.TrimFeed(ctx, s.opts.Now().Add(-s.opts.FeedMaxAge)))
	}
	if s.opts.Retention == (Retention{}) {
		return errors.Join(errs...)
	}
	w := sweep{store: s, now: s.opts.Now()}
	after := holdfast.SessionID("")
	for {
		infos, err := s.driver.Sessions(ctx, "", after, listStep)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for i := range infos {
			after = infos[i].Session
			if err := w.session(ctx, &infos[i]); err != nil {
				errs = append(errs, err)
			}
		}
		if len(infos) < listStep || ctx.Err() != nil {
			break
		}
	}
	errs = append(errs, w.total(ctx))
	return errors.Join(errs...)
}

// sweep is one walk over all sessions.
type sweep struct {
	store *Store
	now   time.Time

	left []remaining // what is there after the walk, if a total is to be enforced
	sum  int64
}

type remaining struct {
	session holdfast.SessionID
	bytes   int64
	changed time.Time
	open    bool
}

func (w *sweep) session(ctx context.Context, info *driver.Info) error {
	r := w.store.opts.Retention
	if r.MaxAge > 0 && !info.Unfinished() && info.Changed.Before(w.now.Add(-r.MaxAge)) {
		_, err := w.delete(ctx, info)
		return err
	}
	before := info.First
	if r.MaxEntries > 0 && int64(info.Head) > r.MaxEntries {
		before = max(before, info.Head+1-holdfast.Offset(r.MaxEntries))
	}
	if r.MaxAge > 0 && info.Created.Before(w.now.Add(-r.MaxAge)) {
		o, err := w.store.youngerThan(ctx, info, w.now.Add(-r.MaxAge))
		if err != nil {
			return err
		}
		before = max(before, o)
	}
	if err := w.store.trim(ctx, info, before); err != nil {
		return err
	}
	if r.MaxBytes > 0 && info.Bytes > r.MaxBytes {
		if err := w.store.shrink(ctx, info, r.MaxBytes); err != nil {
			return err
		}
	}
	if r.MaxTotalBytes > 0 {
		w.left = append(w.left, remaining{info.Session, info.Bytes, info.Changed, info.Unfinished()})
		w.sum += info.Bytes
	}
	return nil
}

// total enforces MaxTotalBytes.
func (w *sweep) total(ctx context.Context) error {
	most := w.store.opts.Retention.MaxTotalBytes
	if most <= 0 || w.sum <= most {
		return nil
	}
	slices.SortFunc(w.left, func(a, b remaining) int { return a.changed.Compare(b.changed) })
	var errs []error
	for i, v := range w.left {
		if w.sum <= most || ctx.Err() != nil {
			break
		}
		left, err := w.evict(ctx, v, i == len(w.left)-1)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.sum -= v.bytes - left
	}
	return errors.Join(errs...)
}

// evict deletes or trims a session because all are too large together, and returns what is left of it. Whether a run
// or request is open is asked again: the list may be as old as the walk.
func (w *sweep) evict(ctx context.Context, v remaining, last bool) (left int64, err error) {
	info, err := w.store.driver.Info(ctx, v.session)
	if err != nil || info.Epoch == "" {
		return 0, err
	}
	if info.Changed.After(v.changed) && !last {
		return v.bytes, nil // written to meanwhile: not among the least recent any more
	}
	if !info.Unfinished() && !last {
		if gone, err := w.delete(ctx, &info); gone || err != nil {
			return 0, err
		}
		return v.bytes, nil
	}
	target := int64(0)
	if last {
		target = max(0, w.store.opts.Retention.MaxTotalBytes-(w.sum-v.bytes))
	}
	err = w.store.shrink(ctx, &info, target)
	return info.Bytes, err
}

// delete drops a session that stands as info says; what was written to meanwhile stays until the next sweep.
func (w *sweep) delete(ctx context.Context, info *driver.Info) (gone bool, err error) {
	_, err = w.store.Apply(ctx, info.Session, driver.Expire{Epoch: info.Epoch, Head: info.Head})
	if holdfast.CodeOf(err) == holdfast.CodeConflict {
		return false, nil
	}
	if err == nil {
		w.store.opts.Logger.Info("retention dropped a session", "session", info.Session, "bytes", info.Bytes)
	}
	return err == nil, err
}

// youngerThan returns the first offset whose entry is not older than t, or head+1. Entries stand in the order of their
// times, as far as the server's clock does not go back; where it did, an entry may stay for longer.
func (s *Store) youngerThan(ctx context.Context, info *driver.Info, t time.Time) (holdfast.Offset, error) {
	low, high := info.First, info.Head+1
	for mid := low; low < high; mid = low + (high-low)/2 { // mostly the first one is young already
		p, err := s.driver.Read(ctx, info.Session, driver.Query{After: mid - 1, Limit: 1})
		switch {
		case err != nil:
			return 0, err
		case len(p.Entries) == 0 || !p.Entries[0].At.Before(t):
			high = mid
		default:
			low = p.Entries[0].Offset + 1
		}
	}
	return low, nil
}

// trim drops what is before an offset, in steps, and brings info up to date.
func (s *Store) trim(ctx context.Context, info *driver.Info, before holdfast.Offset) error {
	trimmed := false
	for info.First < before {
		next := min(before, info.First+trimStep)
		if _, err := s.driver.Apply(ctx, info.Session, driver.Trim{Before: next}); err != nil {
			return err
		}
		info.First, trimmed = next, true
	}
	if !trimmed {
		return nil
	}
	fresh, err := s.driver.Info(ctx, info.Session)
	if err == nil {
		*info = fresh
	}
	return err
}

// shrink drops the oldest entries of a session until it holds no more than most bytes, or nothing that can go is left.
func (s *Store) shrink(ctx context.Context, info *driver.Info, most int64) error {
	for info.Bytes > most && info.First <= info.Head {
		p, err := s.driver.Read(ctx, info.Session, driver.Query{After: info.First - 1, Limit: trimStep})
		if err != nil {
			return err
		}
		before, excess := info.Head+1, info.Bytes-most
		for i := range p.Entries {
			if excess -= session.Size(&p.Entries[i]); excess <= 0 || i == len(p.Entries)-1 {
				before = p.Entries[i].Offset + 1
				break
			}
		}
		if err := s.trim(ctx, info, before); err != nil {
			return err
		}
	}
	return nil
}
