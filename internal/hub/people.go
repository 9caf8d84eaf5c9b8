package hub

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// Conn is a live, signed-in connection, as the hub sees it.
type Conn interface {
	// Describe says what is known of it.
	Describe() ConnInfo
	// End ends it, without waiting, with a code and a reason for people.
	End(code holdfast.CloseCode, reason string)
	// AskReport asks its client for its log, without waiting.
	AskReport()
}

// ConnInfo describes a live connection.
type ConnInfo struct {
	ID         holdfast.ConnID
	User       holdfast.UserID
	Client     holdfast.ClientID
	Generation holdfast.Generation
	// Transport, Remote and Agent are the carriage, the peer's address and what the client says it is.
	Transport, Remote, Agent string
	Since                    time.Time
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
}

// people are the signed-in connections of this node.
type people struct {
	mu    sync.Mutex
	conns map[holdfast.ConnID]Conn
	// users has a slice each: most have one connection or two, and a map costs several hundred bytes.
	users map[holdfast.UserID][]attached
}

func (p *people) init() {
	p.conns = map[holdfast.ConnID]Conn{}
	p.users = map[holdfast.UserID][]attached{}
}

// Attach makes c the living connection of its client. ghost is the client's earlier connection, already replaced, which the
// caller ends; nil if there is none. ok is false if a connection of the same or a higher generation lives: then c is the
// ghost, and nothing was changed.
func (h *Hub) Attach(c Conn) (ghost Conn, ok bool) {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.users[d.User]
	if i := slices.IndexFunc(all, func(a attached) bool { return a.client == d.Client }); i >= 0 {
		if all[i].gen >= d.Generation {
			return nil, false
		}
		ghost = all[i].conn
		delete(p.conns, ghost.Describe().ID)
		all = slices.Delete(all, i, i+1)
	}
	p.users[d.User] = append(all, attached{c, d.Client, d.Generation})
	p.conns[d.ID] = c
	return ghost, true
}

// Detach forgets a connection. A connection that was replaced is forgotten already.
func (h *Hub) Detach(c Conn) {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, d.ID)
	left := slices.DeleteFunc(p.users[d.User], func(a attached) bool { return a.conn == c })
	if len(left) == 0 {
		delete(p.users, d.User)
		return
	}
	p.users[d.User] = left
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
