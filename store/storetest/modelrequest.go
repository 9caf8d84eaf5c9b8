package storetest

import (
	"encoding/json"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// naiveRequest is a request of the model; id is that of the answer.
type naiveRequest struct {
	holdfast.Request
	id string
}

// asks is what Info.Requests must be.
func (n *naive) asks() (out []holdfast.Request) {
	for _, q := range n.requests {
		if !q.State.Settled() {
			out = append(out, q.Request)
		}
	}
	return out
}

func (n *naive) requestAt(o holdfast.Offset) *naiveRequest {
	for _, q := range n.requests {
		if q.Offset == o {
			return q
		}
	}
	return nil
}

func (m *machine) ask(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.OpenRequest{ID: rapid.SampledFrom([]string{"a", "b", "q1", "q2", "q3"}).Draw(rt, "id"), Data: json.RawMessage(`1`),
		Default: json.RawMessage(rapid.SampledFrom([]string{"", `"no"`}).Draw(rt, "default")),
		Within:  rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Hour}).Draw(rt, "within")}
	op.To = rapid.SampledFrom([][]holdfast.UserID{nil, {"ann"}, {"bob", "cid"}}).Draw(rt, "to")
	if rapid.Bool().Draw(rt, "of a run") {
		op.Run, op.Fence = m.drawRun(rt, n)
		op.Outlives = op.Run != 0 && rapid.Bool().Draw(rt, "outlives")
	}
	known, code := n.known("", op.ID), n.mayAsk(&op)
	if known != nil {
		code = ""
		if n.requestAt(known.written.Offset) == nil {
			code = holdfast.CodeConflict
		}
	}
	if op.Run == 0 && op.Fence != 0 {
		code = holdfast.CodeInvalid
	}
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err != nil {
		return
	}
	if known == nil {
		q := r.Request
		within := op.Within
		if within == 0 {
			within = driver.DefaultRequestTime
		}
		want := holdfast.Request{Offset: n.head() + 1, ID: op.ID, Run: op.Run, Outlives: op.Outlives, To: op.To, At: q.At, By: q.At.Add(within),
			State: holdfast.RequestOpen}
		same(m.e, "opened", q, want)
		n.requests = append(n.requests, &naiveRequest{Request: want})
		m.toldRequest(s, n, driver.NewEntry{ID: op.ID})
		return
	}
	same(m.e, "opened before", r.Request, n.requestAt(known.written.Offset).Request)
}

func (n *naive) mayAsk(op *driver.OpenRequest) holdfast.Code {
	if op.Run == 0 {
		return ""
	}
	e := n.at(op.Run)
	switch {
	case e == nil || e.gone || e.run == nil:
		return holdfast.CodeNotFound
	case op.Fence != 0 && op.Fence != e.run.fence:
		return holdfast.CodeFenced
	case e.run.stop != nil && (!e.run.status.Ended() || e.run.status == holdfast.RunStopped):
		return holdfast.CodeStopped
	case e.run.status.Ended():
		return holdfast.CodeEnded
	}
	return ""
}

// toldRequest takes the entry after the head for the event of a request; what the engine wrote there is learned from it.
func (m *machine) toldRequest(s holdfast.SessionID, n *naive, want driver.NewEntry) holdfast.Entry {
	m.rt.Helper()
	p := m.e.read(s, driver.Query{After: n.head(), Limit: 1})
	if len(p.Entries) != 1 {
		m.rt.Fatal("there is no event of the request")
	}
	e := p.Entries[0]
	want.Kind, want.Data = holdfast.KindEvent, e.Data
	if err := n.put(want, driver.Written{Offset: e.Offset, Tag: e.Tag, At: e.At}, p.Info.Epoch); err != nil {
		m.rt.Fatal(err)
	}
	return e
}

// settled makes a request of the model what the event after the head says, which must be what is wanted.
func (m *machine) settled(s holdfast.SessionID, n *naive, q *naiveRequest, op driver.SettleRequest) {
	m.rt.Helper()
	e := m.toldRequest(s, n, driver.NewEntry{ID: op.ID, From: op.From})
	ev, _ := e.RequestEvent()
	same(m.e, "event", ev, holdfast.RequestEvent{Offset: q.Offset, ID: q.ID, State: op.State, User: op.From.User, Client: op.From.Client, Data: op.Data})
	q.State, q.Settled, q.SettledAt, q.From, q.id = op.State, e.Offset, e.At, op.From, op.ID
}

// withdrawn settles the requests of a run that has ended.
func (m *machine) withdrawn(s holdfast.SessionID, n *naive, run holdfast.Offset) {
	for _, q := range n.requests {
		if run != 0 && q.Run == run && !q.Outlives && !q.State.Settled() {
			m.settled(s, n, q, driver.SettleRequest{State: holdfast.RequestWithdrawn})
		}
	}
}

func (m *machine) settleRequest(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.SettleRequest{Request: holdfast.Offset(rapid.IntRange(0, int(n.head())+1).Draw(rt, "offset")),
		ID:    rapid.SampledFrom([]string{"", "a", "a1", "a2"}).Draw(rt, "id"),
		From:  holdfast.Sender{User: rapid.SampledFrom([]holdfast.UserID{"", "ann"}).Draw(rt, "user")},
		Data:  json.RawMessage(rapid.SampledFrom([]string{"", `"yes"`}).Draw(rt, "data")),
		State: rapid.SampledFrom([]holdfast.RequestState{holdfast.RequestAnswered, holdfast.RequestWithdrawn, holdfast.RequestExpired}).Draw(rt, "state"),
	}
	if len(n.requests) > 0 && rapid.IntRange(0, 9).Draw(rt, "any offset") > 0 {
		op.Request = rapid.SampledFrom(n.requests).Draw(rt, "request").Offset
	}
	q := n.requestAt(op.Request)
	known := n.known(op.From.User, op.ID)
	late := q != nil && q.By.Sub(q.At) < time.Second
	if late {
		m.e.pass(q.By)
	}
	var code holdfast.Code
	switch {
	case q == nil:
		code = holdfast.CodeNotFound
	case !q.State.Settled() && op.State == holdfast.RequestAnswered && !q.MayAnswer(op.From.User):
		code = holdfast.CodeForbidden
	case known != nil && known.written.Offset != q.Settled:
		code = holdfast.CodeConflict
	}
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err != nil {
		return
	}
	lost := false
	switch {
	case q.State.Settled() && known == nil:
		lost = op.ID != "" || op.State != q.State || op.State == holdfast.RequestAnswered
	case q.State.Settled():
	case late:
		lost = op.State != holdfast.RequestExpired
		asked, _ := naiveEvent(n, q.Offset)
		m.settled(s, n, q, driver.SettleRequest{State: holdfast.RequestExpired, Data: asked.Default})
	case op.State != holdfast.RequestExpired:
		m.settled(s, n, q, op)
	}
	same(m.e, "settled", []any{r.Request, r.Lost}, []any{q.Request, lost})
	same(m.e, "by its offset", fmt.Sprint(m.e.Request(m.e.ctx(), s, q.Offset)), fmt.Sprint(q.Request, nil))
}

// naiveEvent is what the event at an offset said.
func naiveEvent(n *naive, o holdfast.Offset) (holdfast.RequestEvent, bool) {
	e := holdfast.Entry{Kind: holdfast.KindEvent, Data: n.at(o).Data}
	return e.RequestEvent()
}
