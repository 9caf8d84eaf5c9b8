package session

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// The whole life of a stop. A row is where its target stands, and a cell what an operation makes of it; "=" writes nothing.
// Each change of a stop's state is told by an event in the same step.
//
//	                     RequestStop    fragments    EndRun                          SettleStop
//	open, no stop        requested      appended     ends                            conflict
//	open, requested      = that stop    stopped      stopped: stopped                run stopped, unreachable
//	                                                 forced, interrupted: run
//	                                                 stopped, unreachable
//	                                                 others: too_late
//	ended, no stop       too_late       run_ended    = or run_ended                  run_ended
//	ended, a stop        = that stop    stopped or   = or run_ended                  =
//	                                    run_ended
//	no run yet           waits                       (OpenRunOp: opens)              not_found
//	waits, requested     = that stop                 (OpenRunOp: opens, requested)   unreachable
//	waits, unreachable   = that stop                 (OpenRunOp: opens and ends as   =
//	                                                 stopped, stopped)

// stopOutcome is the status with which a run ends whose stop was requested, and what becomes of the stop.
func stopOutcome(op *driver.EndRun) (holdfast.RunStatus, holdfast.StopState) {
	switch {
	case op.Status == holdfast.RunStopped:
		return holdfast.RunStopped, holdfast.StopStopped
	case op.Force && op.Status == holdfast.RunInterrupted:
		// The producer is gone without having heard of it. That the run is over is what was wanted.
		return holdfast.RunStopped, holdfast.StopUnreachable
	}
	return op.Status, holdfast.StopTooLate
}

func (a *applying) requestStop(op driver.RequestStop) error {
	switch {
	case op.ID == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "a stop needs an id, so that it can be repeated")
	case reserved(op.ID):
		return errReserved("an id", op.ID)
	case (op.Run == 0) == (op.Answers == 0):
		return holdfast.Errorf(holdfast.CodeInvalid, "a stop names a run or the message whose answer is meant, one of them")
	}
	known, dup, err := a.known(op.From.User, op.ID)
	switch {
	case err != nil:
		return err
	case dup && known.Stop == nil:
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d, which is not a stop", known.Offset)
	case dup:
		return a.stands(&known)
	case op.Answers != 0:
		return a.stopAnswer(&op)
	}
	i, open, ended, err := a.find(op.Run)
	switch {
	case err != nil:
		return err
	case open:
		return a.stopOpen(i, &op)
	}
	return a.stopEnded(&ended, &op)
}

// stands answers with a stop that was requested before.
func (a *applying) stands(k *Known) error {
	a.out.Result.Stop = *k.Stop
	a.out.Result.Entries = []driver.Written{written(k, true)}
	if k.Stop.Run == 0 {
		return nil
	}
	i, open, ended, err := a.find(k.Stop.Run)
	switch {
	case open:
		a.out.Result.Run = a.info.Open[i]
	case err == nil:
		a.out.Result.Run = ended
	case holdfast.CodeOf(err) != holdfast.CodeNotFound: // retention may have dropped it
		return err
	}
	return nil
}

// first answers with the stop that the target has already: there is one effective stop of a run, whoever asks again.
func (a *applying) first(s holdfast.Stop) error {
	k, err := a.stopKnown(s)
	if err != nil {
		return err
	}
	return a.stands(&k)
}

// stopKnown returns what the id of a stop that is there stands for.
func (a *applying) stopKnown(s holdfast.Stop) (Known, error) {
	k, ok, err := a.known(s.From.User, s.ID)
	if err == nil && (!ok || k.Stop == nil) {
		err = holdfast.Errorf(holdfast.CodeInternal, "a stop is not found by its id; verify the store")
	}
	return k, err
}

func (a *applying) newStop(op *driver.RequestStop, run, answers holdfast.Offset, state holdfast.StopState) driver.StopInfo {
	return driver.StopInfo{Stop: holdfast.Stop{ID: op.ID, From: op.From, At: a.now, State: state}, Run: run, Answers: answers}
}

// request writes the event of a new stop and makes its id known.
func (a *applying) request(s *driver.StopInfo) {
	e := a.event(s, s.ID, s.From)
	k := KnownBy(e)
	k.Stop = s
	a.knows(s.From.User, s.ID, k)
	a.out.Result.Stop = *s
	a.out.Result.Entries = []driver.Written{written(&k, false)}
}

func (a *applying) stopOpen(i int, op *driver.RequestStop) error {
	r := a.info.Open[i]
	if r.Stop.State != "" {
		return a.first(r.Stop)
	}
	s := a.newStop(op, r.Run, r.Answers, holdfast.StopRequested)
	a.request(&s)
	r.Stop = s.Stop
	a.setRun(i, r)
	a.out.Result.Run = r
	return nil
}

func (a *applying) stopEnded(r *holdfast.RunInfo, op *driver.RequestStop) error {
	if r.Stop.State != "" {
		return a.first(r.Stop)
	}
	s := a.newStop(op, r.Run, r.Answers, holdfast.StopTooLate)
	a.request(&s)
	if r.Status != "" {
		a.out.Result.Run = *r
	}
	return nil
}

// stopAnswer stops the answer to a message: the latest run, or the one that will come.
func (a *applying) stopAnswer(op *driver.RequestStop) error {
	for i := range slices.Backward(a.info.Open) {
		if a.info.Open[i].Answers == op.Answers {
			return a.stopOpen(i, op)
		}
	}
	if i, ok := a.waiting(op.Answers); ok {
		return a.first(a.info.Stops[i].Stop)
	}
	k, ok, err := a.known(AnswersScope, answersID(op.Answers))
	if err != nil {
		return err
	}
	if ok {
		r, there, err := a.look.Ended(k.Offset)
		if err != nil {
			return err
		}
		if !there { // retention has dropped it
			r = holdfast.RunInfo{Run: k.Offset, Answers: op.Answers}
		}
		return a.stopEnded(&r, op)
	}
	if op.Answers > a.info.Head {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no entry at offset %d whose answer could be stopped", op.Answers)
	}
	return a.wait(op)
}

// wait keeps a stop until its run comes.
func (a *applying) wait(op *driver.RequestStop) error {
	s := a.newStop(op, 0, op.Answers, holdfast.StopRequested)
	a.request(&s)
	stops := append(slices.Clip(a.info.Stops), s)
	if len(stops) > driver.MaxWaitingStops {
		oldest := stops[0]
		stops = slices.Delete(stops, 0, 1)
		if oldest.State == holdfast.StopRequested {
			oldest.State = holdfast.StopUnreachable
			if err := a.settled(oldest); err != nil {
				return err
			}
			a.out.Result.Stop = s
		}
	}
	a.info.Stops = stops
	return nil
}

// waiting returns the index of the stop that waits for the answer to a message.
func (a *applying) waiting(answers holdfast.Offset) (int, bool) {
	i := slices.IndexFunc(a.info.Stops, func(s driver.StopInfo) bool { return s.Answers == answers })
	return i, i >= 0
}

// takeWaiting gives a new run the stop that waits for it; armed says that it was given up before the run came.
func (a *applying) takeWaiting(r *holdfast.RunInfo) (armed bool, err error) {
	i, ok := a.waiting(r.Answers)
	if !ok {
		return false, nil
	}
	s := a.info.Stops[i]
	a.info.Stops = slices.Delete(slices.Clone(a.info.Stops), i, i+1)
	armed = s.State == holdfast.StopUnreachable
	s.State, s.Run = holdfast.StopRequested, r.Run
	r.Stop = s.Stop
	if armed {
		return true, nil // the end that follows makes the outcome known
	}
	k, err := a.stopKnown(s.Stop)
	if err != nil {
		return false, err
	}
	k.Stop = &s
	a.knows(s.From.User, s.ID, k)
	return false, nil
}

func (a *applying) settleStop(op driver.SettleStop) error {
	if (op.Run == 0) == (op.Answers == 0) {
		return holdfast.Errorf(holdfast.CodeInvalid, "settling names a run or a message, one of them")
	}
	if op.Answers != 0 {
		return a.settleWaiting(&op)
	}
	i, open, r, err := a.find(op.Run)
	if err != nil {
		return err
	}
	if open {
		r = a.info.Open[i]
	}
	switch {
	case r.Stop.State != "" && r.Stop.ID != op.ID, open && r.Stop.State == "":
		return holdfast.Errorf(holdfast.CodeConflict, "the run at offset %d has no stop of this id", op.Run)
	case open:
		return a.end(i, holdfast.RunStopped, holdfast.StopUnreachable, nil)
	case r.Stop.State == "":
		return runError(holdfast.CodeEnded, &r, "the run at offset %d has ended as %s", r.Run, r.Status)
	}
	a.out.Result.Run, a.out.Result.Stop = r, stopOf(&r)
	return nil
}

func (a *applying) settleWaiting(op *driver.SettleStop) error {
	i, ok := a.waiting(op.Answers)
	if !ok || a.info.Stops[i].ID != op.ID {
		return holdfast.Errorf(holdfast.CodeNotFound, "no stop of this id waits for an answer to offset %d", op.Answers)
	}
	s := a.info.Stops[i]
	a.out.Result.Stop = s
	if s.State == holdfast.StopUnreachable {
		return nil
	}
	s.State = holdfast.StopUnreachable
	a.info.Stops = slices.Clone(a.info.Stops)
	a.info.Stops[i] = s
	return a.settled(s)
}

// settled writes the event of a stop's outcome, which is the session's own, and keeps it under the stop's id.
func (a *applying) settled(s driver.StopInfo) error {
	k, err := a.stopKnown(s.Stop)
	if err != nil {
		return err
	}
	a.event(&s, "", holdfast.Sender{})
	if s.Run == 0 {
		a.turnOver(s.Answers) // nobody was found who would answer it
	}
	k.Stop = &s
	a.knows(s.From.User, s.ID, k)
	a.out.Result.Stop = s
	return nil
}

// event writes how a stop stands now.
func (a *applying) event(s *driver.StopInfo, id string, from holdfast.Sender) *holdfast.Entry {
	e := a.put(&driver.NewEntry{Kind: holdfast.KindEvent, ID: id, From: from, Data: stopData(s), Feed: true})
	a.out.Items = append(a.out.Items, driver.Item{Entry: &e, Stop: s})
	return &e
}

// knows sets what an id stands for, in what follows in this operation too.
func (a *applying) knows(user holdfast.UserID, id string, k Known) {
	a.uses(user, id, k)
	a.out.Effects.Known = append(a.out.Effects.Known, Keyed{User: user, ID: id, Known: k})
}

func answersID(o holdfast.Offset) string { return strconv.FormatUint(uint64(o), 10) }

func stopOf(r *holdfast.RunInfo) driver.StopInfo {
	return driver.StopInfo{Stop: r.Stop, Run: r.Run, Answers: r.Answers}
}

// stopData is what the event of a stop says.
func stopData(s *driver.StopInfo) json.RawMessage {
	ev := holdfast.StopEvent{ID: s.ID, Run: s.Run, Answers: s.Answers, State: s.State, User: s.From.User, Client: s.From.Client}
	return ev.Marshal()
}

// NoStop is the error of asking for a stop that is not there.
func NoStop(id string) error {
	return holdfast.Errorf(holdfast.CodeNotFound, "there is no stop with the id %q of this user", id)
}
