// Package tail holds the recent frames of a session, encoded once for all its readers, and reads on from a cursor.
//
// # Usage
//
// A [Tail] belongs to one session that has readers on this node. The store's changes are published into it; each reader
// has a [Reader], which takes what follows its cursor: from the tail's memory while it is near the head, from the store
// when it is not. Live delivery, resume, joining in the middle of an answer and serving a slow phone are this one loop, so
// catching up cannot race with live delivery: there is no second path to race with.
//
// # The order of a tail
//
// Items stand in the order in which the session's operations were committed. Each carries the cursor of a reader who
// has got to it. What a reader's cursor contains is a beginning of that order, whether frames of it were taken or a store read
// it in one moment; that is why the two can be joined by comparing cursors, and why a change that comes twice is
// recognised. A client that was cut in the middle of what it was sent may hold more of one run than of another: no item has
// its cursor, and the store decides where it goes on.
//
// # Slow readers
//
// There is no queue per reader. A reader that falls out of the tail's memory reads the store; of one that lags in it, the
// texts of a run are joined into one frame, also those of runs that are written at the same time.
package tail

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// How much a tail remembers: until either is passed. More costs memory for sessions that are being read; less sends
// readers who dropped for a moment to the store.
const (
	maxItems = 1024
	maxBytes = 256 << 10
	// slack is how many fewer items are kept when some are forgotten.
	slack = maxItems / 8
)

// Tail is the recent part of one session's log. All methods may be called at any time.
type Tail struct {
	session holdfast.SessionID

	// Guarded by mu.
	mu sync.Mutex
	// warm: base and head are known. A cold tail ignores changes, and its readers read the store.
	warm bool
	// life counts how often the tail was started anew, so that a reader's sequence number of an earlier life is known.
	life   uint64
	recent recent
	// windows are those of the open runs that have one; nil for none.
	windows map[holdfast.Offset]time.Duration
	// base is where a reader is before the first item, head after the last. They are shared with readers and never changed
	// in place.
	base, head *holdfast.Cursor
	// loading is there while Warm reads the store.
	loading *loading

	// rolls: there are windows. It is written with mu held, and read without: most sessions have none, and then nobody asks.
	rolls atomic.Bool

	// warming is held by whoever warms the tail, and taken before mu.
	warming sync.Mutex
}

// loading holds the changes that come while the store is read.
type loading struct{ late []driver.Change }

// New returns a tail of a session, cold.
func New(s holdfast.SessionID) *Tail { return &Tail{session: s} }

// Session returns the session's id.
func (t *Tail) Session() holdfast.SessionID { return t.session }

// Publish adds what a change did, and reports whether readers should be woken. A change that the tail has already is
// passed over; one that shows a hole makes the tail cold, and the readers find what is missing in the store.
func (t *Tail) Publish(ch *driver.Change) (wake bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publish(ch)
	return true
}

func (t *Tail) publish(ch *driver.Change) {
	if !t.warm {
		// Readers of a cold tail read the store; that something changed is all that they need to hear.
		t.keep(ch)
		return
	}
	if ch.Deleted || len(ch.Items) == 0 {
		t.cool()
		return
	}
	if ch.Epoch != t.head.Epoch {
		if t.head.Epoch != "" {
			t.cool()
			return
		}
		t.begin(ch.Epoch)
	}
	for i := range ch.Items {
		if !t.add(ch.Epoch, &ch.Items[i]) {
			t.cool()
			return
		}
	}
	t.trim()
}

// keep notes a change that comes while the tail is being warmed. When it is too many, what is loaded will not be used.
func (t *Tail) keep(ch *driver.Change) {
	if t.loading == nil {
		return
	}
	if t.loading.late = append(t.loading.late, *ch); len(t.loading.late) > maxItems {
		t.loading = nil
	}
}

// begin gives a session that was not there when the tail became warm the epoch of its first write.
func (t *Tail) begin(e holdfast.Epoch) {
	start := &holdfast.Cursor{Position: holdfast.Position{Epoch: e}}
	t.base, t.head = start, start
}

func (t *Tail) cool() {
	t.warm, t.recent, t.base, t.head = false, recent{}, nil, nil
	t.life++
	t.windows = nil
	t.rolls.Store(false)
}

// roll notes the window of an open run; 0 if it has none, or is open no more.
func (t *Tail) roll(run holdfast.Offset, window time.Duration) {
	switch {
	case window == 0:
		delete(t.windows, run)
	case t.windows == nil:
		t.windows = map[holdfast.Offset]time.Duration{run: window}
	default:
		t.windows[run] = window
	}
	t.rolls.Store(len(t.windows) > 0)
}

// Rolls reports whether a run is open whose texts may be held back.
func (t *Tail) Rolls() bool { return t.rolls.Load() }

// add appends what one item of a change is; false means that something is missing before it.
func (t *Tail) add(epoch holdfast.Epoch, it *driver.Item) bool {
	switch {
	case it.Entry != nil:
		return t.addEntry(epoch, it.Entry)
	case it.Fragments != nil:
		return t.addFragments(it.Fragments)
	case it.End != nil:
		return t.addEnd(it.End)
	default:
		return false // of a kind that this version does not know
	}
}

func (t *Tail) addEntry(epoch holdfast.Epoch, e *holdfast.Entry) bool {
	if t.head.HasEntry(e.Offset) {
		return true
	}
	if e.First > t.head.Offset+1 {
		return false
	}
	i := item{kind: entryItem, part: noPart, at: e.Offset, tag: e.Tag}
	if e.Kind == holdfast.KindRun && !e.Run.Status.Ended() {
		i.kind, i.n, i.runTag = openItem, e.Run.Fragments, e.Run.Tag
		t.roll(e.Offset, e.Run.Rollup)
	}
	t.recent.push(i, entryFrame(t.session, epoch, e))
	t.head = after(t.head, []item{i})
	return true
}

// entryFrame encodes an entry. The first entry of a log carries the epoch, for readers who came before there was one.
func entryFrame(s holdfast.SessionID, epoch holdfast.Epoch, e *holdfast.Entry) []byte {
	if e.Offset != 1 && e.First != 1 {
		epoch = ""
	}
	return wire.AppendEntry(nil, s, epoch, e)
}

// entryFrames is entryFrame for what was read from the store, where a run may be large.
func entryFrames(s holdfast.SessionID, epoch holdfast.Epoch, e *holdfast.Entry) [][]byte {
	if e.Kind != holdfast.KindRun {
		return [][]byte{entryFrame(s, epoch, e)}
	}
	if e.Offset != 1 && e.First != 1 {
		epoch = ""
	}
	return wire.RunFrames(s, epoch, e)
}

func (t *Tail) addFragments(n *driver.NewFragments) bool {
	last := n.First + holdfast.FragmentNo(len(n.Fragments)) - 1
	if t.head.HasFragment(n.Run, last) {
		return true
	}
	at, open := t.head.Run(n.Run)
	// One operation's fragments are seen all or none, so they continue what is there or show a hole.
	if !open || n.First != at.Fragment+1 {
		return false
	}
	frames, now := wire.Frags(t.session, at, n.Fragments)
	for i := range frames {
		t.pushFrag(&frames[i])
	}
	head := t.head.With(now)
	t.head = &head
	return true
}

func (t *Tail) pushFrag(f *wire.FragFrame) {
	i := item{kind: fragItem, part: noPart, at: f.Run, n: f.N, m: uint32(f.M), runTag: f.Tag}
	var room [512]byte
	frame := wire.AppendFrag(room[:0], f)
	if len(f.Fragment.Event) != 0 {
		t.recent.push(i, frame)
		return
	}
	t.recent.pushText(i, frame, f.Fragment.Part, t.windows[f.Run])
}

func (t *Tail) addEnd(e *driver.Ended) bool {
	if t.head.HasEnd(e.Run) {
		return true
	}
	at, open := t.head.Run(e.Run)
	if !open || at.Fragment != e.Fragments {
		return false
	}
	t.recent.push(item{kind: endItem, part: noPart, at: e.Run}, wire.AppendEnd(nil, endFrame(t.session, e)))
	head := t.head.Without(e.Run)
	t.head = &head
	t.roll(e.Run, 0)
	return true
}

func endFrame(s holdfast.SessionID, e *driver.Ended) *wire.EndFrame {
	return &wire.EndFrame{
		Session: s, Run: e.Run, Fragments: e.Fragments, Tag: e.Tag, Status: e.Status, At: e.At.UnixMilli(), Data: e.Data,
	}
}

// trim forgets the oldest items over the limits, some at a time, so that base is not made anew for each. It keeps the
// newest whatever its size.
func (t *Tail) trim() {
	r := &t.recent
	if len(r.items) <= maxItems && r.bytes <= maxBytes {
		return
	}
	n, bytes := 0, r.bytes
	for len(r.items)-n > 1 && (len(r.items)-n > maxItems-slack || bytes > maxBytes-maxBytes/8) {
		bytes -= itemBytes + int(r.items[n].size)
		n++
	}
	t.forget(n)
}

func (t *Tail) forget(n int) {
	if n == 0 {
		return
	}
	t.base = t.cursorAt(n)
	t.recent.forget(n)
}

// cursorAt returns where a reader is after n items.
func (t *Tail) cursorAt(n int) *holdfast.Cursor {
	switch n {
	case 0:
		return t.base
	case len(t.recent.items):
		return t.head
	}
	return after(t.base, t.recent.items[:n])
}

// Forget drops what the tail remembers but its head. Readers who lag then read the store. It is for tails that have
// been quiet for a while.
func (t *Tail) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(len(t.recent.items))
}

// Warm makes a cold tail follow changes from info on, which load reads from the store. Changes that come while load runs
// are added after it; those that info shows already are recognised. The tail is not locked meanwhile: an engine may bring
// changes under the lock that load waits for.
func (t *Tail) Warm(load func() (driver.Info, error)) error {
	t.warming.Lock()
	defer t.warming.Unlock()
	t.mu.Lock()
	warm := t.warm
	if !warm {
		t.loading = &loading{}
	}
	t.mu.Unlock()
	if warm {
		return nil
	}
	info, err := load()
	t.mu.Lock()
	defer t.mu.Unlock()
	loaded := t.loading
	t.loading = nil
	if err != nil || loaded == nil {
		return err
	}
	at := info.Cursor()
	t.warm, t.base, t.head = true, &at, &at
	t.recent = recent{}
	t.life++
	for i := range info.Open {
		t.roll(info.Open[i].Run, info.Open[i].Rollup)
	}
	for i := range loaded.late {
		t.publish(&loaded.late[i])
	}
	return nil
}

// place is where a reader stands in a tail's memory.
type place struct{ life, seq uint64 }

// attach finds the place of a reader at c, if the tail remembers everything after c and c is truly of this log: the
// cursor that the tail has at that place must be the same in offset, tags and open runs. Where it is not the same, the
// store must decide, which knows more. That cursor is returned too, for the reader to share.
func (t *Tail) attach(c *holdfast.Cursor) (place, *holdfast.Cursor, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm || c.Epoch != t.base.Epoch || !c.Covers(t.base) {
		return place{}, nil, false
	}
	items := t.recent.items
	i := sort.Search(len(items), func(i int) bool { return !items[i].containedIn(c) })
	at := t.cursorAt(i)
	if !sameCursor(c, at) {
		return place{}, nil, false
	}
	return place{t.life, t.recent.first + uint64(i)}, at, true
}

func sameCursor(a, b *holdfast.Cursor) bool {
	if a.Position != b.Position || len(a.Runs) != len(b.Runs) {
		return false
	}
	for i := range a.Runs {
		if a.Runs[i] != b.Runs[i] {
			return false
		}
	}
	return true
}

// attachAhead finds the place of a reader that has just read the store up to c, which may be ahead of the tail: what was
// committed is in the store a moment before it is published. The reader then begins at the end, and passes over what c
// contains. Without that, a reader of a session that is written to without a pause would never find its place.
func (t *Tail) attachAhead(c *holdfast.Cursor) (place, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm || c.Epoch != t.head.Epoch || !c.Covers(t.head) {
		return place{}, false
	}
	return t.endLocked(), true
}

// batch is what take found.
type batch struct {
	frames [][]byte
	next   place
	after  *holdfast.Cursor
	// more: there is more than the limit allowed.
	more bool
	// head is the session's last offset.
	head holdfast.Offset
	// passed: an item came that the reader's skip does not contain, and so none after it will be.
	passed bool
}

// mergeFrom is how many items a reader must lag for texts to be joined. Below it, sending the frames that
// are encoded already costs less than encoding a new one.
const mergeFrom = 4

// take returns the frames after a place, about max bytes of them, without those that skip contains, if it is not nil.
// false means that the tail no longer remembers.
func (t *Tail) take(at place, skip *holdfast.Cursor, max int) (batch, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.recent
	if !t.warm || at.life != t.life || at.seq < r.first {
		return batch{}, false
	}
	from := int(at.seq - r.first)
	b := batch{head: t.head.Offset}
	for skip != nil && from < len(r.items) && r.items[from].containedIn(skip) {
		from++
	}
	next := from
	if len(r.items)-from >= mergeFrom {
		frames, n := r.merged(t.session, r.items[from:], max)
		b.frames, next = frames, from+n
	} else {
		for size := 0; next < len(r.items) && size < max; next++ {
			b.frames = append(b.frames, r.frame(&r.items[next]))
			size += int(r.items[next].size)
		}
	}
	b.more = next < len(r.items)
	b.next = place{t.life, r.first + uint64(next)}
	if b.passed = next > from; b.passed {
		b.after = t.cursorAt(next)
	}
	return b, true
}

// mayWait returns how long what follows a place may wait by the windows of its runs; false if nothing follows, or not only texts.
func (t *Tail) mayWait(at place) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm || at.life != t.life {
		return 0, false
	}
	return t.recent.mayWait(at.seq)
}

// end returns the place after the last item.
func (t *Tail) end() place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.endLocked()
}

func (t *Tail) endLocked() place {
	return place{t.life, t.recent.first + uint64(len(t.recent.items))}
}

// Head returns the head of the session as it is known here; 0 if nobody has read it yet.
func (t *Tail) Head() holdfast.Offset { return t.headOffset() }

// headOffset returns the session's last offset, as far as the tail knows.
func (t *Tail) headOffset() holdfast.Offset {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm {
		return 0
	}
	return t.head.Offset
}
