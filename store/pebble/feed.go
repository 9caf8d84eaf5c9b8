package pebble

import (
	"bytes"
	"context"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Feed implements [driver.Driver].
func (d *Driver) Feed(ctx context.Context, after string, limit int) (items []driver.FeedItem, err error) {
	err = d.readFeed(ctx, after, func(r pebbledb.Reader, seq uint64) error {
		it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: feedKey(seq + 1), UpperBound: prefixEnd([]byte{spaceFeed})})
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid() && len(items) < limit; it.Next() {
			f, err := feedItemAt(it)
			if err != nil {
				return err
			}
			items = append(items, d.numbered(f, lastNumber(it.Key())))
		}
		return it.Error()
	})
	return items, err
}

// FeedOf implements [driver.Driver].
func (d *Driver) FeedOf(ctx context.Context, s holdfast.SessionID, after string, limit int) (items []driver.FeedItem, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	err = d.readFeed(ctx, after, func(r pebbledb.Reader, seq uint64) error {
		it, err := r.NewIter(&pebbledb.IterOptions{LowerBound: feedOfKey(s, seq+1), UpperBound: afterSession(spaceFeedOf, s)})
		if err != nil {
			return err
		}
		defer it.Close()
		for it.First(); it.Valid() && len(items) < limit; it.Next() {
			key := feedKey(lastNumber(it.Key()))
			v, ok, err := get(r, key)
			if err != nil {
				return err
			}
			if !ok {
				return damaged(key, errMissing)
			}
			f, err := decodeFeed(v)
			if err != nil {
				return damaged(key, err)
			}
			items = append(items, d.numbered(f, lastNumber(key)))
		}
		return it.Error()
	})
	return items, err
}

// readFeed runs fn on what readers see, with the number of the item that the cursor stands for.
func (d *Driver) readFeed(ctx context.Context, after string, fn func(r pebbledb.Reader, seq uint64) error) error {
	return d.read(ctx, func(r pebbledb.Reader) error {
		fr, err := feedRange(r, d.feed)
		if err != nil {
			return err
		}
		seq, err := fr.After(after)
		if err != nil {
			return err
		}
		return fn(r, seq)
	})
}

func (d *Driver) numbered(f driver.FeedItem, seq uint64) driver.FeedItem {
	f.Cursor = session.FeedCursor{Feed: d.feed, Seq: seq}.String()
	return f
}

// indexFeed gives the items of a store that was made before there was an index by session their places in it.
func (d *Driver) indexFeed() error {
	if _, done, err := get(d.db, keyFeedOf); err != nil || done {
		return err
	}
	it, err := d.db.NewIter(&pebbledb.IterOptions{LowerBound: feedKey(0), UpperBound: prefixEnd([]byte{spaceFeed})})
	if err != nil {
		return err
	}
	defer it.Close()
	b := d.db.NewBatch()
	for it.First(); it.Valid(); it.Next() {
		f, err := feedItemAt(it)
		if err != nil {
			return err
		}
		_ = b.Set(feedOfKey(f.Session, lastNumber(it.Key())), []byte{version}, nil) // a batch in memory takes everything
		if b.Len() < groupBytes {
			continue
		}
		if err := b.Commit(pebbledb.NoSync); err != nil {
			return err
		}
		b = d.db.NewBatch()
	}
	if err := it.Error(); err != nil {
		return err
	}
	_ = b.Set(keyFeedOf, []byte{version}, nil)
	return b.Commit(pebbledb.Sync)
}

// Consumer implements [driver.Driver].
func (d *Driver) Consumer(ctx context.Context, name string) (value string, err error) {
	err = d.read(ctx, func(r pebbledb.Reader) error {
		v, ok, err := get(r, consumerKey(name))
		if err != nil || !ok {
			return err
		}
		value, err = decodeConsumer(consumerKey(name), v)
		return err
	})
	return value, err
}

// Consumers implements [driver.Driver].
func (d *Driver) Consumers(ctx context.Context, prefix, after string, limit int) (all []driver.ConsumerValue, err error) {
	from, size := consumerKey(prefix), 0
	to := prefixEnd(from)
	if next := append(consumerKey(after), 0); after != "" && bytes.Compare(next, from) > 0 {
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
		for it.First(); it.Valid() && len(all) < limit && size < driver.MaxConsumersBytes; it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			value, err := decodeConsumer(it.Key(), v)
			if err != nil {
				return err
			}
			all, size = append(all, driver.ConsumerValue{Name: string(it.Key()[1:]), Value: value}), size+len(value)
		}
		return it.Error()
	})
	return all, err
}

func decodeConsumer(key, v []byte) (string, error) {
	if len(v) == 0 || v[0] != version {
		return "", damaged(key, errMissing)
	}
	return string(v[1:]), nil
}
