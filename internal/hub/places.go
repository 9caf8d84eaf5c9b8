package hub

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/policy"
	"github.com/holdfast/holdfast/wire"
)

// fresh is how lately a connection must have been heard of to count as alive without being asked.
const fresh = time.Second

// Arrival says how a connection comes, or begins to read a session, and by which rules it is let in.
type Arrival struct {
	Rules []holdfast.ConnectionRule
	Act   holdfast.Act
	Now   time.Time
	// Asked are those that were asked for a sign of life, at AskedAt: who has given none since is dead. nil: nobody has been
	// asked.
	Asked   []Conn
	AskedAt time.Time
	// Tell: the connection wants to know of the user's others.
	Tell bool
}

// Admission is what became of it.
type Admission struct {
	// Doubtful are those whose life it depends on. Unless there are none, nothing was decided: ask them, and come again.
	Doubtful []Conn
	// Stale: a connection of the same client with the same or a higher generation lives.
	Stale   bool
	Verdict policy.Verdict
	// Ghost is the client's earlier connection, already replaced; nil if there is none. Dead and Evicted have lost their places,
	// and have been told so. The caller ends them all.
	Ghost         Conn
	Dead, Evicted []Conn
	// Wait is how long one that is refused is to wait for its answer. Flaps: the user's windows take this place from each other
	// too often, and it is the first time that this is noticed.
	Wait  time.Duration
	Flaps bool
}

// Refused reports whether it was not let in.
func (a *Admission) Refused() bool { return a.Verdict > policy.ReadOnly }

// Conflicts counts what rules on connections have done since the start.
type Conflicts struct{ Evicted, Demoted, Dropped, Refused, Asked, Flapping uint64 }

type conflictCounts struct{ evicted, demoted, dropped, refused, asked, flapping atomic.Uint64 }

// Conflicts returns what rules on connections have done on this node.
func (h *Hub) Conflicts() Conflicts {
	n := &h.people.counts
	return Conflicts{
		Evicted: n.evicted.Load(), Demoted: n.demoted.Load(), Dropped: n.dropped.Load(), Refused: n.refused.Load(),
		Asked: n.asked.Load(), Flapping: n.flapping.Load(),
	}
}

// place is how a connection stands beside the others of its user. Most have none: no rule is on them, and they ask nothing.
// Guarded by people.mu.
type place struct {
	rules    []holdfast.ConnectionRule
	tell     bool
	readOnly bool
	// sessions are those that it has a place in, where rules are of single sessions.
	sessions []seat
}

type seat struct {
	session  holdfast.SessionID
	readOnly bool
}

// seatLocked returns where the seat in a session is, or -1.
func (p *place) seatLocked(s holdfast.SessionID) int {
	if p == nil {
		return -1
	}
	return slices.IndexFunc(p.sessions, func(x seat) bool { return x.session == s })
}

// placesLocked returns where a connection may do more than read: everywhere, which is no session, and in sessions. These are what others
// may have when it leaves; who only read has nothing to leave.
func (a *attached) placesLocked() (places []holdfast.SessionID) {
	if a.place == nil {
		return []holdfast.SessionID{""}
	}
	if !a.place.readOnly {
		places = append(places, "")
	}
	for _, x := range a.place.sessions {
		if !x.readOnly {
			places = append(places, x.session)
		}
	}
	return places
}

// readOnlyLocked reports whether it may only read; with a session, there.
func (a *attached) readOnlyLocked(s holdfast.SessionID) bool {
	if a.place == nil {
		return false
	}
	if i := a.place.seatLocked(s); s != "" && i >= 0 && a.place.sessions[i].readOnly {
		return true
	}
	return a.place.readOnly
}

// ruled picks the rules of single sessions, or the others.
func ruled(rules []holdfast.ConnectionRule, perSession bool) (some []holdfast.ConnectionRule) {
	for _, r := range rules {
		if r.PerSession == perSession {
			some = append(some, r)
		}
	}
	return some
}

// decideLocked decides about c among its user's connections, or those of them that read the session. Afterwards those who have
// to go have been told, and the dead are forgotten.
func (p *people) decideLocked(c Conn, d ConnInfo, s holdfast.SessionID, a *Arrival) (adm Admission) {
	rules := ruled(a.Rules, s != "")
	if len(rules) == 0 {
		return adm
	}
	existing := p.existingLocked(d, s, a)
	dec := policy.Decide(rules, existing, placeOf(d), a.Act)
	if !dec.Conflict() {
		return adm
	}
	if a.Asked == nil {
		if adm.Doubtful = p.doubtfulLocked(d, existing, a.Now); len(adm.Doubtful) > 0 {
			return adm
		}
	}
	pace := p.paceLocked(contested{d.User, s})
	if len(dec.Evicted)+len(dec.Demoted) > 0 {
		ok, flaps := pace.Switch(a.Now)
		if flaps {
			adm.Flaps = true
			p.counts.flapping.Add(1)
		}
		if !ok {
			dec.Verdict, dec.Evicted, dec.Demoted = policy.Elsewhere, nil, nil
		}
	}
	adm.Verdict = dec.Verdict
	if adm.Refused() {
		adm.Wait = pace.Refuse(a.Now)
	}
	p.applyLocked(d, s, &dec, &adm)
	return adm
}

// turnAwayLocked tells a connection how it stands that is not let in, or only to read a session.
func (p *people) turnAwayLocked(c Conn, d ConnInfo, s holdfast.SessionID, adm *Admission) {
	if adm.Refused() || s != "" && adm.Verdict == policy.ReadOnly {
		c.Windows(&wire.Windows{Session: s, Mode: modeOf(adm.Verdict), Others: p.othersLocked(d, s)})
	}
}

// existingLocked are the user's connections, or those of them that have a seat in the session, as the policy sees them.
func (p *people) existingLocked(d ConnInfo, s holdfast.SessionID, a *Arrival) []policy.Conn {
	var all []policy.Conn
	for i := range p.users[d.User] {
		x := &p.users[d.User][i]
		at := x.place.seatLocked(s)
		if s != "" && at < 0 {
			continue
		}
		info := x.conn.Describe()
		pc := placeOf(info)
		pc.Dead = slices.Contains(a.Asked, x.conn) && info.Alive.Before(a.AskedAt)
		pc.ReadOnly = x.place != nil && (x.place.readOnly && s == "" || at >= 0 && x.place.sessions[at].readOnly)
		all = append(all, pc)
	}
	return all
}

func placeOf(d ConnInfo) policy.Conn {
	return policy.Conn{ID: d.ID, Client: d.Client, Device: d.Device, Since: d.Since, Used: d.Used, Hidden: d.Hidden}
}

// doubtfulLocked are those that nothing has been heard of lately.
func (p *people) doubtfulLocked(d ConnInfo, existing []policy.Conn, now time.Time) (all []Conn) {
	for _, pc := range existing {
		c := p.conns[pc.ID]
		if pc.Client != d.Client && c != nil && c.Describe().Alive.Before(now.Add(-fresh)) {
			all = append(all, c)
		}
	}
	return all
}

// applyLocked does to the others what was decided.
func (p *people) applyLocked(d ConnInfo, s holdfast.SessionID, dec *policy.Decision, adm *Admission) {
	for _, id := range dec.Dead {
		if dead := p.conns[id]; dead != nil {
			p.forgetLocked(dead, d.User, id)
			adm.Dead = append(adm.Dead, dead)
			p.counts.dropped.Add(1)
		}
	}
	for _, id := range dec.Evicted {
		loser := p.conns[id]
		if loser == nil {
			continue
		}
		p.counts.evicted.Add(1)
		frame := &wire.Windows{Session: s, Mode: wire.WindowElsewhere, Others: []wire.Window{windowOf(d, loser.Describe())}}
		if s != "" {
			p.unseatLocked(loser, d.User, s)
			loser.Displace(frame)
			continue
		}
		p.forgetLocked(loser, d.User, id)
		loser.Windows(frame)
		adm.Evicted = append(adm.Evicted, loser)
	}
	for _, id := range dec.Demoted {
		if loser := p.findLocked(p.conns[id], d.User); loser != nil {
			p.counts.demoted.Add(1)
			loser.demote(d, s)
		}
	}
	switch adm.Verdict {
	case policy.Ask:
		p.counts.asked.Add(1)
	case policy.Elsewhere, policy.Reject:
		p.counts.refused.Add(1)
	}
}

// demote takes the right to do more than read from a connection; with a session, there.
func (a *attached) demote(winner ConnInfo, s holdfast.SessionID) {
	if s == "" {
		a.demand().readOnly = true // told with all the others
		return
	}
	if at := a.place.seatLocked(s); at >= 0 {
		a.place.sessions[at].readOnly = true
		a.conn.Windows(&wire.Windows{Session: s, Mode: wire.WindowReadOnly, Others: []wire.Window{windowOf(winner, a.conn.Describe())}})
	}
}

// demand returns the place of a connection, which it has from then on.
func (a *attached) demand() *place {
	if a.place == nil {
		a.place = &place{}
	}
	return a.place
}

func modeOf(v policy.Verdict) wire.WindowMode {
	return [...]wire.WindowMode{wire.WindowFull, wire.WindowReadOnly, wire.WindowAsk, wire.WindowElsewhere, wire.WindowLimit}[v]
}

func windowOf(d, seenBy ConnInfo) wire.Window {
	return wire.Window{Client: d.Client, Name: d.Name, Same: d.Device != "" && d.Device == seenBy.Device, Since: d.Since.UnixMilli()}
}

// othersLocked are the user's other connections, with a session those that have a seat there, the newest first.
func (p *people) othersLocked(d ConnInfo, s holdfast.SessionID) []wire.Window {
	all := p.users[d.User]
	var out []wire.Window
	for i := len(all) - 1; i >= 0 && len(out) < wire.MaxWindows; i-- {
		if all[i].client == d.Client || s != "" && all[i].place.seatLocked(s) < 0 {
			continue
		}
		out = append(out, windowOf(all[i].conn.Describe(), d))
	}
	return out
}

// tellLocked tells those of a user's connections that are concerned how they stand. It costs nothing where nobody is.
func (p *people) tellLocked(user holdfast.UserID) {
	for i := range p.users[user] {
		x := &p.users[user][i]
		if x.place == nil || !x.place.tell && !x.place.readOnly {
			continue
		}
		mode := wire.WindowFull
		if x.place.readOnly {
			mode = wire.WindowReadOnly
		}
		x.conn.Windows(&wire.Windows{Mode: mode, Others: p.othersLocked(x.conn.Describe(), "")})
	}
}

// Claim gives a connection that reads only the place of another one, if its rules allow that. A connection that has its place
// keeps it.
func (h *Hub) Claim(c Conn, a *Arrival) Admission {
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.findLocked(c, d.User)
	if x == nil || x.place == nil || !x.place.readOnly {
		return Admission{}
	}
	adm := p.decideLocked(c, d, "", a)
	if len(adm.Doubtful) > 0 {
		return adm
	}
	if x = p.findLocked(c, d.User); x != nil && adm.Verdict == policy.Admit {
		x.place.readOnly = false
		// One that asked nothing is told of this, and then no more.
		if !x.place.tell {
			c.Windows(&wire.Windows{Mode: wire.WindowFull, Others: p.othersLocked(d, "")})
		}
	}
	p.tellLocked(d.User)
	return adm
}

// Enter gives a connection its seat in a session, by the rules that are of single sessions. A connection that has one keeps
// it, but for an act that may better it. Without such rules it does nothing.
func (h *Hub) Enter(c Conn, s holdfast.SessionID, a *Arrival) Admission {
	if len(ruled(a.Rules, true)) == 0 {
		return Admission{}
	}
	d := c.Describe()
	p := &h.people
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.findLocked(c, d.User)
	if x == nil {
		return Admission{} // it is on its way out
	}
	adm := p.decideLocked(c, d, s, a)
	if len(adm.Doubtful) > 0 {
		return adm
	}
	x = p.findLocked(c, d.User)
	at := x.place.seatLocked(s)
	p.turnAwayLocked(c, d, s, &adm)
	switch {
	case adm.Refused():
		p.unseatLocked(c, d.User, s)
	case at >= 0:
		if x.place.sessions[at].readOnly && adm.Verdict == policy.Admit {
			c.Windows(&wire.Windows{Session: s, Mode: wire.WindowFull, Others: p.othersLocked(d, s)})
		}
		x.place.sessions[at].readOnly = adm.Verdict == policy.ReadOnly
	default:
		x.demand().sessions = append(x.demand().sessions, seat{s, adm.Verdict == policy.ReadOnly})
		x.place.rules = a.Rules // those of a token may be others by now
	}
	return adm
}

// Seated reports whether a connection has a seat in a session.
func (h *Hub) Seated(c Conn, s holdfast.SessionID) bool {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	x := h.people.findLocked(c, c.Describe().User)
	return x != nil && x.place.seatLocked(s) >= 0
}

// Exit gives up a seat, for another one of the user's connections to have.
func (h *Hub) Exit(c Conn, s holdfast.SessionID, now time.Time) {
	p, user := &h.people, c.Describe().User
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := p.findLocked(c, user); x != nil && slices.Contains(x.placesLocked(), s) {
		defer p.promoteLocked(user, s, now)
	}
	p.unseatLocked(c, user, s)
}

// MayWrite reports whether the living connection of a client, if there is one, may do more in the session than read it.
func (h *Hub) MayWrite(user holdfast.UserID, client holdfast.ClientID, s holdfast.SessionID) bool {
	h.people.mu.Lock()
	defer h.people.mu.Unlock()
	for i := range h.people.users[user] {
		if x := &h.people.users[user][i]; x.client == client {
			return !x.readOnlyLocked(s)
		}
	}
	return true
}

func (p *people) findLocked(c Conn, user holdfast.UserID) *attached {
	for i := range p.users[user] {
		if x := &p.users[user][i]; x.conn == c {
			return x
		}
	}
	return nil
}

func (p *people) unseatLocked(c Conn, user holdfast.UserID, s holdfast.SessionID) {
	if x := p.findLocked(c, user); x != nil {
		if at := x.place.seatLocked(s); at >= 0 {
			x.place.sessions = slices.Delete(x.place.sessions, at, at+1)
		}
	}
}

// promoteLocked gives a place that was left on purpose to the one that has waited longest to do more than read; with a session, there.
func (p *people) promoteLocked(user holdfast.UserID, s holdfast.SessionID, now time.Time) {
	for i := range p.users[user] {
		x := &p.users[user][i]
		readOnly := x.waitsLocked(s)
		if readOnly == nil || !*readOnly {
			continue
		}
		d := x.conn.Describe()
		dec := policy.Decide(ruled(x.place.rules, s != ""), p.existingLocked(d, s, &Arrival{Now: now}), placeOf(d), holdfast.ActNone)
		if dec.Conflict() {
			continue
		}
		*readOnly = false
		if s != "" || !x.place.tell {
			x.conn.Windows(&wire.Windows{Session: s, Mode: wire.WindowFull, Others: p.othersLocked(d, s)})
		}
		return
	}
}

// waitsLocked returns what says whether a connection may only read; with a session, there. nil: it has no place there.
func (a *attached) waitsLocked(s holdfast.SessionID) *bool {
	if at := a.place.seatLocked(s); at >= 0 {
		return &a.place.sessions[at].readOnly
	}
	if s != "" || a.place == nil {
		return nil
	}
	return &a.place.readOnly
}

func (p *people) paceLocked(what contested) *policy.Pace {
	pace := p.paces[what]
	if pace == nil {
		pace = &policy.Pace{}
		p.paces[what] = pace
	}
	return pace
}

// sweep forgets how often the windows of users have changed places, once it is long ago.
func (p *people) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for what, pace := range p.paces {
		if pace.Settled(now) {
			delete(p.paces, what)
		}
	}
}
