package pebble

import (
	"slices"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// sessionReader reads one session out of one view.
type sessionReader struct {
	r       pebbledb.Reader
	session holdfast.SessionID
	info    driver.Info
}

// known returns what an id was used for.
func (r *sessionReader) known(user holdfast.UserID, id string) (session.Known, bool, error) {
	key := idKey(r.session, user, id)
	v, ok, err := get(r.r, key)
	if err != nil || !ok {
		return session.Known{}, false, err
	}
	k, err := decodeKnown(v, id)
	if err != nil {
		return session.Known{}, false, damaged(key, err)
	}
	return k, true, nil
}

// entries iterates over the entries before an offset, 0 for all. The lower bound is the beginning and not the query's,
// because the entry before a page says where the page's first entry begins.
func (r *sessionReader) entries(before holdfast.Offset) (*pebbledb.Iterator, error) {
	o := &pebbledb.IterOptions{LowerBound: entryKey(r.session, 0), UpperBound: entriesEnd(r.session)}
	if before != 0 {
		o.UpperBound = entryKey(r.session, before)
	}
	return r.r.NewIter(o)
}

func (r *sessionReader) page(q driver.Query, b *session.PageBuilder) error {
	if q.After >= r.info.Head {
		return nil
	}
	it, err := r.entries(q.Before)
	if err != nil {
		return err
	}
	defer it.Close()
	if q.Before == 0 {
		err = r.forward(it, q.After, b)
	} else {
		err = r.backward(it, q, b)
	}
	if err != nil {
		return err
	}
	return it.Error()
}

func (r *sessionReader) forward(it *pebbledb.Iterator, after holdfast.Offset, b *session.PageBuilder) error {
	prev := holdfast.Offset(0)
	if it.SeekLT(entryKey(r.session, after+1)) {
		prev = offsetAt(it)
	}
	for it.Next(); it.Valid() && !b.Full(); it.Next() {
		e, err := r.entry(it)
		if err != nil {
			return err
		}
		r.begin(&e, prev)
		if !b.Add(e) {
			return nil
		}
		prev = e.Offset
	}
	return nil
}

func (r *sessionReader) backward(it *pebbledb.Iterator, q driver.Query, b *session.PageBuilder) error {
	it.Last()
	for it.Valid() && offsetAt(it) > q.After && !b.Full() {
		e, err := r.entry(it)
		if err != nil {
			return err
		}
		prev := holdfast.Offset(0)
		if it.Prev() {
			prev = offsetAt(it)
		}
		r.begin(&e, prev)
		if !b.Add(e) {
			return nil
		}
	}
	return nil
}

func offsetAt(it *pebbledb.Iterator) holdfast.Offset { return holdfast.Offset(lastNumber(it.Key())) }

// begin sets the first offset that an entry covers, given the offset of the entry before it.
func (r *sessionReader) begin(e *holdfast.Entry, prev holdfast.Offset) {
	if e.Offset >= r.info.First {
		e.First = max(prev+1, r.info.First)
	}
}

// entry returns the entry at the iterator, with the fragments of an open run.
func (r *sessionReader) entry(it *pebbledb.Iterator) (holdfast.Entry, error) {
	e, err := entryAt(it)
	if err != nil {
		return holdfast.Entry{}, err
	}
	return r.grown(e.Entry, 0)
}

// grown adds to an open run its fragments after the given one; other entries are returned as they are.
func (r *sessionReader) grown(e holdfast.Entry, after holdfast.FragmentNo) (holdfast.Entry, error) {
	if e.Run == nil || e.Run.Status.Ended() {
		return e, nil
	}
	i := slices.IndexFunc(r.info.Open, func(o holdfast.RunInfo) bool { return o.Run == e.Offset })
	if i < 0 {
		return holdfast.Entry{}, damaged(openKey(r.session, e.Offset), errMissing)
	}
	body, err := loadFragments(r.r, r.session, &r.info.Open[i], after)
	if err != nil {
		return holdfast.Entry{}, err
	}
	return session.Opened(e, &r.info.Open[i], body), nil
}

func (r *sessionReader) run(o holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, bool, error) {
	c, ok, err := loadEntry(r.r, r.session, o)
	if err != nil || !ok || c.Entry.Kind != holdfast.KindRun {
		return holdfast.Entry{}, false, err
	}
	e, err := r.grown(c.Entry, after)
	if err != nil {
		return holdfast.Entry{}, false, err
	}
	if e.Run.Status.Ended() {
		e.Run.Body = e.Run.Body.Skip(after)
	}
	it, err := r.entries(o)
	if err != nil {
		return holdfast.Entry{}, false, err
	}
	defer it.Close()
	prev := holdfast.Offset(0)
	if it.Last() {
		prev = offsetAt(it)
	}
	r.begin(&e, prev)
	return e, true, it.Error()
}

func (r *sessionReader) states() ([]holdfast.Entry, error) {
	from, to := statesRange(r.session)
	index, err := r.r.NewIter(&pebbledb.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	defer index.Close()
	it, err := r.entries(0)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var states []holdfast.Entry
	for index.First(); index.Valid(); index.Next() {
		v, err := index.ValueAndErr()
		if err != nil {
			return nil, err
		}
		s, err := decodeStanding(v)
		if err != nil {
			return nil, damaged(index.Key(), err)
		}
		e, err := r.standing(it, s.Offset)
		if err != nil {
			return nil, err
		}
		states = append(states, e)
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	return sorted(states), index.Error()
}

// standing returns the entry at an offset where one must be.
func (r *sessionReader) standing(it *pebbledb.Iterator, o holdfast.Offset) (holdfast.Entry, error) {
	key := entryKey(r.session, o)
	prev := holdfast.Offset(0)
	if it.SeekLT(key) {
		prev = offsetAt(it)
	}
	if !it.Next() || offsetAt(it) != o {
		if err := it.Error(); err != nil {
			return holdfast.Entry{}, err
		}
		return holdfast.Entry{}, damaged(key, errMissing)
	}
	c, err := entryAt(it)
	if err != nil {
		return holdfast.Entry{}, err
	}
	r.begin(&c.Entry, prev)
	return c.Entry, nil
}
