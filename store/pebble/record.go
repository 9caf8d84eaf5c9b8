package pebble

import (
	"fmt"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

var (
	kinds = [...]holdfast.Kind{1: holdfast.KindMessage, 2: holdfast.KindRun, 3: holdfast.KindState, 4: holdfast.KindEvent}
	ends  = [...]holdfast.RunStatus{0: holdfast.RunOpen, 1: holdfast.RunComplete, 2: holdfast.RunStopped,
		3: holdfast.RunFailed, 4: holdfast.RunInterrupted}
	stopStates = [...]holdfast.StopState{0: "", 1: holdfast.StopRequested, 2: holdfast.StopStopped, 3: holdfast.StopTooLate,
		4: holdfast.StopUnreachable}
)

func codeOf[T comparable](known []T, v T) byte {
	for i, k := range known {
		if k == v {
			return byte(i)
		}
	}
	return 0xff
}

func valueOf[T comparable](r *reader, known []T) (v T) {
	c := int(r.byte())
	if c >= len(known) || known[c] == v {
		r.fail(fmt.Errorf("it has an unknown kind or status %d", c))
		return v
	}
	return known[c]
}

// stored is an entry as it lies on disk; changed and ended are of ended runs only.
type stored = session.Compact

// encodeEntry writes an entry: of an open run the opening alone, of an ended one the compact form.
func encodeEntry(c *stored) []byte {
	w := newWriter(64 + len(c.Entry.Data))
	w.entry(c)
	return w.b
}

func (w *writer) entry(c *stored) {
	e := &c.Entry
	w.byte(codeOf(kinds[:], e.Kind))
	w.tag(uint32(e.Tag))
	w.time(e.At)
	w.str(e.ID)
	w.str(string(e.From.User))
	w.str(string(e.From.Client))
	w.str(e.Key)
	w.bytes(e.Data)
	if e.Kind != holdfast.KindRun {
		return
	}
	w.byte(codeOf(ends[:], e.Run.Status))
	w.uint(uint64(e.Run.Fence))
	w.uint(uint64(e.Run.Answers))
	w.stop(&e.Run.Stop)
	if !e.Run.Status.Ended() {
		return
	}
	w.uint(uint64(e.Run.Fragments))
	w.tag(uint32(e.Run.Tag))
	w.time(c.Changed)
	w.time(c.Ended)
	w.bytes(e.Run.End)
	w.body(e.Run.Body)
}

func (w *writer) body(b holdfast.Body) {
	w.uint(uint64(len(b)))
	for i := range b {
		s := &b[i]
		w.str(s.Part)
		if len(s.Event) != 0 {
			w.byte(1)
			w.bytes(s.Event)
			continue
		}
		w.byte(0)
		w.str(s.Text)
		w.uint(uint64(len(s.Lens)))
		for _, n := range s.Lens {
			w.uint(uint64(n))
		}
	}
}

// decodeEntry reads what encodeEntry wrote; the offset is the key's. First is left to the reader of the log.
func decodeEntry(b []byte, o holdfast.Offset) (stored, error) {
	r := newReader(b)
	c := r.entry(o)
	if run := c.Entry.Run; r.err == nil && run != nil && run.Status.Ended() && run.Body.Len() != run.Fragments {
		r.fail(fmt.Errorf("it should hold %d fragments and holds %d", run.Fragments, run.Body.Len()))
	}
	return c, r.end()
}

func (r *reader) entry(o holdfast.Offset) (c stored) {
	e := &c.Entry
	e.Offset, e.First = o, o
	e.Kind = valueOf(r, kinds[:])
	e.Tag = holdfast.Tag(r.tag())
	e.At = r.time()
	e.ID = r.str()
	e.From.User = holdfast.UserID(r.str())
	e.From.Client = holdfast.ClientID(r.str())
	e.Key = r.str()
	e.Data = r.bytes()
	if e.Kind != holdfast.KindRun {
		return c
	}
	e.Run = &holdfast.Run{Status: valueOf(r, ends[:]), Fence: holdfast.Fence(r.uint()), Answers: holdfast.Offset(r.uint()), Stop: r.stop()}
	if !e.Run.Status.Ended() {
		return c
	}
	e.Run.Fragments = holdfast.FragmentNo(r.uint())
	e.Run.Tag = holdfast.Tag(r.tag())
	c.Changed = r.time()
	c.Ended = r.time()
	e.Run.End = r.bytes()
	e.Run.Body = r.body()
	return c
}

func (r *reader) body() (b holdfast.Body) {
	n := r.count()
	if n > 0 {
		b = make(holdfast.Body, 0, n)
	}
	for range n {
		s := holdfast.Segment{Part: r.str()}
		switch r.byte() {
		case 1:
			s.Event, s.Lens = r.bytes(), []uint32{0}
			if r.err == nil && len(s.Event) == 0 {
				r.fail(fmt.Errorf("it has an empty event"))
			}
		case 0:
			s.Text, s.Lens = r.str(), r.lens()
			total := uint64(0)
			for _, l := range s.Lens {
				total += uint64(l)
			}
			if total != uint64(len(s.Text)) {
				r.fail(fmt.Errorf("its fragments have %d bytes and its text %d", total, len(s.Text)))
			}
		default:
			r.fail(fmt.Errorf("it has a segment of unknown kind"))
		}
		if r.err != nil {
			return nil
		}
		b = append(b, s)
	}
	return b
}

func (r *reader) lens() []uint32 {
	n := r.count()
	lens := make([]uint32, n)
	for i := range lens {
		l := r.uint()
		if l > 1<<31 {
			r.fail(fmt.Errorf("it has a fragment of %d bytes", l))
		}
		lens[i] = uint32(l)
	}
	return lens
}

func encodeFragments(fs []holdfast.Fragment) []byte {
	size := 0
	for i := range fs {
		size += fs[i].Size() + 8
	}
	w := newWriter(size)
	w.uint(uint64(len(fs)))
	for i := range fs {
		w.str(fs[i].Part)
		if len(fs[i].Event) != 0 {
			w.byte(1)
			w.bytes(fs[i].Event)
		} else {
			w.byte(0)
			w.str(fs[i].Text)
		}
	}
	return w.b
}

func decodeFragments(b []byte) ([]holdfast.Fragment, error) {
	r := newReader(b)
	fs := make([]holdfast.Fragment, r.count())
	for i := range fs {
		fs[i].Part = r.str()
		switch r.byte() {
		case 1:
			fs[i].Event = r.bytes()
		case 0:
			fs[i].Text = r.str()
		default:
			r.fail(fmt.Errorf("it has a fragment of unknown kind"))
		}
	}
	return fs, r.end()
}

// encodeMeta writes a session. The bytes of open runs and the times of their last fragments are not in it: they are
// in the runs' own records, so that appending a fragment need not write the session too.
func encodeMeta(i *driver.Info) []byte {
	bytes := i.Bytes
	for k := range i.Open {
		bytes -= i.Open[k].Bytes
	}
	w := newWriter(64)
	w.str(string(i.Epoch))
	w.uint(uint64(i.First))
	w.uint(uint64(i.Head))
	w.tag(uint32(i.HeadTag))
	w.int(i.Entries)
	w.int(bytes)
	w.time(i.Created)
	w.time(i.Changed)
	w.uint(uint64(len(i.Open)))
	w.uint(uint64(len(i.Stops)))
	for k := range i.Stops {
		w.stopInfo(&i.Stops[k])
	}
	w.uint(uint64(len(i.Requests)))
	for k := range i.Requests {
		w.request(&i.Requests[k])
	}
	w.turns(&i.Turns)
	return w.b
}

// decodeMeta reads a session, and how many open runs and messages that wait it has: these have records of their own.
func decodeMeta(b []byte, s holdfast.SessionID) (i driver.Info, n counts, err error) {
	r := newReader(b)
	i.Session = s
	i.Epoch = holdfast.Epoch(r.str())
	i.First = holdfast.Offset(r.uint())
	i.Head = holdfast.Offset(r.uint())
	i.HeadTag = holdfast.Tag(r.tag())
	i.Entries = r.int()
	i.Bytes = r.int()
	i.Created = r.time()
	i.Changed = r.time()
	n.open = int(r.uint())
	for range r.count() {
		i.Stops = append(i.Stops, r.stopInfo())
	}
	for range r.count() {
		i.Requests = append(i.Requests, r.request())
	}
	i.Turns, n.held = r.turns()
	return i, n, r.end()
}

// counts is how many records of their own belong to a session's.
type counts struct{ open, held int }

func (w *writer) run(i *holdfast.RunInfo) {
	w.byte(codeOf(ends[:], i.Status))
	w.uint(uint64(i.Fence))
	w.uint(uint64(i.Fragments))
	w.tag(uint32(i.Tag))
	w.int(i.Bytes)
	w.int(i.TextBytes)
	w.time(i.At)
	w.time(i.Changed)
	w.uint(uint64(i.Answers))
	w.stop(&i.Stop)
}

func (r *reader) run(o holdfast.Offset, id string) holdfast.RunInfo {
	return holdfast.RunInfo{Run: o, ID: id, Status: valueOf(r, ends[:]), Fence: holdfast.Fence(r.uint()),
		Fragments: holdfast.FragmentNo(r.uint()), Tag: holdfast.Tag(r.tag()), Bytes: r.int(), TextBytes: r.int(),
		At: r.time(), Changed: r.time(), Answers: holdfast.Offset(r.uint()), Stop: r.stop()}
}

// stop writes a stop; of none, only that there is none.
func (w *writer) stop(s *holdfast.Stop) {
	w.byte(codeOf(stopStates[:], s.State))
	if s.State == "" {
		return
	}
	w.str(s.ID)
	w.str(string(s.From.User))
	w.str(string(s.From.Client))
	w.time(s.At)
}

func (r *reader) stop() (s holdfast.Stop) {
	c := int(r.byte())
	if c >= len(stopStates) {
		r.fail(fmt.Errorf("it has a stop in the unknown state %d", c))
	}
	if c == 0 || r.err != nil {
		return s
	}
	s.State = stopStates[c]
	s.ID = r.str()
	s.From.User = holdfast.UserID(r.str())
	s.From.Client = holdfast.ClientID(r.str())
	s.At = r.time()
	return s
}

func (w *writer) stopInfo(s *driver.StopInfo) {
	w.stop(&s.Stop)
	w.uint(uint64(s.Run))
	w.uint(uint64(s.Answers))
}

func (r *reader) stopInfo() driver.StopInfo {
	return driver.StopInfo{Stop: r.stop(), Run: holdfast.Offset(r.uint()), Answers: holdfast.Offset(r.uint())}
}

// encodeOpen writes an open run. Its rollup is there only if there is one: records that were written before there were rollups
// are read as what they are.
func encodeOpen(i *holdfast.RunInfo) []byte {
	w := newWriter(48 + len(i.ID))
	w.str(i.ID)
	w.run(i)
	if i.Rollup > 0 {
		w.uint(uint64(i.Rollup / time.Millisecond))
	}
	return w.b
}

func decodeOpen(b []byte, o holdfast.Offset) (holdfast.RunInfo, error) {
	r := newReader(b)
	i := r.run(o, r.str())
	if r.err == nil && len(r.b) > 0 {
		n := r.uint()
		if n == 0 || n > uint64(holdfast.MaxRollup/time.Millisecond) {
			r.fail(fmt.Errorf("it has a rollup of %d ms", n))
		}
		i.Rollup = time.Duration(n) * time.Millisecond
	}
	return i, r.end()
}

func encodeKnown(k *session.Known) []byte {
	w := newWriter(64)
	w.uint(uint64(k.Offset))
	w.tag(uint32(k.Tag))
	w.time(k.At)
	switch {
	case k.Request != nil:
		w.byte(4)
		w.request(k.Request)
	case k.Stop != nil:
		w.byte(3)
		w.stopInfo(k.Stop)
	case k.Command:
		w.byte(6)
		w.byte(codeOf(turnStates[:], k.Turn))
	case k.Turn != "":
		w.byte(5)
		w.byte(codeOf(turnStates[:], k.Turn))
	case k.Ended != nil:
		w.byte(2)
		w.run(k.Ended)
	case k.Run:
		w.byte(1)
	default:
		w.byte(0)
	}
	return w.b
}

func decodeKnown(b []byte, id string) (k session.Known, err error) {
	r := newReader(b)
	k.Offset = holdfast.Offset(r.uint())
	k.Tag = holdfast.Tag(r.tag())
	k.At = r.time()
	switch kind := r.byte(); kind {
	case 0:
	case 1:
		k.Run = true
	case 2:
		ended := r.run(k.Offset, id)
		k.Run, k.Ended = true, &ended
	case 3:
		stop := r.stopInfo()
		k.Stop = &stop
	case 4:
		request := r.request()
		k.Request = &request
	case 5, 6:
		k.Command, k.Turn = kind == 6, valueOf(r, turnStates[:])
	default:
		r.fail(fmt.Errorf("it is of unknown kind"))
	}
	return k, r.end()
}

func encodeStanding(s *session.Standing) []byte {
	w := newWriter(24)
	w.uint(uint64(s.Offset))
	w.tag(uint32(s.Tag))
	w.int(s.Size)
	return w.b
}

func decodeStanding(b []byte) (session.Standing, error) {
	r := newReader(b)
	s := session.Standing{Offset: holdfast.Offset(r.uint()), Tag: holdfast.Tag(r.tag()), Size: r.int(), Kind: holdfast.KindState}
	return s, r.end()
}

func encodeTag(t holdfast.Tag) []byte {
	w := newWriter(4)
	w.tag(uint32(t))
	return w.b
}

func decodeTag(b []byte) (holdfast.Tag, error) {
	r := newReader(b)
	t := holdfast.Tag(r.tag())
	return t, r.end()
}

// encodeFeed writes a feed item: the entry as it was written, or a run as it ended, without its body. Its trace is there only if there
// is one: items that were written before there were traces are read as what they are.
func encodeFeed(f *driver.FeedItem) []byte {
	w := newWriter(96 + len(f.Entry.Data))
	w.str(string(f.Session))
	w.str(string(f.Epoch))
	w.uint(uint64(f.Entry.Offset))
	w.entry(&stored{Entry: f.Entry, Changed: f.Ended, Ended: f.Ended})
	if f.Trace != "" {
		w.str(f.Trace)
	}
	return w.b
}

func decodeFeed(b []byte) (f driver.FeedItem, err error) {
	r := newReader(b)
	f.Session = holdfast.SessionID(r.str())
	f.Epoch = holdfast.Epoch(r.str())
	c := r.entry(holdfast.Offset(r.uint()))
	f.Entry, f.Ended = c.Entry, c.Ended
	if r.err == nil && len(r.b) > 0 {
		if f.Trace = r.str(); f.Trace == "" {
			r.fail(fmt.Errorf("it has an empty trace"))
		}
	}
	return f, r.end()
}

func encodeNumber(n uint64) []byte {
	w := newWriter(8)
	w.uint(n)
	return w.b
}

func decodeNumber(b []byte) (uint64, error) {
	r := newReader(b)
	n := r.uint()
	return n, r.end()
}

// damaged is the error of a value that cannot be read. It names the key, so that an operator can find it.
func damaged(key []byte, err error) error {
	return holdfast.Wrap(holdfast.CodeInternal, err,
		"the record %q of the store is damaged; verify the store and restore a backup", key)
}
