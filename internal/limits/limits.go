// Package limits is what one node, one user and one address may have of this server: connections, attaches, frames, bytes and
// sessions. Rates are token buckets; a refusal says when to come back.
//
// # Concurrency
//
// All methods may be called at any time. Set takes effect on what comes after it; nobody is sent away for it.
package limits

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/quota"
)

// Bounds are those of one scope. Zero fields do not bound.
type Bounds struct {
	// Connections is how many may live at a time.
	Connections int
	// Attaches, Frames and Bytes are rates, per second: of connections that attach, of frames that clients send, and of their
	// bytes. For a short time more is let through; see burstOf.
	Attaches, Frames, Bytes float64
	// Sessions is how many readings of sessions there may be at a time, of all connections together.
	Sessions int
}

// Limits are the bounds of all scopes.
type Limits struct {
	// Node is this server as a whole; its Frames, Bytes and Sessions do not count. Connection is each connection: only its Bytes
	// count here. Address is a client's address; of IPv6 the first 64 bits, which is what one customer is given.
	Node, User, Address, Connection Bounds
}

// A burst is what may come at once, in seconds of the rate: a client that comes back sends what has waited.
const (
	attachBurst = 10
	frameBurst  = 4
	byteBurst   = 4
	// leastBytes is the least burst of bytes, so that the largest message passes.
	leastBytes = 2 << 20
)

// Gate counts, and says no. A nil Gate lets everything through.
type Gate struct {
	// Static after construction.
	now func() time.Time

	// rules are replaced as a whole.
	rules atomic.Pointer[rules]

	// Guarded by mu.
	mu        sync.Mutex
	conns     int
	users     map[holdfast.UserID]*held
	addresses map[netip.Addr]int
}

// held is what a user has.
type held struct{ conns, sessions int }

// rules are the limits and the buckets that belong to them; a bucket is nil where nothing is bounded.
type rules struct {
	Limits
	nodeAttaches, userAttaches, addressAttaches *quota.Quota
	userFrames, addressFrames                   *quota.Quota
	userBytes, addressBytes                     *quota.Quota
}

// New returns a gate, on the clock now.
func New(l Limits, now func() time.Time) *Gate {
	g := &Gate{now: now, users: map[holdfast.UserID]*held{}, addresses: map[netip.Addr]int{}}
	g.Set(l)
	return g
}

// Set replaces the limits. All buckets are full then.
func (g *Gate) Set(l Limits) {
	bucket := func(rate float64, seconds, least int) *quota.Quota {
		if rate <= 0 {
			return nil
		}
		return quota.New(rate, max(int(rate*float64(seconds)), least, 1), g.now)
	}
	g.rules.Store(&rules{
		Limits:          l,
		nodeAttaches:    bucket(l.Node.Attaches, 1, 1),
		userAttaches:    bucket(l.User.Attaches, attachBurst, 1),
		addressAttaches: bucket(l.Address.Attaches, attachBurst, 1),
		userFrames:      bucket(l.User.Frames, frameBurst, 1),
		addressFrames:   bucket(l.Address.Frames, frameBurst, 1),
		userBytes:       bucket(l.User.Bytes, byteBurst, leastBytes),
		addressBytes:    bucket(l.Address.Bytes, byteBurst, leastBytes),
	})
}

// Limits returns those that bind now.
func (g *Gate) Limits() Limits { return g.rules.Load().Limits }

// Refusal says no, and when it may be yes.
type Refusal struct {
	Code   holdfast.CloseCode
	Reason string
	// After is when to come back; Spread is over how long those who were refused together should.
	After, Spread time.Duration
}

func full(code holdfast.CloseCode, reason string) *Refusal {
	return &Refusal{code, reason, 2 * time.Second, 8 * time.Second}
}

// Full says no if the node takes no more connections now; nil if it does.
func (g *Gate) Full() *Refusal {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fullLocked(g.rules.Load())
}

func (g *Gate) fullLocked(r *rules) *Refusal {
	if most := r.Node.Connections; most > 0 && g.conns >= most {
		return full(holdfast.CloseOverload, "the server has as many connections as it takes")
	}
	return nil
}

// Enter counts a connection in, of whom nothing is known but the address; or says no, and then it is not counted.
func (g *Gate) Enter(from netip.Addr) *Refusal {
	if g == nil {
		return nil
	}
	from = network(from)
	r := g.rules.Load()
	if no := take(r.addressAttaches, from.String(), "too many connections from this address in too short a time"); no != nil {
		return no
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if no := g.fullLocked(r); no != nil {
		return no
	}
	if most := r.Address.Connections; most > 0 && g.addresses[from] >= most {
		return full(holdfast.CloseRateLimited, "this address has as many connections as it may have")
	}
	g.conns++
	g.addresses[from]++
	return nil
}

// Leave counts out what Enter counted in.
func (g *Gate) Leave(from netip.Addr) {
	if g == nil {
		return
	}
	from = network(from)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns--
	if g.addresses[from]--; g.addresses[from] == 0 {
		delete(g.addresses, from)
	}
}

// network is what counts as one address.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// take takes one from a bucket.
func take(q *quota.Quota, key, reason string) *Refusal {
	if q == nil {
		return nil
	}
	if wait, ok := q.Take(key); !ok {
		return &Refusal{holdfast.CloseRateLimited, reason, wait, wait}
	}
	return nil
}

// SignIn counts a connection of a user in that attaches; or says no, and then it is not counted. replaces: it takes the place of
// another one of its client, which is about to leave.
func (g *Gate) SignIn(user holdfast.UserID, replaces bool) *Refusal {
	if g == nil {
		return nil
	}
	r := g.rules.Load()
	if no := take(r.nodeAttaches, "", "too many connections at once"); no != nil {
		no.Code = holdfast.CloseOverload
		// All who were refused in this second would come back together.
		no.Spread += 4 * time.Second
		return no
	}
	if no := take(r.userAttaches, string(user), "too many connections of this user in too short a time"); no != nil {
		return no
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.users[user]
	if h == nil {
		h = &held{}
		g.users[user] = h
	}
	if most := r.User.Connections; most > 0 && h.conns >= most && !replaces {
		return full(holdfast.CloseRateLimited, "this user has as many connections as one may have")
	}
	h.conns++
	return nil
}

// SignOut counts out what SignIn counted in.
func (g *Gate) SignOut(user holdfast.UserID) { g.release(user, func(h *held) { h.conns-- }) }

// Join counts a reading of a session in; false if the user has too many, and then it is not counted.
func (g *Gate) Join(user holdfast.UserID) bool {
	if g == nil {
		return true
	}
	most := g.rules.Load().User.Sessions
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.users[user]
	if h == nil {
		h = &held{}
		g.users[user] = h
	}
	if most > 0 && h.sessions >= most {
		return false
	}
	h.sessions++
	return true
}

// Part counts out what Join counted in.
func (g *Gate) Part(user holdfast.UserID) { g.release(user, func(h *held) { h.sessions-- }) }

func (g *Gate) release(user holdfast.UserID, what func(*held)) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.users[user]
	what(h)
	if *h == (held{}) {
		delete(g.users, user)
	}
}

// Allow takes frames of so many bytes from the buckets of a user and an address; false if there is not enough in one of them.
func (g *Gate) Allow(user holdfast.UserID, from netip.Addr, frames, bytes int) bool {
	if g == nil {
		return true
	}
	r := g.rules.Load()
	now := g.now()
	allow := func(q *quota.Quota, key string, n int) bool { return q == nil || q.Of(key).AllowN(now, n) }
	if !allow(r.userFrames, string(user), frames) || !allow(r.userBytes, string(user), bytes) {
		return false
	}
	if r.addressFrames == nil && r.addressBytes == nil {
		return true
	}
	key := network(from).String()
	return allow(r.addressFrames, key, frames) && allow(r.addressBytes, key, bytes)
}

// Bytes returns the rate of one connection's bytes, and its burst; 0 if it is not bounded.
func (g *Gate) Bytes() (perSecond float64, burst int) {
	if g == nil {
		return 0, 0
	}
	perSecond = g.rules.Load().Connection.Bytes
	return perSecond, max(int(perSecond*byteBurst), leastBytes)
}

// Counts returns how many connections, users and addresses are counted in.
func (g *Gate) Counts() (conns, users, addresses int) {
	if g == nil {
		return 0, 0, 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conns, len(g.users), len(g.addresses)
}
