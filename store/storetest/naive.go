package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// naive is a session as the contract describes it, without a thought for speed: it keeps everything that was ever
// written and derives all else. Tags, times and the epoch are the engine's choice; it learns them and they must stay.
type naive struct {
	epoch   holdfast.Epoch
	first   holdfast.Offset
	entries []*naiveEntry // by offset, from 1 on
	stops   []*naiveStop  // in the order in which they were requested
	// requests are by offset.
	requests []*naiveRequest
}

// naiveStop is a stop; run is 0 while none has come.
type naiveStop struct {
	id           string
	from         holdfast.Sender
	run, answers holdfast.Offset
	state        holdfast.StopState
	at           time.Time
	waits        bool
}

type naiveEntry struct {
	driver.NewEntry
	written driver.Written
	gone    bool // trimmed, or replaced
	tag     bool // its tag can be read
	run     *naiveRun
}

type naiveRun struct {
	status    holdfast.RunStatus
	fence     holdfast.Fence
	fragments []holdfast.Fragment
	end       json.RawMessage
	answers   holdfast.Offset
	stop      *naiveStop
	rollup    time.Duration
}

func (n *naive) head() holdfast.Offset { return holdfast.Offset(len(n.entries)) }

func (n *naive) at(o holdfast.Offset) *naiveEntry {
	if o < 1 || o > n.head() {
		return nil
	}
	return n.entries[o-1]
}

func (n *naive) known(user holdfast.UserID, id string) *naiveEntry {
	for _, e := range n.entries {
		if id != "" && e.ID == id && e.From.User == user {
			return e
		}
	}
	return nil
}

func (n *naive) latest(key string) *naiveEntry {
	for _, e := range slices.Backward(n.entries) {
		if e.Kind == holdfast.KindState && e.Key == key {
			return e
		}
	}
	return nil
}

// put appends what the engine says stands where w says.
func (n *naive) put(ne driver.NewEntry, w driver.Written, epoch holdfast.Epoch) error {
	if w.Offset != n.head()+1 || w.Duplicate {
		return fmt.Errorf("new entry was written as %+v, the head is %d", w, n.head())
	}
	if n.epoch == "" {
		n.epoch, n.first = epoch, 1
	}
	if ne.Kind == holdfast.KindState {
		if old := n.latest(ne.Key); old != nil {
			old.gone = true
			old.tag = old.written.Offset >= n.first
		}
	}
	e := &naiveEntry{NewEntry: ne, written: w, tag: true}
	if ne.Kind == holdfast.KindRun {
		e.run = &naiveRun{status: holdfast.RunOpen, fence: 1}
	}
	n.entries = append(n.entries, e)
	return nil
}

// check compares a result for an entry that may have been written before.
func (n *naive) check(ne driver.NewEntry, w driver.Written, epoch holdfast.Epoch) error {
	if n.epoch != "" && epoch != n.epoch {
		return fmt.Errorf("the epoch went from %q to %q", n.epoch, epoch)
	}
	old := n.known(ne.From.User, ne.ID)
	if old == nil {
		return n.put(ne, w, epoch)
	}
	want := old.written
	want.Duplicate = true
	if w != want {
		return fmt.Errorf("repeat was answered with %+v, want %+v", w, want)
	}
	return nil
}

// verdict is what an operation on a run must be answered with.
func (n *naive) verdict(run holdfast.Offset, fence holdfast.Fence, force bool) (*naiveRun, holdfast.Code) {
	e := n.at(run)
	if e == nil || e.gone || e.run == nil {
		return nil, holdfast.CodeNotFound
	}
	if fence != e.run.fence && !force {
		return e.run, holdfast.CodeFenced
	}
	return e.run, ""
}

func (n *naive) fragments(op driver.AppendFragments) (repeated int, code holdfast.Code) {
	r, code := n.verdict(op.Run, op.Fence, false)
	if code != "" {
		return 0, code
	}
	if r.status.Ended() {
		if r.status == holdfast.RunStopped && r.stop != nil {
			return 0, holdfast.CodeStopped
		}
		return 0, holdfast.CodeEnded
	}
	if r.stop != nil {
		if op.After == driver.AnyFragment || len(op.Fragments) == 0 || int(op.After)+len(op.Fragments) > len(r.fragments) {
			return 0, holdfast.CodeStopped
		}
	}
	fs := op.Fragments
	if op.After != driver.AnyFragment {
		if int(op.After) > len(r.fragments) {
			return 0, holdfast.CodeGap
		}
		for int(op.After)+repeated < len(r.fragments) && len(fs) > 0 {
			repeated, fs = repeated+1, fs[1:]
		}
	}
	r.fragments = append(r.fragments, fs...)
	return repeated, ""
}

func (n *naive) end(op driver.EndRun) holdfast.Code {
	r, code := n.verdict(op.Run, op.Fence, op.Force)
	switch {
	case code != "":
		return code
	case r.status == op.Status:
		return ""
	case r.status.Ended():
		return holdfast.CodeEnded
	}
	r.status, r.end = op.Status, op.Data
	if r.stop == nil {
		return ""
	}
	switch {
	case op.Status == holdfast.RunStopped:
		r.stop.state = holdfast.StopStopped
	case op.Force && op.Status == holdfast.RunInterrupted:
		r.status, r.stop.state = holdfast.RunStopped, holdfast.StopUnreachable
	default:
		r.stop.state = holdfast.StopTooLate
	}
	return ""
}

func (n *naive) trim(before holdfast.Offset) holdfast.Code {
	if before > n.head()+1 {
		return holdfast.CodeInvalid
	}
	if n.epoch == "" {
		return ""
	}
	n.first = max(n.first, before)
	for i, e := range n.entries {
		if holdfast.Offset(i+1) >= before {
			break
		}
		if e.run != nil && !e.run.status.Ended() || !e.gone && e.Kind == holdfast.KindState {
			continue
		}
		if q := n.requestAt(holdfast.Offset(i + 1)); q != nil && !q.State.Settled() {
			continue
		}
		e.gone, e.tag = true, false
	}
	return ""
}

// read returns all entries as Read must.
func (n *naive) read() []holdfast.Entry {
	var out []holdfast.Entry
	prev := holdfast.Offset(0)
	for i, e := range n.entries {
		o := holdfast.Offset(i + 1)
		if e.gone {
			continue
		}
		en := holdfast.Entry{Offset: o, First: o, Tag: e.written.Tag, Kind: e.Kind, At: e.written.At, ID: e.ID, From: e.From, Key: e.Key,
			Data: e.Data}
		if o >= n.first {
			en.First = max(prev+1, n.first)
		}
		if e.run != nil {
			en.Run = e.run.read()
		}
		out = append(out, en)
		prev = o
	}
	return out
}

func (r *naiveRun) read() *holdfast.Run {
	out := &holdfast.Run{Status: r.status, Fence: r.fence, Fragments: holdfast.FragmentNo(len(r.fragments)), End: r.end,
		Answers: r.answers, Stop: r.stop.read().Stop}
	if !r.status.Ended() {
		out.Rollup = r.rollup
	}
	for _, f := range r.fragments {
		out.Body = out.Body.Append(f)
		out.Tag = holdfast.ChainTag(out.Tag, &f)
	}
	return out
}

// page answers a query by taking entries one at a time from the right end.
func (n *naive) page(q driver.Query) (es []holdfast.Entry, more bool) {
	var in []holdfast.Entry
	for _, e := range n.read() {
		if e.Offset > q.After && (q.Before == 0 || e.Offset < q.Before) {
			in = append(in, e)
		}
	}
	if q.Before != 0 {
		slices.Reverse(in)
	}
	room := q.MaxBytes
	for len(in) > 0 && len(es) < q.Limit && (len(es) == 0 || int(size(&in[0])) <= room) {
		room -= int(size(&in[0]))
		es, in = append(es, in[0]), in[1:]
	}
	if q.Before != 0 {
		slices.Reverse(es)
	}
	return es, len(in) > 0
}
