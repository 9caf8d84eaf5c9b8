package client

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// Withdraw takes a message out of the queue of a session, which need not be read, and returns when that is durable, over
// reconnects if need be. The message is named by its sender, "" for this client's own user, and the id that it was sent with. One
// that has had its turn is [holdfast.CodeConflict]. Messages of others need the right to stop.
func (c *Client) Withdraw(ctx context.Context, s holdfast.SessionID, message wire.QueueRef) (wire.Ack, error) {
	return c.editQueue(ctx, wire.Queue{Session: s, Do: wire.QueueWithdraw, Of: message})
}

// Move gives a message another place in the queue, counted from 0; past the end is the end. Otherwise it is as Withdraw.
func (c *Client) Move(ctx context.Context, s holdfast.SessionID, message wire.QueueRef, to int) (wire.Ack, error) {
	return c.editQueue(ctx, wire.Queue{Session: s, Do: wire.QueueMove, Of: message, To: to})
}

func (c *Client) editQueue(ctx context.Context, q wire.Queue) (wire.Ack, error) {
	if err := q.Session.Validate(); err != nil {
		return wire.Ack{}, err
	}
	return c.insist(ctx, row{q.Session, true}, "", func(id string) wire.ClientFrame {
		q.ID = id
		return &q
	})
}
