package client

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/transport/ws"
	"github.com/holdfast/holdfast/wire"
)

// Conn is a client's side of a connection, such as [ws.ClientConn]. One goroutine calls Read, another Write; Close and Abort
// may be called by anyone, and make both return; Abort waits for nothing. A message that Read returned is valid until the
// next call. When the server has closed in order, Read's error wraps a [*ws.CloseError]. A Conn that also has the method
// Bytes of [ws.ClientConn] is not taken for silent while a large message is arriving.
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
	// Token returns a token. It is called with the first dial, when the server says that the last one expires, and when it
	// was refused; not for every dial. ctx ends after 10 s. An error with [holdfast.CodeUnauthorized] or
	// [holdfast.CodeForbidden] ends the client; after any other, it is called again.
	Token func(ctx context.Context) (string, error)
	// ClientID is stable for this device or worker. Of two programs with one id and user, the one that dialed last lives.
	ClientID holdfast.ClientID
	// Agent names the program, for the server's log. Default: "holdfast-go".
	Agent string

	// Device is the same for all clients on a device, and Name what the user's other windows are shown of this one. Default: none.
	Device, Name string
	// Act says what a user has done to have the program connect, for servers with rules on a user's connections. It is said
	// once; [holdfast.ActClaim] takes another connection's place, after a user has said so. Default: nothing, and then nobody is
	// turned out for this connection.
	Act holdfast.Act
	// OnWindows is told how the connection stands beside the user's others, and of these whenever they change, as OnPhase is.
	// Default: nobody is told, and the server not asked to.
	OnWindows func(f wire.Windows)

	// OnPhase is told when the client's phase changes, in order, by the goroutine of Run; it must not wait. err is why a
	// connection ended, with Waiting and Over. Default: nobody is told.
	OnPhase func(p Phase, err error)

	// Dial opens a connection to a URL. ctx ends when the dial is given up, or later. An error with [holdfast.CodeInvalid]
	// ends the client. Default: a WebSocket.
	Dial func(ctx context.Context, url string) (Conn, error)
	// Ready asks whether the server takes connections, at a URL of its own, and if not, when to ask again (0 if that is not
	// known). It is asked where dialing has failed often, or takes long. ctx ends after 1 s. Default: GET over HTTP.
	Ready func(ctx context.Context, url string) (ok bool, after time.Duration)
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
	if o.Dial == nil {
		dialer := ws.NewDialer(ws.DialOptions{})
		o.Dial = func(ctx context.Context, url string) (Conn, error) {
			conn, err := dialer.Dial(ctx, url)
			if err != nil {
				return nil, err
			}
			return conn, nil
		}
	}
	if o.Ready == nil {
		o.Ready = httpReady()
	}
	return nil
}

// Phase is what a client is about.
type Phase uint8

// The phases.
const (
	// Idle: Run has not been called.
	Idle Phase = iota
	// Dialing: a connection is being opened.
	Dialing
	// Attaching: the connection is open, and the server has not said welcome.
	Attaching
	// Live: the server said welcome; entries flow, as far as is known.
	Live
	// Waiting: before the next dial.
	Waiting
	// Over: the client has ended for good.
	Over
)

// String returns the name of the phase, for logs.
func (p Phase) String() string {
	return [...]string{"idle", "dialing", "attaching", "live", "waiting", "over"}[p]
}

// phaseOf is what a state is called outside. A doubt is nobody's business before it has proved right.
var phaseOf = map[stateName]Phase{
	inIdle: Over, inDialing: Dialing, inAttaching: Attaching, inLive: Live, inDoubt: Live, inWaiting: Waiting,
	inAsleep: Idle, inEnded: Over,
}

// Client keeps one connection alive and reads any number of sessions over it.
type Client struct {
	// Static after construction.
	opts Options
	// now is the wall clock.
	now func() instant
	// bell has room for one: it says that there is something to write. wake, retry and suspect are what the methods ring.
	bell, wake, retry, suspect chan struct{}
	// inbox is what others have Run do. It has no room: who puts something in waits until Run takes it.
	inbox chan func()
	// applying has something in it while a frame is applied and the application is told, so that it hears of changes in
	// order though there may be two readers. It is a lock that one can stop waiting for; mu comes after it.
	applying chan struct{}
	// ctx ends when Run is about to return; all is everybody whom it waits for then.
	ctx context.Context
	all sync.WaitGroup

	// Owned by Run.
	machine machine
	// links are the sockets by the number of their dial, two at most.
	links map[uint64]*link
	token token
	gen   holdfast.Generation
	cause error
	// act is what is still to be said of a user's.
	act holdfast.Act
	// gates and pings count the questions, so that the answer to an earlier one is not taken for the latest's.
	gates, pings            uint64
	helloAt, pingAt, liveAt instant
	// serverAhead is how far the server's clock is before ours: expiry is told by its clock.
	serverAhead time.Duration
	// tickAt is when the clock was last looked at; wokeAt and wokeCertain are the latest wake.
	tickAt, wokeAt instant
	wokeCertain    bool

	// Guarded by mu.
	mu      sync.Mutex
	phase   Phase
	running bool
	// attached is the link that was told what to subscribe to. What comes over another counts no more.
	attached *link
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
		opts: o, now: func() instant { return instant(time.Now().UnixNano()) }, machine: machine{name: inIdle},
		bell: make(chan struct{}, 1), wake: make(chan struct{}, 1), retry: make(chan struct{}, 1), suspect: make(chan struct{}, 1),
		inbox: make(chan func()), applying: make(chan struct{}, 1), act: o.Act,
		links:    map[uint64]*link{},
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

// Wake says that the network changed, or that the machine was asleep: call it where the program knows. A connection that is
// there has to show at once that it lives, with another one in the making beside it; where there is none, one is dialed at
// once, unless the server has said when to come. A sleep of the machine is also noticed without it, within a second.
func (c *Client) Wake() { ring(c.wake) }

// Retry makes the next attempt now, whatever the server has said; with a connection, it makes sure that it lives.
func (c *Client) Retry() { ring(c.retry) }

// Suspect makes sure that the connection lives: call it when something is overdue that should have come over it. An
// acknowledgement that is overdue is noticed without it.
func (c *Client) Suspect() { ring(c.suspect) }

// Claim gives a connection that reads only the place of the user's other one: call it when a user has said so. What comes of it
// is told by OnWindows. A client that was turned out, and so has ended, is made anew with [Options].Act.
func (c *Client) Claim() { c.writeControl(&wire.Claim{}) }

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
