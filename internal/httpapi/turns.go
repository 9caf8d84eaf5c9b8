package httpapi

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// turnsObject is how a session stands with taking turns.
type turnsObject struct {
	Policy holdfast.TurnPolicy `json:"policy"`
	Limit  int                 `json:"limit"`
	Wait   int64               `json:"wait"`
	Own    bool                `json:"own"`
	Turn   holdfast.Offset     `json:"turn,omitzero"`
	Until  int64               `json:"until,omitzero"`
	Queue  []heldObject        `json:"queue"`
}

// heldObject is a message that waits.
type heldObject struct {
	ID     string            `json:"id,omitzero"`
	User   holdfast.UserID   `json:"user"`
	Client holdfast.ClientID `json:"client,omitzero"`
	At     int64             `json:"at"`
	Data   jsontext.Value    `json:"data"`
}

func turnsOf(t *driver.Turns) turnsObject {
	out := turnsObject{Policy: t.Rules.Policy, Limit: t.Rules.Most(), Wait: t.Rules.Patience().Milliseconds(), Own: t.Own,
		Turn: t.Turn.Message, Queue: []heldObject{}}
	if t.Rules.Parallel() {
		out.Policy = holdfast.TurnParallel
	}
	if !t.Turn.Until.IsZero() {
		out.Until = t.Turn.Until.UnixMilli()
	}
	for i := range t.Queue {
		h := &t.Queue[i]
		out.Queue = append(out.Queue, heldObject{h.ID, h.From.User, h.From.Client, h.At.UnixMilli(), jsontext.Value(h.Data)})
	}
	return out
}

func (a *api) getTurns(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	info, err := a.Log.Info(ctx, c.session)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, turnsOf(&info.Turns))
}

type turnsInput struct {
	Policy holdfast.TurnPolicy `json:"policy"`
	Limit  *int                `json:"limit"`
	Wait   *int64              `json:"wait"`
}

func (a *api) putTurns(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	var in turnsInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	rules := driver.TurnRules{Policy: in.Policy}
	if in.Limit != nil {
		if rules.Limit = *in.Limit; rules.Limit < 1 || rules.Limit > driver.MaxTurnLimit {
			return holdfast.Errorf(holdfast.CodeInvalid, "/limit must be from 1 to %d messages", driver.MaxTurnLimit)
		}
	}
	if in.Wait != nil {
		if *in.Wait < 1 || *in.Wait > driver.MaxTurnWait.Milliseconds() {
			return holdfast.Errorf(holdfast.CodeInvalid, "/wait must be from 1 to %d ms", driver.MaxTurnWait.Milliseconds())
		}
		rules.Wait = time.Duration(*in.Wait) * time.Millisecond
	}
	return a.applyTurns(c, driver.SetTurns{Rules: rules})
}

// postTurnDone says that there will be no answer to a message.
func (a *api) postTurnDone(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	n, err := strconv.ParseUint(c.r.PathValue("message"), 10, 64)
	if err != nil || n == 0 || n > maxNumber {
		return holdfast.Errorf(holdfast.CodeInvalid, "a message is addressed by its offset, a whole number from 1 on")
	}
	return a.applyTurns(c, driver.EndTurn{Message: holdfast.Offset(n)})
}

func (a *api) applyTurns(c *call, op driver.Op) error {
	res, err := a.apply(c, op)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, turnsOf(res.Turns))
}

type editInput struct {
	ID   string          `json:"id"`
	User holdfast.UserID `json:"user"`
	To   *int            `json:"to"`
}

type editAnswer struct {
	Epoch     holdfast.Epoch     `json:"epoch"`
	Offset    holdfast.Offset    `json:"offset"`
	State     holdfast.TurnState `json:"state"`
	Duplicate bool               `json:"duplicate,omitzero"`
}

func (a *api) postTurnWithdrawn(c *call) error { return a.editQueue(c, holdfast.TurnWithdrawn) }

func (a *api) postTurnMoved(c *call) error { return a.editQueue(c, holdfast.TurnMoved) }

func (a *api) editQueue(c *call, do holdfast.TurnState) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var in editInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	op := driver.EditQueue{ID: key, Do: do, Of: driver.HeldRef{User: in.User, ID: in.ID}}
	if op.ID == "" {
		op.ID = "edit-" + strings.ToLower(rand.Text())
	}
	switch {
	case in.ID == "" || in.User == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "the body needs /id and /user, the message's id and its sender")
	case (in.To == nil) != (do == holdfast.TurnWithdrawn):
		return holdfast.Errorf(holdfast.CodeInvalid, "/to is the place to move to, counted from 0; it is needed to move, and to withdraw there is none")
	case in.To != nil:
		op.To = *in.To
	}
	res, err := a.apply(c, op)
	if err != nil {
		return err
	}
	w := &res.Entries[0]
	return c.answer(http.StatusOK, editAnswer{res.Epoch, w.Offset, w.State, w.Duplicate})
}
