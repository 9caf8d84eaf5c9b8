// Package attendance has the sessions of this node of which somebody wants to know who is there, and tells those who do.
//
// # What it costs
//
// Nothing, for a session that nobody watches: its members are not kept, and found among its readers when somebody asks. For all
// that are watched there is one look a second per node, whatever the number of connections; heartbeats cost nothing here.
// Sessions of which changes are noted, for webhooks, are watched for as long as anybody reads them.
//
// # Concurrency
//
// All methods may be called at any time. Those who watch are told with the room locked, so that all of them see one order; telling
// never waits.
package attendance

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
	"github.com/holdfast/holdfast/wire"
)

// Linger is how long a room is kept that nobody watches any more, with what it knows of positions.
const Linger = 60 * time.Second

// Reading is one connection's reading of a session.
type Reading interface {
	// Here says whose it is, and how.
	Here() presence.Here
	// Used is when its user last did something.
	Used() time.Time
	// Signal gives a frame to pass on.
	Signal(frame []byte)
}

// Rooms are those of a node.
type Rooms struct {
	// Static. readers are all who read a session now.
	readers func(holdfast.SessionID) []Reading
	now     func() time.Time
	// Noted says of which sessions it is to be noted who is there, see Note. Set before the first Enter; nil: of none.
	Noted func(holdfast.SessionID) bool

	// count is how many rooms there are: most servers have none, and then nothing is locked.
	count atomic.Int32

	// Guarded by mu.
	mu    sync.Mutex
	rooms map[holdfast.SessionID]*room
}

// room is one that is, or lately was, watched.
type room struct {
	session holdfast.SessionID

	// Guarded by mu, which comes after that of Rooms.
	mu       sync.Mutex
	state    presence.Room
	here     map[holdfast.ConnID]Reading
	watchers map[Reading]struct{}
	// idle is since when nobody watches.
	idle time.Time
	// notes are kept if it is to be noted who is there; else nil.
	notes *notes
}

// New returns the rooms of a node.
func New(readers func(holdfast.SessionID) []Reading, now func() time.Time) *Rooms {
	return &Rooms{readers: readers, now: now, rooms: map[holdfast.SessionID]*room{}}
}

// find returns a room, locked, or nil. With create, one that is not there is made of those who read the session now.
func (rs *Rooms) find(s holdfast.SessionID, create bool) *room {
	if !create && rs.count.Load() == 0 {
		return nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.rooms[s]
	if r != nil {
		r.mu.Lock()
		return r
	}
	if !create {
		return nil
	}
	r = &room{session: s, here: map[holdfast.ConnID]Reading{}, watchers: map[Reading]struct{}{}}
	if rs.noted(s) {
		r.notes = newNotes()
	}
	r.mu.Lock()
	rs.rooms[s] = r
	rs.count.Add(1)
	// It is on the list already. Whoever leaves from now on finds it; who has left before is not among the readers any more.
	for _, reading := range rs.readers(s) {
		now := rs.now()
		r.tell(r.enter(reading, now), now)
	}
	return r
}

func (rs *Rooms) noted(s holdfast.SessionID) bool { return rs.Noted != nil && rs.Noted(s) }

func (r *room) enter(reading Reading, now time.Time) presence.Change {
	h := reading.Here()
	r.here[h.Conn] = reading
	return r.state.Enter(h, now)
}

// tell brings a change to all who watch, and into the notes.
func (r *room) tell(c presence.Change, now time.Time) {
	if r.notes != nil {
		r.notes.hear(&c, now)
	}
	if c.Empty() || len(r.watchers) == 0 {
		return
	}
	f := &wire.Members{Session: r.session, Members: members(c.Members), Left: c.Left}
	frame := wire.Append(nil, f)
	for w := range r.watchers {
		w.Signal(frame)
	}
}

func members(all []presence.Member) []wire.Member {
	out := make([]wire.Member, len(all))
	for i, m := range all {
		out[i] = wire.Member{
			Who: m.Who, Name: m.Name, Away: m.Away, Since: m.Since.UnixMilli(), Epoch: m.Epoch, Read: m.Read, Got: m.Got,
		}
	}
	return out
}

// Enter says that a session is being read. One who watches is told who is there, and from then on what changes. The reading is
// among the session's readers already.
func (rs *Rooms) Enter(s holdfast.SessionID, reading Reading, watch bool) {
	r := rs.find(s, watch || rs.noted(s))
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	now := rs.now()
	r.tell(r.enter(reading, now), now)
	if !watch {
		return
	}
	r.watchers[reading], r.idle = struct{}{}, time.Time{}
	reading.Signal(wire.Append(nil, &wire.Members{Session: s, All: true, Members: members(r.state.Members())}))
}

// Exit says that a reading has ended. It is not among the readers any more.
func (rs *Rooms) Exit(s holdfast.SessionID, reading Reading, how presence.Departure) {
	r := rs.find(s, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	delete(r.watchers, reading)
	h := reading.Here()
	// A later reading of the same connection is here in its place.
	if r.here[h.Conn] != reading {
		return
	}
	delete(r.here, h.Conn)
	now := rs.now()
	r.tell(r.state.Exit(h.Who, h.Conn, how, now), now)
}

// Look says that somebody looks at a reading's page, or does not any more.
func (rs *Rooms) Look(s holdfast.SessionID, reading Reading) {
	r := rs.find(s, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	h, now := reading.Here(), rs.now()
	r.tell(r.state.Look(h.Who, h.Conn, h.Hidden, now), now)
}

// Read says how far a client's user has read, and it has shown. Of one who is no member nothing is kept.
func (rs *Rooms) Read(s holdfast.SessionID, who holdfast.Sender, p presence.Position) {
	r := rs.find(s, false)
	if r == nil {
		return
	}
	defer r.mu.Unlock()
	r.tell(r.state.Read(who, p), rs.now())
}

// Members returns who is there, whether or not somebody watches.
func (rs *Rooms) Members(s holdfast.SessionID) []wire.Member {
	if r := rs.find(s, false); r != nil {
		defer r.mu.Unlock()
		return members(r.state.Members())
	}
	var state presence.Room
	now := rs.now()
	used := map[holdfast.ConnID]time.Time{}
	for _, reading := range rs.readers(s) {
		h := reading.Here()
		used[h.Conn] = reading.Used()
		state.Enter(h, now)
	}
	state.Tick(now, func(c holdfast.ConnID) time.Time { return used[c] })
	return members(state.Members())
}

// Tick does what the time of day asks; the server calls it once a second.
func (rs *Rooms) Tick() {
	if rs.count.Load() == 0 {
		return
	}
	now := rs.now()
	for _, r := range rs.all() {
		if r.tick(now) {
			rs.forget(r, now)
		}
	}
}

func (rs *Rooms) all() []*room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Collect(maps.Values(rs.rooms))
}

// tick reports whether nobody has watched the room for long.
func (r *room) tick(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(r.state.Tick(now, func(c holdfast.ConnID) time.Time {
		if reading := r.here[c]; reading != nil {
			return reading.Used()
		}
		return time.Time{}
	}), now)
	return r.left(now)
}

func (r *room) left(now time.Time) bool {
	switch {
	case len(r.watchers) > 0:
		return false
	case r.notes != nil && r.state.Len() > 0, !r.notes.idle():
		r.idle = time.Time{}
		return false
	case r.idle.IsZero():
		r.idle = now
	}
	return now.Sub(r.idle) >= Linger
}

// forget gives up a room, unless somebody has come meanwhile.
func (rs *Rooms) forget(r *room, now time.Time) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if rs.rooms[r.session] == r && r.left(now) {
		delete(rs.rooms, r.session)
		rs.count.Add(-1)
	}
}

// Len returns how many rooms there are.
func (rs *Rooms) Len() int { return int(rs.count.Load()) }
