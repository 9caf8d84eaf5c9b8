package pebble

import (
	"fmt"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
)

var requestStates = [...]holdfast.RequestState{1: holdfast.RequestOpen, 2: holdfast.RequestAnswered, 3: holdfast.RequestExpired,
	4: holdfast.RequestWithdrawn}

// request writes a request without what is asked and answered, which is in its events.
func (w *writer) request(q *holdfast.Request) {
	w.byte(codeOf(requestStates[:], q.State))
	w.uint(uint64(q.Offset))
	w.str(q.ID)
	w.uint(uint64(q.Run))
	w.byte(flag(q.Outlives))
	w.uint(uint64(len(q.To)))
	for _, u := range q.To {
		w.str(string(u))
	}
	w.time(q.At)
	w.time(q.By)
	if !q.State.Settled() {
		return
	}
	w.uint(uint64(q.Settled))
	w.time(q.SettledAt)
	w.str(string(q.From.User))
	w.str(string(q.From.Client))
}

func (r *reader) request() (q holdfast.Request) {
	q.State = valueOf(r, requestStates[:])
	q.Offset = holdfast.Offset(r.uint())
	q.ID = r.str()
	q.Run = holdfast.Offset(r.uint())
	q.Outlives = r.flag()
	for range r.count() {
		q.To = append(q.To, holdfast.UserID(r.str()))
	}
	q.At, q.By = r.time(), r.time()
	if !q.State.Settled() {
		return q
	}
	q.Settled = holdfast.Offset(r.uint())
	q.SettledAt = r.time()
	q.From.User = holdfast.UserID(r.str())
	q.From.Client = holdfast.ClientID(r.str())
	return q
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (r *reader) flag() bool {
	c := r.byte()
	if c > 1 {
		r.fail(fmt.Errorf("it has a flag that is %d", c))
	}
	return c == 1
}

// requests checks that the open requests have their events, and are not among those that are settled.
func (w *walk) requests() error {
	for i := range w.info.Requests {
		q := &w.info.Requests[i]
		e, ok, err := loadEntry(w.r, w.info.Session, q.Offset)
		if ev, asks := e.Entry.RequestEvent(); !ok || err != nil || !asks || ev.ID != q.ID || ev.By != q.By.UnixMilli() {
			w.problem("the event of the open request %d is not there", q.Offset)
		}
		_, settled, err := get(w.r, idKey(w.info.Session, session.RequestsScope, session.RequestID(q.Offset)))
		if err != nil {
			return err
		}
		if settled {
			w.problem("the request %d is both open and settled", q.Offset)
		}
	}
	return nil
}
