package tail

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
)

// recent is the memory of a tail. Thousands of streams are under way at once, each with hundreds of fragments: an object
// for each would make every collection of garbage walk through a million, while the streams wait. So items hold no
// pointer, and frames stand one after another in a few large chunks.
//
// The bytes of a chunk are written once. Frames that were handed out stay as they are, whatever the tail forgets.
type recent struct {
	// items hold the sequence numbers from first on.
	items []item
	first uint64
	// chunks hold the items' frames. The number of chunks[0] is dropped.
	chunks  [][]byte
	dropped uint32
	// solid is the sequence number after the last item that is no text, of those that there were. patience says, of the texts after
	// it, how long they may wait: for each place the first element behind it has the least window of what follows. Both numbers
	// ascend.
	solid    uint64
	patience []patience
	// bytes is what all of it takes, about.
	bytes int
	// parts are the names of the parts that texts are of, by item.part.
	parts []string
}

// item is one frame, and what it does to the cursor of a reader who gets it.
type item struct {
	// at is the entry's offset, or the run's; n the run's last fragment after the frame, m how many the frame covers.
	at holdfast.Offset
	n  holdfast.FragmentNo
	m  uint32
	// tag is the entry's, runTag the chain's after fragment n.
	tag, runTag holdfast.Tag
	// The frame has size bytes from pos on in the chunk with a number. Of a text, from text on it is what JSON has between
	// the quotes, but for the two bytes at its end.
	chunk, pos, size, text uint32
	kind                   itemKind
	part                   uint8
}

// patience is the window of a text, and the sequence number after it.
type patience struct {
	after  uint64
	window time.Duration
}

// itemBytes is what an item takes besides its frame.
const itemBytes = 56

type itemKind uint8

const (
	entryItem itemKind = iota
	// openItem is the entry of a run that is open.
	openItem
	fragItem
	endItem
)

// noPart is the part of what is not joined with its neighbours: all that is no text. So many parts are told apart; the
// texts of further ones are not joined.
const noPart = 255

// containedIn reports whether a reader at c has the item.
func (i *item) containedIn(c *holdfast.Cursor) bool {
	switch i.kind {
	case fragItem:
		return c.HasFragment(i.at, i.n)
	case endItem:
		return c.HasEnd(i.at)
	}
	return c.HasEntry(i.at)
}

// move takes a cursor over the item, in place.
func (i *item) move(c *holdfast.Cursor) {
	if i.kind == entryItem || i.kind == openItem {
		c.Offset, c.Tag = i.at, i.tag
	}
	if i.kind == entryItem {
		return
	}
	place, found := slices.BinarySearchFunc(c.Runs, i.at, func(r holdfast.RunCursor, o holdfast.Offset) int { return cmp.Compare(r.Run, o) })
	at := holdfast.RunCursor{Run: i.at, Fragment: i.n, Tag: i.runTag}
	switch {
	case i.kind == endItem && found:
		c.Runs = slices.Delete(c.Runs, place, place+1)
	case i.kind == endItem:
	case found:
		c.Runs[place] = at
	default:
		c.Runs = slices.Insert(c.Runs, place, at)
	}
}

// after returns where a reader at c is after some items. c is not changed, as readers share it.
func after(c *holdfast.Cursor, items []item) *holdfast.Cursor {
	moved := *c
	moved.Runs = slices.Clone(c.Runs)
	for i := range items {
		items[i].move(&moved)
	}
	return &moved
}

const (
	firstChunk = 512
	mostChunk  = 8 << 10
)

// push adds an item with its frame, which is copied.
func (r *recent) push(i item, frame []byte) {
	n := len(r.chunks)
	if n == 0 || cap(r.chunks[n-1])-len(r.chunks[n-1]) < len(frame) {
		size := firstChunk
		if n > 0 {
			size = min(2*cap(r.chunks[n-1]), mostChunk)
		}
		r.chunks = append(r.chunks, make([]byte, 0, max(size, len(frame))))
		n++
	}
	last := &r.chunks[n-1]
	i.chunk, i.pos, i.size = r.dropped+uint32(n-1), uint32(len(*last)), uint32(len(frame))
	*last = append(*last, frame...)
	r.items = append(r.items, i)
	if i.kind != fragItem || i.part == noPart {
		r.solid, r.patience = r.first+uint64(len(r.items)), r.patience[:0]
	}
	r.bytes += itemBytes + len(frame)
}

// pushText adds a text, which can be joined with its neighbours, and may wait for as long as its run's window.
func (r *recent) pushText(i item, frame []byte, part string, window time.Duration) {
	i.part = r.partNo(part)
	i.text = uint32(bytes.Index(frame, textMark) + len(textMark))
	r.push(i, frame)
	if i.part == noPart {
		return
	}
	n := len(r.patience)
	for n > 0 && r.patience[n-1].window >= window {
		n--
	}
	r.patience = append(r.patience[:n], patience{r.first + uint64(len(r.items)), window})
}

// mayWait returns how long what follows a place may wait; false if nothing does, or not only texts.
func (r *recent) mayWait(seq uint64) (time.Duration, bool) {
	if seq < max(r.first, r.solid) {
		return 0, false
	}
	for _, p := range r.patience {
		if p.after > seq {
			return p.window, true
		}
	}
	return 0, false
}

// textMark stands before the text, and nowhere else: in a string of JSON a quote has a backslash before it.
var textMark = []byte(`,"d":"`)

func (r *recent) partNo(name string) uint8 {
	i := slices.Index(r.parts, name)
	if i < 0 && len(r.parts) < noPart {
		i = len(r.parts)
		r.parts = append(r.parts, name)
	}
	if i < 0 {
		return noPart
	}
	return uint8(i)
}

func (r *recent) frame(i *item) []byte {
	end := i.pos + i.size
	return r.chunks[i.chunk-r.dropped][i.pos:end:end]
}

// forget drops the n oldest items.
func (r *recent) forget(n int) {
	for i := range r.items[:n] {
		r.bytes -= itemBytes + int(r.items[i].size)
	}
	r.first += uint64(n)
	if n == len(r.items) {
		*r = recent{first: r.first}
		return
	}
	// append moves the rest to a new array when this one is used up.
	r.items = r.items[n:]
	gone := r.items[0].chunk - r.dropped
	clear(r.chunks[:gone])
	r.chunks = r.chunks[gone:]
	r.dropped += gone
}
