package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// Conn is a client's side of a connection, such as [ws.ClientConn]. One goroutine calls Read, another Write; Close and Abort
// may be called by anyone, and make both return. A message that Read returned is valid until the next call. When the server
// has closed in order, Read's error wraps a [*ws.CloseError].
type Conn interface {
	Read() ([]byte, error)
	Write(msgs ...[]byte) error
	Close(code holdfast.CloseCode, reason string)
	Abort()
}

// Options are what a client is made with. URL, Token and ClientID are required.
type Options struct {
	// URL is the server's: https://chat.example.com, without a path; http, ws and wss will do too.
	URL string
	// Token returns a token. It is called before the first dial, when the server says that the last one expires, and when it
	// was refused; not for every dial. An error with [holdfast.CodeUnauthorized] or [holdfast.CodeForbidden] ends the client;
	// after any other, it is called again.
	Token func(ctx context.Context) (string, error)
	// ClientID is stable for this device or worker. Of two programs with one id and user, the one that dialed last lives.
	ClientID holdfast.ClientID
	// Agent names the program, for the server's log. Default: "holdfast-go".
	Agent string

	// DialTimeout bounds the dialing and the fetching of a token, and then the wait for the server's welcome. Default: 10 s
	// each.
	DialTimeout time.Duration
	// OnPhase is told when the client's phase changes, in order, by the goroutine of Run; it must not wait. err is why a
	// connection ended, with Waiting and Over. Default: nobody is told.
	OnPhase func(p Phase, err error)

	// Dial opens a connection to a URL. Default: a WebSocket.
	Dial func(ctx context.Context, url string) (Conn, error)
}

func (o *Options) setDefaults() error {
	switch {
	case o.URL == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "Options.URL is missing: set it to the server's, such as https://chat.example.com")
	case o.Token == nil:
		return holdfast.Errorf(holdfast.CodeInvalid, "Options.Token is missing: without a token no server lets the client in")
	}
	if err := o.ClientID.Validate(); err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "Options.ClientID: %s", holdfast.MessageOf(err))
	}
	o.URL = strings.TrimRight(o.URL, "/")
	if o.Agent == "" {
		o.Agent = "holdfast-go"
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 10 * time.Second
	}
	if o.Dial == nil {
		dialer := ws.NewDialer(ws.DialOptions{})
		o.Dial = func(ctx context.Context, url string) (Conn, error) { return dialer.Dial(ctx, url) }
	}
	return nil
}

// Client keeps one connection alive and reads any number of sessions over it.
type Client struct {
	// Static after construction.
	opts Options
	// bell has room for one: it says that there is something to write. wake is what Wake rings.
	bell, wake chan struct{}
	// over is closed when Run has returned.
	over chan struct{}

	// Owned by Run.
	machine machine
	gen     holdfast.Generation
	dials   uint64
	token   string
	link    *link
	cause   error

	// Guarded by mu.
	mu       sync.Mutex
	phase    Phase
	running  bool
	sessions map[holdfast.SessionID]*Session
	outbox   outbox
	pages    map[string]*pageCall
	// control holds frames for the connection there is now; they are dropped with it.
	control []wire.ClientFrame
	// notBefore: the server refused something as too much; sends and subscriptions wait until then.
	notBefore time.Time
	lastID    uint64
}

// New makes a client. It does nothing until Run is called. Errors are [holdfast.CodeInvalid] and name the option.
func New(o Options) (*Client, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	c := &Client{
		opts: o, bell: make(chan struct{}, 1), wake: make(chan struct{}, 1), over: make(chan struct{}),
		sessions: map[holdfast.SessionID]*Session{}, pages: map[string]*pageCall{},
	}
	c.outbox.init()
	return c, nil
}

// CloseError is why a client ended for good: what the server said.
type CloseError struct {
	Code   holdfast.CloseCode
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("the server ended the connection for good: %d (%s) %s", uint16(e.Code), e.Code, e.Reason)
}

// Phase returns what the client is about.
func (c *Client) Phase() Phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

// Wake makes a client that waits dial at once: call it when the network may be back.
func (c *Client) Wake() { ring(c.wake) }

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

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
	o := c.on(event{kind: started})
	for o.phase != Over {
		e := c.do(ctx, o)
		if ctx.Err() != nil {
			e = event{kind: stopped}
		}
		o = c.on(e)
	}
	if ctx.Err() != nil {
		return nil
	}
	return c.cause
}

// on gives the machine an event, and tells the phase that follows.
func (c *Client) on(e event) order {
	e.now, e.chance = time.Now(), rand.Float64()
	if e.kind == broken || e.kind == stopped {
		c.hangUp(e.kind == stopped)
	}
	before := c.machine.phase
	o := c.machine.on(e)
	c.enter(o.phase)
	if o.phase != before && c.opts.OnPhase != nil {
		var err error
		if o.phase == Waiting || o.phase == Over {
			err = c.cause
		}
		c.opts.OnPhase(o.phase, err)
	}
	return o
}

// enter sets the phase. Whether a session is live depends on it, so those who wait for changes are told.
func (c *Client) enter(p Phase) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (p == Live) != (c.phase == Live) {
		for _, s := range c.sessions {
			ring(s.changed)
		}
	}
	c.phase = p
}

// do carries an order out and returns what happened.
func (c *Client) do(ctx context.Context, o order) event {
	switch o.phase {
	case Dialing:
		return c.dial(ctx, o.fresh)
	case Waiting:
		return c.await(ctx, o.wait)
	}
	return c.serve(ctx, o.phase)
}

func (c *Client) await(ctx context.Context, d time.Duration) event {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return event{kind: due}
	case <-c.wake:
		return event{kind: woken}
	case <-ctx.Done():
		return event{kind: stopped}
	}
}

// dial opens a connection and says hello with all cursors.
func (c *Client) dial(ctx context.Context, fresh bool) event {
	if fresh {
		c.token = ""
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	if c.token == "" {
		token, err := c.opts.Token(ctx)
		if err != nil {
			return c.failed(err, refused(err))
		}
		c.token = token
	}
	// Generations grow over restarts of the program too, as long as its clock does.
	c.gen = max(c.gen+1, holdfast.Generation(time.Now().UnixMilli()))
	c.dials++
	conn, err := c.opts.Dial(ctx, c.opts.URL+"/v1/ws/"+strconv.FormatUint(c.dials, 10))
	if err != nil {
		return c.failed(err, holdfast.CodeOf(err) == holdfast.CodeInvalid)
	}
	c.link = c.startLink(conn)
	hello := c.hello()
	if err := conn.Write(wire.AppendClient(nil, hello)); err != nil {
		return c.unwritten(err)
	}
	return event{kind: opened}
}

// refused says that a token's source will not give one later either.
func refused(err error) bool {
	code := holdfast.CodeOf(err)
	return code == holdfast.CodeUnauthorized || code == holdfast.CodeForbidden
}

func (c *Client) failed(err error, fatal bool) event {
	c.cause = err
	return event{kind: broken, fatal: fatal}
}

// unwritten is what a failed write leads to. A server that closes before it has read what is being written said why, and
// the reader is about to find it; without waiting for that, the code that says not to come back would be lost.
func (c *Client) unwritten(err error) event {
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-c.link.done:
		return c.whyEnded(c.link)
	case <-t.C:
		return c.failed(err, false)
	}
}

const lastWords = time.Second

// hello names all sessions with their cursors, so that one round trip resumes them.
func (c *Client) hello() *wire.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &wire.Hello{Version: wire.Version, Token: c.token, Client: c.opts.ClientID, Gen: c.gen, Agent: c.opts.Agent}
	c.control, c.notBefore = nil, time.Time{}
	c.outbox.resend()
	for _, p := range c.pages {
		p.sent = false
	}
	for _, s := range c.sessions {
		s.stale = len(h.Subs) == wire.MaxSubs
		if !s.stale {
			h.Subs = append(h.Subs, s.subLocked())
		}
	}
	return h
}

// hangUp ends the connection there is, if any, and waits for its goroutines.
func (c *Client) hangUp(polite bool) {
	if c.link == nil {
		return
	}
	if polite {
		// The goodbye is a courtesy: without it the server finds out by itself.
		_ = c.link.conn.Write(wire.AppendClient(nil, &wire.Bye{}))
		c.link.conn.Close(holdfast.CloseNormal, "")
	}
	c.link.stop()
	c.link = nil
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
	close(c.over)
}

func errOver() *holdfast.Error {
	return holdfast.Errorf(holdfast.CodeUnavailable, "the client has ended")
}

// whyEnded turns how a connection ended into an event.
func (c *Client) whyEnded(l *link) event {
	e := event{kind: broken}
	var closed *ws.CloseError
	switch {
	case l.bye != nil:
		e.code, e.told = l.bye.Code, l.bye.After > 0 || l.bye.Spread > 0
		e.after, e.spread = millis(l.bye.After), millis(l.bye.Spread)
		c.cause = &CloseError{l.bye.Code, l.bye.Reason}
	case errors.As(l.err, &closed):
		e.code = closed.Code
		c.cause = &CloseError{closed.Code, closed.Reason}
	default:
		c.cause = l.err
	}
	return e
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
