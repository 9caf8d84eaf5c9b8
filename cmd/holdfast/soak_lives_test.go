package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/wire"
)

// life is one way for a user to come, to live and to end. An error is of the test's own matters; how the ends stand in the log is
// compared at the end of all.
type life struct {
	name string
	// lasts is how long it takes, about.
	lasts time.Duration
	live  func(x *seat, name string) error
}

// soakLives are all of them. Those that take more than 10 s are lived in the long form only.
var soakLives = []life{
	{"says goodbye", 3 * time.Second, (*seat).saysGoodbye},
	{"parks", 2 * time.Second, (*seat).parks},
	{"closes in order", 2 * time.Second, (*seat).closesInOrder},
	{"closes the page", 2 * time.Second, (*seat).closesThePage},
	{"is reset", 2 * time.Second, (*seat).isReset},
	{"vanishes", 2 * time.Second, (*seat).vanishes},
	{"vanishes in mid-frame", 2 * time.Second, (*seat).vanishesInMidFrame},
	{"freezes", 8 * time.Second, (*seat).freezes},
	{"falls silent", 8 * time.Second, (*seat).fallsSilent},
	{"reads slowly and is cut", 6 * time.Second, (*seat).readsSlowlyAndIsCut},
	{"reads slowly and leaves", 8 * time.Second, (*seat).readsSlowlyAndLeaves},
	{"takes nothing", 40 * time.Second, (*seat).takesNothing},
	{"dials again", 2 * time.Second, (*seat).dialsAgain},
	{"dials again after a cut", 2 * time.Second, (*seat).dialsAgainAfterACut},
	{"comes too late", 2 * time.Second, (*seat).comesTooLate},
	{"takes its standby", 2 * time.Second, (*seat).takesItsStandby},
	{"leaves its standby", 8 * time.Second, (*seat).leavesItsStandby},
	{"has two windows", 5 * time.Second, (*seat).hasTwoWindows},
	{"is disconnected", 2 * time.Second, (*seat).isDisconnected},
	{"floods", 3 * time.Second, (*seat).floods},
	{"has a bad token", 2 * time.Second, (*seat).hasABadToken},
	{"has a token that ends", 17 * time.Second, (*seat).hasATokenThatEnds},
	{"is revoked", 2 * time.Second, (*seat).isRevoked},
	{"breaks the protocol", 2 * time.Second, (*seat).breaksTheProtocol},
	{"says no hello", 8 * time.Second, (*seat).saysNoHello},
	{"asks for half a page", 12 * time.Second, (*seat).asksForHalfAPage},
	{"listens to events", 3 * time.Second, (*seat).listensToEvents},
	{"polls", 3 * time.Second, (*seat).polls},
	{"sends aside", 2 * time.Second, (*seat).sendsAside},
}

func (x *seat) saysGoodbye(name string) error {
	g, err := x.enter(name, ending.Normal)
	if err != nil {
		return err
	}
	g.say(&wire.Send{Session: x.own(), ID: fmt.Sprintf("m-%d", x.gen), Data: []byte(`"on my way"`)})
	x.stay(0, 1500*time.Millisecond)
	if err := g.leave(false); err != nil || x.rng.IntN(4) > 0 {
		return err
	}
	// So that the sessions are new ones now and then.
	return x.s.backend(http.MethodDelete, "/v1/sessions/"+string(x.own()), nil, nil)
}

func (x *seat) parks(name string) error {
	g, err := x.enter(name, ending.Normal)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	return g.leave(true)
}

func (x *seat) closesInOrder(name string) error {
	return x.endsBy(name, ending.Normal, func(g *guest) { g.shut(ws.StatusNormalClosure) })
}

func (x *seat) closesThePage(name string) error {
	return x.endsBy(name, ending.GoingAway, func(g *guest) { g.shut(ws.StatusGoingAway) })
}

func (x *seat) isReset(name string) error { return x.endsBy(name, ending.Network, (*guest).reset) }

func (x *seat) vanishes(name string) error {
	return x.endsBy(name, ending.Network, func(g *guest) { _ = g.nc.Close() })
}

func (x *seat) vanishesInMidFrame(name string) error {
	return x.endsBy(name, ending.Network, func(g *guest) {
		g.halve()
		_ = g.nc.Close()
	})
}

func (x *seat) endsBy(name string, want ending.Class, end func(*guest)) error {
	g, err := x.enter(name, want)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	end(g)
	return g.finish()
}

// freezes is the half-open connection that a phone leaves behind: nothing is read, nothing said, and the socket stays.
func (x *seat) freezes(name string) error {
	return x.endsBy(name, ending.Timeout, func(g *guest) {
		g.quiet.Store(true)
		g.deafen()
	})
}

// fallsSilent takes all that comes and answers nothing, as a page whose scripts are stopped.
func (x *seat) fallsSilent(name string) error {
	return x.endsBy(name, ending.Timeout, func(g *guest) { g.quiet.Store(true) })
}

func (x *seat) readsSlowlyAndIsCut(name string) error {
	g, err := x.come(thin, x.loaded(), name, ending.Network)
	if err != nil {
		return err
	}
	x.stay(time.Second, 4*time.Second)
	g.reset()
	return g.finish()
}

func (x *seat) readsSlowlyAndLeaves(name string) error {
	g, err := x.come(thin, x.loaded(), name, ending.Normal)
	if err != nil {
		return err
	}
	x.stay(time.Second, 4*time.Second)
	return g.leave(false)
}

// loaded is a hello of a client that reads more than a thin line carries. It begins with nothing, so that its welcome comes soon.
func (x *seat) loaded() wire.Hello {
	h := x.hello()
	h.Subs = nil
	for i := range soakRooms {
		h.Subs = append(h.Subs, wire.Sub{Session: room(i), Last: 1})
	}
	return h
}

// takesNothing says that it lives, and takes nothing of what is written to it.
func (x *seat) takesNothing(name string) error {
	g, err := x.come(narrow, x.loaded(), name, ending.Timeout)
	if err != nil {
		return err
	}
	g.deafen()
	tick := time.NewTicker(soakBeat / 2)
	defer tick.Stop()
	ended := make(chan error, 1)
	x.s.guests.Go(func() { ended <- x.s.book.ended(g.visit) }) // ends within a minute; received below
	for {
		select {
		case <-tick.C:
			g.say(&wire.Pong{N: 1})
		case err := <-ended:
			_ = g.nc.Close()
			return err
		}
	}
}

func (x *seat) dialsAgain(name string) error {
	a, err := x.enter(name+": the ghost", ending.Superseded)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	b, err := x.enter(name, ending.Normal)
	if err != nil {
		return err
	}
	if err := a.finish(); err != nil {
		return err
	}
	return b.leave(false)
}

// dialsAgainAfterACut does not wait until the server has noticed the cut. So it may find the ghost by the reset, or by its
// successor, and both are true.
func (x *seat) dialsAgainAfterACut(name string) error {
	a, err := x.enter(name+": the ghost", ending.Network, ending.Superseded)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	a.reset()
	b, err := x.enter(name, ending.Normal)
	if err != nil {
		return err
	}
	if err := a.finish(); err != nil {
		return err
	}
	return b.leave(false)
}

// comesTooLate dials with an older generation than the one that lives.
func (x *seat) comesTooLate(name string) error {
	older := x.hello()
	a, err := x.enter(name+": the living", ending.Normal)
	if err != nil {
		return err
	}
	b, err := x.dial(broad, name, ending.Superseded)
	if err != nil {
		return err
	}
	b.say(&older)
	if err := b.finish(); err != nil {
		return err
	}
	return a.leave(false)
}

func (x *seat) takesItsStandby(name string) error {
	a, err := x.enter(name+": the doubtful", ending.Superseded)
	if err != nil {
		return err
	}
	h := x.hello()
	h.Mode, h.Subs = wire.ModeStandby, nil
	b, err := x.come(broad, h, name, ending.GoingAway)
	if err != nil {
		return err
	}
	x.stay(0, 500*time.Millisecond)
	b.say(&wire.Take{Gen: x.next(), Subs: []wire.Sub{{Session: room(0)}}})
	if err := a.finish(); err != nil {
		return err
	}
	b.shut(ws.StatusGoingAway)
	return b.finish()
}

func (x *seat) leavesItsStandby(name string) error {
	h := x.hello()
	h.Mode, h.Subs = wire.ModeStandby, nil
	g, err := x.come(broad, h, name, ending.Timeout)
	if err != nil {
		return err
	}
	return g.finish()
}

// tokenRules are those that a token brings now and then.
var tokenRules = []holdfast.ConnectionRule{
	{Max: 1, On: holdfast.ConflictEvictOldest}, {Max: 1, On: holdfast.ConflictReject}, {Max: 1, On: holdfast.ConflictAsk},
	{Max: 1, On: holdfast.ConflictTakeOver}, {Max: 1, On: holdfast.ConflictReadOnly}, {Max: 1, On: holdfast.ConflictEvictIdle},
}

// inSession stands for a rule of single sessions, whatever it does there: it ends no connection.
const inSession holdfast.Conflict = "in session"

// hasTwoWindows opens a second window, by the rules that there are at the moment: those that the server was told last, or those of
// the token.
func (x *seat) hasTwoWindows(name string) error {
	x.s.policy.RLock()
	defer x.s.policy.RUnlock()
	claims, on := x.claims(), x.s.rule
	if on == "" && x.rng.IntN(4) > 0 {
		rule := tokenRules[x.rng.IntN(len(tokenRules))]
		if on = rule.On; x.rng.IntN(4) == 0 {
			rule.PerSession, on = true, inSession
		}
		claims.Connections = []holdfast.ConnectionRule{rule}
	}
	token := x.token(claims)
	window := func(client holdfast.ClientID, act holdfast.Act) (*guest, error) {
		h := x.hello()
		h.Client, h.Act, h.Token = client, act, token
		g, err := x.dial(broad, name+": "+cmp.Or(string(on), "no rule"), ending.Normal)
		if err == nil {
			g.say(&h)
		}
		return g, err
	}
	a, err := window("left", holdfast.ActOpen)
	if err != nil {
		return err
	}
	if err := a.welcomed(); err != nil {
		return err
	}
	b, err := window("right", holdfast.ActOpen)
	if err != nil {
		return err
	}
	switch on {
	case holdfast.ConflictReject, holdfast.ConflictAsk:
		b.want = []ending.Class{ending.Policy}
		if err := b.finish(); err != nil || on == holdfast.ConflictReject {
			return errors.Join(err, a.leave(false))
		}
		if b, err = window("right", holdfast.ActClaim); err != nil {
			return err
		}
		fallthrough
	case holdfast.ConflictEvictOldest, holdfast.ConflictEvictIdle, holdfast.ConflictTakeOver:
		a.want = []ending.Class{ending.Policy}
		return errors.Join(b.welcomed(), a.finish(), b.leave(false))
	}
	return errors.Join(b.welcomed(), b.leave(false), a.leave(false))
}

// isDisconnected is ended by the application: this connection, or all of the user's.
func (x *seat) isDisconnected(name string) error {
	g, err := x.enter(name, ending.Policy)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	path := "/v1/connections/" + g.conn
	if x.rng.IntN(2) == 0 {
		path = "/v1/users/" + string(x.user()) + "/connections"
	}
	return errors.Join(x.s.backend(http.MethodDelete, path, nil, nil), g.finish())
}

// floods sends frames until it has overdrawn ten times what it may send at once.
func (x *seat) floods(name string) error {
	return x.endsBy(name, ending.Policy, func(g *guest) {
		g.write(bytes.Repeat(masked(ws.OpText, wire.AppendClient(nil, &wire.Pong{N: 1})), 40*soakBurst))
	})
}

// hasABadToken never becomes anybody.
func (x *seat) hasABadToken(name string) error {
	h, c := x.hello(), x.claims()
	good := h.Token
	switch x.rng.IntN(5) {
	case 0:
		h.Token = "no token at all"
	case 1:
		h.Token = good[:len(good)-10] + strings.Repeat("A", 10)
	case 2:
		c.Expires = time.Now().Add(-time.Hour)
		h.Token = x.token(c)
	case 3:
		h.Token = x.token(auth.Claims{Backend: true, Expires: c.Expires})
	case 4:
		h.Mode, h.Subs, h.Token = wire.ModeStandby, nil, "no token at all"
	}
	g, err := x.dial(broad, name, ending.Auth)
	if err != nil {
		return err
	}
	g.say(&h)
	return g.finish()
}

// hasATokenThatEnds comes with one whose leeway ends soon, and lives on for the grace that it is given to bring another.
func (x *seat) hasATokenThatEnds(name string) error {
	const leeway, room = 30 * time.Second, 3 * time.Second
	h, c := x.hello(), x.claims()
	// In whole seconds: what is left of it is three at the least.
	c.Expires = time.Now().Add(room).Truncate(time.Second).Add(time.Second - leeway)
	h.Token = x.token(c)
	g, err := x.come(broad, h, name, ending.Auth)
	if err != nil {
		return err
	}
	return g.finish()
}

// isRevoked loses its token, is refused with it, and then gets it back.
func (x *seat) isRevoked(name string) error {
	h, c := x.hello(), x.claims()
	c.ID = fmt.Sprintf("token-%d-%d", x.n, x.gen)
	h.Token = x.token(c)
	a, err := x.come(broad, h, name, ending.Auth)
	if err != nil {
		return err
	}
	x.stay(0, time.Second)
	var done struct {
		Revocation struct {
			ID string `json:"id"`
		} `json:"revocation"`
	}
	if err := x.s.backend(http.MethodPost, "/v1/revocations", map[string]any{"token": c.ID}, &done); err != nil {
		return err
	}
	if err := a.finish(); err != nil {
		return err
	}
	b, err := x.dial(broad, name+": and comes again", ending.Auth)
	if err != nil {
		return err
	}
	h.Gen = x.next()
	b.say(&h)
	return errors.Join(b.finish(), x.s.backend(http.MethodDelete, "/v1/revocations/"+done.Revocation.ID, nil, nil))
}

func (x *seat) breaksTheProtocol(name string) error {
	h := x.hello()
	again, _ := ws.CompileFrame(ws.NewTextFrame(wire.AppendClient(nil, &wire.Ping{N: 1}))) // to memory, which takes all
	deeds := []func(*guest){
		func(g *guest) { g.send(ws.OpText, []byte(`{"t":`)) },
		func(g *guest) { g.say(&h) },
		func(g *guest) { g.say(&wire.Take{Gen: x.gen}) },
		func(g *guest) { g.write(again) }, // not masked
		func(g *guest) { g.send(ws.OpBinary, []byte("1")) },
		func(g *guest) { g.send(ws.OpText, []byte("\xff")) },
		func(g *guest) { g.send(ws.OpCode(5), nil) },
		func(g *guest) { g.send(ws.OpText, bytes.Repeat([]byte(" "), 300<<10)) },
		func(g *guest) { g.shut(ws.StatusProtocolError) }, // it is we who broke it, it says
	}
	deed := x.rng.IntN(len(deeds) + 2)
	if deed < len(deeds) {
		return x.endsBy(name, ending.ProtocolError, deeds[deed])
	}
	g, err := x.dial(broad, name+" at once", ending.ProtocolError)
	if err != nil {
		return err
	}
	if deed == len(deeds) {
		h.Version = 2
		g.say(&h)
	} else {
		g.say(&wire.Sub{Session: room(0)})
	}
	return g.finish()
}

// saysNoHello opens a WebSocket, and sends a frame that does not come to its end, a byte at a time.
func (x *seat) saysNoHello(name string) error {
	g, err := x.dial(broad, name, ending.Timeout)
	if err != nil {
		return err
	}
	drip := masked(ws.OpText, bytes.Repeat([]byte(" "), 100))
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for _, b := range drip {
		select {
		case <-g.over:
			return g.finish()
		case <-tick.C:
			g.write([]byte{b})
		}
	}
	return fmt.Errorf("after %v it is still there", time.Duration(len(drip))*200*time.Millisecond)
}

// asksForHalfAPage is no connection yet, and has no record; its socket must go all the same.
func (x *seat) asksForHalfAPage(string) error {
	nc, err := net.Dial("tcp", x.s.p.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, "GET /v1/ws/1 HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		return err
	}
	_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err = io.Copy(io.Discard, nc); os.IsTimeout(err) {
		return err
	}
	return nil
}

// listensToEvents reads a stream of events, and goes without a word: over HTTP there is none.
func (x *seat) listensToEvents(name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := x.hello()
	v, res, err := x.request(ctx, "/v1/ws/1/events", name, ending.Network, &h)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for v.conn == "" {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			note(v, data)
		}
	}
	x.stay(0, time.Second)
	cancel()
	return x.s.book.ended(v)
}

// note takes the id of a connection from a welcome.
func note(v *visit, msg []byte) {
	if f, err := wire.DecodeServer(bytes.TrimSpace(msg)); err == nil {
		if w, ok := f.(*wire.Welcome); ok {
			v.conn = string(w.Conn)
		}
	}
}

func (x *seat) polls(name string) error {
	h := x.hello()
	h.Wait = 500
	v, res, err := x.request(context.Background(), "/v1/ws/1/poll", name, ending.Normal, &h)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	for line := range bytes.Lines(text) {
		note(v, line)
	}
	return errors.Join(err, x.s.book.ended(v))
}

func (x *seat) sendsAside(name string) error {
	h := x.hello()
	h.Mode, h.Subs = wire.ModeAside, nil
	v, res, err := x.request(context.Background(), "/v1/ws/send", name, ending.Normal, &h,
		&wire.Send{Session: x.own(), ID: fmt.Sprintf("m-%d", x.gen), Data: []byte(`"beside it"`)})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Contains(text, []byte(`"t":"ack"`)) {
		err = fmt.Errorf("the answer has no ack: %s", text)
	}
	return errors.Join(err, x.s.book.ended(v))
}
