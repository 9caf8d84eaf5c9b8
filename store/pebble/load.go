package pebble

import (
	"errors"
	"fmt"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

var errMissing = errors.New("it is missing")

// get returns a copy of one value.
func get(r pebbledb.Reader, key []byte) ([]byte, bool, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebbledb.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	v = append([]byte(nil), v...)
	return v, true, closer.Close()
}

// loadInfo reads a session; it is zero if the session is not there.
func loadInfo(r pebbledb.Reader, s holdfast.SessionID) (driver.Info, error) {
	key := metaKey(s)
	v, ok, err := get(r, key)
	if err != nil || !ok {
		return driver.Info{}, err
	}
	return completeInfo(r, s, v)
}

// completeInfo puts a session's record, its open runs and what waits for its turn together.
func completeInfo(r pebbledb.Reader, s holdfast.SessionID, meta []byte) (driver.Info, error) {
	info, n, err := decodeMeta(meta, s)
	if err != nil {
		return driver.Info{}, damaged(metaKey(s), err)
	}
	if info.Turns.Queue, err = loadQueue(r, s, n.held); err != nil || n.open == 0 {
		return info, err
	}
	it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: inSession(spaceOpen, s), UpperBound: afterSession(spaceOpen, s)})
	if err != nil {
		return driver.Info{}, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		run, err := openRunAt(it)
		if err != nil {
			return driver.Info{}, err
		}
		info.Open = append(info.Open, run)
		info.Bytes += run.Bytes
		if run.Changed.After(info.Changed) {
			info.Changed = run.Changed
		}
	}
	if err := it.Error(); err != nil {
		return driver.Info{}, err
	}
	if len(info.Open) != n.open {
		return driver.Info{}, damaged(metaKey(s), fmt.Errorf("it counts %d open runs, and there are %d", n.open, len(info.Open)))
	}
	return info, nil
}

func openRunAt(it *pebbledb.Iterator) (holdfast.RunInfo, error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return holdfast.RunInfo{}, err
	}
	run, err := decodeOpen(v, holdfast.Offset(lastNumber(it.Key())))
	if err != nil {
		return holdfast.RunInfo{}, damaged(it.Key(), err)
	}
	return run, nil
}

func loadEntry(r pebbledb.Reader, s holdfast.SessionID, o holdfast.Offset) (stored, bool, error) {
	key := entryKey(s, o)
	v, closer, err := r.Get(key)
	if errors.Is(err, pebbledb.ErrNotFound) {
		return stored{}, false, nil
	}
	if err != nil {
		return stored{}, false, err
	}
	e, err := decodeEntry(v, o)
	if err != nil {
		_ = closer.Close()
		return stored{}, false, damaged(key, err)
	}
	return e, true, closer.Close()
}

func entryAt(it *pebbledb.Iterator) (stored, error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return stored{}, err
	}
	e, err := decodeEntry(v, holdfast.Offset(lastNumber(it.Key())))
	if err != nil {
		return stored{}, damaged(it.Key(), err)
	}
	return e, nil
}

// loadFragments reads the fragments of an open run after the given one.
func loadFragments(r pebbledb.Reader, s holdfast.SessionID, run *holdfast.RunInfo, after holdfast.FragmentNo) (holdfast.Body, error) {
	if after >= run.Fragments {
		return nil, nil
	}
	it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: fragmentsKey(s, run.Run, 0), UpperBound: runEnd(s, run.Run)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var b holdfast.BodyBuilder
	next := after + 1
	// One record holds the fragments of one operation, and the wanted one may be in the middle.
	for it.SeekLT(fragmentsKey(s, run.Run, next+1)); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		fs, err := decodeFragments(v)
		first := holdfast.FragmentNo(lastNumber(it.Key()))
		if err == nil && (first > next || first+holdfast.FragmentNo(len(fs)) <= next) {
			err = fmt.Errorf("it holds fragments %d to %d where %d is due", first, int(first)+len(fs)-1, next)
		}
		if err != nil {
			return nil, damaged(it.Key(), err)
		}
		for _, f := range fs[next-first:] {
			b.Append(f)
		}
		next = first + holdfast.FragmentNo(len(fs))
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	if next != run.Fragments+1 {
		return nil, damaged(openKey(s, run.Run), fmt.Errorf("it counts %d fragments, and there are %d", run.Fragments, next-1))
	}
	return b.Body(), nil
}

func feedItemAt(it *pebbledb.Iterator) (driver.FeedItem, error) {
	v, err := it.ValueAndErr()
	if err != nil {
		return driver.FeedItem{}, err
	}
	f, err := decodeFeed(v)
	if err != nil {
		return f, damaged(it.Key(), err)
	}
	return f, nil
}

// feedRange returns what the feed has.
func feedRange(r pebbledb.Reader, feed string) (session.FeedRange, error) {
	fr := session.FeedRange{Feed: feed}
	v, ok, err := get(r, keyTrimmed)
	if err != nil {
		return fr, err
	}
	if ok {
		if fr.Trimmed, err = decodeNumber(v); err != nil {
			return fr, damaged(keyTrimmed, err)
		}
	}
	it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: feedKey(0), UpperBound: prefixEnd([]byte{spaceFeed})})
	if err != nil {
		return fr, err
	}
	defer it.Close()
	fr.Last = fr.Trimmed
	if it.Last() {
		fr.Last = lastNumber(it.Key())
	}
	return fr, it.Error()
}
