package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Turn taking. A session is busy while a run is open, and while a message that was let in waits for its answer: its turn. What
// a user sends then is dealt with by the session's policy; what the backend writes never waits.
//
//	a user sends     free               busy: queue   latest              reject     interrupt           parallel
//	                 in, its turn       held          held, in place of   conflict   held, open runs     in
//	                                                  what they had                  are asked to stop
//
// A turn ends when a run that answers the message ends; when a stop of its answer found nobody; when the backend says that there
// will be no answer; and when no answer has begun in time. In the same step as whatever makes a session free, the first of
// the queue is let in, and the session is busy again. So while anything is held, the session is busy, and there is always
// something to come that ends that: a lease, a grace or the turn's own time.
//
// An answer that has begun is not waited for by the turn's time but by the lease of its run.

// send lets a message of a user in, or holds it, or refuses it.
func (a *applying) send(n *driver.NewEntry, rules *driver.TurnRules, more bool) error {
	if err := a.follow(rules); err != nil {
		return err
	}
	t := &a.info.Turns
	switch {
	case t.Rules.Parallel():
		a.write(n, more)
		return nil
	case !a.busy():
		e := a.write(n, more)
		a.begin(e)
		return nil
	case t.Rules.Policy == holdfast.TurnReject:
		return holdfast.Errorf(holdfast.CodeConflict, "an answer is under way; send it again when that has ended, or stop it")
	}
	return a.hold(n)
}

// follow brings what the turns depend on up to date: the rules, where the session has none of its own, and the time.
func (a *applying) follow(rules *driver.TurnRules) error {
	if t := &a.info.Turns; !t.Own && t.Rules != *rules {
		t.Rules = *rules
	}
	a.lapse()
	return a.letIn()
}

func (a *applying) busy() bool {
	return len(a.info.Open) > 0 || a.info.Turns.Turn.Message != 0
}

// begin begins the turn of a message that was just let in.
func (a *applying) begin(e *holdfast.Entry) {
	t := &a.info.Turns
	if t.Rules.Parallel() {
		return
	}
	t.Turn = driver.Turn{Message: e.Offset, Until: a.now.Add(t.Rules.Patience())}
	turn := t.Turn
	a.out.Items[len(a.out.Items)-1].Turn = &turn
}

// answering notes that a run was opened that answers a message.
func (a *applying) answering(message holdfast.Offset) {
	if t := &a.info.Turns.Turn; message != 0 && t.Message == message {
		t.Until = time.Time{}
	}
}

// turnOver ends the turn of a message, if it has it.
func (a *applying) turnOver(message holdfast.Offset) {
	t := &a.info.Turns
	if message == 0 || t.Turn.Message != message {
		return
	}
	a.changed()
	t.Turn = driver.Turn{}
	a.unshown = a.unshown || len(t.Queue) > 0
}

// lapse ends the turn of a message whose answer has not begun in time.
func (a *applying) lapse() {
	if t := a.info.Turns.Turn; !t.Until.IsZero() && !a.now.Before(t.Until) {
		a.turnOver(t.Message)
	}
}

// hold puts a message into the queue.
func (a *applying) hold(n *driver.NewEntry) error {
	t := &a.info.Turns
	held := driver.Held{ID: n.ID, From: n.From, At: a.now, Data: orNil(n.Data), Feed: n.Feed}
	queue, gone := append(slices.Clip(t.Queue), held), []driver.Held(nil)
	if t.Rules.Policy == holdfast.TurnLatest {
		queue, gone = inPlace(t.Queue, held)
	}
	if most := t.Rules.Most(); len(queue) > most && len(queue) > len(t.Queue) {
		return holdfast.Errorf(holdfast.CodeRateLimited, "%d messages wait for their turns already; wait, then repeat it", most)
	}
	t.Queue = queue
	out := make([]left, 0, len(gone))
	for i := range gone {
		out = append(out, leftAs(&gone[i], holdfast.TurnReplaced, n.From))
	}
	data := turnsData(t, out)
	if len(queue) > 1 && len(data) > driver.MaxTurnsBytes {
		return holdfast.Errorf(holdfast.CodeRateLimited, "the messages that wait for their turns are too large together; wait, then repeat it")
	}
	e, err := a.showAs(data)
	if err != nil {
		return err
	}
	a.became(&held, e, holdfast.TurnQueued)
	for i := range gone {
		a.became(&gone[i], e, holdfast.TurnReplaced)
	}
	k := KnownBy(e)
	k.Turn = holdfast.TurnQueued
	a.out.Result.Entries = append(a.out.Result.Entries, written(&k, false))
	if t.Rules.Policy == holdfast.TurnInterrupt {
		return a.interrupt(n.From)
	}
	return nil
}

// inPlace puts a message where the first of the same user stands, or else last, and takes out all others of that user.
func inPlace(queue []driver.Held, held driver.Held) (now, gone []driver.Held) {
	now = make([]driver.Held, 0, len(queue)+1)
	for _, h := range queue {
		if h.From.User != held.From.User {
			now = append(now, h)
			continue
		}
		if len(gone) == 0 {
			now = append(now, held)
		}
		gone = append(gone, h)
	}
	if len(gone) == 0 {
		now = append(now, held)
	}
	return now, gone
}

// became notes what became of a message that is not in the log, as the state e shows.
func (a *applying) became(h *driver.Held, e *holdfast.Entry, as holdfast.TurnState) {
	if h.ID != "" {
		a.knows(h.From.User, h.ID, Known{Offset: e.Offset, Tag: e.Tag, At: e.At, Turn: as})
	}
}

// takeTurns lets in what has its turn after an operation, and shows what waits if that has changed.
func (a *applying) takeTurns() error {
	if a.out.Effects.Delete || a.out.Effects.Tell != nil {
		return nil
	}
	if err := a.letIn(); err != nil {
		return err
	}
	if !a.unshown {
		return nil
	}
	_, err := a.showAs(turnsData(&a.info.Turns, nil))
	return err
}

// letIn lets in as many of the queue as there is room for: one where turns are taken, all where they are not.
func (a *applying) letIn() error {
	t := &a.info.Turns
	if t.Rules.Parallel() {
		t.Turn = driver.Turn{}
	}
	last := -1
	for i := 0; i < len(t.Queue) && (t.Rules.Parallel() || !a.busy()); i++ {
		h := &t.Queue[i]
		e := a.put(&driver.NewEntry{Kind: holdfast.KindMessage, ID: h.ID, From: h.From, Data: h.Data, Feed: h.Feed})
		if h.ID != "" {
			a.uses(h.From.User, h.ID, KnownBy(&e))
		}
		a.out.Items = append(a.out.Items, driver.Item{Entry: &e})
		a.begin(&e)
		last = i
	}
	if last < 0 {
		return nil
	}
	t.Queue = slices.Clone(t.Queue[last+1:])
	a.unshown = true
	if t.Rules.Policy != holdfast.TurnInterrupt || len(t.Queue) == 0 {
		return nil
	}
	// Who waits behind what was let in has interrupted that too.
	if _, err := a.showAs(turnsData(t, nil)); err != nil {
		return err
	}
	return a.interrupt(t.Queue[0].From)
}

// interrupt asks all open runs to stop in somebody's name, and the answer that has not begun.
func (a *applying) interrupt(from holdfast.Sender) error {
	result := a.out.Result // of the operation, not of the stops
	defer func() { a.out.Result = result }()
	for i := range a.info.Open {
		r := &a.info.Open[i]
		if r.Stop.State != "" {
			continue
		}
		if err := a.stopOpen(i, &driver.RequestStop{ID: interruptID("", r.Run), From: from, Run: r.Run}); err != nil {
			return err
		}
	}
	turn := a.info.Turns.Turn
	if turn.Until.IsZero() {
		return nil
	}
	if _, waits := a.waiting(turn.Message); waits {
		return nil
	}
	return a.wait(&driver.RequestStop{ID: interruptID("answer:", turn.Message), From: from, Answers: turn.Message})
}

// interruptID is an id that no user can have used: those that begin with it are the server's.
func interruptID(what string, o holdfast.Offset) string {
	return holdfast.ReservedPrefix + "interrupt:" + what + strconv.FormatUint(uint64(o), 10)
}

// showAs writes the state that shows what waits.
func (a *applying) showAs(data json.RawMessage) (*holdfast.Entry, error) {
	e := a.put(&driver.NewEntry{Kind: holdfast.KindState, Key: holdfast.TurnsKey, Data: data})
	a.out.Items = append(a.out.Items, driver.Item{Entry: &e})
	a.out.Effects.Queue = true
	a.unshown = false
	return &e, a.replace(&e, true)
}

// left is a message that left the queue without being let in, as the state shows it that was written then.
type left struct {
	ID    string             `json:"id"`
	User  holdfast.UserID    `json:"u,omitempty"`
	State holdfast.TurnState `json:"state"`
	By    holdfast.UserID    `json:"by,omitempty"`
}

func leftAs(h *driver.Held, state holdfast.TurnState, by holdfast.Sender) left {
	return left{h.ID, h.From.User, state, by.User}
}

// turnsData is what the state says that shows what waits. Turn is what the queue waits for, so there is none if nothing
// waits.
func turnsData(t *driver.Turns, out []left) json.RawMessage {
	type held struct {
		ID     string            `json:"id,omitempty"`
		User   holdfast.UserID   `json:"u"`
		Client holdfast.ClientID `json:"c,omitempty"`
		At     int64             `json:"at"`
		Data   json.RawMessage   `json:"data"`
	}
	state := struct {
		Policy holdfast.TurnPolicy `json:"policy"`
		Turn   *holdfast.Offset    `json:"turn"`
		Queue  []held              `json:"queue"`
		Out    []left              `json:"out,omitempty"`
	}{Policy: t.Rules.Policy, Queue: make([]held, 0, len(t.Queue)), Out: out}
	if state.Policy == "" {
		state.Policy = holdfast.TurnParallel
	}
	if len(t.Queue) > 0 && t.Turn.Message != 0 {
		state.Turn = &t.Turn.Message
	}
	for i := range t.Queue {
		h := &t.Queue[i]
		state.Queue = append(state.Queue, held{h.ID, h.From.User, h.From.Client, h.At.UnixMilli(), h.Data})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // it would make the data up to six times as large
	if err := enc.Encode(state); err != nil {
		return nil // strings and numbers always can be written, and the data was JSON when it was taken
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
