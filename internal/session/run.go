package session

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func (a *applying) openRun(op driver.OpenRunOp) error {
	if op.Entry.Kind != holdfast.KindRun || op.Entry.Key != "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "opening a run needs an entry of kind run without a key, not %q",
			op.Entry.Kind)
	}
	known, dup, err := a.known(op.Entry.From.User, op.Entry.ID)
	if err != nil {
		return err
	}
	if dup {
		return a.reopen(&known, op.TakeOver)
	}
	if err := holdfast.CheckRollup(op.Rollup); err != nil {
		return err
	}
	if op.Answers > a.info.Head {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no entry at offset %d that a run could answer", op.Answers)
	}
	e := a.put(&op.Entry)
	r := holdfast.RunInfo{Run: e.Offset, ID: e.ID, Status: holdfast.RunOpen, Fence: 1, At: a.now, Changed: a.now, Answers: op.Answers,
		Rollup: op.Rollup}
	armed, err := a.takeWaiting(&r)
	if err != nil {
		return err
	}
	e.Run.Answers, e.Run.Stop, e.Run.Rollup = r.Answers, r.Stop, r.Rollup // of all copies of the entry
	if op.Answers != 0 {
		a.knows(AnswersScope, answersID(op.Answers), KnownBy(&e))
	}
	a.info.Open = append(slices.Clip(a.info.Open), r)
	a.answering(op.Answers)
	a.out.Result.Run = r
	a.out.Result.Entries = []driver.Written{{Offset: e.Offset, Tag: e.Tag, At: e.At}}
	a.out.Items = []driver.Item{{Entry: &e}}
	if armed {
		return a.end(len(a.info.Open)-1, holdfast.RunStopped, holdfast.StopStopped, nil)
	}
	a.out.Effects.Runs = append(a.out.Effects.Runs, r)
	return nil
}

// reopen answers the opening of a run that was opened before.
func (a *applying) reopen(k *Known, takeOver bool) error {
	if !k.Run {
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d, which is not a run", k.Offset)
	}
	a.out.Result.Entries = []driver.Written{written(k, true)}
	if k.Ended != nil {
		a.out.Result.Run = *k.Ended
		return nil
	}
	i, ok := a.run(k.Offset)
	if !ok {
		return holdfast.Errorf(holdfast.CodeInternal, "the run at offset %d is known by its id but neither open nor ended; "+
			"verify the store", k.Offset)
	}
	r := a.info.Open[i]
	if takeOver {
		r.Fence++
		a.changed()
		a.setRun(i, r)
	}
	a.out.Result.Run = r
	return nil
}

func (a *applying) fragments(op driver.AppendFragments) error {
	if op.After < driver.AnyFragment {
		return holdfast.Errorf(holdfast.CodeInvalid, "after is %d; it is the number of a fragment, 0 or %d for any",
			op.After, driver.AnyFragment)
	}
	i, open, ended, err := a.find(op.Run)
	if err != nil {
		return err
	}
	if !open {
		if op.Fence != ended.Fence {
			return fenced(&ended, op.Fence)
		}
		if ended.Status == holdfast.RunStopped && ended.Stop.State != "" {
			return runError(holdfast.CodeStopped, &ended, "the run at offset %d was stopped and has ended", ended.Run)
		}
		return runError(holdfast.CodeEnded, &ended, "the run at offset %d has ended as %s", ended.Run, ended.Status)
	}
	r := a.info.Open[i]
	if op.Fence != r.Fence {
		return fenced(&r, op.Fence)
	}
	if r.Stop.State != "" && !repeats(&op, &r) {
		return runError(holdfast.CodeStopped, &r, "the run at offset %d is to be stopped; end it as stopped", r.Run)
	}
	if op.After > int64(r.Fragments) {
		return runError(holdfast.CodeGap, &r, "the run at offset %d has %d fragments, so that %d cannot come after it; send again from %d",
			r.Run, r.Fragments, op.After+1, r.Fragments+1)
	}
	fresh := op.Fragments
	if op.After != driver.AnyFragment {
		// Fragments that the run has already are a repeat after a lost acknowledgement.
		a.out.Result.Repeated = int(min(int64(r.Fragments)-op.After, int64(len(fresh))))
		fresh = fresh[a.out.Result.Repeated:]
	}
	a.out.Result.Run = r
	if len(fresh) > 0 {
		a.grow(i, fresh)
	}
	return nil
}

// repeats reports whether the run has all the fragments. No fragments, which is how a producer shows that it lives, are no
// repeat: it has to be told of a stop.
func repeats(op *driver.AppendFragments, r *holdfast.RunInfo) bool {
	return op.After != driver.AnyFragment && len(op.Fragments) > 0 && op.After+int64(len(op.Fragments)) <= int64(r.Fragments)
}

// grow appends fragments to the open run at index i.
func (a *applying) grow(i int, fresh []holdfast.Fragment) {
	a.changed()
	r := a.info.Open[i]
	n := &driver.NewFragments{Run: r.Run, First: r.Fragments + 1, Fragments: fresh}
	for k := range fresh {
		f := &fresh[k]
		f.Event = orNil(f.Event)
		r.Tag = holdfast.ChainTag(r.Tag, f)
		size := int64(len(f.Text) + len(f.Event))
		r.TextBytes += int64(len(f.Text))
		r.Bytes += size
		a.info.Bytes += size
	}
	r.Fragments += holdfast.FragmentNo(len(fresh))
	r.Changed = a.now
	n.Tag = r.Tag
	a.setRun(i, r)
	a.out.Effects.Fragments = n
	a.out.Result.Run = r
	a.out.Items = []driver.Item{{Fragments: n}}
}

func (a *applying) endRun(op driver.EndRun) error {
	if !op.Status.Ended() {
		return holdfast.Errorf(holdfast.CodeInvalid, "a run cannot end as %q; complete, stopped, failed and interrupted are known",
			op.Status)
	}
	i, open, ended, err := a.find(op.Run)
	if err != nil {
		return err
	}
	if !open {
		return a.endAgain(op, ended)
	}
	r := a.info.Open[i]
	if op.Fence != r.Fence && !op.Force {
		return fenced(&r, op.Fence)
	}
	status, outcome := stopOutcome(&op)
	if r.Stop.State == "" {
		status = op.Status
	}
	return a.end(i, status, outcome, op.Data)
}

// end ends the open run at index i; a stop of it has the given outcome.
func (a *applying) end(i int, status holdfast.RunStatus, outcome holdfast.StopState, data []byte) error {
	a.changed()
	r := a.info.Open[i]
	r.Status, r.Rollup = status, 0
	if r.Stop.State != "" {
		r.Stop.State = outcome
	}
	data = orNil(data)
	a.info.Bytes += int64(len(data))
	a.info.Open = slices.Delete(slices.Clone(a.info.Open), i, i+1)
	a.turnOver(r.Answers)
	a.out.Effects.End = &End{Info: r, Data: data, At: a.now}
	a.out.Result.Run = r
	a.out.Items = append(a.out.Items, driver.Item{End: &driver.Ended{Run: r.Run, Status: r.Status, Fragments: r.Fragments,
		Tag: r.Tag, Data: data, At: a.now, Stop: r.Stop}})
	if r.Stop.State != "" {
		if err := a.settled(stopOf(&r)); err != nil {
			return err
		}
	}
	return a.withdrawOf(r.Run)
}

// endAgain answers the end of a run that has ended. A producer that was fenced off before is told so even if it names
// the same status: the run that ended is not the one it wrote.
func (a *applying) endAgain(op driver.EndRun, ended holdfast.RunInfo) error {
	if op.Fence != ended.Fence && !op.Force {
		return fenced(&ended, op.Fence)
	}
	if op.Status != ended.Status {
		return runError(holdfast.CodeEnded, &ended, "the run at offset %d has ended as %s already", ended.Run, ended.Status)
	}
	a.out.Result.Run = ended
	return nil
}

// find returns the index of the open run at o, or the ended run there, or CodeNotFound.
func (a *applying) find(o holdfast.Offset) (i int, open bool, ended holdfast.RunInfo, err error) {
	if i, ok := a.run(o); ok {
		return i, true, holdfast.RunInfo{}, nil
	}
	if o >= 1 && o <= a.info.Head {
		r, ok, err := a.look.Ended(o)
		if err != nil || ok {
			return 0, false, r, err
		}
	}
	return 0, false, holdfast.RunInfo{}, holdfast.Errorf(holdfast.CodeNotFound, "there is no run at offset %d", o)
}

func fenced(r *holdfast.RunInfo, got holdfast.Fence) error {
	return runError(holdfast.CodeFenced, r, "the run at offset %d belongs to fence %d, not %d; another producer has it",
		r.Run, r.Fence, got)
}

func runError(code holdfast.Code, r *holdfast.RunInfo, format string, args ...any) error {
	e := holdfast.Errorf(code, format, args...)
	run := *r
	e.Run = &run
	return e
}
