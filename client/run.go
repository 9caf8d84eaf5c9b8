package client

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

const (
	// tickEvery is how often the clock is looked at.
	tickEvery = time.Second
	// jump: a tick that is off by more was asleep, or the clock was set; by longSleep, a connection hardly outlived it.
	jump      = 3 * time.Second
	longSleep = 30 * time.Second
	// oneWake: what wakes comes in bunches.
	oneWake = 50 * time.Millisecond
	// stableAfter: a connection that lives so long, and is up to date, is a good one.
	stableAfter = 5 * time.Second
)

// Run keeps a connection alive until ctx ends, and then says goodbye and returns nil; or until the server, or the token's
// source, says that there is no sense in coming back: then it returns a [*CloseError] or that source's error. It may be
// called once. Everything that waits on the client then fails with [holdfast.CodeUnavailable].
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	again := c.running
	c.running = true
	c.mu.Unlock()
	if again {
		return holdfast.Errorf(holdfast.CodeConflict, "the client is running, or has run, already")
	}
	defer c.finish()
	// What is under way ends when the machine says so; only then may a goodbye still be written.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.ctx = inner
	defer func() {
		cancel()
		c.all.Wait()
	}()
	c.dispatch(event{kind: onConnect}, nil)
	c.loop(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return c.cause
}

// loop turns what happens into events, until the machine says that it is over.
func (c *Client) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	c.tickAt = c.now()
	for c.machine.name != inEnded && c.machine.name != inIdle {
		c.flush()
		timer.Reset(c.untilDue())
		select {
		case <-ctx.Done():
			c.dispatch(event{kind: onDisconnect}, nil)
		case f := <-c.inbox:
			f()
		case <-c.wake:
			c.woken(true)
		case <-c.retry:
			c.dispatch(event{kind: onRetry}, nil)
		case <-c.suspect:
			c.dispatch(event{kind: onSuspect}, nil)
		case <-c.bell:
		case <-timer.C:
			c.due()
		case <-ticker.C:
			c.tick()
		}
	}
}

// post has Run do something, unless it is over.
func (c *Client) post(f func()) {
	select {
	case c.inbox <- f:
	case <-c.ctx.Done():
	}
}

// dispatch takes one event to its end. why is the error behind it, for the application; nil if there is none.
func (c *Client) dispatch(e event, why error) {
	c.listen()
	c.step(e, c.now(), why)
}

// listen tells the machine what the readers heard and what was said, once for any number of frames.
func (c *Client) listen() {
	for _, n := range c.machine.sockets() {
		l := c.links[n]
		if l == nil {
			continue
		}
		if at, some := l.news(c.now()); some {
			c.step(event{kind: onHeard, n: n}, at, nil)
		}
		if s := instant(l.said.Load()); n == c.machine.n && s != l.saidTold {
			l.saidTold = s
			c.step(event{kind: onSent}, s, nil)
		}
	}
}

func (c *Client) step(e event, now instant, why error) {
	before := c.machine.name
	m, effects := c.machine.step(e, moment{now, rand.Float64()})
	c.machine = m
	for _, f := range effects {
		c.perform(f, now)
	}
	if m.name != before {
		c.entered(why)
	}
}

func (c *Client) perform(f effect, now instant) {
	switch f.kind {
	case doDial:
		c.dial(f.n)
	case doHello:
		c.hello(c.links[f.n], f.standby)
	case doTake:
		gen, subs := c.attach(c.links[f.n])
		c.links[f.n].send(&wire.Take{Gen: gen, Act: c.act, Subs: subs})
	case doPing:
		c.pings++
		c.pingAt = now
		c.links[f.n].send(&wire.Ping{N: c.pings})
	case doGate:
		c.askGate()
	case doDrop:
		c.drop(c.links[f.n], f.bye)
	}
}

// entered tells the phase. Whether a session is live depends on it, so those who wait for changes are told too.
func (c *Client) entered(why error) {
	m := &c.machine
	if m.name == inWaiting || m.name == inEnded {
		c.cause = why
		if why == nil {
			c.cause = holdfast.Errorf(holdfast.CodeUnavailable, "%s", m.reason)
		}
	}
	p := phaseOf[m.name]
	c.mu.Lock()
	before := c.phase
	c.phase = p
	if (p == Live) != (before == Live) {
		for _, s := range c.sessions {
			ring(s.changed)
		}
	}
	c.mu.Unlock()
	if p == before || c.opts.OnPhase == nil {
		return
	}
	var err error
	if m.name == inWaiting || m.name == inEnded {
		err = c.cause
	}
	c.opts.OnPhase(p, err)
}

// untilDue is when to look again without being asked to.
func (c *Client) untilDue() time.Duration {
	patience := c.patience()
	c.mu.Lock()
	at := min(c.machine.deadline(), c.outbox.overdueAt(patience))
	wait := max(0, at-c.now())
	if left := time.Until(c.notBefore); left > 0 {
		wait = min(wait, left)
	}
	c.mu.Unlock()
	// Neither shall a clock that was set while nobody looked keep it waiting for ever.
	return min(wait, time.Hour)
}

// patience is how long an answer may take before the connection is doubted.
func (c *Client) patience() time.Duration { return max(time.Second, 3*c.machine.mem.rtt) }

// due looks at what time it is.
func (c *Client) due() {
	c.listen()
	if now := c.now(); now >= c.machine.deadline() {
		c.step(event{kind: onTimer}, now, nil)
	}
	c.mu.Lock()
	late := c.outbox.overdue(c.now(), c.patience())
	c.mu.Unlock()
	// An answer that is late while somebody waits for it is the first sign of a connection that is dead.
	if late {
		c.dispatch(event{kind: onSuspect}, nil)
	}
}

// tick notices that the machine slept, which nobody else tells a program of: the clock of its timers stood still, the wall
// clock did not. And it sees whether the connection has proved itself.
func (c *Client) tick() {
	c.listen()
	now := c.now()
	late := now - c.tickAt - tickEvery
	c.tickAt = now
	if late.Abs() > jump {
		c.woken(late > longSleep)
	}
	if c.machine.name == inLive && !c.machine.stable && now-c.liveAt >= stableAfter && c.upToDate() {
		c.dispatch(event{kind: onStable}, nil)
	}
}

func (c *Client) woken(certain bool) {
	now := c.now()
	c.tickAt = now
	if certain == c.wokeCertain && (now-c.wokeAt).Abs() < oneWake {
		return
	}
	c.wokeAt, c.wokeCertain = now, certain
	c.dispatch(event{kind: onWake, certain: certain}, nil)
}

// upToDate reports whether all that was asked for is there: only then has the connection proved itself.
func (c *Client) upToDate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		if !s.state.Live() && s.state.Denied() == nil {
			return false
		}
	}
	return true
}

// below is a URL of the server's, below that of the connections.
func (c *Client) below(path string) string { return c.opts.URL + "/v1/ws/" + path }

// dial opens a socket, and sees to a token meanwhile; but first to the token, where it could not be had the last time.
func (c *Client) dial(n uint64) {
	l := c.newLink(n)
	c.links[n] = l
	if !c.token.usable(c.now()) {
		l.tokenless = true
		c.fetchToken()
	}
	if !l.tokenless || !c.token.absent {
		l.start()
	}
}

// proceed goes on once there are both a socket and a token.
func (c *Client) proceed(l *link) {
	if l.open && !l.tokenless {
		c.dispatch(event{kind: onOpened, n: l.n}, nil)
	}
}

func (c *Client) nextGen() holdfast.Generation {
	// Generations grow over restarts of the program too, as long as its clock does.
	c.gen = max(c.gen+1, holdfast.Generation(c.now().Milliseconds()))
	return c.gen
}

func (c *Client) hello(l *link, standby bool) {
	h := &wire.Hello{Version: wire.Version, Token: c.token.value, Client: c.opts.ClientID, Agent: c.opts.Agent,
		Device: c.opts.Device, Name: c.opts.Name, Windows: c.opts.OnWindows != nil}
	if standby {
		h.Mode, h.Gen = wire.ModeStandby, c.nextGen()
	} else {
		h.Gen, h.Subs = c.attach(l)
		h.Act = c.act
	}
	l.send(h)
}

// attach makes the link the one that frames are taken from, and names all sessions with their cursors, so that one round
// trip resumes them.
func (c *Client) attach(l *link) (holdfast.Generation, []wire.Sub) {
	c.helloAt = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached = l
	c.control, c.notBefore = nil, time.Time{}
	c.outbox.resend()
	for _, p := range c.pages {
		p.sent = false
	}
	var subs []wire.Sub
	for _, s := range c.sessions {
		s.stale = len(subs) == wire.MaxSubs
		if !s.stale {
			subs = append(subs, s.subLocked())
		}
	}
	return c.nextGen(), subs
}

// drop lets go of a link, and waits for nothing.
func (c *Client) drop(l *link, bye farewell) {
	delete(c.links, l.n)
	c.mu.Lock()
	attached := c.attached == l
	if attached {
		c.attached = nil
	}
	c.mu.Unlock()
	if bye == unsaid || !attached {
		l.abandon()
		return
	}
	l.leave(&wire.Bye{Park: bye == parking})
}

// flush writes what waits, if the connection is live as far as is known.
func (c *Client) flush() {
	if phaseOf[c.machine.name] != Live {
		return
	}
	c.mu.Lock()
	frames := c.control
	c.control = nil
	if !time.Now().Before(c.notBefore) {
		for _, s := range c.sessions {
			if s.stale {
				s.stale = false
				sub := s.subLocked()
				frames = append(frames, &sub)
			}
		}
		for _, p := range c.pages {
			if !p.sent {
				p.sent = true
				frames = append(frames, &p.request)
			}
		}
		frames = c.outbox.take(frames, c.now())
	}
	c.mu.Unlock()
	c.links[c.machine.n].send(frames...)
}

// finish fails whatever waits on the client.
func (c *Client) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = Over
	err := errOver()
	c.outbox.fail(err)
	for _, p := range c.pages {
		p.finish(false, err)
	}
	clear(c.pages)
	for _, s := range c.sessions {
		s.closeLocked()
	}
	clear(c.sessions)
}

func errOver() *holdfast.Error {
	return holdfast.Errorf(holdfast.CodeUnavailable, "the client has ended")
}
