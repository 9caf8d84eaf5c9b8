package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/tail"
)

// tell writes what happened to this connection, or to a session on it, into the journal.
func (c *Conn) tell(event string, about holdfast.SessionID, data any) {
	if c.cfg.Journal == nil {
		return
	}
	c.cfg.Journal.Add(journal.Record{
		Source: journal.Server, Event: event, User: c.grant.Load().User, Client: c.client, Conn: c.id, About: about, Data: data,
	})
}

// moved takes note of how far the reader has come, and of a resumption that is complete with the batch. It is called by
// whoever writes.
func (s *sub) moved(b *tail.Batch) {
	s.at.Store(uint64(s.reader.Offset()))
	if b == nil || b.Resumed == nil {
		return
	}
	r := b.Resumed
	if r.Outcome == holdfast.Continuous && s.returned {
		s.conn.resumed.Add(1)
	}
	s.conn.cfg.answered(r.Outcome, s.returned)
	s.conn.tell(journal.Resumed, s.session, &journal.Resume{
		Outcome: r.Outcome, From: r.From, Head: r.Head, Frames: r.Frames, Bytes: r.Bytes,
		Took: (s.conn.cfg.now().Sub(s.conn.started) - time.Duration(s.asked)).Milliseconds(),
	})
}

// view takes note of whether the client's page is seen.
func (c *Conn) view(hidden bool) {
	if c.hidden.Swap(hidden) == hidden {
		return
	}
	event := journal.Seen
	if hidden {
		event = journal.Hidden
	}
	c.tell(event, "", nil)
}

func (c *Conn) tellAttached(from ending.Return) {
	info := c.t.Info()
	c.tell(journal.Attached, "", &journal.Attach{
		Generation: c.gen, Transport: info.Transport, Remote: info.Remote.String(), Agent: c.agent, Hidden: c.hidden.Load(),
		Before: from.Before, Away: from.Away.Milliseconds(), Class: string(from.Class),
	})
}
