package storetest

import (
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// The stops of the model. They are kept in one list, and what a run or a session has of them is found in it.

func (s *naiveStop) read() driver.StopInfo {
	if s == nil {
		return driver.StopInfo{}
	}
	return driver.StopInfo{Stop: holdfast.Stop{ID: s.id, From: s.from, At: s.at, State: s.state}, Run: s.run, Answers: s.answers}
}

// waiting is what Info.Stops must be.
func (n *naive) waiting() (out []driver.StopInfo) {
	for _, s := range n.stops {
		if s.waits {
			out = append(out, s.read())
		}
	}
	return out
}

func (n *naive) stopBy(user holdfast.UserID, id string) *naiveStop {
	for _, s := range n.stops {
		if s.id == id && s.from.User == user {
			return s
		}
	}
	return nil
}

// unsettled returns the requested stop of an open run.
func (n *naive) unsettled(run holdfast.Offset) *naiveStop {
	if e := n.at(run); e != nil && e.run != nil && !e.run.status.Ended() {
		return e.run.stop
	}
	return nil
}

// answerTo is the run that a stop of the answer to a message means.
func (n *naive) answerTo(message holdfast.Offset) (found *naiveEntry) {
	for _, e := range n.entries {
		if e.run == nil || e.run.answers != message {
			continue
		}
		if found == nil || found.run.status.Ended() || !e.run.status.Ended() {
			found = e
		}
	}
	return found
}

// told takes the entry after the head for the event of a stop; what the engine wrote there is learned from it.
func (m *machine) told(n *naive, s *naiveStop, want driver.NewEntry) {
	m.rt.Helper()
	for id, other := range m.sessions {
		if other != n {
			continue
		}
		p := m.e.read(id, driver.Query{After: n.head(), Limit: 1})
		if len(p.Entries) != 1 {
			m.rt.Fatalf("there is no event of the stop %+v", s)
		}
		e := p.Entries[0]
		want.Kind, want.Data = holdfast.KindEvent, e.Data
		if err := n.put(want, driver.Written{Offset: e.Offset, Tag: e.Tag, At: e.At}, p.Info.Epoch); err != nil {
			m.rt.Fatal(err)
		}
		if want.ID != "" {
			s.at = e.At
		}
	}
}

// answered gives a new run what waits for it.
func (m *machine) answered(n *naive, run, answers holdfast.Offset) {
	r := n.at(run).run
	r.answers = answers
	for _, s := range n.stops {
		if !s.waits || s.answers != answers {
			continue
		}
		s.waits, s.run, r.stop = false, run, s
		if s.state == holdfast.StopUnreachable {
			r.status, s.state = holdfast.RunStopped, holdfast.StopStopped
			m.told(n, s, driver.NewEntry{})
		}
	}
}

// effective is the stop that a request is answered with where it makes no new one.
func (n *naive) effective(op *driver.RequestStop) (target *naiveEntry, s *naiveStop, code holdfast.Code) {
	if target = n.at(op.Run); op.Answers != 0 {
		target = n.answerTo(op.Answers)
		for _, s := range n.stops {
			if (target == nil || target.run.status.Ended()) && s.waits && s.answers == op.Answers {
				return nil, s, ""
			}
		}
		if target == nil && op.Answers > n.head() {
			return nil, nil, holdfast.CodeNotFound
		}
	} else if target == nil || target.run == nil || target.gone {
		return nil, nil, holdfast.CodeNotFound
	}
	if target != nil && !target.gone {
		s = target.run.stop
	}
	return target, s, ""
}

func (m *machine) stop(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.RequestStop{ID: rapid.SampledFrom([]string{"a", "s", "t", "u"}).Draw(rt, "id"),
		From: holdfast.Sender{User: rapid.SampledFrom([]holdfast.UserID{"", "ann"}).Draw(rt, "user")}}
	if rapid.Bool().Draw(rt, "by message") {
		op.Answers = holdfast.Offset(rapid.IntRange(1, int(n.head())+1).Draw(rt, "message"))
	} else if op.Run, _ = m.drawRun(rt, n); op.Run == 0 {
		rt.Skip("no target")
	}
	known := n.known(op.From.User, op.ID)
	target, effective, code := n.effective(&op)
	if known != nil {
		effective, code = n.stopBy(op.From.User, op.ID), ""
		if effective == nil {
			code = holdfast.CodeConflict
		}
	}
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err != nil {
		return
	}
	if effective == nil {
		effective = m.requested(n, target, &op)
	}
	same(m.e, "stop", r.Stop, effective.read())
	if r.Run.Run != 0 {
		m.checkRun(n, r.Run)
	}
}

// requested makes the stop that an operation asked for.
func (m *machine) requested(n *naive, target *naiveEntry, op *driver.RequestStop) *naiveStop {
	stop := &naiveStop{id: op.ID, from: op.From, answers: op.Answers, state: holdfast.StopRequested, waits: target == nil}
	if target != nil {
		stop.run, stop.answers = target.written.Offset, target.run.answers
		if target.run.status.Ended() {
			stop.state = holdfast.StopTooLate
		} else {
			target.run.stop = stop
		}
	}
	n.stops = append(n.stops, stop)
	m.told(n, stop, driver.NewEntry{ID: op.ID, From: op.From})
	return stop
}

func (m *machine) settle(rt *rapid.T) {
	s, n := m.pick(rt)
	if len(n.stops) == 0 {
		rt.Skip("no stops")
	}
	stop := rapid.SampledFrom(n.stops).Draw(rt, "stop")
	op := driver.SettleStop{Run: stop.run, ID: stop.id}
	if stop.run == 0 {
		op.Answers = stop.answers
	}
	var code holdfast.Code
	e := n.at(op.Run)
	switch {
	case e == nil && !stop.waits:
		code = holdfast.CodeNotFound
	case e != nil && e.gone:
		code = holdfast.CodeNotFound
	case e != nil && e.run.stop == nil && !e.run.status.Ended():
		code = holdfast.CodeConflict
	case e != nil && e.run.stop == nil:
		code = holdfast.CodeEnded
	case e != nil && e.run.stop.id != stop.id:
		code = holdfast.CodeConflict
	}
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err != nil {
		return
	}
	if e != nil {
		stop = e.run.stop // two users may have used one id
	}
	if stop.state == holdfast.StopRequested {
		stop.state = holdfast.StopUnreachable
		if e != nil {
			e.run.status = holdfast.RunStopped
		}
		m.told(n, stop, driver.NewEntry{})
		m.withdrawn(s, n, op.Run)
	}
	same(m.e, "settled", r.Stop, stop.read())
}
