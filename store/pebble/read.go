package pebble

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// read runs fn on what readers see.
func (d *Driver) read(ctx context.Context, fn func(r pebbledb.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the caller gave up")
	}
	v, done, err := d.acquire()
	if err != nil {
		return err
	}
	defer done()
	return fn(v.snapshot)
}

// readSession runs fn on what readers see of one session that is there; otherwise fn is not called.
func (d *Driver) readSession(ctx context.Context, s holdfast.SessionID, fn func(sessionReader) error) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return d.read(ctx, func(r pebbledb.Reader) error {
		info, err := loadInfo(r, s)
		if err != nil || info.Epoch == "" {
			return err
		}
		return fn(sessionReader{r: r, session: s, info: info})
	})
}

// Info implements [driver.Driver].
func (d *Driver) Info(ctx context.Context, s holdfast.SessionID) (info driver.Info, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) error {
		info = r.info
		return nil
	})
	return info, err
}

// Read implements [driver.Driver].
func (d *Driver) Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (page driver.Page, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) error {
		b := session.NewPage(q)
		if err := r.page(q, b); err != nil {
			return err
		}
		page = b.Page(r.info)
		return nil
	})
	return page, err
}

// Run implements [driver.Driver].
func (d *Driver) Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (e holdfast.Entry, err error) {
	found := false
	err = d.readSession(ctx, s, func(r sessionReader) (err error) {
		e, found, err = r.run(run, after)
		return err
	})
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no run at offset %d", run)
	}
	return e, err
}

// States implements [driver.Driver].
func (d *Driver) States(ctx context.Context, s holdfast.SessionID) (states []holdfast.Entry, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) (err error) {
		states, err = r.states()
		return err
	})
	return states, err
}

// TagAt implements [driver.Driver].
func (d *Driver) TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (t holdfast.Tag, ok bool, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) error {
		if o == r.info.Head && o != 0 && o >= r.info.First {
			t, ok = r.info.HeadTag, true // asked for by nearly every reader that comes back
			return nil
		}
		e, found, err := loadEntry(r.r, s, o)
		if err != nil || found {
			t, ok = e.Entry.Tag, found
			return err
		}
		key := tagKey(s, o)
		v, found, err := get(r.r, key)
		if err != nil || !found {
			return err
		}
		if t, err = decodeTag(v); err != nil {
			return damaged(key, err)
		}
		ok = true
		return nil
	})
	return t, ok, err
}

// Sessions implements [driver.Driver].
func (d *Driver) Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) (infos []driver.Info, err error) {
	from := metaKey(holdfast.SessionID(prefix))
	to := prefixEnd(from)
	if next := append(metaKey(after), 0); after != "" && bytes.Compare(next, from) > 0 {
		from = next
	}
	err = d.read(ctx, func(r pebbledb.Reader) error {
		if bytes.Compare(from, to) >= 0 {
			return nil
		}
		it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: from, UpperBound: to})
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid() && len(infos) < limit; it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			info, err := completeInfo(r, holdfast.SessionID(it.Key()[1:]), v)
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return it.Error()
	})
	return infos, err
}

// Stop implements [driver.Driver].
func (d *Driver) Stop(ctx context.Context, s holdfast.SessionID, user holdfast.UserID, id string) (stop driver.StopInfo, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) error {
		k, _, err := r.known(user, id)
		if k.Stop != nil {
			stop = *k.Stop
		}
		return err
	})
	if err == nil && stop.ID == "" {
		err = session.NoStop(id)
	}
	return stop, err
}

// Request implements [driver.Driver].
func (d *Driver) Request(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (req holdfast.Request, err error) {
	err = d.readSession(ctx, s, func(r sessionReader) (err error) {
		req, err = session.FindRequest(&r.info, r.known, o)
		return err
	})
	if err == nil && req.State == "" {
		err = session.NoRequest(o)
	}
	return req, err
}

// Waiting implements [driver.Driver].
func (d *Driver) Waiting(ctx context.Context, after holdfast.SessionID, limit int) (infos []driver.Info, err error) {
	from := []byte{spaceWait}
	if after != "" {
		from = append(waitKey(after), 0)
	}
	err = d.read(ctx, func(r pebbledb.Reader) error {
		it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: from, UpperBound: prefixEnd([]byte{spaceWait})})
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid() && len(infos) < limit; it.Next() {
			info, err := loadInfo(r, holdfast.SessionID(it.Key()[1:]))
			if err != nil {
				return err
			}
			infos = append(infos, info)
		}
		return it.Error()
	})
	return infos, err
}

// OpenRuns implements [driver.Driver].
func (d *Driver) OpenRuns(ctx context.Context, after driver.RunRef, limit int) (runs []driver.OpenRun, err error) {
	from := openKey(after.Session, after.Run+1)
	if after == (driver.RunRef{}) {
		from = []byte{spaceOpen}
	}
	err = d.read(ctx, func(r pebbledb.Reader) error {
		it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: from, UpperBound: prefixEnd([]byte{spaceOpen})})
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid() && len(runs) < limit; it.Next() {
			run, err := openRunAt(it)
			if err != nil {
				return err
			}
			s, _, ok := splitOpenKey(it.Key())
			if !ok {
				return damaged(it.Key(), errMissing)
			}
			epoch, err := epochOf(r, s, runs)
			if err != nil {
				return err
			}
			runs = append(runs, driver.OpenRun{Session: s, Epoch: epoch, RunInfo: run})
		}
		return it.Error()
	})
	return runs, err
}

// epochOf returns a session's epoch; the last run listed may know it.
func epochOf(r pebbledb.Reader, s holdfast.SessionID, runs []driver.OpenRun) (holdfast.Epoch, error) {
	if n := len(runs); n > 0 && runs[n-1].Session == s {
		return runs[n-1].Epoch, nil
	}
	v, ok, err := get(r, metaKey(s))
	if err != nil {
		return "", err
	}
	if !ok {
		return "", damaged(metaKey(s), errMissing)
	}
	info, _, err := decodeMeta(v, s)
	if err != nil {
		return "", damaged(metaKey(s), err)
	}
	return info.Epoch, nil
}

func byOffset(a, b holdfast.Entry) int { return cmp.Compare(a.Offset, b.Offset) }

func sorted(es []holdfast.Entry) []holdfast.Entry {
	slices.SortFunc(es, byOffset)
	return es
}
