package attendance

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/presence"
)

// Note is what has become of a member, for those who are told of it elsewhere and later.
type Note struct {
	Who    holdfast.Sender
	Name   string
	Change holdfast.MemberChange
	Away   bool
	// Since is when that happened.
	Since time.Time
}

const (
	// noters is how many rooms are written at once, so that one write to disk carries many.
	noters = 16
	// mostNotes is how many notes of a room are written at once; what is more waits for the next time.
	mostNotes = 500
)

// notes is what has been written of a room's members, and what is yet to be. Only how a member stands now waits, so that one that comes and
// goes all the time takes no more room than another.
type notes struct {
	// written has who was written to be there, and how.
	written map[holdfast.Sender]news
	news    map[holdfast.Sender]news
}

// news is how a member stands.
type news struct {
	name  string
	away  bool
	gone  bool
	since time.Time
}

// hear takes in a change.
func (n *notes) hear(c *presence.Change, now time.Time) {
	for i := range c.Members {
		m := &c.Members[i]
		n.news[m.Who] = news{name: m.Name, away: m.Away, since: m.Since}
	}
	for _, who := range c.Left {
		n.news[who] = news{name: n.written[who].name, gone: true, since: now}
	}
}

// idle reports whether nothing was written that must be taken back, and nothing is to be.
func (n *notes) idle() bool { return n == nil || len(n.written)+len(n.news) == 0 }

// change says what is to be written of a member; "" for nothing: it came and went between two writes, or only read on.
func (n *notes) change(who holdfast.Sender, now news) holdfast.MemberChange {
	before, was := n.written[who]
	switch {
	case was && now.gone:
		return holdfast.MemberLeft
	case !was && !now.gone:
		return holdfast.MemberJoined
	case !was || before.away == now.away:
		return ""
	case now.away:
		return holdfast.MemberAway
	}
	return holdfast.MemberBack
}

// take returns what is to be written, in the order in which it happened.
func (n *notes) take() (out []Note) {
	for who, now := range n.news {
		change := n.change(who, now)
		if change == "" {
			delete(n.news, who)
			continue
		}
		out = append(out, Note{Who: who, Name: now.name, Change: change, Away: now.away, Since: now.since})
	}
	slices.SortFunc(out, func(a, b Note) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Who.User, b.Who.User), cmp.Compare(a.Who.Client, b.Who.Client))
	})
	out = out[:min(len(out), mostNotes)]
	for i := range out {
		delete(n.news, out[i].Who)
	}
	return out
}

// settle says what became of notes. What could not be written is written with the next ones, unless there is newer.
func (n *notes) settle(all []Note, ok bool) {
	for i := range all {
		note := &all[i]
		now := news{name: note.Name, away: note.Away, gone: note.Change == holdfast.MemberLeft, since: note.Since}
		_, newer := n.news[note.Who]
		switch {
		case !ok && !newer:
			n.news[note.Who] = now
		case !ok:
		case now.gone:
			delete(n.written, note.Who)
		default:
			n.written[note.Who] = now
		}
	}
}

func newNotes() *notes {
	return &notes{written: map[holdfast.Sender]news{}, news: map[holdfast.Sender]news{}}
}

// Recall says that a member was written to be there before the server started. It is one still, until it is back or has had the time
// for that. It is called before the first Note.
func (rs *Rooms) Recall(s holdfast.SessionID, m presence.Member) {
	r := rs.find(s, true)
	defer r.mu.Unlock()
	if r.notes == nil {
		r.notes = newNotes() // nobody asks for this session any more; that the member leaves is written nevertheless
	}
	r.notes.written[m.Who] = news{name: m.Name, away: m.Away, since: m.Since}
	now := rs.now()
	r.tell(r.state.Expect(m, now), now)
}

// Note writes what is new of the members of all rooms of which that is wanted, room by room, in the order in which it happened. What write
// refuses is written the next time. It is called by one goroutine, and waits for those that it starts.
func (rs *Rooms) Note(ctx context.Context, write func(context.Context, holdfast.SessionID, []Note) error) {
	var all sync.WaitGroup
	slots := make(chan struct{}, noters)
	for _, r := range rs.all() {
		fresh := r.fresh()
		if len(fresh) == 0 {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			err := write(ctx, r.session, fresh)
			r.mu.Lock()
			r.notes.settle(fresh, err == nil)
			r.mu.Unlock()
			<-slots
		})
	}
	all.Wait()
}

func (r *room) fresh() []Note {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notes == nil {
		return nil
	}
	return r.notes.take()
}
