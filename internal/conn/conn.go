// Package conn is one live connection: what arrives on it, what is written to it, and its end.
//
// # Two sides
//
// The reading side is a goroutine of the transport's, one at a time, which handles one frame after another; a send is durable
// before the next frame is read, which keeps a sender's order and is back-pressure by itself. The writing side has one owner
// at a time: the connection's [Lane], a goroutine that serves many connections and never waits, or, while the socket is busy or
// the store must be read, a pump, a goroutine that ends when there is nothing left to do.
//
// # What a connection costs
//
// Its descriptor, one goroutine that holds no buffer while nothing arrives, and its cursors. There is no queue of
// outgoing entries: what is to be written is what follows the cursors. Only answers to the client's own frames wait in a
// buffer, and a client that does not take them is not read from.
package conn

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/wire"
	"golang.org/x/time/rate"
)

// Log is what connections need of the store.
type Log interface {
	tail.Log
	Apply(ctx context.Context, s holdfast.SessionID, op driver.Op) (driver.Result, error)
}

// Auth turns tokens into grants.
type Auth interface {
	Verify(ctx context.Context, token string) (holdfast.Grant, error)
}

// Conn is one live connection.
type Conn struct {
	// Static after construction.
	id      holdfast.ConnID
	t       transport.Conn
	cfg     *Config
	lane    *Lane
	started time.Time
	// carriage names how messages are framed, and reach which ways they go.
	carriage string
	reach    transport.Reach
	// early is the random part, of [earliness], of a quarter of a beat by which this connection pings before the beat is
	// over, so that connections made together do not ping together.
	early uint16
	// found are the server's rules on connections when this one came.
	found []holdfast.ConnectionRule
	// at is the place in the lane's list. Guarded by lane.mu.
	at int

	// Owned by the reading side.
	gen holdfast.Generation
	// subs has few elements, mostly one to three; a map would cost more than they do. It is changed under mu, for those
	// who want to know what is read.
	subs []*sub
	// limit is made with the first frame after hello: many connections only listen.
	limit, byteLimit *rate.Limiter
	// held are the sessions in which a message is waited for; mostly nil.
	held   map[holdfast.SessionID]*heldBack
	client holdfast.ClientID
	agent  string
	// device and name are what the client says it is on, and is called. curious: it wants to know of its user's others.
	device, name string
	curious      bool
	// dwelt is how long refusals of what one frame asks for have been waited for.
	dwelt time.Duration
	// departure is how it went, as far as its client has said.
	departure presence.Departure
	// from is the client's address. entered and signedIn: it was counted in, as somebody's and as its user's.
	from              netip.Addr
	entered, signedIn bool

	// Read by everybody. lastIn and lastOut are when something last came and went, in nanoseconds since started.
	lastIn, lastOut atomic.Int64
	// used is when the client's user last did something, as lastIn is.
	used atomic.Int64
	// bytesIn and bytesOut are those of the messages that came and of what was written.
	bytesIn, bytesOut atomic.Int64
	// resumed is how many subscriptions were continued where the client had left off.
	resumed atomic.Int32
	// handling: the reading side is at a message, and does not hear those after it.
	handling atomic.Bool
	// hidden: nobody sees the client's page.
	hidden atomic.Bool
	// standing is a [standing], and since is when it became that, in nanoseconds since started.
	standing atomic.Uint32
	since    atomic.Int64
	grant    atomic.Pointer[holdfast.Grant]
	// rights is held while the grant is replaced and what it does not allow any more is ended. Else one that denies a reading and
	// one that gives it back could overtake each other, and the first end what was begun by leave of the second.
	rights sync.Mutex
	// warned is the grant whose end has been announced.
	warned atomic.Pointer[holdfast.Grant]

	// Guarded by mu, but for out.pace.
	mu  sync.Mutex
	out output
}

// output is what waits to be written, and who is at it.
type output struct {
	owner owner
	// pace is about how much is gathered for one write, in bytes; 0 before the first. It belongs to the owner.
	pace uint32
	// control holds framed answers. room is closed when it has been taken; nil when nobody waits for that.
	control []byte
	room    chan struct{}
	dirty   []*sub
	// end is set once: the connection is to be closed when control has been written.
	end *goodbye
	// written is closed when there is nothing left to write; nil when nobody waits for that.
	written chan struct{}
}

type goodbye struct {
	code   holdfast.CloseCode
	reason string
	// by is who wanted it. late: the network gave the client up.
	by   ending.Initiator
	late bool
	// since is when it was set: a peer that takes nothing does not hold the connection open.
	since time.Time
}

// owner says who may write to the transport.
type owner uint8

const (
	// nobody: there is nothing to write. Whoever finds something queues the connection with its lane.
	nobody owner = iota
	// gathering: the reading side is at an attach, whose answers go out together: see gather.
	gathering
	// queued: the lane has it on its list.
	queued
	// writing: the lane, or a pump, is at it; it looks for more before it lets go.
	writing
	// closed: nothing will be written any more.
	closed
)

// sub is the connection's reading of one session.
type sub struct {
	conn    *Conn
	session holdfast.SessionID
	// membership is set before the sub is first woken.
	membership *hub.Membership
	// dirty: the sub is, or is about to be, in out.dirty, or whoever writes is looking at it.
	dirty atomic.Bool
	// watch: it is told who else is there. left: it has been taken out of everything.
	watch bool
	left  atomic.Bool
	// returned: it came with a cursor, so that the answer is one to a resume. Set before it is first woken.
	returned bool
	// gone: unsubscribed, or replaced by a later subscription to the same session, or displaced by another connection.
	gone atomic.Bool
	// reader belongs to the writing side, once the sub was woken for the first time.
	reader *tail.Reader
	// rollup is there if the client, or a run, wants texts in fewer frames. It belongs to the lane.
	rollup *rollup
	// asked is when it was subscribed, in nanoseconds since the connection started.
	asked int64
	// at is the offset that the reader has come to, for those who only want to know.
	at atomic.Uint64
}

// Serve runs the connection until it ends, or leaves it to the transport where that can wait for messages by itself. It is
// called by the transport, on the connection's own goroutine.
func Serve(ctx context.Context, t transport.Conn, cfg *Config) {
	info := t.Info()
	c := &Conn{
		id: cfg.newID(), t: t, cfg: cfg, lane: cfg.lane(), started: cfg.now(), carriage: info.Transport, reach: info.Reach,
		early: uint16(cfg.Jitter(earliness)), found: cfg.Rules(),
	}
	c.lane.add(c)
	c.enter()
	if d, ok := t.(transport.Detacher); ok {
		d.Detach(c)
		return
	}
	// A carriage over HTTP catches a panic, and goes on: then too the connection is no more.
	err := errBroken
	defer func() { c.Ended(err) }()
	err = t.Receive(func(msg []byte) error { return c.Message(ctx, msg) })
}

var errBroken = errors.New("the handling of a frame broke off")

// Message implements [transport.Receiver].
func (c *Conn) Message(ctx context.Context, msg []byte) error {
	// Set before and after: when it came, and from when on the client can be expected to be heard again.
	c.lastIn.Store(int64(c.cfg.now().Sub(c.started)))
	c.handling.Store(true)
	c.bytesIn.Add(int64(len(msg)))
	c.dwelt = 0
	c.handle(ctx, msg)
	c.lastIn.Store(int64(c.cfg.now().Sub(c.started)))
	c.handling.Store(false)
	return nil
}

// Ended implements [transport.Receiver]: it takes the connection out of everything. The transport closes the socket when it
// has returned, and lets a goodbye that is on its way out first.
func (c *Conn) Ended(err error) {
	if c.reach == transport.Once {
		c.answered()
	}
	c.lane.remove(c)
	defer c.signOut()
	for _, s := range c.subs {
		s.leave(c.departure)
	}
	if c.stands() == attached {
		c.cfg.Hub.Detach(c, c.departure == presence.Goodbye, c.cfg.now())
	}
	c.mu.Lock()
	end := c.out.end
	c.out.owner, c.out.dirty, c.out.control = closed, nil, nil
	c.quietLocked()
	c.mu.Unlock()
	c.cfg.Ends.Ended(c.record(end, err))
}

// answered waits until what was asked for has been written, or cannot be: the transport fails writes that take too long.
func (c *Conn) answered() {
	c.mu.Lock()
	for c.out.owner != nobody && c.out.owner != closed {
		if c.out.written == nil {
			c.out.written = make(chan struct{})
		}
		written := c.out.written
		c.mu.Unlock()
		<-written
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// Describe implements [hub.Conn].
func (c *Conn) Describe() hub.ConnInfo {
	c.mu.Lock()
	names := make([]holdfast.SessionID, 0, len(c.subs))
	positions := make([]hub.Progress, 0, len(c.subs))
	for _, s := range c.subs {
		if s.left.Load() {
			continue // denied, or displaced
		}
		names = append(names, s.session)
		at := holdfast.Offset(s.at.Load())
		positions = append(positions, hub.Progress{Offset: at, Head: max(at, s.membership.Tail().Head())})
	}
	c.mu.Unlock()
	info := c.t.Info()
	d := hub.ConnInfo{
		ID: c.id, Client: c.client, Generation: c.gen, Transport: info.Transport, Remote: info.Remote.String(), Agent: c.agent,
		Since: c.started, Sessions: names, Positions: positions, Heard: c.started.Add(time.Duration(c.lastIn.Load())),
		Said: c.started.Add(time.Duration(c.lastOut.Load())), In: c.bytesIn.Load(), Out: c.bytesOut.Load(), Resumed: int(c.resumed.Load()),
		Device: c.device, Name: c.name, Alive: c.alive(), Used: c.started.Add(time.Duration(c.used.Load())), Hidden: c.hidden.Load(),
	}
	if g := c.grant.Load(); g != nil {
		d.User = g.User
	}
	return d
}

// End implements [hub.Conn]: a goodbye with the code and reason, then the close.
func (c *Conn) End(code holdfast.CloseCode, reason string) { c.bye(code, reason, 0, 0) }

// AskReport implements [hub.Conn]: the client is asked for its log.
func (c *Conn) AskReport() { c.push(&wire.ReportRequest{}) }

// leave tells the client to come back within a time, and ends the connection.
func (c *Conn) leave(spread time.Duration) {
	c.bye(holdfast.CloseRestart, "the server is restarting", 0, spread)
}

func (c *Conn) bye(code holdfast.CloseCode, reason string, after, spread time.Duration) {
	c.end(goodbye{code: code, reason: reason, by: ending.ByServer}, after, spread)
}

func (c *Conn) end(g goodbye, after, spread time.Duration) {
	frame := &wire.Bye{Code: g.code, Reason: g.reason, After: after.Milliseconds(), Spread: spread.Milliseconds()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.end != nil || c.out.owner == closed && g.by != ending.ByClient {
		return
	}
	g.since = c.cfg.now()
	c.out.end = &g
	if c.out.owner == closed {
		return // the client said it to a socket that cannot be written to any more, and was not heard before
	}
	c.out.control = c.t.AppendMessage(c.out.control, wire.Append(nil, frame))
	c.queueLocked()
}

func (c *Conn) queueLocked() {
	if c.out.owner == nobody {
		c.out.owner = queued
		c.lane.enqueue(c)
	}
}

// gather holds back what is to be written until the function returns: a welcome and the answers that follow it are one write
// then, where thousands come over at once. Whatever waits in it for something calls letGo before.
func (c *Conn) gather(answer func()) {
	c.mu.Lock()
	if c.out.owner == nobody {
		c.out.owner = gathering
	}
	c.mu.Unlock()
	answer()
	c.letGo()
}

// letGo has what was gathered written, if anything was.
func (c *Conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gatheredLocked()
}

func (c *Conn) gatheredLocked() {
	if c.out.owner != gathering {
		return
	}
	c.out.owner = nobody
	if len(c.out.control) > 0 || len(c.out.dirty) > 0 {
		c.queueLocked()
	}
}

// roomLocked tells a reading side that waits for its answers to be taken.
func (c *Conn) roomLocked() {
	if c.out.room != nil {
		close(c.out.room)
		c.out.room = nil
	}
}

// quietLocked tells everybody who waits for the writing side that there is nothing left for it to do.
func (c *Conn) quietLocked() {
	c.roomLocked()
	if c.out.written != nil {
		close(c.out.written)
		c.out.written = nil
	}
}

// answer queues a frame for the client, and waits while too much of what it asked for earlier is still untaken.
func (c *Conn) answer(f wire.ServerFrame) {
	frame := wire.Append(nil, f)
	c.mu.Lock()
	for len(c.out.control) > c.cfg.MaxControl && c.out.owner != closed && c.out.end == nil {
		if c.out.room == nil {
			c.out.room = make(chan struct{})
		}
		room := c.out.room
		c.gatheredLocked() // nobody else would make room
		c.mu.Unlock()
		<-room
		c.mu.Lock()
	}
	defer c.mu.Unlock()
	if c.out.owner == closed || c.out.end != nil {
		return
	}
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
}

// Wake implements [hub.Reader]: the session has more.
func (s *sub) Wake() {
	if s.dirty.Swap(true) {
		return
	}
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.owner == closed || s.gone.Load() {
		return
	}
	c.out.dirty = append(c.out.dirty, s)
	c.queueLocked()
}

// Signal implements [hub.Reader]. A client that does not keep up misses signals: they are not in the log, and there is no
// queue for them.
func (s *sub) Signal(frame []byte) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.owner == closed || c.out.end != nil || s.gone.Load() || len(c.out.control) > c.cfg.MaxControl {
		return
	}
	c.out.control = c.t.AppendMessage(c.out.control, frame)
	c.queueLocked()
}

// leave ends the sub. It is taken from the list of those to be written, so that a client that subscribes again and again
// while its socket is full leaves nothing there.
func (s *sub) leave(how presence.Departure) {
	s.gone.Store(true)
	if s.left.Swap(true) {
		return
	}
	s.membership.Leave()
	c := s.conn
	c.cfg.Rooms.Exit(s.session, s, how)
	c.cfg.Gate.Part(c.grant.Load().User)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.dirty = slices.DeleteFunc(c.out.dirty, func(x *sub) bool { return x == s })
}
