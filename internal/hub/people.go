package hub

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/policy"
	"github.com/holdfast/holdfast/wire"
)

// Conn is a live, signed-in connection, as the hub sees it.
type Conn interface {
	// Describe says what is known of it.
	Describe() ConnInfo
	// End ends it, without waiting, with a code and a reason for people.
	End(code holdfast.CloseCode, reason string)
	// AskReport asks its client for its log, without waiting.
	AskReport()
	// Windows tells its client how it stands beside the user's others. It is called with the registry locked, and neither waits
	// nor calls back.
	Windows(f *wire.Windows)
	// Displace ends its reading of the frame's session, and tells its client so. It is called as Windows is.
	Displace(f *wire.Windows)
	// Probe asks its client for a sign of life, without waiting.
	Probe()
	// Touch notes that its user did something beside it.
	Touch()
}

// ConnInfo describes a live connection.
type ConnInfo struct {
	ID         holdfast.ConnID
	User       holdfast.UserID
	Client     holdfast.ClientID
	Generation holdfast.Generation
	// Transport, Remote and Agent are the carriage, the peer's address and what the client says it is.
	Transport, Remote, Agent string
	// Device and Name are what the client says it is on, and is called.
	Device, Name string
	Since        time.Time
	// Alive is when something last came from it; now, if it cannot be heard, or is being listened to. Used is when its user
	// last did something.
	Alive, Used time.Time
	// Hidden: nobody looks at it.
	Hidden bool
	// Sessions are those it reads, and Positions how far it has come in each, in the same order.
	Sessions  []holdfast.SessionID
	Positions []Progress
	// Heard and Said are when a message last came and went, In and Out the bytes of all.
	Heard, Said time.Time
	In, Out     int64
	// Resumed is how often a session was continued where the client had left off.
	Resumed int
}

// Progress is how far a reader has come: what was written to it, which need not have arrived.
type Progress struct {
	Offset, Head holdfast.Offset
}

// attached is a live connection of a user. A client id is the client's own word, so it counts only among the connections of
// the user that a token names: another user who claims the same id gets a connection of its own, and cannot end this one.
type attached struct {
	conn   Conn
	client holdfast.ClientID
	gen    holdfast.Generation
	// place is nil while there is nothing to be said about it.
	place *place
}

// people are the signed-in connections of this node.
type people struct {
	mu    sync.Mutex
	conns map[holdfast.ConnID]Conn
	// users has a slice each: most have one connection or two, and a map costs several hundred bytes.
	users map[holdfast.UserID][]attached
	// paces has the places that connections were in each other's way over of late.
	paces map[contested]*policy.Pace

	counts conflictCounts
}

// contested is what the connections of a user want: a place, or one in a session. Each has a pace of its own, since one act of the
// user, who opens a page, may want those of many sessions, and is no fight.
type contested struct {
	user    holdfast.UserID
	session holdfast.SessionID
}

func (p *people) init() {
	p.conns = map[holdfast.ConnID]Conn{}
	p.users = map[holdfast.UserID][]attached{}
	p.paces = map[contested]*policy.Pace{}
}

// Attach makes c the living connection of its client, if the rules let it in. One whose client has a connection of the same or a
// higher generation is the ghost itself: then, and with doubtful ones in the way, nothing was changed.
func (h *Hub) Attach(c Conn, a *Arrival) Admission {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.ofLocked(d.User, d.Client); x != nil && x.gen >= d.Generation {
		return Admission{Stale: true}
	}
	adm := p.decideLocked(c, d, "", a)
	if len(adm.Doubtful) > 0 {
		return adm
	}
	if x := p.ofLocked(d.User, d.Client); x != nil {
		adm.Ghost = x.conn
		p.forgetLocked(x.conn, d.User, x.conn.Describe().ID)
	}
	if !adm.Refused() {
		x := attached{conn: c, client: d.Client, gen: d.Generation}
		if len(a.Rules) > 0 || a.Tell {
			x.place = &place{rules: a.Rules, tell: a.Tell, readOnly: adm.Verdict == policy.ReadOnly}
		}
		p.users[d.User] = append(p.users[d.User], x)
		p.conns[d.ID] = c
	}
	p.turnAwayLocked(c, d, "", &adm)
	p.tellLocked(d.User)
	return adm
}

// ofLocked returns the connection of a client, nil if it has none.
func (p *people) ofLocked(user holdfast.UserID, client holdfast.ClientID) *attached {
	for i := range p.users[user] {
		if x := &p.users[user][i]; x.client == client {
			return x
		}
	}
	return nil
}

// Detach forgets a connection; left: its client said goodbye. A connection that was replaced, or had to go, is forgotten already.
func (h *Hub) Detach(c Conn, left bool, now time.Time) {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.findLocked(c, d.User)
	if x == nil {
		return
	}
	var places []holdfast.SessionID
	if left {
		places = x.placesLocked()
	}
	p.forgetLocked(c, d.User, d.ID)
	for _, s := range places {
		p.promoteLocked(d.User, s, now)
	}
	p.tellLocked(d.User)
}

func (p *people) forgetLocked(c Conn, user holdfast.UserID, id holdfast.ConnID) {
	if p.conns[id] == c {
		delete(p.conns, id)
	}
	left := slices.DeleteFunc(p.users[user], func(a attached) bool { return a.conn == c })
	if len(left) == 0 {
		delete(p.users, user)
		return
	}
	p.users[user] = left
}

// Connection returns a live connection by its id.
func (h *Hub) Connection(id holdfast.ConnID) (Conn, bool) {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	c, ok := h.people.conns[id]
	return c, ok
}

// Connections returns the live connections of a user, or, with "", all, in a stable order.
func (h *Hub) Connections(user holdfast.UserID) []Conn {
	p := &h.people
	p.mu.Lock()
	var all []Conn
	for _, a := range p.users[user] {
		all = append(all, a.conn)
	}
	if user == "" {
		all = slices.Collect(maps.Values(p.conns))
	}
	p.mu.Unlock()
	ids := make(map[Conn]holdfast.ConnID, len(all))
	for _, c := range all {
		ids[c] = c.Describe().ID
	}
	slices.SortFunc(all, func(a, b Conn) int { return strings.Compare(string(ids[a]), string(ids[b])) })
	return all
}

// Touch notes that the user of a client did something beside its connection, if it has one.
func (h *Hub) Touch(user holdfast.UserID, client holdfast.ClientID) {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	if x := h.people.ofLocked(user, client); x != nil {
		x.conn.Touch()
	}
}

// Count returns how many signed-in connections live on this node.
func (h *Hub) Count() int {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	return len(h.people.conns)
}

// All returns live connections in no order, at most limit of them; 0 is all.
func (h *Hub) All(limit int) []Conn {
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if limit <= 0 {
		limit = len(p.conns)
	}
	all := make([]Conn, 0, min(limit, len(p.conns)))
	for _, c := range p.conns {
		if len(all) == limit {
			break
		}
		all = append(all, c)
	}
	return all
}

// Census returns how many connections live, and of how many users.
func (h *Hub) Census() (conns, users int) {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	return len(h.people.conns), len(h.people.users)
}
