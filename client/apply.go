package client

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// Change is what a frame changed.
type Change struct {
	Kind ChangeKind
	// Offset is that of the entry or run.
	Offset holdfast.Offset
	// Outcome is set in answers.
	Outcome holdfast.Outcome
	// Fragment is what was added to a run, with Grown.
	Fragment holdfast.Fragment
}

// ChangeKind says what changed.
type ChangeKind uint8

// The kinds of changes.
const (
	// Nothing: a repeat, or a frame that says nothing about the session's contents.
	Nothing ChangeKind = iota
	// Answered: the subscription was answered, with the Outcome.
	Answered
	// Added: an entry, or a run as it stands, came.
	Added
	// Grown: fragments were added to a run.
	Grown
	// Ended: a run ended.
	Ended
	// CaughtUp: what was there at the time of the subscription has come.
	CaughtUp
	// Paged: older entries came.
	Paged
	// Hole: something is missing before the frame, which was not applied. Subscribe again, with the cursor.
	Hole
)

// Apply takes a frame of the state's session. An error, with [holdfast.CodeGap] for a hole and [holdfast.CodeConflict] for a
// repeat, is returned by a strict state only; another one reports the kind Hole, or Nothing.
func (s *State) Apply(f wire.ServerFrame) (Change, error) {
	if a, ok := f.(*wire.SubAnswer); ok {
		return s.answer(a)
	}
	if s.waiting || s.denied != nil {
		return Change{}, nil
	}
	switch f := f.(type) {
	case *wire.EntryFrame:
		return s.entry(f)
	case *wire.FragFrame:
		return s.fragments(f)
	case *wire.EndFrame:
		return s.end(f)
	case *wire.Live:
		if f.Offset > s.have {
			return s.hole(f.Offset, "live at %d, have %d", f.Offset, s.have)
		}
		s.live = true
		return Change{Kind: CaughtUp, Offset: f.Offset}, nil
	}
	return Change{}, nil
}

func (s *State) hole(o holdfast.Offset, format string, args ...any) (Change, error) {
	c := Change{Kind: Hole, Offset: o}
	if s.strict {
		return c, holdfast.Errorf(holdfast.CodeGap, "session "+string(s.session)+": a hole: "+format, args...)
	}
	return c, nil
}

func (s *State) repeat(format string, args ...any) (Change, error) {
	if s.strict {
		return Change{}, holdfast.Errorf(holdfast.CodeConflict, "session "+string(s.session)+": a repeat: "+format, args...)
	}
	return Change{}, nil
}

func (s *State) answer(a *wire.SubAnswer) (Change, error) {
	change := Change{Kind: Answered, Outcome: a.Outcome}
	s.waiting, s.live, s.denied = false, false, nil
	switch a.Outcome {
	case holdfast.Denied:
		s.denied = &holdfast.Error{Code: a.Code, Message: a.Message}
	case holdfast.Continuous:
		if s.known && s.epoch == "" && s.have == 0 {
			s.epoch = a.Epoch
		}
		if !s.known || a.Epoch != s.epoch || a.From > s.have+1 {
			s.known = false // the next subscription asks for a snapshot
			return s.hole(a.From, "continuous from %d of %q, have %d of %q", a.From, a.Epoch, s.have, s.epoch)
		}
	default:
		s.drop()
		s.known, s.epoch, s.from, s.more = true, a.Epoch, a.From, a.More
		s.have, s.tag, s.tagged = max(a.From, 1)-1, 0, false
	}
	return change, nil
}

func (s *State) entry(f *wire.EntryFrame) (Change, error) {
	e := &f.Entry
	if f.Epoch != "" && s.epoch == "" && s.have == 0 {
		s.epoch = f.Epoch
	}
	_, held := s.find(e.Offset)
	switch {
	case f.Epoch != "" && f.Epoch != s.epoch:
		return s.hole(e.Offset, "entry %d is of the log %q, not %q", e.Offset, f.Epoch, s.epoch)
	case e.Offset < s.from && e.Offset <= s.have && !held:
		// An open run or a latest state from before the snapshot.
		s.hold(e)
		return Change{Kind: Added, Offset: e.Offset}, nil
	case e.Offset <= s.have:
		return s.repeat("entry %d, have %d", e.Offset, s.have)
	case e.First > s.have+1:
		return s.hole(e.Offset, "entry %d covers %d on, have %d", e.Offset, e.First, s.have)
	}
	s.have, s.tag, s.tagged = e.Offset, e.Tag, true
	s.hold(e)
	return Change{Kind: Added, Offset: e.Offset}, nil
}

func (s *State) fragments(f *wire.FragFrame) (Change, error) {
	r, first := s.open[f.Run], f.N-f.M+1
	switch {
	case f.M == 0 || f.M > f.N:
		return s.hole(f.Run, "a frame with %d fragments up to %d of run %d", f.M, f.N, f.Run)
	case f.Run > s.have:
		return s.hole(f.Run, "a fragment of run %d, have %d", f.Run, s.have)
	case r == nil:
		return s.repeat("fragments %d to %d of run %d, which is not open", first, f.N, f.Run)
	case f.N <= r.at.Fragment:
		return s.repeat("fragments %d to %d of run %d, have %d", first, f.N, f.Run, r.at.Fragment)
	case first != r.at.Fragment+1:
		// Some are missing, or the text was joined with some that are here, and where they end in it is not told.
		return s.hole(f.Run, "fragments %d to %d of run %d, have %d", first, f.N, f.Run, r.at.Fragment)
	case f.M == 1 && holdfast.ChainTag(r.at.Tag, &f.Fragment) != f.Tag:
		return s.hole(f.Run, "fragment %d of run %d does not continue what is here", f.N, f.Run)
	}
	r.at.Fragment, r.at.Tag = f.N, f.Tag
	r.body.Append(f.Fragment)
	return Change{Kind: Grown, Offset: f.Run, Fragment: f.Fragment}, nil
}

func (s *State) end(f *wire.EndFrame) (Change, error) {
	r := s.open[f.Run]
	switch {
	case f.Run > s.have:
		return s.hole(f.Run, "the end of run %d, have %d", f.Run, s.have)
	case r == nil:
		return s.repeat("the end of run %d", f.Run)
	case f.Fragments != r.at.Fragment || f.Tag != r.at.Tag:
		return s.hole(f.Run, "the end of run %d after %d fragments, have %d", f.Run, f.Fragments, r.at.Fragment)
	}
	delete(s.open, f.Run)
	i, held := s.find(f.Run)
	if held {
		e := &s.entries[i]
		run := *e.Run
		run.Status, run.Fragments, run.Tag, run.Body, run.End = f.Status, f.Fragments, f.Tag, r.body.Body(), f.Data
		e.Run = &run
	}
	return Change{Kind: Ended, Offset: f.Run}, nil
}

// ApplyPage takes the entries before an offset, which [State.First] gave. A page of another log, or one that does not reach
// up to what is held, is passed over.
func (s *State) ApplyPage(before holdfast.Offset, p *wire.PageAnswer) Change {
	if p.Epoch != s.epoch || s.waiting || before != s.from {
		return Change{}
	}
	first := s.from
	for i := range p.Items {
		e := &p.Items[i]
		if e.Offset >= s.from {
			return Change{}
		}
		if _, held := s.find(e.Offset); held {
			first = min(first, e.First)
			continue
		}
		if e.Run != nil && !e.Run.Status.Ended() {
			// The snapshot brought all runs that were open, and the ends of those since; this is not of the same log.
			return Change{Kind: Hole, Offset: e.Offset}
		}
		first = min(first, e.First)
	}
	for i := range p.Items {
		if _, held := s.find(p.Items[i].Offset); !held {
			s.hold(&p.Items[i])
		}
	}
	s.from, s.more = first, p.More
	return Change{Kind: Paged, Offset: first}
}
