package conn

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/policy"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// How a connection comes to its place among its user's others, and what it hears of them. Who has to go is decided by package
// policy and kept by package hub; here is what that does to connections.

// verdict is how long a connection whose place is wanted has to show that it lives: long enough for a phone's radio to wake. It
// is looked at each look.
const (
	verdict = 1500 * time.Millisecond
	look    = 20 * time.Millisecond
)

// rules are those on this connection: the server's, as they were when it came, and those of its token. Were they to change
// under it, it might have begun to read a session by rules that have no seats, and be looked for in one.
func (c *Conn) rules() []holdfast.ConnectionRule {
	g := c.grant.Load()
	if len(g.Connections) == 0 {
		return c.found
	}
	return append(slices.Clip(c.found), g.Connections...)
}

// settle has the hub decide, once it is known who lives, and ends those who have to go.
func (c *Conn) settle(ctx context.Context, act holdfast.Act, decide func(*hub.Arrival) hub.Admission) hub.Admission {
	a := &hub.Arrival{Rules: c.rules(), Act: act, Now: c.cfg.now(), Tell: c.curious}
	adm := decide(a)
	if len(adm.Doubtful) > 0 {
		a.Asked, a.AskedAt = adm.Doubtful, a.Now
		for _, other := range a.Asked {
			other.Probe()
		}
		c.letGo()
		awaitLife(ctx, a)
		a.Now = c.cfg.now()
		adm = decide(a)
	}
	for _, other := range adm.Dead {
		other.End(holdfast.CloseTimeout, "nothing was heard from the client when its place was wanted")
	}
	for _, other := range adm.Evicted {
		other.End(holdfast.CloseElsewhere, "continued in another window")
	}
	if adm.Flaps {
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the connections of a user take the place from each other too often",
			slog.String("user", string(c.grant.Load().User)), slog.String("client", string(c.client)))
	}
	if adm.Refused() {
		c.dwell(ctx, adm.Wait)
	}
	return adm
}

// dwell keeps one that is refused waiting. However many sessions a frame asks for, all of it takes no longer than one refusal may: what
// comes meanwhile is not heard, and neither is whether anybody is still there.
func (c *Conn) dwell(ctx context.Context, wait time.Duration) {
	wait = min(wait, policy.LongestWait-c.dwelt)
	c.dwelt += wait
	c.letGo()
	pause(ctx, wait)
}

// awaitLife waits until all who were asked have answered, or the verdict is due.
func awaitLife(ctx context.Context, a *hub.Arrival) {
	ctx, cancel := context.WithTimeout(ctx, verdict)
	defer cancel()
	silent := func(other hub.Conn) bool { return other.Describe().Alive.Before(a.AskedAt) }
	for slices.ContainsFunc(a.Asked, silent) && pause(ctx, look) {
	}
}

// pause waits; false means that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// turnedAway tells a client that is not let in what it can do about that.
func (c *Conn) turnedAway(v policy.Verdict) {
	switch v {
	case policy.Ask:
		c.bye(holdfast.CloseElsewhere, "open elsewhere; to go on here, claim the place", 0, 0)
	case policy.Elsewhere:
		c.bye(holdfast.CloseElsewhere, "continued in another window", 0, 0)
	default:
		c.bye(holdfast.CloseTooMany, "too many connections of this user", 0, 0)
	}
}

// sit takes the connection's seat in a session, where rules are of single sessions.
func (c *Conn) sit(ctx context.Context, f *wire.Sub) error {
	if !c.perSession() {
		return nil
	}
	adm := c.settle(ctx, f.Act, func(a *hub.Arrival) hub.Admission { return c.cfg.Hub.Enter(c, f.Session, a) })
	switch {
	case !adm.Refused():
		return nil
	case adm.Verdict == policy.Reject:
		return holdfast.Errorf(holdfast.CodeConflict, "too many connections of this user read the session")
	}
	return holdfast.Errorf(holdfast.CodeConflict, "the session is open in another window; to go on here, claim it")
}

func (c *Conn) perSession() bool {
	return slices.ContainsFunc(c.rules(), func(r holdfast.ConnectionRule) bool { return r.PerSession })
}

// claim gives a connection that reads only the place of another one.
func (c *Conn) claim(ctx context.Context) {
	adm := c.settle(ctx, holdfast.ActClaim, func(a *hub.Arrival) hub.Admission { return c.cfg.Hub.Claim(c, a) })
	if adm.Verdict == policy.Admit {
		return
	}
	c.answer(&wire.ErrFrame{Re: wire.TypeClaim, Code: holdfast.CodeConflict, Message: "there is no place now; the windows of this user take it from each other too often"})
}

// mayWrite refuses what would change a session on a connection that reads only, and what is sent beside such a connection.
func (c *Conn) mayWrite(s holdfast.SessionID) error {
	if len(c.rules()) == 0 || c.cfg.Hub.MayWrite(c.grant.Load().User, c.client, s) {
		return nil
	}
	return holdfast.Errorf(holdfast.CodeForbidden, "this window reads only, as the session is in use in another one; claim it to go on here")
}

// Windows implements [hub.Conn].
func (c *Conn) Windows(f *wire.Windows) { c.push(f) }

// Probe implements [hub.Conn].
func (c *Conn) Probe() {
	if c.reach == transport.Both {
		c.push(&wire.Ping{N: uint64(c.cfg.now().Sub(c.started) / time.Millisecond)})
	}
}

// Displace implements [hub.Conn]. The sub stays on the list, which is the reading side's: it is replaced or removed there.
func (c *Conn) Displace(f *wire.Windows) {
	c.mu.Lock()
	i := slices.IndexFunc(c.subs, func(s *sub) bool { return s.session == f.Session })
	var s *sub
	if i >= 0 {
		s = c.subs[i]
	}
	c.mu.Unlock()
	if s != nil {
		s.leave(presence.Goodbye)
	}
	c.push(f)
	c.push(&wire.SubAnswer{Session: f.Session, Outcome: holdfast.Denied, Code: holdfast.CodeConflict, Message: "continued in another window"})
}

// alive is when something last came; now, if the client cannot be heard, or is being listened to. Not for ever: who has gone while the
// server was at its message would keep its place for as long as that takes.
func (c *Conn) alive() time.Time {
	now, came := c.cfg.now(), c.started.Add(time.Duration(c.lastIn.Load()))
	if c.reach != transport.Both || c.handling.Load() && now.Sub(came) <= c.beat()*5/2 {
		return now
	}
	return came
}

// use notes that the client's user did something, unless the frame is one that the client sends by itself.
func (c *Conn) use(f wire.ClientFrame) {
	switch f.(type) {
	case *wire.Ping, *wire.Pong, *wire.TokenRefresh, *wire.Unknown:
	default:
		c.Touch()
		if c.stands() == aside {
			c.cfg.Hub.Touch(c.grant.Load().User, c.client)
		}
	}
}

// Touch implements [hub.Conn].
func (c *Conn) Touch() { c.used.Store(int64(c.cfg.now().Sub(c.started))) }
