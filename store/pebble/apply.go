package pebble

import (
	"iter"
	"time"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// lookup answers the rules' questions about one session.
type lookup struct {
	c *committer
	h *held
}

var _ session.Lookup = lookup{}

func (l lookup) Known(user holdfast.UserID, id string) (session.Known, bool, error) {
	key := idKey(l.h.info.Session, user, id)
	v, ok, err := l.c.indexed(key)
	if err != nil || !ok {
		return session.Known{}, false, err
	}
	k, err := decodeKnown(v, id)
	if err != nil {
		return k, false, damaged(key, err)
	}
	return k, true, nil
}

func (l lookup) Latest(name string) (session.Standing, bool, error) {
	key := stateKey(l.h.info.Session, name)
	v, ok, err := l.c.indexed(key)
	if err != nil || !ok {
		return session.Standing{}, false, err
	}
	s, err := decodeStanding(v)
	if err != nil {
		return s, false, damaged(key, err)
	}
	return s, true, nil
}

func (l lookup) Ended(o holdfast.Offset) (holdfast.RunInfo, bool, error) {
	if l.h.touched {
		if err := l.c.settle(); err != nil {
			return holdfast.RunInfo{}, false, err
		}
	}
	e, ok, err := loadEntry(l.c.db, l.h.info.Session, o)
	if err != nil || !ok || e.Entry.Kind != holdfast.KindRun || !e.Entry.Run.Status.Ended() {
		return holdfast.RunInfo{}, false, err
	}
	return e.RunInfo(), true, nil
}

func (l lookup) Event(o holdfast.Offset) (holdfast.Entry, bool, error) {
	if l.h.touched {
		if err := l.c.settle(); err != nil {
			return holdfast.Entry{}, false, err
		}
	}
	e, ok, err := loadEntry(l.c.db, l.h.info.Session, o)
	if err != nil || !ok || e.Entry.Kind != holdfast.KindEvent {
		return holdfast.Entry{}, false, err
	}
	return e.Entry, true, nil
}

func (l lookup) Below(o holdfast.Offset) iter.Seq2[session.Standing, error] {
	return func(yield func(session.Standing, error) bool) {
		s := l.h.info.Session
		it, err := l.c.db.NewIter(&pebbledb.IterOptions{LowerBound: entryKey(s, 0), UpperBound: entryKey(s, o)})
		if err != nil {
			yield(session.Standing{}, err)
			return
		}
		defer it.Close()
		for it.First(); it.Valid(); it.Next() {
			e, err := entryAt(it)
			standing := session.StandingOf(&e.Entry)
			if !yield(standing, err) || err != nil {
				return
			}
		}
		if err := it.Error(); err != nil {
			yield(session.Standing{}, err)
		}
	}
}

// store puts the effects of an operation into the batch. Whatever can fail comes before the first write.
func (c *committer) store(h *held, out *session.Outcome) error {
	s, fx := h.info.Session, &out.Effects
	var ended *stored
	if fx.End != nil {
		var err error
		if ended, err = c.compacted(s, fx); err != nil {
			return err
		}
		c.feed(ended.EndedItem(s, out.Info.Epoch))
	}
	c.waits(s, h.info.Waits(), out.Info.Waits())
	h.info = out.Info
	c.touch(h, fx.Fragments == nil) // a fragment is in the run's record alone
	for i := range fx.Entries {
		c.storeEntry(s, &fx.Entries[i])
	}
	for i := range fx.Known {
		k := &fx.Known[i]
		c.index(idKey(s, k.User, k.ID), encodeKnown(&k.Known))
	}
	if ended != nil {
		c.compact(s, ended, fx.End)
	}
	for i := range fx.Feed {
		c.feed(driver.FeedItem{Session: s, Epoch: out.Info.Epoch, Entry: fx.Feed[i]})
	}
	for _, r := range fx.Replaced {
		_ = c.batch.Delete(entryKey(s, r.Offset), nil)
		if r.KeepTag {
			c.set(tagKey(s, r.Offset), encodeTag(r.Tag))
		}
	}
	for i := range fx.Runs {
		c.set(openKey(s, fx.Runs[i].Run), encodeOpen(&fx.Runs[i]))
	}
	if n := fx.Fragments; n != nil {
		c.set(fragmentsKey(s, n.Run, n.First), encodeFragments(n.Fragments))
	}
	if fx.Queue {
		c.queue(s, out.Info.Turns.Queue)
	}
	if fx.Trim != nil {
		c.drop(s, fx.Trim)
	}
	if len(out.Items) > 0 {
		c.changes = append(c.changes, driver.Change{Session: s, Epoch: out.Info.Epoch, Items: out.Items})
	}
	return nil
}

// feed puts an item into the feed.
func (c *committer) feed(f driver.FeedItem) {
	c.last++
	f.Trace = c.trace
	c.set(feedKey(c.last), encodeFeed(&f))
	c.set(feedOfKey(f.Session, c.last), []byte{version})
}

// tell puts into the feed what is not in the log, and sets what goes with it. The session's own record is not written.
func (c *committer) tell(s holdfast.SessionID, epoch holdfast.Epoch, t *session.Told) {
	for i := range t.Feed {
		c.feed(driver.FeedItem{Session: s, Epoch: epoch, Entry: t.Feed[i]})
	}
	for _, v := range t.Consumers {
		c.consumer(v.Name, v.Value)
	}
}

// consumer sets the value of a consumer.
func (c *committer) consumer(name, value string) {
	if value == "" {
		_ = c.batch.Delete(consumerKey(name), nil)
		return
	}
	c.set(consumerKey(name), append([]byte{version}, value...))
}

func (c *committer) storeEntry(s holdfast.SessionID, e *holdfast.Entry) {
	c.set(entryKey(s, e.Offset), encodeEntry(&stored{Entry: *e}))
	if e.ID != "" {
		k := session.KnownBy(e)
		c.index(idKey(s, e.From.User, e.ID), encodeKnown(&k))
	}
	if e.Kind == holdfast.KindState {
		standing := session.StandingOf(e)
		c.index(stateKey(s, e.Key), encodeStanding(&standing))
	}
}

// compacted returns the compact form of a run that ends. The database has all of it, for the batch was settled before, but
// where it ends in the step that opened it: then it has no fragments.
func (c *committer) compacted(s holdfast.SessionID, fx *session.Effects) (*stored, error) {
	run := fx.End.Info.Run
	for i := range fx.Entries {
		if fx.Entries[i].Offset == run {
			ended := session.Compacted(fx.Entries[i], nil, fx.End)
			return &ended, nil
		}
	}
	opening, ok, err := loadEntry(c.db, s, run)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, damaged(entryKey(s, run), errMissing)
	}
	body, err := loadFragments(c.db, s, &fx.End.Info, 0)
	if err != nil {
		return nil, err
	}
	ended := session.Compacted(opening.Entry, body, fx.End)
	return &ended, nil
}

// waits keeps the index of the sessions in which something waits for time to pass.
func (c *committer) waits(s holdfast.SessionID, before, now bool) {
	switch {
	case !before && now:
		c.set(waitKey(s), []byte{version})
	case before && !now:
		_ = c.batch.Delete(waitKey(s), nil)
	}
}

// queue keeps what waits for its turn.
func (c *committer) queue(s holdfast.SessionID, q []driver.Held) {
	if len(q) == 0 {
		_ = c.batch.Delete(queueKey(s), nil)
		return
	}
	c.set(queueKey(s), encodeQueue(q))
}

// compact replaces a run's opening and fragments by its compact form.
func (c *committer) compact(s holdfast.SessionID, ended *stored, end *session.End) {
	run := end.Info.Run
	c.set(entryKey(s, run), encodeEntry(ended))
	if end.Info.Fragments > 0 {
		_ = c.batch.DeleteRange(fragmentsKey(s, run, 0), runEnd(s, run), nil)
	}
	_ = c.batch.Delete(openKey(s, run), nil)
	if e := &ended.Entry; e.ID != "" {
		k := session.KnownBy(e)
		k.Ended = &end.Info
		c.index(idKey(s, e.From.User, e.ID), encodeKnown(&k))
	}
}

func (c *committer) drop(s holdfast.SessionID, t *session.Trimmed) {
	for _, r := range t.Gone {
		from, to := gone(s, r)
		if r.To == r.From+1 {
			_ = c.batch.Delete(from, nil)
		} else {
			_ = c.batch.DeleteRange(from, to, nil)
		}
	}
	_ = c.batch.DeleteRange(tagKey(s, 0), tagKey(s, t.Before), nil)
}

// deleteSession drops a session. What follows in the same batch must not see the database, which still has it.
func (c *committer) deleteSession(s holdfast.SessionID) error {
	h, err := c.held(s)
	if err != nil {
		return err
	}
	if h.info.Epoch == "" {
		return nil
	}
	if h.touched {
		if err := c.settle(); err != nil {
			return err
		}
	}
	_ = c.batch.Delete(metaKey(s), nil)
	_ = c.batch.DeleteRange(inSession(spaceData, s), afterSession(spaceData, s), nil)
	if len(h.info.Open) > 0 {
		_ = c.batch.DeleteRange(inSession(spaceOpen, s), afterSession(spaceOpen, s), nil)
	}
	c.waits(s, h.info.Waits(), false)
	h.info = driver.Info{Session: s}
	c.touch(h, false)
	h.deleted = true
	c.changes = append(c.changes, driver.Change{Session: s, Deleted: true})
	return nil
}

// trimFeed drops at most most feed items from before a time and returns how many. It reads what is applied, so that it
// may leave items of the batch being built, which are from now.
func (c *committer) trimFeed(before time.Time, most int) (int, error) {
	it, err := c.db.NewIter(&pebbledb.IterOptions{LowerBound: feedKey(0), UpperBound: prefixEnd([]byte{spaceFeed})})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	n, last := 0, uint64(0)
	for it.First(); it.Valid() && n < most; it.Next() {
		f, err := feedItemAt(it)
		if err != nil {
			return 0, err
		}
		if !f.At().Before(before) {
			break
		}
		n, last = n+1, lastNumber(it.Key())
		_ = c.batch.Delete(feedOfKey(f.Session, last), nil)
	}
	if err := it.Error(); err != nil || n == 0 {
		return 0, err
	}
	_ = c.batch.DeleteRange(feedKey(0), feedKey(last+1), nil)
	c.set(keyTrimmed, encodeNumber(last))
	return n, nil
}
