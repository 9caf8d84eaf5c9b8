package hub

import (
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
	mu    sync.Mutex
	lanes []readers
	count int
	// changed is set by publishing, and cleared by the sweep: a topic on which it stays false is quiet.
	changed bool
	// since is when the sweep first found it without readers; zero while it has some.
	since time.Time
}

// readers are those of one lane.
type readers struct {
	list []*Membership
	// pending: the lane has been told, and has not woken them yet.
	pending bool
}

// Membership is a reader in a topic.
type Membership struct {
	// Static.
	topic  *Topic
	lane   int
	reader Reader

	// at is the place in the lane's list. Guarded by topic.mu.
	at int
}

func (r *readers) add(m *Membership) {
	m.at = len(r.list)
	r.list = append(r.list, m)
}

// Tail returns the tail of the session that is read.
func (m *Membership) Tail() *tail.Tail { return m.topic.tail }

// Leave takes the reader out. It may still be woken once, if that is under way.
func (m *Membership) Leave() {
	t := m.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.lanes[m.lane]
	last := r.list[len(r.list)-1]
	r.list[m.at], last.at = last, m.at
	r.list[len(r.list)-1] = nil
	r.list = r.list[:len(r.list)-1]
	if len(r.list) == 0 {
		r.list = nil
	}
	t.count--
}

func (t *Topic) wakeLanes() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = true
	for i := range t.lanes {
		r := &t.lanes[i]
		if len(r.list) > 0 && !r.pending {
			r.pending = true
			t.hub.lanes[i].Changed(t)
		}
	}
}

// Wake wakes the topic's readers on a lane. buf is for the lane to keep between calls; Wake returns it, grown perhaps.
func (t *Topic) Wake(lane int, buf []Reader) []Reader {
	t.mu.Lock()
	r := &t.lanes[lane]
	r.pending = false
	buf = buf[:0]
	for _, m := range r.list {
		buf = append(buf, m.reader)
	}
	t.mu.Unlock()
	for i, reader := range buf {
		reader.Wake()
		buf[i] = nil
	}
	return buf
}

func (t *Topic) signal(frame []byte) {
	t.mu.Lock()
	var all []Reader
	for i := range t.lanes {
		for _, m := range t.lanes[i].list {
			all = append(all, m.reader)
		}
	}
	t.mu.Unlock()
	for _, r := range all {
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
		t.since = time.Time{}
	case t.since.IsZero():
		t.since = now
	case now.Sub(t.since) >= Linger:
		return abandoned
	}
	if changed {
		return busy
	}
	return quiet
}
