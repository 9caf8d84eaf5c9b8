package conn

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// editQueue withdraws or moves a message that waits for its turn. As for a send, the next frame is read after it is durable.
func (c *Conn) editQueue(ctx context.Context, f *wire.Queue) {
	from := holdfast.Sender{User: c.grant.Load().User, Client: c.client}
	op := driver.EditQueue{ID: f.ID, From: from, Of: driver.HeldRef(f.Of), To: f.To}
	if op.Of.User == "" {
		op.Of.User = from.User
	}
	err := c.checkEdit(f, &op)
	var res driver.Result
	if err == nil {
		res, err = c.cfg.Log.Apply(ctx, f.Session, op)
	}
	if err != nil {
		c.refuse(wire.TypeQueue, f.Session, f.ID, err)
		return
	}
	w := res.Entries[0]
	c.answer(&wire.Ack{Session: f.Session, ID: f.ID, Offset: w.Offset, Tag: w.Tag, At: w.At.UnixMilli(), Duplicate: w.Duplicate,
		State: string(w.State)})
}

// checkEdit reports what is wrong with an edit, or that it is not allowed, and says in op what it does.
func (c *Conn) checkEdit(f *wire.Queue, op *driver.EditQueue) error {
	switch f.Do {
	case wire.QueueWithdraw:
		op.Do = holdfast.TurnWithdrawn
	case wire.QueueMove:
		op.Do = holdfast.TurnMoved
	default:
		return holdfast.Errorf(holdfast.CodeInvalid, "a message that waits is withdrawn or moved: do is withdraw or move")
	}
	if err := f.Session.Validate(); err != nil {
		return err
	}
	if err := holdfast.ValidateKey("command id", f.ID); err != nil {
		return err
	}
	g := c.grant.Load()
	switch own := op.Of.User == op.From.User; {
	case g.Allows(holdfast.ActionStop, f.Session), own && g.Allows(holdfast.ActionSend, f.Session):
		return c.mayWrite(f.Session)
	case own:
		return holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow sending to this session")
	}
	return holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow changing what others have waiting in this session")
}
