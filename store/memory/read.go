package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// view runs fn on a session with the lock held for reading; l is empty, not nil, if the session is not there.
func (d *Driver) view(ctx context.Context, s holdfast.SessionID, fn func(l *log)) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	l := d.sessions[s]
	if l == nil {
		l = newLog()
	}
	fn(l)
	return nil
}

// Info implements [driver.Driver].
func (d *Driver) Info(ctx context.Context, s holdfast.SessionID) (info driver.Info, err error) {
	err = d.view(ctx, s, func(l *log) { info = l.info })
	return info, err
}

// Read implements [driver.Driver].
func (d *Driver) Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (page driver.Page, err error) {
	err = d.view(ctx, s, func(l *log) { page = l.page(q) })
	return page, err
}

func (l *log) page(q driver.Query) driver.Page {
	b := session.NewPage(q)
	from, _ := l.at(q.After + 1)
	if q.Before == 0 {
		for i := from; i < len(l.records) && b.Add(l.entry(i)); i++ {
		}
	} else {
		to, _ := l.at(q.Before)
		for i := to - 1; i >= from && b.Add(l.entry(i)); i-- {
		}
	}
	return b.Page(l.info)
}

// Run implements [driver.Driver].
func (d *Driver) Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (e holdfast.Entry, err error) {
	found := false
	err = d.view(ctx, s, func(l *log) {
		i, ok := l.at(run)
		if found = ok && l.records[i].entry.Kind == holdfast.KindRun; !found {
			return
		}
		e = l.entry(i)
		r := *e.Run
		r.Body = r.Body.Skip(after)
		e.Run = &r
	})
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no run at offset %d", run)
	}
	return e, err
}

// States implements [driver.Driver].
func (d *Driver) States(ctx context.Context, s holdfast.SessionID) (states []holdfast.Entry, err error) {
	err = d.view(ctx, s, func(l *log) {
		for i := range l.records {
			if l.records[i].entry.Kind == holdfast.KindState {
				states = append(states, l.entry(i))
			}
		}
	})
	return states, err
}

// TagAt implements [driver.Driver].
func (d *Driver) TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (t holdfast.Tag, ok bool, err error) {
	err = d.view(ctx, s, func(l *log) {
		var i int
		if i, ok = l.at(o); ok {
			t = l.records[i].entry.Tag
			return
		}
		t, ok = l.tags[o]
	})
	return t, ok, err
}

// Sessions implements [driver.Driver].
func (d *Driver) Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	var all []driver.Info
	for id, l := range d.sessions {
		if id > after && strings.HasPrefix(string(id), prefix) {
			all = append(all, l.info)
		}
	}
	slices.SortFunc(all, func(a, b driver.Info) int { return cmp.Compare(a.Session, b.Session) })
	return all[:min(max(limit, 0), len(all))], nil
}

// OpenRuns implements [driver.Driver].
func (d *Driver) OpenRuns(ctx context.Context, after driver.RunRef, limit int) ([]driver.OpenRun, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	var all []driver.OpenRun
	for id, l := range d.sessions {
		for _, r := range l.info.Open {
			if id > after.Session || id == after.Session && r.Run > after.Run {
				all = append(all, driver.OpenRun{Session: id, Epoch: l.info.Epoch, RunInfo: r})
			}
		}
	}
	slices.SortFunc(all, func(a, b driver.OpenRun) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.Run, b.Run))
	})
	return all[:min(max(limit, 0), len(all))], nil
}

// Stop implements [driver.Driver].
func (d *Driver) Stop(ctx context.Context, s holdfast.SessionID, user holdfast.UserID, id string) (stop driver.StopInfo, err error) {
	err = d.view(ctx, s, func(l *log) {
		if k := l.ids[scopedID{user, id}]; k.Stop != nil {
			stop = *k.Stop
		}
	})
	if err == nil && stop.ID == "" {
		err = session.NoStop(id)
	}
	return stop, err
}

// Request implements [driver.Driver].
func (d *Driver) Request(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (r holdfast.Request, err error) {
	err = d.view(ctx, s, func(l *log) { r, _ = session.FindRequest(&l.info, l.Known, o) })
	if err == nil && r.State == "" {
		err = session.NoRequest(o)
	}
	return r, err
}

// Waiting implements [driver.Driver].
func (d *Driver) Waiting(ctx context.Context, after holdfast.SessionID, limit int) (infos []driver.Info, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	for id, l := range d.sessions {
		if id > after && l.info.Waits() {
			infos = append(infos, l.info)
		}
	}
	slices.SortFunc(infos, func(a, b driver.Info) int { return cmp.Compare(a.Session, b.Session) })
	return infos[:min(max(limit, 0), len(infos))], nil
}

// Feed implements [driver.Driver].
func (d *Driver) Feed(ctx context.Context, after string, limit int) ([]driver.FeedItem, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rest, err := d.rest(ctx, after)
	return slices.Clone(rest[:min(max(limit, 0), len(rest))]), err
}

// FeedOf implements [driver.Driver]. It walks the whole rest of the feed, which is in memory.
func (d *Driver) FeedOf(ctx context.Context, s holdfast.SessionID, after string, limit int) (items []driver.FeedItem, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	rest, err := d.rest(ctx, after)
	for i := 0; i < len(rest) && len(items) < limit; i++ {
		if rest[i].Session == s {
			items = append(items, rest[i])
		}
	}
	return items, err
}

// rest is the feed after a cursor. It is called with the lock held.
func (d *Driver) rest(ctx context.Context, after string) ([]driver.FeedItem, error) {
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	r := session.FeedRange{Feed: d.feed, Trimmed: d.trimmed, Last: d.trimmed + uint64(len(d.items))}
	seq, err := r.After(after)
	if err != nil {
		return nil, err
	}
	return d.items[seq-d.trimmed:], nil
}

// TrimFeed implements [driver.Driver].
func (d *Driver) TrimFeed(ctx context.Context, before time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	n := 0
	for n < len(d.items) && d.items[n].At().Before(before) {
		n++
	}
	d.items = slices.Delete(d.items, 0, n)
	d.trimmed += uint64(n)
	return nil
}

// Consumer implements [driver.Driver].
func (d *Driver) Consumer(ctx context.Context, name string) (string, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.consumers[name], d.usable(ctx)
}

// SetConsumer implements [driver.Driver].
func (d *Driver) SetConsumer(ctx context.Context, name, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	d.setConsumer(name, value)
	return nil
}

// setConsumer is called with the lock held.
func (d *Driver) setConsumer(name, value string) {
	if value == "" {
		delete(d.consumers, name)
		return
	}
	d.consumers[name] = value
}

// Consumers implements [driver.Driver].
func (d *Driver) Consumers(ctx context.Context, prefix, after string, limit int) (all []driver.ConsumerValue, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.usable(ctx); err != nil {
		return nil, err
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(d.consumers)) {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		if len(all) >= limit || size >= driver.MaxConsumersBytes {
			break
		}
		value := d.consumers[name]
		all, size = append(all, driver.ConsumerValue{Name: name, Value: value}), size+len(value)
	}
	return all, nil
}
