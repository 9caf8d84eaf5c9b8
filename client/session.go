package client

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// SessionOptions say how a session is read. The zero value is usable.
type SessionOptions struct {
	// Last is how many entries to begin with. Default: the server's, 50; at most [wire.MaxLast].
	Last int
	// Cursor is where to go on, for a reader that keeps what it read elsewhere. Entries then holds what came since.
	// Default: none.
	Cursor *holdfast.Cursor
	// Rollup is for how long the server may hold back texts of runs, so that they come in fewer and larger frames: up to 500 ms, of
	// which it takes whole milliseconds. Ends, stops, messages and events are never held back. Default: not at all.
	Rollup time.Duration
	// OnChange is told of each change, in order, by the goroutine that reads the connection; while it runs nothing is read.
	// It may call the session's and the client's methods but those that wait for the server. Default: nobody is told.
	OnChange func(Change)
	// OnSignal is told of each signal, like OnChange.
	OnSignal func(from holdfast.Sender, data json.RawMessage)
}

// Session is a session that the client reads. All methods may be called at any time.
type Session struct {
	// Static.
	client *Client
	opts   SessionOptions
	id     holdfast.SessionID
	// changed has room for one; it is closed when the session is left.
	changed chan struct{}

	// Guarded by client.mu.
	state *State
	// stale: the subscription has to be sent, again or for the first time.
	stale bool
	left  bool
	// holes counts those found since the session was last caught up.
	holes int
}

// Session begins to read a session. One that is read already is [holdfast.CodeConflict].
func (c *Client) Session(id holdfast.SessionID, o SessionOptions) (*Session, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	s := &Session{client: c, opts: o, id: id, changed: make(chan struct{}, 1), state: NewState(id, false), stale: true}
	if o.Cursor != nil {
		s.state = NewStateAt(id, *o.Cursor, false)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.phase == Over:
		return nil, errOver()
	case c.sessions[id] != nil:
		return nil, holdfast.Errorf(holdfast.CodeConflict, "the client reads the session already; use the handle it has")
	}
	c.sessions[id] = s
	ring(c.bell)
	return s, nil
}

// ID returns the session's id.
func (s *Session) ID() holdfast.SessionID { return s.id }

// Changed returns a channel that yields after changes, also of what Live says, once for any number of them, and is closed
// when the session is left or the client has ended.
func (s *Session) Changed() <-chan struct{} { return s.changed }

// Entries returns what is held; see [State.Entries].
func (s *Session) Entries() []holdfast.Entry {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.state.Entries()
}

// Live reports whether the session is caught up, on a connection that is open as far as is known.
func (s *Session) Live() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.state.Live() && s.client.phase == Live
}

// Denied is why the session may not be read, or nil. It is asked for again with each connection.
func (s *Session) Denied() error {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.state.Denied()
}

// Cursor returns how far the reader has come, to go on from with [SessionOptions]; nil if nowhere yet.
func (s *Session) Cursor() *holdfast.Cursor {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.state.Cursor()
}

// Send appends a message; see [Client.Send].
func (s *Session) Send(ctx context.Context, data json.RawMessage) (wire.Ack, error) {
	return s.client.Send(ctx, s.id, "", data)
}

// Answer answers a request; see [Client.Answer].
func (s *Session) Answer(ctx context.Context, request holdfast.Offset, data json.RawMessage) (wire.Ack, error) {
	return s.client.Answer(ctx, s.id, "", request, data)
}

// Signal tells the other readers something that is not kept. It is sent if the client is live and lost if the connection is
// cut: without a connection it is [holdfast.CodeUnavailable].
func (s *Session) Signal(data json.RawMessage) error {
	if !json.Valid(data) {
		return holdfast.Errorf(holdfast.CodeInvalid, "the signal's data is not valid JSON")
	}
	if s.client.Phase() != Live {
		return holdfast.Errorf(holdfast.CodeUnavailable, "there is no connection, and signals are not kept")
	}
	s.client.writeControl(&wire.Signal{Session: s.id, Data: data})
	return nil
}

// Unsubscribe stops reading. What was sent goes on.
func (s *Session) Unsubscribe() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[s.id] != s {
		return
	}
	delete(c.sessions, s.id)
	s.closeLocked()
	for id, p := range c.pages {
		if p.session == s {
			p.finish(false, errLeft())
			delete(c.pages, id)
		}
	}
	c.control = append(c.control, &wire.Unsub{Session: s.id})
	ring(c.bell)
}

func errLeft() error { return holdfast.Errorf(holdfast.CodeUnavailable, "the session was left") }

func (s *Session) closeLocked() {
	if !s.left {
		s.left = true
		close(s.changed)
	}
}

// subLocked makes the session's subscription.
func (s *Session) subLocked() wire.Sub {
	sub := wire.Sub{Session: s.id, Last: s.opts.Last, Cursor: s.state.Cursor(), Rollup: int(s.opts.Rollup.Milliseconds())}
	s.state.Resubscribe()
	return sub
}

// pageCall is a page that somebody waits for.
type pageCall struct {
	session *Session
	request wire.PageRequest
	sent    bool
	done    chan pageResult
}

type pageResult struct {
	more bool
	err  error
}

func (p *pageCall) finish(more bool, err error) { p.done <- pageResult{more, err} }

// Page fetches up to limit entries older than those held (0: the server's default), and reports whether there are more. It
// waits for a connection if need be.
func (s *Session) Page(ctx context.Context, limit int) (more bool, err error) {
	c := s.client
	c.mu.Lock()
	switch {
	case c.phase == Over || s.left:
		c.mu.Unlock()
		return false, errLeft()
	case !s.state.More():
		c.mu.Unlock()
		return false, nil
	}
	c.lastID++
	p := &pageCall{session: s, done: make(chan pageResult, 1), request: wire.PageRequest{
		ID: "p" + strconv.FormatUint(c.lastID, 10), Session: s.id, Before: s.state.First(), Limit: limit,
	}}
	c.pages[p.request.ID] = p
	c.mu.Unlock()
	ring(c.bell)
	select {
	case r := <-p.done:
		return r.more, r.err
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pages, p.request.ID)
		c.mu.Unlock()
		return false, ctx.Err()
	}
}
