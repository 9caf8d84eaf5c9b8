package conn

import (
	"context"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/text"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
)

// hello authenticates. What comes of the connection then is for its mode to say.
func (c *Conn) hello(ctx context.Context, h *wire.Hello) {
	if h.Version != wire.Version {
		c.bye(holdfast.CloseVersion, "this server speaks version 1 of the protocol", 0, 0)
		return
	}
	if wrong := checkMode(h, c.reach); wrong != "" {
		c.bye(holdfast.CloseProtocol, wrong, 0, 0)
		return
	}
	if err := h.Client.Validate(); err != nil {
		c.bye(holdfast.CloseProtocol, holdfast.MessageOf(err), 0, 0)
		return
	}
	c.client, c.agent = h.Client, text.Clip(h.Agent, 128)
	grant, ok := c.verify(ctx, h.Token)
	if !ok {
		return
	}
	c.curious, c.device, c.name = h.Windows, text.Clip(h.Device, 64), text.Clip(h.Name, 64)
	c.grant.Store(&grant)
	switch h.Mode {
	case wire.ModeStandby:
		c.stand(standby)
		c.ready()
	case wire.ModeAside:
		// What follows uses the store, and what was revoked is only known with it.
		if !c.awaitStore(ctx) {
			return
		}
		if ended, _ := c.Recheck(); ended {
			return
		}
		c.stand(aside)
		c.ready()
	default:
		c.attach(ctx, &wire.Take{Gen: h.Gen, Hidden: h.Hidden, Act: h.Act, Subs: h.Subs})
	}
}

func (c *Conn) ready() {
	c.answer(&wire.Ready{Beat: c.cfg.Beat.Milliseconds(), Rest: c.cfg.Rest.Milliseconds()})
}

// attach makes this the living connection of its client, if the rules let it in, and resumes all sessions.
func (c *Conn) attach(ctx context.Context, f *wire.Take) {
	if !c.awaitStore(ctx) {
		return
	}
	began := c.cfg.now()
	defer func() {
		if c.cfg.Pace != nil && c.stands() == attached {
			c.cfg.Pace(c.cfg.now().Sub(began))
		}
	}()
	c.gen = f.Gen
	c.hidden.Store(f.Hidden)
	if !c.signIn() {
		return
	}
	adm := c.settle(ctx, f.Act, func(a *hub.Arrival) hub.Admission { return c.cfg.Hub.Attach(c, a) })
	if adm.Ghost != nil {
		adm.Ghost.End(holdfast.CloseSuperseded, "a newer connection of this client lives")
	}
	switch {
	case adm.Stale:
		c.bye(holdfast.CloseSuperseded, "a newer connection of this client lives", 0, 0)
		return
	case adm.Refused():
		c.turnedAway(adm.Verdict)
		return
	}
	c.stand(attached)
	var before holdfast.ConnID
	if adm.Ghost != nil {
		before = adm.Ghost.Describe().ID
	}
	// From here on a revocation finds the connection; one that came before may have missed it.
	if ended, _ := c.Recheck(); ended {
		return
	}
	now := c.cfg.now()
	grant := c.grant.Load()
	c.tellAttached(c.cfg.Ends.Attached(ending.Return{Conn: c.id, User: grant.User, Client: c.client, Trace: c.t.Info().Trace}, before))
	c.gather(func() {
		c.answer(&wire.Welcome{
			Conn: c.id, User: grant.User, Now: now.UnixMilli(), Exp: unixMilli(grant.Expires), Beat: c.cfg.Beat.Milliseconds(),
			Rest: c.cfg.Rest.Milliseconds(), Max: int64(c.cfg.MaxData),
		})
		c.subscribeAll(ctx, f.Subs)
	})
}

func (c *Conn) subscribeAll(ctx context.Context, subs []wire.Sub) {
	runs := 0
	for i := range subs {
		sub := &subs[i]
		if sub.Cursor != nil && len(sub.Cursor.Runs) > 0 {
			if runs += len(sub.Cursor.Runs); runs > maxRuns {
				sub.Cursor = nil
			}
		}
		c.subscribe(ctx, sub)
	}
}

// maxRuns is how many runs all the cursors of one hello may name: each may have to be read, and a hello comes before any
// limit. Readers have a few open runs in a few sessions; beyond this they get snapshots, which cost less.
const maxRuns = 1024

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// verify turns a token into a grant, or ends the connection with the code that tells the client what to do.
func (c *Conn) verify(ctx context.Context, token string) (holdfast.Grant, bool) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.HelloTimeout)
	defer cancel()
	grant, err := c.cfg.Auth.Verify(ctx, token)
	if err == nil {
		grant, err = c.remains(grant)
	}
	switch holdfast.CodeOf(err) {
	case "":
	case holdfast.CodeUnauthorized, holdfast.CodeForbidden, holdfast.CodeInvalid:
		c.bye(holdfast.CloseUnauthorized, holdfast.MessageOf(err), 0, 0)
		return grant, false
	default:
		c.cfg.Logger.Error("tokens cannot be verified", "err", err)
		c.bye(holdfast.CloseOverload, "tokens cannot be verified now", 2*time.Second, 5*time.Second)
		return grant, false
	}
	if grant.User == "" {
		c.bye(holdfast.CloseUnauthorized, "the token names no user", 0, 0)
		return grant, false
	}
	if s, ok := c.t.(transport.Stranger); ok {
		s.Known()
	}
	return grant, true
}
