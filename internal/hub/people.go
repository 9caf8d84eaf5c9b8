package hub

import (
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
	// Sessions are those it reads.
	Sessions []holdfast.SessionID
}

// clientKey: a client id is the client's own word, so it counts only together with the user that a token names. Another
// user who claims the same id gets a connection of its own, and cannot end this one.
type clientKey struct {
	user   holdfast.UserID
	client holdfast.ClientID
}

type attached struct {
	conn Conn
	gen  holdfast.Generation
}

// people are the signed-in connections of this node.
type people struct {
	mu      sync.Mutex
	conns   map[holdfast.ConnID]Conn
	users   map[holdfast.UserID]map[holdfast.ConnID]Conn
	clients map[clientKey]attached
}

func (p *people) init() {
	p.conns = map[holdfast.ConnID]Conn{}
	p.users = map[holdfast.UserID]map[holdfast.ConnID]Conn{}
	p.clients = map[clientKey]attached{}
}

// Attach makes c the living connection of its client. ghost is the client's earlier connection, already replaced, which the
// caller ends; nil if there is none. ok is false if a connection of the same or a higher generation lives: then c is the
// ghost, and nothing was changed.
func (h *Hub) Attach(c Conn) (ghost Conn, ok bool) {
	d := c.Describe()
	key := clientKey{d.User, d.Client}
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, there := p.clients[key]; there {
		if old.gen >= d.Generation {
			return nil, false
		}
		ghost = old.conn
		p.remove(ghost.Describe())
	}
	p.clients[key] = attached{c, d.Generation}
	p.conns[d.ID] = c
	if p.users[d.User] == nil {
		p.users[d.User] = map[holdfast.ConnID]Conn{}
	}
	p.users[d.User][d.ID] = c
	return ghost, true
}

// Detach forgets a connection. A connection that was replaced is forgotten already.
func (h *Hub) Detach(c Conn) {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(d)
	key := clientKey{d.User, d.Client}
	if p.clients[key].conn == c {
		delete(p.clients, key)
	}
}

func (p *people) remove(d ConnInfo) {
	delete(p.conns, d.ID)
	delete(p.users[d.User], d.ID)
	if len(p.users[d.User]) == 0 {
		delete(p.users, d.User)
	}
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
	from := p.users[user]
	if user == "" {
		from = p.conns
	}
	all := make([]Conn, 0, len(from))
	for _, c := range from {
		all = append(all, c)
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
