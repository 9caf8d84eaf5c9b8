package conn

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/internal/text"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/wire"
)

// handle does what one message asks. It never fails: a client that breaks the protocol is told so and the connection ends
// by its goodbye; after that, what still comes is not looked at.
func (c *Conn) handle(ctx context.Context, msg []byte) {
	if c.ending() {
		c.lastWords(msg)
		return
	}
	f, err := wire.DecodeClient(msg)
	if err != nil {
		c.bye(holdfast.CloseProtocol, holdfast.MessageOf(err), 0, 0)
		return
	}
	if now := c.stands(); !admitted(f).has(now) {
		c.bye(holdfast.CloseProtocol, outOfPlace(f, now), 0, 0)
		return
	}
	c.use(f)
	switch f := f.(type) {
	case *wire.Hello:
		c.hello(ctx, f)
		return
	case *wire.Take:
		c.attach(ctx, f)
		return
	}
	if c.outOfTurn(f) {
		return
	}
	if !c.allowed(f, len(msg)) {
		c.limited(ctx, f)
		return
	}
	c.dispatch(ctx, f)
}

// runsPerFrame is how many runs in a cursor cost as much as a frame: each may have to be read.
const runsPerFrame = 16

// cost is how many frames one counts for, in the limit on frames.
func cost(f wire.ClientFrame) int {
	if s, ok := f.(*wire.Sub); ok && s.Cursor != nil {
		return 1 + len(s.Cursor.Runs)/runsPerFrame
	}
	return 1
}

func (c *Conn) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.end != nil || c.out.owner == closed
}

func (c *Conn) dispatch(ctx context.Context, f wire.ClientFrame) {
	switch f := f.(type) {
	case *wire.Sub:
		c.subscribe(ctx, f)
	case *wire.Unsub:
		c.unsubscribe(f.Session)
	case *wire.PageRequest:
		c.page(ctx, f)
	case *wire.Send:
		c.send(ctx, f)
	case *wire.Stop:
		c.stop(ctx, f)
	case *wire.Answer:
		c.answerRequest(ctx, f)
	case *wire.Queue:
		c.editQueue(ctx, f)
	case *wire.Signal:
		c.signal(f)
	case *wire.TokenRefresh:
		c.refresh(ctx, f)
	case *wire.Ping:
		c.answer(&wire.Pong{N: f.N})
	case *wire.View:
		c.view(f.Hidden)
	case *wire.Claim:
		c.claim(ctx)
	case *wire.Read:
		c.read(f)
	case *wire.Bye:
		c.farewell(f)
	case *wire.Pong, *wire.Unknown:
		// A pong has done its work by arriving. A frame that this version does not know is skipped, so that clients may
		// be newer than servers.
	}
}

// lastWords looks for a goodbye in what still comes over a socket that cannot be written to any more. A client that said one did not
// break off, and nobody waits for it.
func (c *Conn) lastWords(msg []byte) {
	c.mu.Lock()
	over := c.out.end != nil
	c.mu.Unlock()
	if over {
		return
	}
	f, err := wire.DecodeClient(msg)
	if bye, ok := f.(*wire.Bye); ok && err == nil && admitted(f).has(c.stands()) {
		c.farewell(bye)
	}
}

// farewell answers a goodbye. A request ends by itself, so that there it changes nothing.
func (c *Conn) farewell(f *wire.Bye) {
	switch {
	case c.stands() == aside:
	case f.Park:
		c.departure = presence.Parked
		c.end(goodbye{code: holdfast.CloseNormal, reason: "parked", by: ending.ByClient}, 0, 0)
	default:
		c.departure = presence.Goodbye
		c.end(goodbye{code: holdfast.CloseNormal, reason: "goodbye", by: ending.ByClient}, 0, 0)
	}
}

// limited refuses a frame of a client that sends too many, but for those that ask for less. What can be repeated later is
// refused with an err; a client that goes on regardless, until the debt is ten times the burst, is closed.
func (c *Conn) limited(ctx context.Context, f wire.ClientFrame) {
	now := c.cfg.now()
	c.limit.ReserveN(now, 1)
	if c.limit.TokensAt(now) < -10*float64(c.cfg.Burst) {
		c.bye(holdfast.CloseRateLimited, "too many frames", time.Second, 5*time.Second)
		return
	}
	e := wire.ErrFrame{Code: holdfast.CodeRateLimited, Message: "too many frames; wait, then repeat it", After: 1000}
	switch f := f.(type) {
	case *wire.Unsub, *wire.View, *wire.Bye:
		c.dispatch(ctx, f)
		return
	case *wire.Send:
		e.Re, e.Session, e.ID = wire.TypeSend, f.Session, f.ID
		c.hold(f.Session, f.ID)
	case *wire.Stop:
		e.Re, e.Session, e.ID = wire.TypeStop, f.Session, f.ID
	case *wire.Answer:
		e.Re, e.Session, e.ID = wire.TypeAnswer, f.Session, f.ID
	case *wire.Queue:
		e.Re, e.Session, e.ID = wire.TypeQueue, f.Session, f.ID
	case *wire.PageRequest:
		e.Re, e.Session, e.ID = wire.TypePage, f.Session, f.ID
	case *wire.Sub:
		e.Re, e.Session = wire.TypeSub, f.Session
	case *wire.Signal:
		e.Re, e.Session = wire.TypeSignal, f.Session
	case *wire.TokenRefresh:
		e.Re = wire.TypeToken
	case *wire.Claim:
		e.Re = wire.TypeClaim
	default:
		return
	}
	c.answer(&e)
}

// subscribe begins to read a session, or moves a reading to another cursor. It is answered, unless the next one for the session comes
// before that.
func (c *Conn) subscribe(ctx context.Context, f *wire.Sub) {
	c.makeRoom()
	err := c.mayRead(f.Session)
	if err == nil && c.find(f.Session) < 0 && len(c.subs) >= c.cfg.MaxSubs {
		err = holdfast.Errorf(holdfast.CodeTooLarge, "a connection reads at most %d sessions", c.cfg.MaxSubs)
	}
	if err == nil {
		err = c.sit(ctx, f)
	}
	if err != nil {
		c.unsubscribe(f.Session)
		c.cfg.answered(holdfast.Denied, f.Cursor != nil)
		c.tell(journal.Denied, f.Session, &journal.Denial{Code: holdfast.CodeOf(err), Message: holdfast.MessageOf(err)})
		c.answer(&wire.SubAnswer{
			Session: f.Session, Outcome: holdfast.Denied, Code: holdfast.CodeOf(err), Message: holdfast.MessageOf(err),
		})
		return
	}
	c.stopReading(f.Session, presence.Lost)
	if !c.cfg.Gate.Join(c.grant.Load().User) {
		c.unsubscribe(f.Session)
		err := tooManySessions()
		c.answer(&wire.SubAnswer{Session: f.Session, Outcome: holdfast.Denied, Code: holdfast.CodeOf(err), Message: holdfast.MessageOf(err)})
		return
	}
	last := f.Last
	if last <= 0 {
		last = c.cfg.Last
	}
	// Dirty from the start, so that nobody puts it on the list before it has its reader.
	s := &sub{
		conn: c, session: f.Session, rollup: newRollup(f.Rollup), watch: f.Watch, returned: f.Cursor != nil,
		asked: int64(c.cfg.now().Sub(c.started)),
	}
	s.dirty.Store(true)
	s.membership = c.cfg.Hub.Join(f.Session, c.lane.index, s)
	s.reader = tail.NewReader(s.membership.Tail(), f.Cursor, min(last, wire.MaxLast))
	c.begin(s)
}

// begin lets a sub be read, and tells who is there before what was said.
func (c *Conn) begin(s *sub) {
	c.mu.Lock()
	c.subs = append(c.subs, s)
	// The right may have been taken back since it was looked at, by somebody who did not find the reading here yet.
	barred := c.barLocked(s)
	c.mu.Unlock()
	if barred {
		c.vacate(s)
		return
	}
	// Whoever took its seat between sit and here has found no sub to end.
	if c.perSession() && !c.cfg.Hub.Seated(c, s.session) {
		s.leave(presence.Lost)
	}
	if s.gone.Load() {
		return
	}
	c.cfg.Rooms.Enter(s.session, s, s.watch)
	if s.gone.Load() {
		c.cfg.Rooms.Exit(s.session, s, presence.Goodbye) // whoever ended it may have been there before
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.owner != closed && !s.gone.Load() {
		c.out.dirty = append(c.out.dirty, s)
		c.queueLocked()
	}
}

func (c *Conn) mayRead(s holdfast.SessionID) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if !c.grant.Load().Allows(holdfast.ActionRead, s) {
		return holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow reading this session")
	}
	return nil
}

func (c *Conn) unsubscribe(id holdfast.SessionID) {
	c.stopReading(id, presence.Goodbye)
	if c.perSession() {
		c.cfg.Hub.Exit(c, id, c.cfg.now())
	}
}

func (c *Conn) stopReading(id holdfast.SessionID, how presence.Departure) {
	i := c.find(id)
	if i < 0 {
		return
	}
	c.subs[i].leave(how)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = slices.Delete(c.subs, i, i+1)
}

// find returns where the reading of a session is in subs, or -1.
func (c *Conn) find(id holdfast.SessionID) int {
	return slices.IndexFunc(c.subs, func(s *sub) bool { return s.session == id })
}

func (c *Conn) refuse(re wire.Type, s holdfast.SessionID, id string, err error) {
	if holdfast.CodeOf(err) == holdfast.CodeUnavailable && c.lane.isLeaving() {
		c.leave(0) // who asks for what only the next server can do goes there now, and asks again
		return
	}
	if code := holdfast.CodeOf(err); code == holdfast.CodeInternal || code == holdfast.CodeUnavailable {
		c.cfg.Logger.Error("a client's request failed", "re", re, "session", s, "conn", c.id, "err", err)
	}
	e := wire.ErrFrame{Re: re, Session: s, ID: text.Clip(id, holdfast.MaxKey), Code: holdfast.CodeOf(err), Message: holdfast.MessageOf(err)}
	switch e.Code {
	case holdfast.CodeUnavailable:
		e.After = 1000
	case holdfast.CodeRateLimited:
		// The queue is full, for as long as an answer may take. Clients repeat all that they have, not only what was refused.
		e.After = 2000
	}
	if re == wire.TypeSend && e.After > 0 {
		c.hold(s, id)
	}
	c.answer(&e)
}

// pageBytes is how large a page of history is, about; a page always has one entry.
const pageBytes = 32 << 10

func (c *Conn) page(ctx context.Context, f *wire.PageRequest) {
	err := c.mayRead(f.Session)
	if err == nil {
		err = checkPage(f)
	}
	if err != nil {
		c.refuse(wire.TypePage, f.Session, f.ID, err)
		return
	}
	limit := f.Limit
	if limit == 0 {
		limit = c.cfg.Last
	}
	q := driver.Query{After: f.After, Before: f.Before, Limit: limit, MaxBytes: pageBytes}
	if f.After == 0 && f.Before == 0 {
		q.Before = ^holdfast.Offset(0)
	}
	page, err := c.cfg.Log.Read(ctx, f.Session, q)
	if err != nil {
		c.refuse(wire.TypePage, f.Session, f.ID, err)
		return
	}
	c.answer(&wire.PageAnswer{ID: f.ID, Session: f.Session, Epoch: page.Info.Epoch, Items: page.Entries, More: page.More})
}

func checkPage(f *wire.PageRequest) error {
	switch {
	case holdfast.ValidateKey("page id", f.ID) != nil:
		return holdfast.ValidateKey("page id", f.ID)
	case f.Limit < 0 || f.Limit > wire.MaxPage:
		return holdfast.Errorf(holdfast.CodeInvalid, "limit is %d; it may be 1 to %d", f.Limit, wire.MaxPage)
	case f.Before != 0 && f.After != 0:
		return holdfast.Errorf(holdfast.CodeInvalid, "a page has before or after, not both")
	}
	return nil
}

// send appends a message, or has it wait for its turn, and acknowledges it when it is durable. The next frame is read after that, so that what one
// sender sent stands in the order sent.
func (c *Conn) send(ctx context.Context, f *wire.Send) {
	data, err := c.checkSend(f)
	if err != nil {
		c.refuse(wire.TypeSend, f.Session, f.ID, err)
		return
	}
	entry := driver.NewEntry{
		Kind: holdfast.KindMessage, ID: f.ID, From: holdfast.Sender{User: c.grant.Load().User, Client: c.client}, Data: data, Feed: true,
	}
	res, err := c.cfg.Log.Apply(ctx, f.Session, driver.Append{Entries: []driver.NewEntry{entry}})
	if err != nil {
		c.refuse(wire.TypeSend, f.Session, f.ID, err)
		return
	}
	w := res.Entries[0]
	c.answer(&wire.Ack{Session: f.Session, ID: f.ID, Offset: w.Offset, Tag: w.Tag, At: w.At.UnixMilli(), Duplicate: w.Duplicate,
		State: string(w.State)})
}

func (c *Conn) checkSend(f *wire.Send) (json.RawMessage, error) {
	if err := f.Session.Validate(); err != nil {
		return nil, err
	}
	if err := holdfast.ValidateKey("message id", f.ID); err != nil {
		return nil, err
	}
	if !c.grant.Load().Allows(holdfast.ActionSend, f.Session) {
		return nil, holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow sending to this session")
	}
	if err := c.mayWrite(f.Session); err != nil {
		return nil, err
	}
	return c.checkData(f.Data)
}

// stop asks for a run to be stopped. As for a send, the next frame is read after it is durable.
func (c *Conn) stop(ctx context.Context, f *wire.Stop) {
	if err := c.checkStop(f); err != nil {
		c.refuse(wire.TypeStop, f.Session, f.ID, err)
		return
	}
	from := holdfast.Sender{User: c.grant.Load().User, Client: c.client}
	res, err := c.cfg.Log.Apply(ctx, f.Session, driver.RequestStop{ID: f.ID, From: from, Run: f.Run, Answers: f.Answers})
	if err != nil {
		c.refuse(wire.TypeStop, f.Session, f.ID, err)
		return
	}
	w := res.Entries[0]
	c.answer(&wire.Ack{Session: f.Session, ID: f.ID, Offset: w.Offset, Tag: w.Tag, At: w.At.UnixMilli(), Duplicate: w.Duplicate,
		State: string(res.Stop.State)})
}

func (c *Conn) checkStop(f *wire.Stop) error {
	if err := f.Session.Validate(); err != nil {
		return err
	}
	if err := holdfast.ValidateKey("stop id", f.ID); err != nil {
		return err
	}
	if !c.grant.Load().Allows(holdfast.ActionStop, f.Session) {
		return holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow stopping in this session")
	}
	return c.mayWrite(f.Session)
}

// checkData returns the data without insignificant white space.
func (c *Conn) checkData(data json.RawMessage) (json.RawMessage, error) {
	if len(data) == 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the frame has no data")
	}
	if len(data) > c.cfg.MaxData {
		return nil, holdfast.Errorf(holdfast.CodeTooLarge, "data has %d bytes, at most %d are allowed", len(data), c.cfg.MaxData)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "data is not valid JSON")
	}
	return b.Bytes(), nil
}

// signal passes data to whoever reads the session now, through their connections and not the log.
func (c *Conn) signal(f *wire.Signal) {
	// Compact, as entries are: a line feed in it would end a line of a carriage that has lines.
	data, err := c.checkSend(&wire.Send{Session: f.Session, ID: "signal", Data: f.Data})
	if err != nil {
		c.refuse(wire.TypeSignal, f.Session, "", err)
		return
	}
	f.Data = data
	f.From = holdfast.Sender{User: c.grant.Load().User, Client: c.client}
	c.cfg.Hub.Signal(f.Session, wire.Append(nil, f))
}

// refresh takes a fresh token. It must be of the same user; what it no longer allows to read is denied at once.
func (c *Conn) refresh(ctx context.Context, f *wire.TokenRefresh) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.HelloTimeout)
	defer cancel()
	grant, err := c.cfg.Auth.Verify(ctx, f.Token)
	if err == nil {
		grant, err = c.remains(grant)
	}
	if err == nil && grant.User != c.grant.Load().User {
		err = holdfast.Errorf(holdfast.CodeForbidden, "the token is another user's; reconnect to change users")
	}
	if err != nil {
		c.refuse(wire.TypeToken, "", "", err)
		return
	}
	c.entitle(&grant)
	if ended, _ := c.Recheck(); ended { // by a revocation that came while the token was verified
		return
	}
	c.answer(&wire.TokenAnswer{Exp: unixMilli(grant.Expires)})
	for _, s := range slices.Clone(c.subs) {
		if !grant.Allows(holdfast.ActionRead, s.session) {
			c.subscribe(ctx, &wire.Sub{Session: s.session})
		}
	}
}
