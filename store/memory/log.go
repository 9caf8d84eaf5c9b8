package memory

import (
	"cmp"
	"iter"
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// log is one session. The Driver's lock protects it.
type log struct {
	info    driver.Info
	records []record                         // by offset
	tags    map[holdfast.Offset]holdfast.Tag // of states that were replaced
	ids     map[scopedID]session.Known
	latest  map[string]holdfast.Offset // of each key
}

type scopedID struct {
	user holdfast.UserID
	id   string
}

// record is an entry; an open run's body is in fragments, an ended one's in entry.
type record struct {
	entry     holdfast.Entry
	fragments []holdfast.Fragment
	compact   *session.Compact // of an ended run
}

var _ session.Lookup = (*log)(nil)

func newLog() *log {
	return &log{tags: make(map[holdfast.Offset]holdfast.Tag), ids: make(map[scopedID]session.Known),
		latest: make(map[string]holdfast.Offset)}
}

// at returns where offset o stands in records or would stand.
func (l *log) at(o holdfast.Offset) (int, bool) {
	return slices.BinarySearchFunc(l.records, o, func(r record, o holdfast.Offset) int { return cmp.Compare(r.entry.Offset, o) })
}

func (l *log) Known(user holdfast.UserID, id string) (session.Known, bool, error) {
	k, ok := l.ids[scopedID{user, id}]
	return k, ok, nil
}

func (l *log) Latest(key string) (session.Standing, bool, error) {
	o, ok := l.latest[key]
	if !ok {
		return session.Standing{}, false, nil
	}
	i, _ := l.at(o)
	return session.StandingOf(&l.records[i].entry), true, nil
}

func (l *log) Ended(o holdfast.Offset) (holdfast.RunInfo, bool, error) {
	i, ok := l.at(o)
	if !ok || l.records[i].compact == nil {
		return holdfast.RunInfo{}, false, nil
	}
	return l.records[i].compact.RunInfo(), true, nil
}

func (l *log) Event(o holdfast.Offset) (holdfast.Entry, bool, error) {
	i, ok := l.at(o)
	if !ok || l.records[i].entry.Kind != holdfast.KindEvent {
		return holdfast.Entry{}, false, nil
	}
	return l.records[i].entry, true, nil
}

func (l *log) Below(o holdfast.Offset) iter.Seq2[session.Standing, error] {
	return func(yield func(session.Standing, error) bool) {
		for i := range l.records {
			e := &l.records[i].entry
			if e.Offset >= o || !yield(session.StandingOf(e), nil) {
				return
			}
		}
	}
}

// store carries out the effects of an operation.
func (l *log) store(out *session.Outcome) {
	fx := &out.Effects
	l.info = out.Info
	for _, e := range fx.Entries {
		l.records = append(l.records, record{entry: e})
		if e.ID != "" {
			l.ids[scopedID{e.From.User, e.ID}] = session.KnownBy(&e)
		}
		if e.Kind == holdfast.KindState {
			l.latest[e.Key] = e.Offset
		}
	}
	for _, k := range fx.Known {
		l.ids[scopedID{k.User, k.ID}] = k.Known
	}
	for _, r := range fx.Replaced {
		i, _ := l.at(r.Offset)
		l.records = slices.Delete(l.records, i, i+1)
		if r.KeepTag {
			l.tags[r.Offset] = r.Tag
		}
	}
	if n := fx.Fragments; n != nil {
		i, _ := l.at(n.Run)
		l.records[i].fragments = append(l.records[i].fragments, n.Fragments...)
	}
	if fx.End != nil {
		l.end(fx.End)
	}
	if fx.Trim != nil {
		l.trim(fx.Trim)
	}
}

func (l *log) end(end *session.End) {
	i, _ := l.at(end.Info.Run)
	r := &l.records[i]
	var b holdfast.BodyBuilder
	for _, f := range r.fragments {
		b.Append(f)
	}
	c := session.Compacted(r.entry, b.Body(), end)
	r.compact, r.entry, r.fragments = &c, c.Entry, nil
	if k, ok := l.ids[scopedID{r.entry.From.User, r.entry.ID}]; ok && r.entry.ID != "" {
		k.Ended = &end.Info
		l.ids[scopedID{r.entry.From.User, r.entry.ID}] = k
	}
}

func (l *log) trim(t *session.Trimmed) {
	gone := t.Gone
	l.records = slices.DeleteFunc(l.records, func(r record) bool {
		for len(gone) > 0 && r.entry.Offset >= gone[0].To {
			gone = gone[1:]
		}
		return len(gone) > 0 && r.entry.Offset >= gone[0].From
	})
	for o := range l.tags {
		if o < t.Before {
			delete(l.tags, o)
		}
	}
}

// entry returns the record at index i as readers see it.
func (l *log) entry(i int) holdfast.Entry {
	e := l.records[i].entry
	if e.Offset >= l.info.First {
		e.First = l.info.First
		if i > 0 {
			e.First = max(e.First, l.records[i-1].entry.Offset+1)
		}
	}
	if e.Run == nil || e.Run.Status.Ended() {
		return e
	}
	var b holdfast.BodyBuilder
	for _, f := range l.records[i].fragments {
		b.Append(f)
	}
	k := slices.IndexFunc(l.info.Open, func(r holdfast.RunInfo) bool { return r.Run == e.Offset })
	return session.Opened(e, &l.info.Open[k], b.Body())
}
