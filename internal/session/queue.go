package session

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// What is done to the queue otherwise than by sending: by commands of users, and by the backend.

func (a *applying) setTurns(op driver.SetTurns) error {
	r := op.Rules
	if err := r.Check(); err != nil {
		return err
	}
	if r.Policy == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "a session's rules need a policy")
	}
	if t := &a.info.Turns; !t.Own || t.Rules != r {
		a.changed()
		a.info.Turns.Rules, a.info.Turns.Own = r, true
		a.unshown = true
		if err := a.takeTurns(); err != nil {
			return err
		}
	}
	a.turnsResult()
	return nil
}

func (a *applying) endTurn(op driver.EndTurn) error {
	switch {
	case op.Message == 0 || op.Message > a.info.Head:
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no message at offset %d", op.Message)
	case !op.Lapsed:
		a.turnOver(op.Message)
	case op.Message == a.info.Turns.Turn.Message:
		a.lapse()
	}
	if err := a.takeTurns(); err != nil {
		return err
	}
	a.turnsResult()
	return nil
}

func (a *applying) editQueue(op driver.EditQueue) error {
	switch {
	case op.ID == "" || op.Of.ID == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "a command to the queue needs an id, so that it can be repeated, and that of a message")
	case reserved(op.ID):
		return errReserved("an id", op.ID)
	case op.Do != holdfast.TurnWithdrawn && op.Do != holdfast.TurnMoved:
		return holdfast.Errorf(holdfast.CodeInvalid, "a message that waits is withdrawn or moved, not %q", op.Do)
	case op.To < 0:
		return holdfast.Errorf(holdfast.CodeInvalid, "the place to move to is %d; places are counted from 0", op.To)
	}
	known, dup, err := a.known(op.From.User, op.ID)
	switch {
	case err != nil:
		return err
	case dup && !known.Command:
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d, which is not a command to the queue", known.Offset)
	case dup:
		a.out.Result.Entries = []driver.Written{written(&known, true)}
		a.turnsResult()
		return nil
	}
	i := slices.IndexFunc(a.info.Turns.Queue, func(h driver.Held) bool { return h.From.User == op.Of.User && h.ID == op.Of.ID })
	if i < 0 {
		return a.notWaiting(&op)
	}
	return a.edit(i, &op)
}

// notWaiting answers a command to a message that is not in the queue.
func (a *applying) notWaiting(op *driver.EditQueue) error {
	k, ok, err := a.known(op.Of.User, op.Of.ID)
	switch {
	case err != nil:
		return err
	case !ok || k.Command || k.Stop != nil || k.Run:
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no message with the id %q of this user", op.Of.ID)
	case k.Turn == "":
		return holdfast.Errorf(holdfast.CodeConflict, "the message has had its turn and stands at offset %d; its answer can be stopped", k.Offset)
	case k.Turn == op.Do:
		a.out.Result.Entries = []driver.Written{written(&k, true)}
		a.turnsResult()
		return nil
	}
	return holdfast.Errorf(holdfast.CodeConflict, "the message waits no more: it was %s", k.Turn)
}

func (a *applying) edit(i int, op *driver.EditQueue) error {
	t := &a.info.Turns
	h := t.Queue[i]
	t.Queue = slices.Delete(slices.Clone(t.Queue), i, i+1)
	var out []left
	if op.Do == holdfast.TurnMoved {
		t.Queue = slices.Insert(t.Queue, min(op.To, len(t.Queue)), h)
	} else {
		out = []left{leftAs(&h, op.Do, op.From)}
	}
	e, err := a.showAs(turnsData(t, out))
	if err != nil {
		return err
	}
	if op.Do == holdfast.TurnWithdrawn {
		a.became(&h, e, op.Do)
	}
	k := KnownBy(e)
	k.Turn, k.Command = op.Do, true
	a.knows(op.From.User, op.ID, k)
	a.out.Result.Entries = []driver.Written{written(&k, false)}
	a.turnsResult()
	return nil
}

// turnsResult answers with how the turns stand now.
func (a *applying) turnsResult() {
	t := a.info.Turns
	a.out.Result.Turns = &t
}
