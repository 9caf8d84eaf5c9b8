package tail

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// Reader is one reader's way through a session. It is not safe for concurrent use: whoever writes to the connection
// owns it.
type Reader struct {
	tail *Tail

	// cursor is how far the reader has come; nil before it was answered without one. Shared and never changed in place.
	cursor *holdfast.Cursor
	// place is valid while live.
	place place
	// skip is set while the tail may still publish what the reader has read from the store.
	skip *holdfast.Cursor
	// last is how many entries a snapshot goes back.
	last  int32
	phase phase
	// caughtUp: the live frame has been sent since the last answer.
	caughtUp bool
	// ahead holds what a snapshot sends besides the entries from its beginning on.
	ahead [][]byte
	// resuming counts until the reader has caught up with its answer; nil after that.
	resuming *Resumption
}

// Resumption is an answer and what came with it, until the reader had caught up.
type Resumption struct {
	Outcome holdfast.Outcome
	// From is the first offset that followed, Head the last one there was.
	From, Head    holdfast.Offset
	Frames, Bytes int
}

// sends counts what goes out.
func (m *Resumption) sends(frames [][]byte) {
	if m != nil {
		m.Frames += len(frames)
		m.Bytes += sizeOf(frames)
	}
}

// phase is where a reader gets what follows its cursor.
type phase uint8

const (
	// unanswered: the reader must first be told the outcome.
	unanswered phase = iota
	// reading: from the store.
	reading
	// live: from the tail's memory.
	live
)

// NewReader returns a reader that begins after the cursor, or, where that is nil or cannot be continued, at the last
// entries.
func NewReader(t *Tail, cursor *holdfast.Cursor, last int) *Reader {
	return &Reader{tail: t, cursor: cursor, last: int32(min(last, math.MaxInt32))}
}

// Tail returns the session's tail.
func (r *Reader) Tail() *Tail { return r.tail }

// Cursor returns how far the reader has come; nil before it was answered.
func (r *Reader) Cursor() *holdfast.Cursor { return r.cursor }

// Offset returns the offset that the reader has come to; 0 before it was answered.
func (r *Reader) Offset() holdfast.Offset {
	if r.cursor == nil {
		return 0
	}
	return r.cursor.Offset
}

// Batch is some frames for a reader, in order.
type Batch struct {
	Frames [][]byte
	// More: there is more at once.
	More bool
	// Resumed is set when with these frames the reader has caught up.
	Resumed *Resumption
}

// Live returns what follows in the tail's memory, about max bytes, without waiting for anything. false means that the
// store must be read: call [Reader.CatchUp].
func (r *Reader) Live(max int) (Batch, bool) {
	if r.phase == unanswered && !r.answerFromTail() {
		return Batch{}, false
	}
	if r.phase != live {
		return Batch{}, false
	}
	var out Batch
	if r.ahead != nil {
		out.Frames, r.ahead = r.ahead, nil
	}
	b, ok := r.tail.take(r.place, r.skip, max)
	if !ok {
		r.phase = reading
		r.resuming.sends(out.Frames)
		if out.Frames != nil {
			out.More = true
			return out, true
		}
		return Batch{}, false
	}
	out.Frames, out.More = append(out.Frames, b.frames...), b.more
	r.advance(&b)
	r.resuming.sends(out.Frames)
	if !b.more && !r.caughtUp {
		r.caughtUp = true
		out.Resumed, r.resuming = r.resuming, nil
		out.Frames = append(out.Frames, liveFrame(r.tail.session, b.head))
	}
	return out, true
}

func (r *Reader) advance(b *batch) {
	r.place = b.next
	if b.after != nil {
		r.cursor = b.after
	}
	if b.passed {
		r.skip = nil
	}
}

// Peek returns the place from which the reader would take next, as a value that two readers of one tail share exactly
// if they would get the same frames. false if it is not simply live.
func (r *Reader) Peek() (Place, bool) {
	return Place{r.tail, r.place}, r.phase == live && r.caughtUp && r.ahead == nil && r.skip == nil
}

// MayWait reports whether all that follows now is more text of runs that the reader has: what may come a little later, and then
// in fewer frames. window is for how long, by the windows of these runs: the least of them, as what follows comes in one order.
func (r *Reader) MayWait() (window time.Duration, ok bool) {
	if _, live := r.Peek(); !live {
		return 0, false
	}
	return r.tail.mayWait(r.place)
}

// Place is a place in a tail's memory.
type Place struct {
	tail *Tail
	at   place
}

// Jump moves the reader to where another one got from the same place: it must have been given the same frames.
func (r *Reader) Jump(to *Reader) { r.place, r.cursor = to.place, to.cursor }

// AtEnd reports whether nothing follows in the tail's memory now.
func (r *Reader) AtEnd() bool { return r.phase == live && r.place == r.tail.end() }

// answerFromTail resumes without the store, where the tail remembers everything after the cursor.
func (r *Reader) answerFromTail() bool {
	if r.cursor == nil {
		return false
	}
	at, cursor, ok := r.tail.attach(r.cursor)
	if !ok {
		return false
	}
	r.place, r.cursor, r.phase, r.caughtUp, r.skip = at, cursor, live, false, nil
	r.ahead = [][]byte{r.says(&wire.SubAnswer{
		Session: r.tail.session, Outcome: holdfast.Continuous, Epoch: r.cursor.Epoch,
		From: r.cursor.Offset + 1, Head: r.tail.headOffset(), More: r.cursor.Offset > 0,
	})}
	return true
}

// CatchUp reads the store: the answer first, then about max bytes of what follows the cursor. It returns with More until
// the reader is live. Errors are the store's; nothing has moved then.
func (r *Reader) CatchUp(ctx context.Context, log Log, max int) (Batch, error) {
	if err := r.tail.Warm(func() (driver.Info, error) { return log.Info(ctx, r.tail.session) }); err != nil {
		return Batch{}, err
	}
	if r.phase == unanswered {
		if b, ok := r.Live(max); ok {
			return b, nil
		}
		return r.answer(ctx, log)
	}
	return r.readOn(ctx, log, max)
}

// answer tells the outcome. In a snapshot it also sends the open runs, open requests and latest states that stand before it.
func (r *Reader) answer(ctx context.Context, log Log) (Batch, error) {
	info, err := log.Info(ctx, r.tail.session)
	if err != nil {
		return Batch{}, err
	}
	info.Session = r.tail.session // not there yet in a session that was never written to
	outcome, err := resolve(ctx, log, &info, r.cursor)
	if err != nil {
		return Batch{}, err
	}
	if outcome == holdfast.Continuous {
		cursor := *r.cursor
		cursor.Epoch = info.Epoch
		r.cursor = &cursor
		return r.answered(&info, outcome, cursor.Offset+1, nil), nil
	}
	from := max(info.First, 1)
	if n := holdfast.Offset(r.last); info.Head >= n && info.Head-n+1 > from {
		from = info.Head - n + 1
	}
	// The cursor of a snapshot is that of a reader who has all before from; the runs still open there are sent as they
	// are found, at least as far as info says.
	cursor := holdfast.Cursor{Position: holdfast.Position{Epoch: info.Epoch, Offset: from - 1}}
	if from == info.Head+1 {
		cursor.Tag = info.HeadTag // retention has dropped all
	}
	before, err := earlier(ctx, log, &info, from, &cursor)
	if err != nil {
		return Batch{}, err
	}
	r.cursor = &cursor
	return r.answered(&info, outcome, from, before), nil
}

func (r *Reader) answered(info *driver.Info, outcome holdfast.Outcome, from holdfast.Offset, before [][]byte) Batch {
	r.phase, r.caughtUp = reading, false
	answer := r.says(&wire.SubAnswer{
		Session: r.tail.session, Outcome: outcome, Epoch: info.Epoch, From: from, Head: info.Head,
		More: from > max(info.First, 1),
	})
	frames := append([][]byte{answer}, before...)
	r.resuming.sends(frames)
	return Batch{Frames: frames, More: true}
}

// says encodes an answer, with which a resumption begins.
func (r *Reader) says(a *wire.SubAnswer) []byte {
	r.resuming = &Resumption{Outcome: a.Outcome, From: a.From, Head: a.Head}
	return wire.Append(nil, a)
}

// earlier returns the frames of open runs, open requests and latest states before an offset, and notes the runs in the cursor.
func earlier(ctx context.Context, log Log, info *driver.Info, from holdfast.Offset, c *holdfast.Cursor) ([][]byte, error) {
	entries, err := log.States(ctx, info.Session)
	if err != nil {
		return nil, err
	}
	for _, open := range info.Open {
		if open.Run >= from {
			continue
		}
		e, err := log.Run(ctx, info.Session, open.Run, 0)
		if holdfast.CodeOf(err) == holdfast.CodeNotFound {
			continue // deleted meanwhile; the next read tells
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
		if !e.Run.Status.Ended() {
			*c = c.With(holdfast.RunCursor{Run: e.Offset, Fragment: e.Run.Fragments, Tag: e.Run.Tag})
		}
	}
	asked, err := openRequests(ctx, log, info, from)
	if err != nil {
		return nil, err
	}
	entries = append(entries, asked...)
	slices.SortFunc(entries, func(a, b holdfast.Entry) int { return cmp.Compare(a.Offset, b.Offset) })
	var frames [][]byte
	for i := range entries {
		if entries[i].Offset < from {
			frames = append(frames, entryFrames(info.Session, "", &entries[i])...)
		}
	}
	return frames, nil
}

// openRequests returns the events of the open requests before an offset. One that is gone was settled meanwhile, which is told by what
// follows.
func openRequests(ctx context.Context, log Log, info *driver.Info, before holdfast.Offset) (entries []holdfast.Entry, err error) {
	for i := range info.Requests {
		o := info.Requests[i].Offset
		if o >= before {
			continue
		}
		page, err := log.Read(ctx, info.Session, driver.Query{After: o - 1, Before: o + 1, Limit: 1})
		if err != nil {
			return nil, err
		}
		entries = append(entries, page.Entries...)
	}
	return entries, nil
}

// readOn reads one page after the cursor. At the end of the log it also fetches what the cursor's open runs have grown
// by, and then looks for its place in the tail.
func (r *Reader) readOn(ctx context.Context, log Log, max int) (Batch, error) {
	page, err := log.Read(ctx, r.tail.session, driver.Query{After: r.cursor.Offset, MaxBytes: max, Limit: 1000})
	if err != nil {
		return Batch{}, err
	}
	if r.cursor.Epoch != page.Info.Epoch || (r.cursor.Offset+1 < page.Info.First && r.cursor.Offset < page.Info.Head) {
		// The log was replaced, or retention overtook a slow reader: it is answered anew, never given a part.
		r.phase = unanswered
		return Batch{More: true}, nil
	}
	var b Batch
	cursor := *r.cursor
	for i := range page.Entries {
		e := &page.Entries[i]
		if e.Offset <= cursor.Offset {
			continue
		}
		b.Frames = append(b.Frames, entryFrames(r.tail.session, page.Info.Epoch, e)...)
		cursor.Position = holdfast.Position{Epoch: page.Info.Epoch, Offset: e.Offset, Tag: e.Tag}
		if e.Kind == holdfast.KindRun && !e.Run.Status.Ended() {
			cursor = cursor.With(holdfast.RunCursor{Run: e.Offset, Fragment: e.Run.Fragments, Tag: e.Run.Tag})
		}
	}
	if page.More {
		r.cursor, b.More = &cursor, true
		r.resuming.sends(b.Frames)
		return b, nil
	}
	grown, all, err := r.growth(ctx, log, &page.Info, &cursor, max)
	if err != nil {
		return Batch{}, err
	}
	b.Frames, b.More = append(b.Frames, grown...), true
	r.resuming.sends(b.Frames)
	r.cursor = &cursor
	if all {
		r.join()
	}
	return b, nil
}

// growth returns what the open runs of a cursor have grown by up to the moment of info, their ends included, and moves the
// cursor there. What they have grown by since is left to the tail: with it the cursor would hold what was committed after
// that moment without the entries that were too, and the tail would bring it once more.
//
// It is not all of them if those that have ended are many, or large: then the rest is another page's, so that a cursor that
// names hundreds neither holds a hundred bodies in memory nor others up. Runs that are open are taken at one moment, all.
func (r *Reader) growth(ctx context.Context, log Log, info *driver.Info, c *holdfast.Cursor, max int) (frames [][]byte, all bool, err error) {
	ended := 0
	for _, at := range c.Runs {
		open := openRun(info, at.Run)
		if open != nil && open.Fragments <= at.Fragment {
			continue
		}
		if open == nil {
			if ended > 0 && (ended == endedAtOnce || sizeOf(frames) > max) {
				return frames, false, nil
			}
			ended++
		}
		e, err := log.Run(ctx, r.tail.session, at.Run, at.Fragment)
		if err != nil && holdfast.CodeOf(err) != holdfast.CodeNotFound {
			return nil, false, err
		}
		fragments, tag := upTo(open, at, &e)
		more, now := wire.Frags(r.tail.session, at, fragments)
		if err != nil || now.Tag != tag || open == nil && !e.Run.Status.Ended() {
			// Deleted, perhaps with another run in its place, or dropped by retention: answered anew.
			r.phase = unanswered
			return nil, false, nil
		}
		for i := range more {
			frames = append(frames, wire.AppendFrag(nil, &more[i]))
		}
		if open != nil {
			*c = c.With(now)
			continue
		}
		*c = c.Without(at.Run)
		frames = append(frames, wire.AppendEnd(nil, &wire.EndFrame{
			Session: r.tail.session, Run: at.Run, Fragments: e.Run.Fragments, Tag: e.Run.Tag, Status: e.Run.Status,
			Data: e.Run.End,
		}))
	}
	return frames, true, nil
}

// endedAtOnce is how many runs that have ended one page catches up with.
const endedAtOnce = 16

func sizeOf(frames [][]byte) (n int) {
	for _, f := range frames {
		n += len(f)
	}
	return n
}

// upTo returns what a run, read after at, held at the moment when it stood as open says, and its tag then; all of it if it
// was open no more.
func upTo(open *holdfast.RunInfo, at holdfast.RunCursor, e *holdfast.Entry) ([]holdfast.Fragment, holdfast.Tag) {
	if e.Run == nil {
		return nil, at.Tag
	}
	fragments := e.Run.Body.Fragments()
	if open == nil {
		return fragments, e.Run.Tag
	}
	return fragments[:min(len(fragments), int(open.Fragments-at.Fragment))], open.Tag
}

// openRun returns how an open run stands; nil if it is not open.
func openRun(info *driver.Info, run holdfast.Offset) *holdfast.RunInfo {
	for i := range info.Open {
		if info.Open[i].Run == run {
			return &info.Open[i]
		}
	}
	return nil
}

// join makes the reader live if the tail has its place. It may be that it has not: more was committed while the last
// page was read than the tail remembers; then another page is read.
func (r *Reader) join() {
	if r.phase != reading {
		return
	}
	if at, cursor, ok := r.tail.attach(r.cursor); ok {
		r.place, r.cursor, r.phase, r.skip = at, cursor, live, nil
		return
	}
	if at, ok := r.tail.attachAhead(r.cursor); ok {
		r.place, r.phase, r.skip = at, live, r.cursor
	}
}

func liveFrame(s holdfast.SessionID, head holdfast.Offset) []byte {
	return wire.Append(nil, &wire.Live{Session: s, Offset: head})
}
