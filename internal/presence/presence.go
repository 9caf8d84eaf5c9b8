// Package presence is who is there in a session: its members, from their coming to their leaving, whether somebody looks, and how
// far each has read.
//
// A member is a client, a device or tab of a user, not a connection: connections come and go, and a member whose connection is lost
// is one still for [Grace]. So a phone that loses its network in a lift, or a page that is reloaded, has never left for the others.
//
// The package is pure. Package attendance has the sessions that are watched, and brings what changes to those who watch.
package presence

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
)

// The figures of presence.
const (
	// Grace is how long a member is one that has lost its connection, and Farewell how long one that said goodbye, which
	// pages that are reloaded do too.
	Grace    = 15 * time.Second
	Farewell = 2 * time.Second
	// Return is how long a member is waited for that was there before the server started: clients come back over a time.
	Return = 60 * time.Second
	// Silence is how long a member that says nothing but pongs is taken to be looking. A browser that has stopped a page may
	// answer for it, but says nothing by itself.
	Silence = 60 * time.Second
	// Most is how many members of a session are told of, and Kept of how many more that have left the positions are known.
	Most = 256
	Kept = 256
)

// Departure is how a connection went.
type Departure uint8

// The departures.
const (
	// Lost: without a word, or only this reading ended, to begin again.
	Lost Departure = iota
	// Goodbye: the client said that it leaves.
	Goodbye
	// Parked: the client said that its page is put away, and will be back.
	Parked
)

// Here says who comes, and how.
type Here struct {
	Who  holdfast.Sender
	Conn holdfast.ConnID
	Name string
	// Hidden: nobody looks at it.
	Hidden bool
}

// Position is how far a user has read on a device, and how far that has shown, in an epoch. 0 is nowhere yet.
type Position struct {
	Epoch     holdfast.Epoch
	Read, Got holdfast.Offset
}

// Member is one as the others see it.
type Member struct {
	Who  holdfast.Sender
	Name string
	Away bool
	// Since is when it became what it is: here, or away.
	Since time.Time
	Position
}

// Change is what the others are to be told. Members are new, or have changed.
type Change struct {
	Members []Member
	Left    []holdfast.Sender
}

// Empty reports whether there is nothing to tell.
func (c *Change) Empty() bool { return len(c.Members)+len(c.Left) == 0 }

// member is one with all that is known of it.
type member struct {
	Member
	conn   holdfast.ConnID
	hidden bool
	// leaves is when it is taken to have left; zero while it is connected.
	leaves time.Time
	// told: the others know of it.
	told bool
}

// Room is a session's. The zero value is an empty one.
type Room struct {
	members map[holdfast.Sender]*member
	told    int
	// kept are the positions of members that have left, of which there were departures so far.
	kept       map[holdfast.Sender]departed
	departures uint64
}

// Enter lets a client in, or lets it go on with another connection.
func (r *Room) Enter(h Here, now time.Time) (c Change) {
	r.open()
	m := r.members[h.Who]
	if m == nil {
		m = &member{Member: Member{Who: h.Who, Name: h.Name, Since: now, Away: h.Hidden, Position: r.kept[h.Who].position}}
		delete(r.kept, h.Who)
		r.members[h.Who] = m
		m.conn, m.hidden = h.Conn, h.Hidden
		r.tell(m, &c)
		return c
	}
	changed := m.Name != h.Name
	m.conn, m.hidden, m.Name, m.leaves = h.Conn, h.Hidden, h.Name, time.Time{}
	r.set(m, h.Hidden, changed, now, &c)
	return c
}

func (r *Room) open() {
	if r.members == nil {
		r.members, r.kept = map[holdfast.Sender]*member{}, map[holdfast.Sender]departed{}
	}
}

// Expect lets a member in that was there before the server started, and has no connection yet.
func (r *Room) Expect(was Member, now time.Time) (c Change) {
	r.open()
	if r.members[was.Who] != nil {
		return c
	}
	m := &member{Member: was, hidden: was.Away, leaves: now.Add(Return)}
	r.members[was.Who] = m
	r.tell(m, &c)
	return c
}

// Exit says that a connection of a client has gone. If the client goes on with another, nothing has happened.
func (r *Room) Exit(who holdfast.Sender, conn holdfast.ConnID, how Departure, now time.Time) (c Change) {
	m := r.members[who]
	if m == nil || m.conn != conn || !m.leaves.IsZero() {
		return c
	}
	m.leaves = now.Add(Grace)
	switch how {
	case Goodbye:
		m.leaves = now.Add(Farewell)
	case Parked:
		m.hidden = true
		r.set(m, true, false, now, &c)
	}
	return c
}

// Look says whether anybody looks at a client.
func (r *Room) Look(who holdfast.Sender, conn holdfast.ConnID, hidden bool, now time.Time) (c Change) {
	if m := r.members[who]; m != nil && m.conn == conn {
		m.hidden = hidden
		r.set(m, hidden, false, now, &c)
	}
	return c
}

// Read says how far a member has come. Within an epoch neither position moves back; another epoch's replace them.
func (r *Room) Read(who holdfast.Sender, p Position) (c Change) {
	m := r.members[who]
	if m == nil {
		return c
	}
	if p.Epoch == m.Epoch {
		p.Read, p.Got = max(p.Read, m.Read), max(p.Got, m.Got)
	}
	// What was read was shown.
	p.Got = max(p.Got, p.Read)
	if p == m.Position {
		return c
	}
	m.Position = p
	if m.told {
		c.Members = append(c.Members, m.Member)
	}
	return c
}

// Tick does what the time of day asks. used tells when the user of a connection last did something, and the zero time for one that
// is not known.
func (r *Room) Tick(now time.Time, used func(holdfast.ConnID) time.Time) (c Change) {
	for who, m := range r.members {
		if !m.leaves.IsZero() {
			if !now.Before(m.leaves) {
				r.leave(who, m, &c)
			}
			continue
		}
		silent := now.Sub(used(m.conn)) >= Silence
		r.set(m, m.hidden || silent, false, now, &c)
	}
	r.tellWaiting(&c)
	c.sort()
	return c
}

// Members returns those who are there and are told of, in the order in which they came to be what they are.
func (r *Room) Members() []Member {
	c := Change{Members: make([]Member, 0, min(len(r.members), Most))}
	for _, m := range r.members {
		if m.told {
			c.Members = append(c.Members, m.Member)
		}
	}
	c.sort()
	return c.Members
}

// Len returns how many there are.
func (r *Room) Len() int { return len(r.members) }

func (r *Room) set(m *member, away, changed bool, now time.Time, c *Change) {
	if m.Away == away && !changed {
		return
	}
	if m.Away != away {
		m.Away, m.Since = away, now
	}
	if m.told {
		c.Members = append(c.Members, m.Member)
	}
}

func (r *Room) tell(m *member, c *Change) {
	if r.told == Most {
		return
	}
	r.told++
	m.told = true
	c.Members = append(c.Members, m.Member)
}

func (r *Room) leave(who holdfast.Sender, m *member, c *Change) {
	delete(r.members, who)
	if m.Position != (Position{}) {
		r.keep(who, m.Position)
	}
	if m.told {
		r.told--
		c.Left = append(c.Left, who)
	}
}

// departed is the position of a member that has left, as the nth.
type departed struct {
	position Position
	nth      uint64
}

// keep keeps a position, in the place of that of whoever left first if there are too many.
func (r *Room) keep(who holdfast.Sender, p Position) {
	if len(r.kept) >= Kept {
		var first holdfast.Sender
		least := r.departures + 1
		for other, d := range r.kept {
			if d.nth < least {
				first, least = other, d.nth
			}
		}
		delete(r.kept, first)
	}
	r.departures++
	r.kept[who] = departed{p, r.departures}
}

// tellWaiting tells of members that there was no room to tell of before.
func (r *Room) tellWaiting(c *Change) {
	if r.told == Most || r.told == len(r.members) {
		return
	}
	for _, m := range r.members {
		if !m.told {
			r.tell(m, c)
		}
	}
}

// sort brings a change into an order that does not differ from run to run.
func (c *Change) sort() {
	slices.SortFunc(c.Members, func(a, b Member) int { return cmp.Or(a.Since.Compare(b.Since), compare(a.Who, b.Who)) })
	slices.SortFunc(c.Left, compare)
}

func compare(a, b holdfast.Sender) int {
	return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Client, b.Client))
}
