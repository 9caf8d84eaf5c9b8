package storetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// testTurnsInterleaved plays random interleavings of everything that has to do with turns, and after each operation compares
// the session with what a plain model says: who is in the log, in which order, who waits, and whose turn it is. At the end of
// each play everything that is under way is brought to its end, and then nothing may be left waiting.
func testTurnsInterleaved(e *env) {
	plays := 1000
	if e.harness.Durable {
		plays = 200 // each operation is synced to disk, and the rules are the same
	}
	for seed := range plays {
		p := &turnsPlay{env: e, s: holdfast.SessionID(fmt.Sprintf("turns-%d", seed)), seed: seed, r: rand.New(rand.NewPCG(uint64(seed), 4)),
			model: model{fate: map[ref]holdfast.TurnState{}, runs: map[holdfast.Offset]*turnsRun{}}}
		p.play()
	}
}

type ref = driver.HeldRef

// turnsPlay is one play, and its model.
type turnsPlay struct {
	*env
	s    holdfast.SessionID
	seed int
	r    *rand.Rand
	n    int // commands and runs so far
	sent []ref

	model
}

// model is what the session must be like.
type model struct {
	rules driver.TurnRules
	fate  map[ref]holdfast.TurnState // of what is known: "" is in the log
	log   []ref
	queue []ref
	turn  ref  // no ID: nobody's
	brief bool // it has little time
	begun bool // a run was opened that answers it
	// awaited: a stop waits for the answer.
	awaited bool
	runs    map[holdfast.Offset]*turnsRun // that are open
}

func (m *model) clone() model {
	c := *m
	c.fate, c.log, c.queue, c.runs = maps.Clone(m.fate), slices.Clone(m.log), slices.Clone(m.queue), map[holdfast.Offset]*turnsRun{}
	for o, r := range m.runs {
		run := *r
		c.runs[o] = &run
	}
	return c
}

type turnsRun struct {
	answers ref
	stopped bool
}

var turnUsers = []holdfast.Sender{{User: "ann", Client: "phone"}, {User: "ann", Client: "laptop"}, {User: "bob", Client: "b1"}, {User: "cy", Client: "c1"}}

func (p *turnsPlay) play() {
	p.setTurns()
	for range 30 {
		p.step()
	}
	for range 200 { // to the end
		if len(p.runs) == 0 && p.turn.ID == "" {
			break
		}
		for o := range p.runs {
			p.end(o)
			p.check("ending at last")
		}
		p.done(false)
	}
	if len(p.queue) > 0 || len(p.runs) > 0 {
		p.Fatalf("play %d: nothing is under way, and %v wait", p.seed, p.queue)
	}
	for _, m := range p.sent {
		n := 0
		for _, l := range p.log {
			if l == m {
				n++
			}
		}
		if fate, known := p.fate[m]; known && (fate == "") != (n == 1) || n > 1 || !known && n > 0 {
			p.Fatalf("play %d: %v is in the log %d times, and it is said that it was %q", p.seed, m, n, fate)
		}
	}
}

func (p *turnsPlay) step() {
	p.waitOver()
	what := ""
	switch k := p.r.IntN(20); {
	case k < 8:
		what = "send"
		p.send()
	case k < 10:
		what = "open"
		p.open()
	case k < 13:
		what = "end"
		if o, ok := p.someRun(); ok {
			p.end(o)
		}
	case k < 14:
		what = "stop"
		p.stop()
	case k < 15:
		what = "settle"
		p.settle()
	case k < 17:
		what = "edit"
		p.edit()
	case k < 18:
		what = "done"
		p.done(p.r.IntN(2) == 0)
	case k < 19:
		what = "set"
		p.setTurns()
	default:
		what = "restart"
		p.again()
	}
	p.check(what)
}

// waitOver lets the time pass that the turn has, if it has little, so that it is over in the model and in the engine.
func (p *turnsPlay) waitOver() {
	if t := p.info(p.s).Turns.Turn; p.brief && !t.Until.IsZero() {
		p.pass(t.Until)
	}
}

func (p *turnsPlay) setTurns() {
	p.rules = driver.TurnRules{Limit: 1 + p.r.IntN(6), Wait: time.Hour, Policy: []holdfast.TurnPolicy{holdfast.TurnQueue, holdfast.TurnLatest, holdfast.TurnReject,
		holdfast.TurnInterrupt, holdfast.TurnQueue, holdfast.TurnInterrupt, holdfast.TurnParallel}[p.r.IntN(7)]}
	if p.r.IntN(8) == 0 {
		p.rules.Wait = time.Millisecond
	}
	p.apply(p.s, driver.SetTurns{Rules: p.rules})
	p.free()
}

func (p *turnsPlay) busy() bool { return len(p.runs) > 0 || p.turn.ID != "" }

// over ends the turn of a message.
func (p *turnsPlay) over(m ref) {
	if m.ID != "" && p.turn == m {
		p.turn, p.begun, p.awaited = ref{}, false, false
	}
}

// free lets in what has its turn.
func (p *turnsPlay) free() {
	if p.rules.Parallel() {
		p.over(p.turn)
	}
	in := false
	for len(p.queue) > 0 && (p.rules.Parallel() || !p.busy()) {
		m := p.queue[0]
		p.queue = p.queue[1:]
		p.enter(m)
		in = true
	}
	if in && len(p.queue) > 0 && p.rules.Policy == holdfast.TurnInterrupt {
		p.interrupted()
	}
}

func (p *turnsPlay) enter(m ref) {
	p.log = append(p.log, m)
	p.fate[m] = ""
	if !p.rules.Parallel() {
		p.turn, p.begun, p.awaited, p.brief = m, false, false, p.rules.Wait == time.Millisecond
	}
}

func (p *turnsPlay) interrupted() {
	for _, r := range p.runs {
		r.stopped = true
	}
	p.awaited = p.awaited || p.turn.ID != "" && !p.begun
}

func (p *turnsPlay) send() {
	from := turnUsers[p.r.IntN(len(turnUsers))]
	m := ref{User: from.User, ID: fmt.Sprintf("%s:%d", from.Client, len(p.sent))}
	if len(p.sent) > 0 && p.r.IntN(5) == 0 { // again, perhaps what was refused
		m = p.sent[p.r.IntN(len(p.sent))]
		from.User = m.User
	}
	data, _ := json.Marshal(m.ID)
	r, err := p.Apply(p.ctx(), p.s, driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, ID: m.ID, From: from, Data: data, Feed: true}}})
	if fate, known := p.fate[m]; known {
		p.code("", err)
		same(p, "a repeat", []any{r.Entries[0].Duplicate, r.Entries[0].State}, []any{true, fate})
		return
	}
	if !slices.Contains(p.sent, m) {
		p.sent = append(p.sent, m)
	}
	undo := p.model.clone()
	p.lapse()
	code, state := p.sending(m)
	p.code(code, err)
	if code != "" {
		p.model = undo // and nothing has happened
		return
	}
	same(p, "sent", []any{r.Entries[0].Duplicate, r.Entries[0].State}, []any{false, state})
}

// lapse is what the model makes of a turn whose time is over.
func (p *turnsPlay) lapse() {
	if p.brief && !p.begun {
		p.over(p.turn)
		p.free()
	}
}

// sending is what the model makes of a new message.
func (p *turnsPlay) sending(m ref) (holdfast.Code, holdfast.TurnState) {
	at := slices.IndexFunc(p.queue, func(o ref) bool { return o.User == m.User })
	switch {
	case p.rules.Parallel() || !p.busy():
		p.enter(m)
		return "", ""
	case p.rules.Policy == holdfast.TurnReject:
		return holdfast.CodeConflict, ""
	case p.rules.Policy == holdfast.TurnLatest && at >= 0:
		for _, o := range p.queue {
			if o.User == m.User {
				p.fate[o] = holdfast.TurnReplaced
			}
		}
		p.queue[at] = m
		kept := p.queue[:0]
		for _, o := range p.queue {
			if o.User != m.User || o == m {
				kept = append(kept, o)
			}
		}
		p.queue = kept
	case len(p.queue) >= p.rules.Most():
		return holdfast.CodeRateLimited, ""
	default:
		p.queue = append(p.queue, m)
	}
	p.fate[m] = holdfast.TurnQueued
	if p.rules.Policy == holdfast.TurnInterrupt {
		p.interrupted()
	}
	return "", holdfast.TurnQueued
}

func (p *turnsPlay) name(what string) string {
	p.n++
	return fmt.Sprintf("%s-%d", what, p.n)
}

// place is where a message stands in the log.
func (p *turnsPlay) place(m ref) holdfast.Offset {
	for _, en := range p.read(p.s, every()).Entries {
		if en.Kind == holdfast.KindMessage && en.From.User == m.User && en.ID == m.ID {
			return en.Offset
		}
	}
	return 0
}

// open opens a run that answers the message whose turn it is, or an earlier one, or none.
func (p *turnsPlay) open() {
	run := &turnsRun{}
	if k := p.r.IntN(4); k < 2 && p.turn.ID != "" {
		run.answers = p.turn
	} else if k == 2 && len(p.log) > 0 {
		run.answers = p.log[p.r.IntN(len(p.log))]
	}
	op := opening(p.name("run"))
	if run.answers.ID != "" {
		op.Answers = p.place(run.answers)
	}
	waits := p.stopThatWaits(op.Answers)
	r := p.apply(p.s, op)
	if waits != nil {
		run.stopped = true
	}
	if run.answers.ID != "" && run.answers == p.turn {
		p.begun, p.awaited = true, false
	}
	if r.Run.Status.Ended() {
		if waits == nil || waits.State != holdfast.StopUnreachable {
			p.Fatalf("play %d: the run ended as it was opened: %+v", p.seed, r.Run)
		}
		p.over(run.answers)
		p.free()
		return
	}
	p.runs[r.Run.Run] = run
}

func (p *turnsPlay) stopThatWaits(answers holdfast.Offset) *driver.StopInfo {
	for _, s := range p.info(p.s).Stops {
		if s.Answers == answers {
			return &s
		}
	}
	return nil
}

func (p *turnsPlay) someRun() (holdfast.Offset, bool) {
	var all []holdfast.Offset
	for o := range p.runs {
		all = append(all, o)
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return all[p.r.IntN(len(all))], true
}

func (p *turnsPlay) end(o holdfast.Offset) {
	op := driver.EndRun{Run: o, Fence: 1, Status: holdfast.RunComplete}
	if p.r.IntN(3) == 0 {
		op = driver.EndRun{Run: o, Force: true, Status: holdfast.RunInterrupted} // its lease lapsed
	}
	p.apply(p.s, op)
	p.ended(o)
}

func (p *turnsPlay) ended(o holdfast.Offset) {
	run := p.runs[o]
	delete(p.runs, o)
	p.over(run.answers)
	p.free()
}

// stop stops a run, or the answer to the message whose turn it is.
func (p *turnsPlay) stop() {
	op := driver.RequestStop{ID: p.name("stop"), From: turnUsers[0]}
	if p.turn.ID != "" && p.r.IntN(2) == 0 {
		op.Answers = p.place(p.turn)
	} else if o, ok := p.someRun(); ok {
		op.Run = o
	} else {
		return
	}
	r := p.apply(p.s, op)
	if run := p.runs[r.Stop.Run]; run != nil {
		run.stopped = true
	}
	if r.Stop.Run == 0 && r.Stop.State == holdfast.StopUnreachable {
		p.Fatalf("play %d: the turn went on although its answer was given up", p.seed)
	}
}

// settle gives up waiting for a producer, or for an answer to come.
func (p *turnsPlay) settle() {
	info := p.info(p.s)
	if len(info.Stops) > 0 && p.r.IntN(2) == 0 {
		s := info.Stops[p.r.IntN(len(info.Stops))]
		p.apply(p.s, driver.SettleStop{Answers: s.Answers, ID: s.ID})
		if info.Turns.Turn.Message == s.Answers {
			p.over(p.turn)
			p.free()
		}
		return
	}
	for _, run := range info.Open {
		if run.Stop.State != "" {
			p.apply(p.s, driver.SettleStop{Run: run.Run, ID: run.Stop.ID})
			p.ended(run.Run)
			return
		}
	}
}

func (p *turnsPlay) edit() {
	if len(p.sent) == 0 {
		return
	}
	op := driver.EditQueue{ID: p.name("edit"), From: turnUsers[p.r.IntN(len(turnUsers))], Of: p.sent[p.r.IntN(len(p.sent))], To: p.r.IntN(4),
		Do: []holdfast.TurnState{holdfast.TurnWithdrawn, holdfast.TurnMoved}[p.r.IntN(2)]}
	i := slices.Index(p.queue, op.Of)
	r, err := p.Apply(p.ctx(), p.s, op)
	fate, known := p.fate[op.Of]
	switch {
	case !known:
		p.code(holdfast.CodeNotFound, err)
		return
	case i < 0 && fate == op.Do:
		p.code("", err)
		return
	case i < 0:
		p.code(holdfast.CodeConflict, err)
		return
	}
	p.code("", err)
	again := p.apply(p.s, op).Entries[0]
	same(p, "a repeated command", []any{again.Offset, again.State, again.Duplicate}, []any{r.Entries[0].Offset, op.Do, true})
	p.queue = slices.Delete(slices.Clone(p.queue), i, i+1)
	if op.Do == holdfast.TurnMoved {
		p.queue = slices.Insert(p.queue, min(op.To, len(p.queue)), op.Of)
	} else {
		p.fate[op.Of] = op.Do
	}
}

// done says that there will be no answer, or that none has begun in time.
func (p *turnsPlay) done(lapsed bool) {
	if p.turn.ID == "" {
		return
	}
	p.apply(p.s, driver.EndTurn{Message: p.place(p.turn), Lapsed: lapsed})
	if !lapsed {
		p.over(p.turn)
		p.free()
		return
	}
	p.lapse()
}

// check compares the session with the model.
func (p *turnsPlay) check(after string) {
	p.Helper()
	page := p.read(p.s, every())
	var log []ref
	at := map[holdfast.Offset]ref{}
	var shown struct {
		Policy holdfast.TurnPolicy
		Turn   holdfast.Offset
		Queue  []struct {
			ID string
			U  holdfast.UserID
		}
	}
	for _, en := range page.Entries {
		switch {
		case en.Kind == holdfast.KindMessage:
			log = append(log, ref{User: en.From.User, ID: en.ID})
			at[en.Offset] = log[len(log)-1]
		case en.Key == holdfast.TurnsKey:
			if err := json.Unmarshal(en.Data, &shown); err != nil {
				p.Fatal(err)
			}
		}
	}
	t := &page.Info.Turns
	var queue, told []ref
	for _, h := range t.Queue {
		queue = append(queue, ref{User: h.From.User, ID: h.ID})
	}
	for _, h := range shown.Queue {
		told = append(told, ref{User: h.U, ID: h.ID})
	}
	what := fmt.Sprintf("play %d, after %s: ", p.seed, after)
	same(p, what+"the log", log, p.log)
	same(p, what+"the queue", queue, p.queue)
	same(p, what+"the queue that is shown", told, p.queue)
	same(p, what+"whose turn it is", at[t.Turn.Message], p.turn)
	if len(p.queue) > 0 {
		if !p.busy() {
			p.Fatalf("%sthe session is free, and %v wait", what, p.queue)
		}
		same(p, what+"whose turn is shown", at[shown.Turn], p.turn)
	}
	same(p, what+"policy", shown.Policy, p.rules.Policy)
	for _, run := range page.Info.Open {
		if r := p.runs[run.Run]; r == nil || r.stopped != (run.Stop.State != "") {
			p.Fatalf("%srun %+v, the model has %+v", what, run, r)
		}
	}
	if p.awaited && p.stopThatWaits(t.Turn.Message) == nil {
		p.Fatalf("%sthe answer to %v was interrupted, and no stop waits for it", what, p.turn)
	}
}
