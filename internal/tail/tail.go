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
// has got to it. What a cursor contains is always a beginning of that order, whether a client received it or a store read
// it in one moment; that is why the two can be joined by comparing cursors, and why a change that comes twice is
// recognised.
//
// # Slow readers
//
// There is no queue per reader. A reader that falls out of the tail's memory reads the store; of one that lags in it,
// neighbouring texts of a run are joined into one frame.
package tail

import (
	"sort"
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// How much a tail remembers: until either is passed. More costs memory for sessions that are being read; less sends
// readers who dropped for a moment to the store.
const (
	maxItems = 1024
	maxBytes = 256 << 10
)

// Tail is the recent part of one session's log. All methods may be called at any time.
type Tail struct {
	session holdfast.SessionID

	// Guarded by mu.
	mu sync.Mutex
	// warm: base and head are known. A cold tail ignores changes, and its readers read the store.
	warm bool
	// life counts how often the tail was started anew, so that a reader's sequence number of an earlier life is known.
	life uint64
	// items hold the sequence numbers from first on.
	items []item
	first uint64
	bytes int
	// base is where a reader is before items[0], head after the last.
	base, head *holdfast.Cursor
	// loading: Warm reads the store, and late holds the changes that come meanwhile.
	loading bool
	late    []driver.Change

	// warming is held by whoever warms the tail, and taken before mu.
	warming sync.Mutex
}

// item is one frame.
type item struct {
	frame []byte
	// after is where a reader is after this frame; shared with readers, never changed.
	after *holdfast.Cursor
	kind  itemKind
	// at is the entry's offset, or the run's.
	at holdfast.Offset
	// frag is set for fragments.
	frag *wire.FragFrame
}

type itemKind uint8

const (
	entryItem itemKind = iota
	fragItem
	endItem
)

// containedIn reports whether a reader at c has the item.
func (i *item) containedIn(c *holdfast.Cursor) bool {
	switch i.kind {
	case fragItem:
		return c.HasFragment(i.at, i.frag.N)
	case endItem:
		return c.HasEnd(i.at)
	}
	return c.HasEntry(i.at)
}

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
	if !t.loading {
		return
	}
	if t.late = append(t.late, *ch); len(t.late) > maxItems {
		t.loading, t.late = false, nil
	}
}

// begin gives a session that was not there when the tail became warm the epoch of its first write.
func (t *Tail) begin(e holdfast.Epoch) {
	start := &holdfast.Cursor{Position: holdfast.Position{Epoch: e}}
	t.base, t.head = start, start
}

func (t *Tail) cool() {
	t.warm, t.items, t.bytes, t.base, t.head = false, nil, 0, nil, nil
	t.life++
}

// add appends what one item of a change is; false means that something is missing before it.
func (t *Tail) add(epoch holdfast.Epoch, it *driver.Item) bool {
	switch {
	case it.Entry != nil:
		return t.addEntry(epoch, it.Entry)
	case it.Fragments != nil:
		return t.addFragments(it.Fragments)
	default:
		return t.addEnd(it.End)
	}
}

func (t *Tail) addEntry(epoch holdfast.Epoch, e *holdfast.Entry) bool {
	if t.head.HasEntry(e.Offset) {
		return true
	}
	if e.First > t.head.Offset+1 {
		return false
	}
	after := holdfast.Cursor{Position: holdfast.Position{Epoch: epoch, Offset: e.Offset, Tag: e.Tag}, Runs: t.head.Runs}
	if e.Kind == holdfast.KindRun && !e.Run.Status.Ended() {
		after = after.With(holdfast.RunCursor{Run: e.Offset, Fragment: e.Run.Fragments, Tag: e.Run.Tag})
	}
	t.push(item{frame: entryFrame(t.session, epoch, e), after: &after, kind: entryItem, at: e.Offset})
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
	var body holdfast.Body
	for _, f := range n.Fragments {
		body = body.Append(f)
	}
	frames, _ := wire.Frags(t.session, at, body)
	for i := range frames {
		f := &frames[i]
		after := t.head.With(holdfast.RunCursor{Run: f.Run, Fragment: f.N, Tag: f.Tag})
		t.push(item{frame: wire.AppendFrag(nil, f), after: &after, kind: fragItem, at: f.Run, frag: f})
	}
	return true
}

func (t *Tail) addEnd(e *driver.Ended) bool {
	if t.head.HasEnd(e.Run) {
		return true
	}
	at, open := t.head.Run(e.Run)
	if !open || at.Fragment != e.Fragments {
		return false
	}
	after := t.head.Without(e.Run)
	t.push(item{frame: wire.AppendEnd(nil, endFrame(t.session, e)), after: &after, kind: endItem, at: e.Run})
	return true
}

func endFrame(s holdfast.SessionID, e *driver.Ended) *wire.EndFrame {
	return &wire.EndFrame{
		Session: s, Run: e.Run, Fragments: e.Fragments, Tag: e.Tag, Status: e.Status, At: e.At.UnixMilli(), Data: e.Data,
	}
}

func (t *Tail) push(i item) {
	t.items = append(t.items, i)
	t.bytes += len(i.frame)
	t.head = i.after
}

// trim forgets the oldest items over the limits. It keeps the newest whatever its size.
func (t *Tail) trim() {
	n := 0
	for len(t.items)-n > 1 && (len(t.items)-n > maxItems || t.bytes > maxBytes) {
		t.bytes -= len(t.items[n].frame)
		n++
	}
	t.forget(n)
}

func (t *Tail) forget(n int) {
	if n == 0 {
		return
	}
	t.base = t.items[n-1].after
	t.first += uint64(n)
	if n == len(t.items) {
		t.items = nil
		return
	}
	// The slots are cleared so that frames nobody needs are freed although the array lives on; append moves the rest to
	// a new array when this one is used up.
	clear(t.items[:n])
	t.items = t.items[n:]
}

// Forget drops what the tail remembers but its head. Readers who lag then read the store. It is for tails that have
// been quiet for a while.
func (t *Tail) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = 0
	t.forget(len(t.items))
}

// Warm makes a cold tail follow changes from info on, which load reads from the store. Changes that come while load runs
// are added after it; those that info shows already are recognised. The tail is not locked meanwhile: an engine may bring
// changes under the lock that load waits for.
func (t *Tail) Warm(load func() (driver.Info, error)) error {
	t.warming.Lock()
	defer t.warming.Unlock()
	t.mu.Lock()
	warm := t.warm
	t.loading = !warm
	t.mu.Unlock()
	if warm {
		return nil
	}
	info, err := load()
	t.mu.Lock()
	defer t.mu.Unlock()
	whole, late := t.loading, t.late
	t.loading, t.late = false, nil
	if err != nil || !whole {
		return err
	}
	at := info.Cursor()
	t.warm, t.base, t.head = true, &at, &at
	t.first = 0
	t.life++
	for i := range late {
		t.publish(&late[i])
	}
	return nil
}

// place is where a reader stands in a tail's memory.
type place struct{ life, seq uint64 }

// attach finds the place of a reader at c, if the tail remembers everything after c and c is truly of this log: the
// cursor that the tail has at that place must be the same in offset, tags and open runs. Where it is not the same, the
// store must decide, which knows more.
func (t *Tail) attach(c *holdfast.Cursor) (place, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm || c.Epoch != t.base.Epoch || !c.Covers(t.base) {
		return place{}, false
	}
	i := sort.Search(len(t.items), func(i int) bool { return !t.items[i].containedIn(c) })
	at := t.base
	if i > 0 {
		at = t.items[i-1].after
	}
	if !sameCursor(c, at) {
		return place{}, false
	}
	return place{t.life, t.first + uint64(i)}, true
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
	return place{t.life, t.first + uint64(len(t.items))}, true
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

// mergeFrom is how many items a reader must lag for neighbouring texts to be joined. Below it, sending the frames that
// are encoded already costs less than encoding a new one.
const mergeFrom = 4

// take returns the frames after a place, about max bytes of them, without those that skip contains, if it is not nil.
// false means that the tail no longer remembers.
func (t *Tail) take(at place, skip *holdfast.Cursor, max int) (batch, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm || at.life != t.life || at.seq < t.first {
		return batch{}, false
	}
	items := t.items[at.seq-t.first:]
	b := batch{next: at, head: t.head.Offset}
	for skip != nil && len(items) > 0 && items[0].containedIn(skip) {
		b.next.seq++
		items = items[1:]
	}
	b.passed = len(items) > 0
	merge := len(items) >= mergeFrom
	for size := 0; len(items) > 0; {
		if size >= max {
			b.more = true
			break
		}
		n, frame := 1, items[0].frame
		if merge {
			n, frame = join(items)
		}
		b.frames = append(b.frames, frame)
		b.after = items[n-1].after
		b.next.seq += uint64(n)
		size += len(frame)
		items = items[n:]
	}
	return b, true
}

// end returns the place after the last item.
func (t *Tail) end() place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return place{t.life, t.first + uint64(len(t.items))}
}

// join makes one frame of the texts of one part that stand next to each other at the beginning of items, and returns how
// many items went into it.
func join(items []item) (int, []byte) {
	first := items[0].frag
	if items[0].kind != fragItem || len(first.Fragment.Event) != 0 {
		return 1, items[0].frame
	}
	n, size := 1, len(first.Fragment.Text)
	for n < len(items) && items[n].kind == fragItem {
		f := items[n].frag
		if f.Run != first.Run || f.Fragment.Part != first.Fragment.Part || len(f.Fragment.Event) != 0 ||
			size+len(f.Fragment.Text) > wire.MaxPiece {
			break
		}
		size += len(f.Fragment.Text)
		n++
	}
	if n == 1 {
		return 1, items[0].frame
	}
	merged := *items[n-1].frag
	merged.M = 0
	text := make([]byte, 0, size)
	for i := range items[:n] {
		merged.M += items[i].frag.M
		text = append(text, items[i].frag.Fragment.Text...)
	}
	merged.Fragment.Text = string(text)
	return n, wire.AppendFrag(nil, &merged)
}

// headOffset returns the session's last offset, as far as the tail knows.
func (t *Tail) headOffset() holdfast.Offset {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warm {
		return 0
	}
	return t.head.Offset
}
