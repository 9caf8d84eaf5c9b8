package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// StormOptions are those of [Storm]. The zero value is the standard measurement.
type StormOptions struct {
	// Clients is how many there are. Default: 5,000.
	Clients int
	// Sessions is how many sessions they share; as many as clients for one each. Default: 500.
	Sessions int
	// Missed is how many messages are written to each session while nobody is connected. Default: 10.
	Missed int
}

// Storm measures how long it takes until all of many clients are caught up that lost their connections together, missed
// some messages, and come back all at once.
func Storm(ctx context.Context, t *Target, o StormOptions) (*Report, error) {
	def(&o.Clients, 5000)
	def(&o.Sessions, 500)
	def(&o.Missed, 10)
	backend, err := newAPI(t)
	if err != nil {
		return nil, err
	}
	defer backend.close()
	r := newReport("storm", map[string]any{"clients": o.Clients, "sessions": o.Sessions, "missed": o.Missed})
	s := &storm{Report: r, o: o, target: t, api: backend, swarm: newSwarm(t), members: make([]*stormMember, o.Clients)}
	return r, s.run(ctx)
}

// stormBefore is how many messages each session has before.
const stormBefore = 5

type storm struct {
	*Report
	o       StormOptions
	target  *Target
	api     *api
	swarm   *swarm
	members []*stormMember
}

// stormMember is one client. Its fields belong to the goroutine that works for it at the time.
type stormMember struct {
	session int
	token   string
	client  holdfast.ClientID
	state   *client.State
	line    *line
}

func (s *storm) session(i int) holdfast.SessionID { return holdfast.SessionID(fmt.Sprint("storm-", i)) }

// write appends messages from number first on to each session.
func (s *storm) write(ctx context.Context, first, n int) error {
	return each(ctx, s.o.Sessions, 32, func(ctx context.Context, i int) error {
		var data [][]byte
		for k := first; k < first+n; k++ {
			data = append(data, stormMessage(i, k))
		}
		at, err := s.api.append(ctx, s.session(i), data...)
		if err == nil && int(at) != first {
			err = violation("message %d of session %d stands at %d", first, i, at)
		}
		return err
	})
}

func stormMessage(session, n int) []byte {
	return fmt.Appendf(nil, `{"session":%d,"n":%d,"text":"a message of the usual length, more or less"}`, session, n)
}

func (s *storm) run(ctx context.Context) error {
	if err := s.write(ctx, 1, stormBefore); err != nil {
		return err
	}
	for i := range s.members {
		user := holdfast.UserID(fmt.Sprint("user-", i))
		token, err := s.target.userToken(user)
		if err != nil {
			return err
		}
		k := i % s.o.Sessions
		s.members[i] = &stormMember{
			session: k, token: token, client: holdfast.ClientID(fmt.Sprint("client-", i)), state: client.NewState(s.session(k), true),
		}
	}
	if err := s.come(ctx, "first connect", stormBefore); err != nil {
		return err
	}
	for _, m := range s.members {
		m.line.conn.Abort()
	}
	if err := s.write(ctx, stormBefore+1, s.o.Missed); err != nil {
		return err
	}
	if err := s.come(ctx, "reconnect", stormBefore+s.o.Missed); err != nil {
		return err
	}
	for _, m := range s.members {
		m.line.conn.Abort()
		s.check(m)
	}
	return nil
}

// come connects all at once and waits until each is caught up.
func (s *storm) come(ctx context.Context, what string, head int) error {
	before, err := s.target.usage()
	if err != nil {
		return err
	}
	self, begun := ownCPU(), time.Now()
	var late latencies
	err = each(ctx, len(s.members), len(s.members), func(ctx context.Context, i int) error {
		err := s.members[i].come(ctx, s.swarm, holdfast.Offset(head))
		late.add(time.Since(begun))
		return err
	})
	took := time.Since(begun)
	if err != nil {
		return err
	}
	after, err := s.target.usage()
	if err != nil {
		return err
	}
	s.atMost(what+": all caught up after", took.Seconds(), 2, "s")
	s.add(what+": half of them after", late.quantile(0.5).Seconds(), "s")
	s.add(what+": server CPU per client", float64((after.cpu-before.cpu).Microseconds())/float64(len(s.members)), "us")
	s.add(what+": generator CPU per client", float64((ownCPU()-self).Microseconds())/float64(len(s.members)), "us")
	return nil
}

// come connects with the cursor and reads until it is caught up.
func (m *stormMember) come(ctx context.Context, swarm *swarm, head holdfast.Offset) error {
	sub := wire.Sub{Session: m.state.Session(), Last: 100, Cursor: m.state.Cursor()}
	want := holdfast.Snapshot
	if sub.Cursor != nil {
		want = holdfast.Continuous
	}
	m.state.Resubscribe()
	l, err := swarm.open(ctx, m.token, m.client, sub)
	if err != nil {
		return err
	}
	m.line = l
	return l.read(ctx, func(_ wire.Type, msg []byte) error {
		f, err := wire.DecodeServer(msg)
		if err != nil {
			return err
		}
		change, err := m.state.Apply(f)
		switch {
		case err != nil:
			return err
		case change.Kind == client.Answered && change.Outcome != want:
			return violation("the resume of session %d was answered %s", m.session, msg)
		case change.Kind == client.CaughtUp && m.state.Head() != head:
			return violation("session %d: live at %d, %d were written", m.session, m.state.Head(), head)
		case change.Kind == client.CaughtUp:
			return errDone
		}
		return nil
	})
}

// check compares what a client holds with what was written.
func (s *storm) check(m *stormMember) {
	entries := m.state.Entries()
	if len(entries) != stormBefore+s.o.Missed {
		s.fail(violation("a client of session %d holds %d messages, want %d", m.session, len(entries), stormBefore+s.o.Missed))
		return
	}
	for i, e := range entries {
		if int(e.Offset) != i+1 || string(e.Data) != string(stormMessage(m.session, i+1)) {
			s.fail(violation("a client of session %d holds %s at %d, want message %d", m.session, e.Data, e.Offset, i+1))
			return
		}
	}
}
