// Package runtest lets several producers, people who press Stop and readers meet at one run, writes down what each of them
// asked and was told, and finds out whether all of it could have happened in some order, one after the other, by the rules of
// docs/runs.md. The rules are written down here once more, from that page and not from the code that they judge.
package runtest

import (
	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast"
)

// Kind is what somebody asks.
type Kind string

// What producers ask, what a person does, and what a reader does.
const (
	Open   Kind = "open"
	Append Kind = "append"
	End    Kind = "end"
	Stop   Kind = "stop"
	Read   Kind = "read"
)

// What the server does by itself, at a time that nobody is told.
const (
	// lapse: the lease lapsed.
	lapse Kind = "lapse"
	// settle: the grace of a stop was over.
	settle Kind = "settle"
)

// Ask is one request.
type Ask struct {
	Kind Kind
	// TakeOver is for Open.
	TakeOver bool
	// Fence is for Append and End; After and Count, the number of fragments, for Append; Status for End.
	Fence        holdfast.Fence
	After, Count int
	Status       holdfast.RunStatus
}

// Told is the answer to a request.
type Told struct {
	// Lost: there was no answer, so that nobody knows whether it was heard.
	Lost bool
	// away: it was surely not heard, and so is none of the history.
	away bool
	// Code is why it was refused, or empty.
	Code holdfast.Code
	// How the run stands; Append tells only Fragments.
	Status    holdfast.RunStatus
	Fence     holdfast.Fence
	Fragments int
	Stop      holdfast.StopState
}

// state is a run, and the stop of it or of the answer that it will be.
type state struct {
	// status is empty while there is no run.
	status    holdfast.RunStatus
	fence     holdfast.Fence
	fragments int
	stop      holdfast.StopState
}

func (s state) told() Told {
	return Told{Status: s.status, Fence: s.fence, Fragments: s.fragments, Stop: s.stop}
}

func (s state) refused(code holdfast.Code) (state, Told) {
	t := s.told()
	t.Code = code
	return s, t
}

// after returns what a request makes of the state, and what it is answered.
func (s state) after(a *Ask) (state, Told) {
	switch a.Kind {
	case Open:
		return s.opened(a)
	case Append:
		return s.appended(a)
	case End:
		return s.ended(a)
	case Stop:
		return s.stopped()
	}
	return s, s.told()
}

func (s state) opened(a *Ask) (state, Told) {
	switch {
	case s.status == "" && s.stop == holdfast.StopUnreachable:
		// It was given up before it began, and still counts.
		s = state{status: holdfast.RunStopped, fence: 1, stop: holdfast.StopStopped}
	case s.status == "":
		s.status, s.fence = holdfast.RunOpen, 1
	case s.status == holdfast.RunOpen && a.TakeOver:
		s.fence++
	}
	return s, s.told()
}

func (s state) appended(a *Ask) (state, Told) {
	repeated := a.Count > 0 && a.After+a.Count <= s.fragments
	switch {
	case s.status == "":
		return s.refused(holdfast.CodeNotFound)
	case s.fence != a.Fence:
		return s.refused(holdfast.CodeFenced)
	case s.status == holdfast.RunStopped && s.stop != "":
		return s.refused(holdfast.CodeStopped)
	case s.status.Ended():
		return s.refused(holdfast.CodeEnded)
	case s.stop != "" && !repeated:
		return s.refused(holdfast.CodeStopped)
	case a.After > s.fragments:
		return s.refused(holdfast.CodeGap)
	}
	s.fragments = max(s.fragments, a.After+a.Count)
	return s, s.told()
}

func (s state) ended(a *Ask) (state, Told) {
	switch {
	case s.status == "":
		return s.refused(holdfast.CodeNotFound)
	case s.fence != a.Fence:
		return s.refused(holdfast.CodeFenced)
	case s.status.Ended() && s.status != a.Status:
		return s.refused(holdfast.CodeEnded)
	case s.status.Ended():
		return s, s.told()
	case s.stop != "" && a.Status == holdfast.RunStopped:
		s.stop = holdfast.StopStopped
	case s.stop != "":
		s.stop = holdfast.StopTooLate
	}
	s.status = a.Status
	return s, s.told()
}

func (s state) stopped() (state, Told) {
	t := s.told()
	switch {
	case s.stop != "":
	case s.status.Ended():
		// It is told, and does not become the run's.
		t.Stop = holdfast.StopTooLate
		return s, t
	default:
		s.stop = holdfast.StopRequested
	}
	return s, s.told()
}

// byItself returns what the server may make of the state when a time is over.
func (s state) byItself(k Kind) state {
	requested := s.stop == holdfast.StopRequested
	switch {
	case s.status == holdfast.RunOpen && requested:
		s.status, s.stop = holdfast.RunStopped, holdfast.StopUnreachable
	case s.status == holdfast.RunOpen && k == lapse:
		s.status = holdfast.RunInterrupted
	case s.status == "" && requested && k == settle:
		s.stop = holdfast.StopUnreachable
	}
	return s
}

// fits reports whether what was told is what the rules say.
func fits(a *Ask, told, want Told) bool {
	switch {
	case told.Code != want.Code:
		return false
	case told.Code != "":
		return true
	case a.Kind == Append:
		return told.Fragments == want.Fragments
	case a.Kind == Stop:
		return told.Stop == want.Stop
	}
	return told == want
}

// model is the run for porcupine: every way in which it may have gone on.
func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{}} },
		Step: func(before, input, output any) []any {
			s, a, told := before.(state), input.(*Ask), output.(Told)
			if a.Kind == lapse || a.Kind == settle {
				return []any{s, s.byItself(a.Kind)}
			}
			next, want := s.after(a)
			switch {
			case told.Lost:
				return []any{s, next}
			case fits(a, told, want):
				return []any{next}
			}
			return nil
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return m.ToModel()
}
