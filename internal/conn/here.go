package conn

import (
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/wire"
)

// What the others in a session are told of a connection.

var _ attendance.Reading = (*sub)(nil)

// Here implements [attendance.Reading].
func (s *sub) Here() presence.Here {
	c := s.conn
	return presence.Here{
		Who: holdfast.Sender{User: c.grant.Load().User, Client: c.client}, Conn: c.id, Name: c.name, Hidden: c.hidden.Load(),
	}
}

// Used implements [attendance.Reading].
func (s *sub) Used() time.Time { return s.conn.started.Add(time.Duration(s.conn.used.Load())) }

// read tells the others how far the user has read. It is not answered: it will be told again.
func (c *Conn) read(f *wire.Read) {
	if c.mayRead(f.Session) != nil || len(f.Epoch) > maxEpoch {
		return
	}
	who := holdfast.Sender{User: c.grant.Load().User, Client: c.client}
	c.cfg.Rooms.Read(f.Session, who, presence.Position{Epoch: f.Epoch, Read: f.Offset, Got: f.Got})
}

// maxEpoch bounds what a client may call an epoch, which its server would never.
const maxEpoch = 64
