package storetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// runModel plays random operations on an engine and on [naive] at once and compares every answer, and after each
// operation all that can be read. All plays share one engine; each has sessions of its own.
func runModel(t *testing.T, make func(t testing.TB) Harness) {
	h := make(t)
	e := &env{TB: t, harness: h, Driver: h.Open()}
	t.Cleanup(func() { _ = e.Close() })
	play := 0
	rapid.Check(t, func(rt *rapid.T) {
		play++
		m := &machine{rt: rt, e: e, sessions: map[holdfast.SessionID]*naive{}}
		e.TB = failing{t, rt}
		for i := range 2 {
			m.ids = append(m.ids, holdfast.SessionID(fmt.Sprintf("play%d:%d", play, i)))
			m.sessions[m.ids[i]] = &naive{}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append2": m.append, "open": m.open, "fragments": m.fragments, "fragments2": m.fragments,
			"end": m.end, "stop": m.stop, "settle": m.settle, "ask": m.ask, "answer": m.settleRequest,
			"trim": m.trim, "delete": m.delete, "reopen": m.reopen, "page": m.page, "": m.check,
		})
	})
	e.TB = t
}

// failing lets the helpers of env fail the play and not the test, so that rapid can make the play shorter.
type failing struct {
	testing.TB
	rt *rapid.T
}

func (f failing) Helper()                        {}
func (f failing) Fatal(args ...any)              { f.rt.Fatal(args...) }
func (f failing) Fatalf(format string, a ...any) { f.rt.Fatalf(format, a...) }

type machine struct {
	rt       *rapid.T
	e        *env
	ids      []holdfast.SessionID
	sessions map[holdfast.SessionID]*naive
}

func (m *machine) pick(rt *rapid.T) (holdfast.SessionID, *naive) {
	s := rapid.SampledFrom(m.ids).Draw(rt, "session")
	return s, m.sessions[s]
}

func drawEntry(rt *rapid.T, kinds ...holdfast.Kind) driver.NewEntry {
	n := driver.NewEntry{
		Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"),
		ID:   rapid.SampledFrom([]string{"", "a", "b", "c", "d"}).Draw(rt, "id"),
		From: holdfast.Sender{User: rapid.SampledFrom([]holdfast.UserID{"", "ann"}).Draw(rt, "user")},
		Data: json.RawMessage(rapid.SampledFrom([]string{"", "1", `"xyz"`}).Draw(rt, "data")),
	}
	if n.Kind == holdfast.KindState {
		n.Key = rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "key")
	}
	return n
}

func (m *machine) append(rt *rapid.T) {
	s, n := m.pick(rt)
	var op driver.Append
	for range rapid.IntRange(1, 4).Draw(rt, "count") {
		op.Entries = append(op.Entries, drawEntry(rt, holdfast.KindMessage, holdfast.KindState, holdfast.KindState, holdfast.KindEvent))
	}
	r := m.e.apply(s, op)
	for i, ne := range op.Entries {
		if err := n.check(ne, r.Entries[i], r.Epoch); err != nil {
			rt.Fatal(err)
		}
	}
}

func (m *machine) open(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.OpenRunOp{Entry: drawEntry(rt, holdfast.KindRun), TakeOver: rapid.Bool().Draw(rt, "take over")}
	if rapid.Bool().Draw(rt, "answers") {
		op.Answers = holdfast.Offset(rapid.IntRange(0, int(n.head())+1).Draw(rt, "message"))
	}
	op.Rollup = rapid.SampledFrom([]time.Duration{0, 100 * time.Millisecond, holdfast.MaxRollup}).Draw(rt, "rollup")
	old := n.known(op.Entry.From.User, op.Entry.ID)
	r, err := m.e.Apply(m.e.ctx(), s, op)
	if old != nil && old.run == nil {
		m.e.code(holdfast.CodeConflict, err)
		return
	}
	if old == nil && op.Answers > n.head() {
		m.e.code(holdfast.CodeNotFound, err)
		return
	}
	m.e.code("", err)
	if err := n.check(op.Entry, r.Entries[0], r.Epoch); err != nil {
		rt.Fatal(err)
	}
	if old == nil {
		n.at(r.Run.Run).run.rollup = op.Rollup
		m.answered(n, r.Run.Run, op.Answers)
	}
	if old != nil && op.TakeOver && !old.run.status.Ended() {
		old.run.fence++
	}
	m.checkRun(n, r.Run)
}

// checkRun compares what an answer says of a run.
func (m *machine) checkRun(n *naive, got holdfast.RunInfo) {
	m.rt.Helper()
	e := n.at(got.Run)
	if e == nil || e.run == nil {
		m.rt.Fatalf("answer speaks of run %+v, which is not there", got)
	}
	r := e.run.read()
	want := holdfast.RunInfo{Run: got.Run, ID: e.ID, Status: r.Status, Fence: r.Fence, Fragments: r.Fragments, Tag: r.Tag, At: e.written.At,
		Changed: got.Changed, Answers: r.Answers, Stop: r.Stop, Rollup: r.Rollup}
	for _, f := range e.run.fragments {
		want.Bytes += int64(len(f.Text) + len(f.Event))
		want.TextBytes += int64(len(f.Text))
	}
	same(m.e, "run", got, want)
}

func (m *machine) drawRun(rt *rapid.T, n *naive) (holdfast.Offset, holdfast.Fence) {
	o := holdfast.Offset(rapid.IntRange(0, int(n.head())+1).Draw(rt, "offset"))
	var runs []holdfast.Offset
	for i, e := range n.entries {
		if e.run != nil {
			runs = append(runs, holdfast.Offset(i+1))
		}
	}
	if len(runs) > 0 && rapid.IntRange(0, 9).Draw(rt, "any offset") > 0 {
		o = rapid.SampledFrom(runs).Draw(rt, "run")
	}
	fence := holdfast.Fence(rapid.IntRange(0, 3).Draw(rt, "fence"))
	if e := n.at(o); e != nil && e.run != nil && rapid.IntRange(0, 4).Draw(rt, "any fence") > 0 {
		fence = e.run.fence
	}
	return o, fence
}

func (m *machine) fragments(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.AppendFragments{}
	op.Run, op.Fence = m.drawRun(rt, n)
	have := 0
	if e := n.at(op.Run); e != nil && e.run != nil {
		have = len(e.run.fragments)
	}
	op.After = int64(rapid.IntRange(-1, have+1).Draw(rt, "after"))
	if rapid.Bool().Draw(rt, "next") {
		op.After = int64(have)
	}
	for range rapid.IntRange(0, 3).Draw(rt, "count") {
		op.Fragments = append(op.Fragments, rapid.SampledFrom(mixedFragments()).Draw(rt, "fragment"))
	}
	repeated, code := n.fragments(op)
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err == nil {
		same(m.e, "repeated", r.Repeated, repeated)
		m.checkRun(n, r.Run)
	}
}

func (m *machine) end(rt *rapid.T) {
	s, n := m.pick(rt)
	op := driver.EndRun{Status: rapid.SampledFrom([]holdfast.RunStatus{holdfast.RunComplete, holdfast.RunStopped, holdfast.RunInterrupted}).Draw(rt, "status"),
		Force: rapid.IntRange(0, 4).Draw(rt, "force") == 0,
		Data:  json.RawMessage(rapid.SampledFrom([]string{"", `{"u":1}`}).Draw(rt, "data"))}
	op.Run, op.Fence = m.drawRun(rt, n)
	open := n.unsettled(op.Run)
	code := n.end(op)
	r, err := m.e.Apply(m.e.ctx(), s, op)
	m.e.code(code, err)
	if err != nil {
		return
	}
	if open != nil && open.state.Settled() {
		m.told(n, open, driver.NewEntry{})
	}
	m.withdrawn(s, n, op.Run)
	m.checkRun(n, r.Run)
}

func (m *machine) trim(rt *rapid.T) {
	s, n := m.pick(rt)
	before := holdfast.Offset(rapid.IntRange(0, int(n.head())+2).Draw(rt, "before"))
	code := n.trim(before)
	_, err := m.e.Apply(m.e.ctx(), s, driver.Trim{Before: before})
	m.e.code(code, err)
}

func (m *machine) delete(rt *rapid.T) {
	if rapid.IntRange(0, 3).Draw(rt, "really") > 0 {
		rt.Skip("rarely")
	}
	s, _ := m.pick(rt)
	m.e.remove(s)
	m.sessions[s] = &naive{}
}

func (m *machine) reopen(rt *rapid.T) {
	if !m.e.harness.Durable || rapid.IntRange(0, 15).Draw(rt, "really") > 0 {
		rt.Skip("rarely")
	}
	m.e.reopen()
}

func (m *machine) page(rt *rapid.T) {
	s, n := m.pick(rt)
	q := driver.Query{
		After: holdfast.Offset(rapid.IntRange(0, int(n.head())+1).Draw(rt, "after")),
		Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), MaxBytes: rapid.IntRange(1, 40).Draw(rt, "bytes"),
	}
	if rapid.Bool().Draw(rt, "backward") {
		q.Before = holdfast.Offset(rapid.IntRange(1, int(n.head())+2).Draw(rt, "before"))
	}
	es, more := n.page(q)
	p := m.e.read(s, q)
	same(m.e, "page", p.Entries, es)
	same(m.e, "more", p.More, more)
}

// check compares all that can be read.
func (m *machine) check(*rapid.T) {
	for s, n := range m.sessions {
		c := m.e.dump(s)
		want := n.read()
		same(m.e, "entries", c.Page.Entries, want)
		var states []holdfast.Entry
		var bytes int64
		for i := range want {
			bytes += size(&want[i])
			if want[i].Kind == holdfast.KindState {
				states = append(states, want[i])
			}
		}
		same(m.e, "states", c.States, states)
		tags := map[holdfast.Offset]holdfast.Tag{}
		for i, e := range n.entries {
			if e.tag {
				tags[holdfast.Offset(i+1)] = e.written.Tag
			}
		}
		same(m.e, "tags", c.Tags, tags)
		got := c.Page.Info
		info := driver.Info{Epoch: n.epoch, First: n.first, Head: n.head(), Entries: int64(len(want)), Bytes: bytes, Created: got.Created,
			Changed: got.Changed, Open: got.Open, Stops: n.waiting(), Requests: n.asks()}
		if n.epoch != "" {
			info.Session = s
			info.HeadTag = n.entries[n.head()-1].written.Tag
		}
		same(m.e, "info", got, info)
		m.checkOpen(n, got.Open)
	}
}

func (m *machine) checkOpen(n *naive, open []holdfast.RunInfo) {
	for i := range n.entries {
		r := n.entries[i].run
		if r == nil || r.status.Ended() {
			continue
		}
		if len(open) == 0 || open[0].Run != holdfast.Offset(i+1) {
			m.rt.Fatalf("run %d is open and not in info, which goes on with %+v", i+1, open)
		}
		m.checkRun(n, open[0])
		open = open[1:]
	}
	if len(open) > 0 {
		m.rt.Fatalf("open runs that are not: %+v", open)
	}
}
