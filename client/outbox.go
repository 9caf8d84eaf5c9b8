package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// outbox holds what was sent and not acknowledged. Of each session one message is under way at a time: if the server
// refuses it for now, none behind it can overtake it. Commands are in a row of their own: one may be what makes room for
// the message. It is guarded by its client's mu.
type outbox struct {
	queues map[row]*sendQueue
	// prefix makes the ids of this client's messages differ from those of every other.
	prefix string
	count  uint64
}

// row is the messages of a session, or its commands.
type row struct {
	session  holdfast.SessionID
	commands bool
}

type sendQueue struct {
	waiting []*sending
	// sent: the first one has been written on this connection, at sentAt. probed: that it is overdue was noticed.
	sent, probed bool
	sentAt       instant
}

// sending is one message on its way, or another frame that is repeated until it is answered.
type sending struct {
	row   row
	id    string
	frame wire.ClientFrame
	done  chan sendResult
}

type sendResult struct {
	ack wire.Ack
	err error
}

func (o *outbox) init() {
	o.queues, o.prefix = map[row]*sendQueue{}, rand.Text()[:16]
}

func (o *outbox) nextID() string {
	o.count++
	return fmt.Sprintf("%s-%d", o.prefix, o.count)
}

func (o *outbox) put(s *sending) {
	q := o.queues[s.row]
	if q == nil {
		q = &sendQueue{}
		o.queues[s.row] = q
	}
	q.waiting = append(q.waiting, s)
}

// take appends the frames that may go now.
func (o *outbox) take(frames []wire.ClientFrame, now instant) []wire.ClientFrame {
	for _, q := range o.queues {
		if len(q.waiting) > 0 && !q.sent {
			q.sent, q.probed, q.sentAt = true, false, now
			frames = append(frames, q.waiting[0].frame)
		}
	}
	return frames
}

// overdueAt is when the next acknowledgement is overdue.
func (o *outbox) overdueAt(patience time.Duration) instant {
	at := never
	for _, q := range o.queues {
		if q.sent && !q.probed {
			at = min(at, q.sentAt+patience)
		}
	}
	return at
}

// overdue reports whether acknowledgements are, once for each message.
func (o *outbox) overdue(now instant, patience time.Duration) (late bool) {
	for _, q := range o.queues {
		if q.sent && !q.probed && now-q.sentAt >= patience {
			q.probed, late = true, true
		}
	}
	return late
}

// resend says that there is another connection.
func (o *outbox) resend() {
	for _, q := range o.queues {
		q.sent = false
	}
}

// underWay returns the row whose first, which is under way, has the id.
func (o *outbox) underWay(s holdfast.SessionID, id string) (row, *sendQueue) {
	for _, l := range []row{{s, false}, {s, true}} {
		if q := o.queues[l]; q != nil && len(q.waiting) > 0 && q.waiting[0].id == id {
			return l, q
		}
	}
	return row{}, nil
}

// again says that the message under way was refused for now.
func (o *outbox) again(s holdfast.SessionID, id string) {
	if _, q := o.underWay(s, id); q != nil {
		q.sent = false
	}
}

// finish takes the message under way out, if it is the one.
func (o *outbox) finish(s holdfast.SessionID, id string, r sendResult) {
	l, q := o.underWay(s, id)
	if q == nil {
		return
	}
	q.waiting[0].done <- r
	q.waiting, q.sent = q.waiting[1:], false
	if len(q.waiting) == 0 {
		delete(o.queues, l)
	}
}

// drop takes a message out that nobody waits for any more.
func (o *outbox) drop(s *sending) {
	q := o.queues[s.row]
	if q == nil {
		return
	}
	for i, w := range q.waiting {
		if w == s {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			q.sent = q.sent && i > 0
			break
		}
	}
	if len(q.waiting) == 0 {
		delete(o.queues, s.row)
	}
}

func (o *outbox) fail(err error) {
	for _, q := range o.queues {
		for _, s := range q.waiting {
			s.done <- sendResult{err: err}
		}
	}
	clear(o.queues)
}

// Send appends a message to a session, which need not be read, and returns when it is durable, over reconnects if need be.
// data is JSON. The id makes it idempotent: repeating it, even by another run of the program as the same user, writes
// nothing and returns the first one's place. "" has one made. When ctx ends first, the message may or may not have been
// written. A refusal is a [*holdfast.Error] with the server's code.
//
// Where users take turns, the message may have to wait: the ack's State is then [holdfast.TurnQueued], the message is durable in
// the session's queue, and becomes an entry when its turn comes.
func (c *Client) Send(ctx context.Context, s holdfast.SessionID, id string, data json.RawMessage) (wire.Ack, error) {
	if err := s.Validate(); err != nil {
		return wire.Ack{}, err
	}
	if !json.Valid(data) {
		return wire.Ack{}, holdfast.Errorf(holdfast.CodeInvalid, "the message's data is not valid JSON")
	}
	return c.insist(ctx, row{s, false}, id, func(id string) wire.ClientFrame { return &wire.Send{Session: s, ID: id, Data: data, First: true} })
}

// Answer answers a request of a session, which need not be read, and returns when it is settled, over reconnects if need be. A request is
// named by the offset of the event that opened it. The first answer counts: the ack's State says how the request was settled, and
// Lost and From that it was by somebody else. id and data are as for [Client.Send].
func (c *Client) Answer(ctx context.Context, s holdfast.SessionID, id string, request holdfast.Offset, data json.RawMessage) (wire.Ack, error) {
	if err := s.Validate(); err != nil {
		return wire.Ack{}, err
	}
	if !json.Valid(data) {
		return wire.Ack{}, holdfast.Errorf(holdfast.CodeInvalid, "the answer's data is not valid JSON")
	}
	return c.insist(ctx, row{s, true}, id, func(id string) wire.ClientFrame {
		return &wire.Answer{Session: s, ID: id, Request: request, Data: data}
	})
}

// insist sends a frame, again over each connection, until it is answered.
func (c *Client) insist(ctx context.Context, l row, id string, frame func(id string) wire.ClientFrame) (wire.Ack, error) {
	c.mu.Lock()
	if c.phase == Over {
		c.mu.Unlock()
		return wire.Ack{}, errOver()
	}
	if id == "" {
		id = c.outbox.nextID()
	}
	m := &sending{row: l, id: id, frame: frame(id), done: make(chan sendResult, 1)}
	c.outbox.put(m)
	c.mu.Unlock()
	ring(c.bell)
	select {
	case r := <-m.done:
		return r.ack, r.err
	case <-ctx.Done():
		c.mu.Lock()
		c.outbox.drop(m)
		c.mu.Unlock()
		return wire.Ack{}, ctx.Err()
	}
}
