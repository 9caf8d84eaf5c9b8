package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	pebbledb "github.com/cockroachdb/pebble/v2"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

// Problem is something in a store that is not as it must be.
type Problem struct {
	// Session is where, or "" for what belongs to no session.
	Session holdfast.SessionID
	Text    string
}

// Report is what [Verify] found.
type Report struct {
	// What was walked.
	Sessions, Entries, OpenRuns, FeedItems int64
	// Problems are the first ones found, at most MaxProblems; More says that there are more.
	Problems []Problem
	More     bool
}

// MaxProblems bounds the problems in a report.
const MaxProblems = 1000

// Verify walks everything in a closed store and checks that it fits together: offsets, tags, heads, counts, chain tags,
// fragments, the indexes of ids, states and open runs, and the feed. It changes nothing. An error means that the store could not be walked; what
// is wrong in it is in the report.
func Verify(ctx context.Context, dir string) (*Report, error) {
	if err := exists(dir); err != nil {
		return nil, err
	}
	o := Options{Dir: dir}
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	db, release, err := openDB(&o, true)
	if err != nil {
		return nil, err
	}
	v := &verifier{ctx: ctx, r: db, report: &Report{}}
	return v.report, errors.Join(v.all(), db.Close(), release())
}

type verifier struct {
	ctx    context.Context
	r      pebbledb.Reader
	report *Report
}

func (v *verifier) problem(s holdfast.SessionID, format string, args ...any) {
	if len(v.report.Problems) >= MaxProblems {
		v.report.More = true
		return
	}
	v.report.Problems = append(v.report.Problems, Problem{s, fmt.Sprintf(format, args...)})
}

// each calls fn with each key and value of a range. fn's error ends it.
func (v *verifier) each(from, to []byte, fn func(key, value []byte) error) error {
	it, err := v.r.NewIter(&pebbledb.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return it.Error()
}

func (v *verifier) all() error {
	err := v.each([]byte{spaceMeta}, []byte{spaceMeta + 1}, func(key, value []byte) error {
		v.report.Sessions++
		return v.session(holdfast.SessionID(key[1:]), value)
	})
	return errors.Join(err, v.openIndex(), v.waitIndex(), v.orphans(), v.feed())
}

func (v *verifier) session(s holdfast.SessionID, meta []byte) error {
	if err := s.Validate(); err != nil {
		v.problem(s, "its id is not valid: %v", err)
	}
	info, err := completeInfo(v.r, s, meta)
	if err != nil {
		v.problem(s, "%v", err)
		return nil
	}
	if len(info.Epoch) != holdfast.EpochLen || info.First < 1 || info.First > info.Head+1 {
		v.problem(s, "epoch %q, first %d, head %d cannot be", info.Epoch, info.First, info.Head)
	}
	w := &walk{verifier: v, info: info, open: make(map[holdfast.Offset]holdfast.RunInfo), next: info.First}
	for _, r := range info.Open {
		w.open[r.Run] = r
	}
	return w.all()
}

// openIndex checks that each open run in the index belongs to a session.
func (v *verifier) openIndex() error {
	return v.each([]byte{spaceOpen}, []byte{spaceOpen + 1}, func(key, _ []byte) error {
		v.report.OpenRuns++
		s, run, ok := splitOpenKey(key)
		if !ok {
			v.problem("", "key %q of the index of open runs is damaged", key)
			return nil
		}
		_, there, err := get(v.r, metaKey(s))
		if err == nil && !there {
			v.problem(s, "run %d is open in a session that is not there", run)
		}
		return err
	})
}

// waitIndex checks that in each session of the index of those that wait something does.
func (v *verifier) waitIndex() error {
	return v.each([]byte{spaceWait}, []byte{spaceWait + 1}, func(key, _ []byte) error {
		s := holdfast.SessionID(key[1:])
		info, err := loadInfo(v.r, s)
		if err == nil && !info.Waits() {
			v.problem(s, "the index of sessions that wait names it, and nothing waits in it")
		}
		return nil // what is wrong with its record is told where it is walked
	})
}

// orphans looks for data of sessions that are not there, going from session to session.
func (v *verifier) orphans() error {
	it, err := v.r.NewIter(&pebbledb.IterOptions{LowerBound: []byte{spaceData}, UpperBound: []byte{spaceData + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); {
		k, ok := splitDataKey(it.Key())
		if !ok {
			v.problem("", "key %q is damaged", it.Key())
			it.Next()
			continue
		}
		_, there, err := get(v.r, metaKey(k.session))
		if err != nil {
			return err
		}
		if !there {
			v.problem(k.session, "there is data of a session that is not there")
		}
		it.SeekGE(afterSession(spaceData, k.session))
	}
	return it.Error()
}

func (v *verifier) feed() error {
	fr, err := feedRange(v.r, "")
	if err != nil {
		v.problem("", "the feed: %v", err)
		return nil
	}
	_, indexed, err := get(v.r, keyFeedOf)
	if err != nil {
		return err
	}
	next := fr.Trimmed + 1
	err = v.each(feedKey(0), feedKey(1<<64-1), func(key, value []byte) error {
		v.report.FeedItems++
		seq := lastNumber(key)
		if seq != next {
			v.problem("", "feed item %d stands where %d is due", seq, next)
		}
		next = seq + 1
		f, err := decodeFeed(value)
		if err != nil {
			v.problem("", "feed item %d: %v", seq, err)
			return nil
		}
		if f.Entry.Tag != session.TagOf(f.Epoch, &f.Entry) {
			v.problem(f.Session, "feed item %d does not fit its tag", seq)
		}
		if _, ok, err := get(v.r, feedOfKey(f.Session, seq)); err != nil || !ok && indexed {
			v.problem(f.Session, "feed item %d is not found by its session", seq)
			return err
		}
		return nil
	})
	return errors.Join(err, v.feedIndex())
}

// feedIndex checks that the index by session names no item that is not there.
func (v *verifier) feedIndex() error {
	return v.each([]byte{spaceFeedOf}, []byte{spaceFeedOf + 1}, func(key, _ []byte) error {
		_, ok, err := get(v.r, feedKey(lastNumber(key)))
		if err == nil && !ok {
			v.problem("", "the feed's index by session names item %d, which is not there", lastNumber(key))
		}
		return err
	})
}

// walk is the way through one session.
type walk struct {
	*verifier
	info driver.Info

	open           map[holdfast.Offset]holdfast.RunInfo // not yet found among the entries
	next           holdfast.Offset                      // the first offset not accounted for
	entries, bytes int64
}

func (w *walk) problem(format string, args ...any) {
	w.verifier.problem(w.info.Session, format, args...)
}

func (w *walk) all() error {
	s := w.info.Session
	err := w.each(entryKey(s, 0), entriesEnd(s), func(key, value []byte) error { return w.entry(key, value) })
	if err != nil {
		return err
	}
	if err := w.hole(w.info.Head + 1); err != nil {
		return err
	}
	for o := range w.open {
		w.problem("run %d is in the index of open runs and not an open run in the log", o)
	}
	if w.entries != w.info.Entries || w.bytes != w.info.Bytes {
		w.problem("it counts %d entries of %d bytes, and there are %d of %d", w.info.Entries, w.info.Bytes, w.entries, w.bytes)
	}
	return errors.Join(w.ids(), w.stops(), w.requests(), w.queue(), w.states(), w.fragments())
}

func (w *walk) entry(key, value []byte) error {
	w.report.Entries++
	o := holdfast.Offset(lastNumber(key))
	c, err := decodeEntry(value, o)
	if err != nil {
		w.problem("entry %d: %v", o, err)
		w.next = max(w.next, o+1)
		return nil
	}
	e := &c.Entry
	switch {
	case o < 1 || o > w.info.Head:
		w.problem("entry %d is outside of 1 to %d", o, w.info.Head)
	case e.Tag != session.TagOf(w.info.Epoch, e):
		w.problem("entry %d does not fit its tag", o)
	case o == w.info.Head && e.Tag != w.info.HeadTag:
		w.problem("the last entry's tag is %08x, the session's is %08x", e.Tag, w.info.HeadTag)
	}
	w.entries++
	w.bytes += session.Size(e)
	if o >= w.info.First {
		if err := w.hole(o); err != nil {
			return err
		}
		w.next = o + 1
	}
	if e.Run != nil {
		w.run(&c)
	}
	return w.indexed(e)
}

// hole checks that the offsets before o that have no entry have a tag: they are states that were replaced.
func (w *walk) hole(o holdfast.Offset) error {
	for ; w.next < o; w.next++ {
		v, ok, err := get(w.r, tagKey(w.info.Session, w.next))
		if err != nil {
			return err
		}
		if !ok {
			w.problem("entry %d is missing", w.next)
		} else if _, err := decodeTag(v); err != nil {
			w.problem("the tag of entry %d: %v", w.next, err)
		}
	}
	return nil
}

func (w *walk) run(c *stored) {
	o, run := c.Entry.Offset, c.Entry.Run
	if run.Status.Ended() {
		if tag := run.Body.TagAt(run.Fragments); tag != run.Tag {
			w.problem("the fragments of run %d do not fit its chain tag", o)
		}
		return
	}
	info, ok := w.open[o]
	if !ok {
		w.problem("run %d is open and not in the index of open runs", o)
		return
	}
	delete(w.open, o)
	body, err := loadFragments(w.r, w.info.Session, &info, 0)
	if err != nil {
		w.problem("%v", err)
		return
	}
	w.bytes += info.Bytes
	if tag := body.TagAt(info.Fragments); tag != info.Tag {
		w.problem("the fragments of open run %d do not fit its chain tag", o)
	}
	grown := session.Opened(c.Entry, &info, body)
	if n := session.Size(&grown) - session.Size(&c.Entry); n != info.Bytes {
		w.problem("open run %d counts %d bytes and has %d", o, info.Bytes, n)
	}
}

// indexed checks that an entry is found by its id and key.
func (w *walk) indexed(e *holdfast.Entry) error {
	if e.ID != "" {
		v, ok, err := get(w.r, idKey(w.info.Session, e.From.User, e.ID))
		if err != nil {
			return err
		}
		k, err := decodeKnown(v, e.ID)
		if !ok || err != nil || k.Offset != e.Offset || k.Tag != e.Tag || k.Run != (e.Run != nil) {
			w.problem("entry %d is not found by its id", e.Offset)
		}
	}
	if e.Run != nil && e.Run.Answers != 0 {
		v, ok, err := get(w.r, idKey(w.info.Session, session.AnswersScope, strconv.FormatUint(uint64(e.Run.Answers), 10)))
		if err != nil {
			return err
		}
		if k, err := decodeKnown(v, ""); !ok || err != nil || k.Offset < e.Offset || e.Run.Answers >= e.Offset {
			w.problem("run %d is not found by the message %d that it answers", e.Offset, e.Run.Answers)
		}
	}
	if e.Kind == holdfast.KindState {
		v, ok, err := get(w.r, stateKey(w.info.Session, e.Key))
		if err != nil {
			return err
		}
		s, err := decodeStanding(v)
		if !ok || err != nil || s != session.StandingOf(e) {
			w.problem("entry %d is a state and not the latest of its key", e.Offset)
		}
	}
	return nil
}

// ids checks the index of ids; ids outlive their entries.
func (w *walk) ids() error {
	from := append(inSession(spaceData, w.info.Session), partID)
	return w.each(from, prefixEnd(from), func(key, value []byte) error {
		k, err := decodeKnown(value, "")
		if err != nil || k.Offset < 1 || k.Offset > w.info.Head {
			w.problem("key %q of the index of ids: offset %d, %v", key, k.Offset, err)
		}
		return nil
	})
}

// stops checks that the stops that wait, and those of open runs, are found by their ids and that the index of sessions that
// wait has the session if anything does.
func (w *walk) stops() error {
	stops := slices.Clone(w.info.Stops)
	for i := range w.info.Open {
		if r := &w.info.Open[i]; r.Stop.State != "" {
			stops = append(stops, driver.StopInfo{Stop: r.Stop, Run: r.Run, Answers: r.Answers})
		}
	}
	for _, s := range stops {
		v, ok, err := get(w.r, idKey(w.info.Session, s.From.User, s.ID))
		if err != nil {
			return err
		}
		if k, err := decodeKnown(v, s.ID); !ok || err != nil || k.Stop == nil || *k.Stop != s {
			w.problem("the stop %q is not found by its id", s.ID)
		}
	}
	_, ok, err := get(w.r, waitKey(w.info.Session))
	if err == nil && ok != w.info.Waits() {
		w.problem("whether something waits in it, %v, is not what the index of sessions that wait says", w.info.Waits())
	}
	return err
}

// queue checks that what waits for its turn is found by its id, that it waits for something, and that nothing is left of a queue
// that is empty.
func (w *walk) queue() error {
	t := &w.info.Turns
	for i := range t.Queue {
		h := &t.Queue[i]
		if h.ID == "" {
			continue
		}
		v, ok, err := get(w.r, idKey(w.info.Session, h.From.User, h.ID))
		if err != nil {
			return err
		}
		if k, err := decodeKnown(v, h.ID); !ok || err != nil || k.Turn != holdfast.TurnQueued || k.Command {
			w.problem("the message %q, which waits for its turn, is not found by its id", h.ID)
		}
	}
	if len(t.Queue) > 0 && len(w.info.Open) == 0 && t.Turn.Message == 0 {
		w.problem("%d messages wait for their turns, and there is nothing that they wait for", len(t.Queue))
	}
	_, ok, err := get(w.r, queueKey(w.info.Session))
	if err == nil && ok && len(t.Queue) == 0 {
		w.problem("there is a queue of messages that the session does not count")
	}
	return err
}

func (w *walk) states() error {
	from, to := statesRange(w.info.Session)
	return w.each(from, to, func(key, value []byte) error {
		s, err := decodeStanding(value)
		if err != nil {
			w.problem("key %q of the index of states: %v", key, err)
			return nil
		}
		e, ok, err := loadEntry(w.r, w.info.Session, s.Offset)
		if err != nil || !ok || string(stateKey(w.info.Session, e.Entry.Key)) != string(key) {
			w.problem("the latest state %q should stand at %d and does not", key, s.Offset)
		}
		return nil
	})
}

// fragments checks that no fragments are there but those of open runs.
func (w *walk) fragments() error {
	open := make(map[holdfast.Offset]bool)
	for _, r := range w.info.Open {
		open[r.Run] = true
	}
	from := append(inSession(spaceData, w.info.Session), partFragments)
	return w.each(from, prefixEnd(from), func(key, _ []byte) error {
		if run := holdfast.Offset(lastNumber(key[:len(key)-8])); !open[run] {
			w.problem("there are fragments of run %d, which is not open", run)
		}
		return nil
	})
}
