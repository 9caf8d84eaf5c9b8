package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/internal/tail"
)

// Topic is one session that has, or lately had, readers on this node.
type Topic struct {
	// Static.
	tail *tail.Tail
	hub  *Hub

	// Guarded by mu.
	mu sync.Mutex
	// lanes has those that have readers, few of many: most sessions have a reader or two.
	lanes []readers
	count int32
	// changed is set by publishing, and cleared by the sweep: a topic on which it stays false is quiet.
	changed bool
	// since is when the sweep first found it without readers, in Unix nanoseconds; zero while it has some.
	since int64
}

// readers are those of one lane.
type readers struct {
	list []*Membership
	lane int32
	// pending: the lane has been told, and has not woken them yet.
	pending bool
}

// Membership is a reader in a topic.
type Membership struct {
	// Static.
	topic  *Topic
	reader Reader
	lane   int32

	// at is the place in the lane's list. Guarded by topic.mu.
	at int32
}

// onLocked returns the readers of a lane, nil if it has none.
func (t *Topic) onLocked(lane int32) *readers {
	for i := range t.lanes {
		if t.lanes[i].lane == lane {
			return &t.lanes[i]
		}
	}
	return nil
}

func (t *Topic) addLocked(m *Membership) {
	r := t.onLocked(m.lane)
	if r == nil {
		t.lanes = append(t.lanes, readers{lane: m.lane})
		r = &t.lanes[len(t.lanes)-1]
	}
	m.at = int32(len(r.list))
	r.list = append(r.list, m)
	t.count++
}

// Tail returns the tail of the session that is read.
func (m *Membership) Tail() *tail.Tail { return m.topic.tail }

// Leave takes the reader out. It may still be woken once, if that is under way.
func (m *Membership) Leave() {
	t := m.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.onLocked(m.lane)
	last := r.list[len(r.list)-1]
	r.list[m.at], last.at = last, m.at
	r.list[len(r.list)-1] = nil
	r.list = r.list[:len(r.list)-1]
	t.count--
	if len(r.list) == 0 {
		// A lane that was told and has not woken them yet will find none.
		t.lanes = slices.DeleteFunc(t.lanes, func(r readers) bool { return r.lane == m.lane })
	}
}

func (t *Topic) wakeLanes() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = true
	for i := range t.lanes {
		if r := &t.lanes[i]; !r.pending {
			r.pending = true
			t.hub.lanes[r.lane].Changed(t)
		}
	}
}

// Wake wakes the topic's readers on a lane. buf is for the lane to keep between calls; Wake returns it, grown perhaps.
func (t *Topic) Wake(lane int, buf []Reader) []Reader {
	buf = buf[:0]
	t.mu.Lock()
	if r := t.onLocked(int32(lane)); r != nil {
		r.pending = false
		for _, m := range r.list {
			buf = append(buf, m.reader)
		}
	}
	t.mu.Unlock()
	for i, reader := range buf {
		reader.Wake()
		buf[i] = nil
	}
	return buf
}

func (t *Topic) readers() (all []Reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.lanes {
		for _, m := range t.lanes[i].list {
			all = append(all, m.reader)
		}
	}
	return all
}

func (t *Topic) signal(frame []byte) {
	for _, r := range t.readers() {
		r.Signal(frame)
	}
}

type age uint8

const (
	busy age = iota
	quiet
	abandoned
)

// age is called by the sweep with the shard locked, so that nobody joins meanwhile.
func (t *Topic) age(now time.Time) age {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := t.changed
	t.changed = false
	switch {
	case t.count > 0:
		t.since = 0
	case t.since == 0:
		t.since = now.UnixNano()
	case now.Sub(time.Unix(0, t.since)) >= Linger:
		return abandoned
	}
	if changed {
		return busy
	}
	return quiet
}
