package conn

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// answerRequest answers a request. As for a send, the next frame is read after it is durable. Whoever is too late is acked too, with
// what counts: it has nothing to repeat.
func (c *Conn) answerRequest(ctx context.Context, f *wire.Answer) {
	data, err := c.checkSend(&wire.Send{Session: f.Session, ID: f.ID, Data: f.Data})
	if err == nil && f.Request == 0 {
		err = holdfast.Errorf(holdfast.CodeInvalid, "an answer names a request, by its offset")
	}
	if err != nil {
		c.refuse(wire.TypeAnswer, f.Session, f.ID, err)
		return
	}
	from := holdfast.Sender{User: c.grant.Load().User, Client: c.client}
	res, err := c.cfg.Log.Apply(ctx, f.Session, driver.SettleRequest{Request: f.Request, State: holdfast.RequestAnswered, ID: f.ID, From: from,
		Data: data})
	if err != nil {
		c.refuse(wire.TypeAnswer, f.Session, f.ID, err)
		return
	}
	w := res.Entries[0]
	ack := wire.Ack{Session: f.Session, ID: f.ID, Offset: w.Offset, Tag: w.Tag, At: w.At.UnixMilli(), Duplicate: w.Duplicate,
		State: string(res.Request.State)}
	if ack.Lost = res.Lost; res.Lost {
		ack.From = res.Request.From
	}
	c.answer(&ack)
}
