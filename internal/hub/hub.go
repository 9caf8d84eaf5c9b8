// Package hub knows who reads what on this node: which sessions have readers and on which lanes, which connections live,
// and which connection is the living one of a client.
//
// # Lanes
//
// A lane is one of the few goroutines that write to connections (see package conn). A change of a session wakes the lanes
// that have readers of it, not the readers: what publishing costs does not grow with how many they are.
//
// # Concurrency
//
// All methods may be called at any time. Publish is called by the store's watcher and must be quick.
package hub

import (
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/tail"
	"github.com/holdfast/holdfast/store/driver"
)

// Reader is one connection's reading of one session.
type Reader interface {
	// Wake says that the session has more. It is called by the reader's lane.
	Wake()
	// Signal gives a signal's frame to pass on. It is called by anyone.
	Signal(frame []byte)
}

// Lane is told which topics to wake.
type Lane interface {
	// Changed says that readers of the topic on this lane are to be woken, by [Topic.Wake]. It must not block.
	Changed(t *Topic)
}

// Linger is how long a session that lost its last reader is kept in memory, so that readers who dropped together and
// come back together are served from there.
const Linger = 30 * time.Second

const shards = 64

// Hub is the registry of one node.
type Hub struct {
	lanes  []Lane
	shards [shards]shard
	people people
}

type shard struct {
	mu     sync.Mutex
	topics map[holdfast.SessionID]*Topic
}

// New returns a hub that wakes the lanes given. The number of a lane is its index.
func New(lanes []Lane) *Hub {
	h := &Hub{lanes: lanes}
	for i := range h.shards {
		h.shards[i].topics = map[holdfast.SessionID]*Topic{}
	}
	h.people.init()
	return h
}

func (h *Hub) shard(s holdfast.SessionID) *shard {
	// FNV-1a; the session ids are the application's, and a skewed spread costs some waiting, nothing else.
	x := uint32(2166136261)
	for i := 0; i < len(s); i++ {
		x = (x ^ uint32(s[i])) * 16777619
	}
	return &h.shards[x%shards]
}

// Publish brings a change to the session's readers on this node, if there are any.
func (h *Hub) Publish(ch *driver.Change) {
	sh := h.shard(ch.Session)
	sh.mu.Lock()
	t := sh.topics[ch.Session]
	sh.mu.Unlock()
	if t == nil {
		return
	}
	if t.tail.Publish(ch) {
		t.wakeLanes()
	}
}

// Join adds a reader of a session on a lane. Leave takes it out again; it may be called once.
func (h *Hub) Join(s holdfast.SessionID, lane int, r Reader) *Membership {
	sh := h.shard(s)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t := sh.topics[s]
	if t == nil {
		t = &Topic{tail: tail.New(s), hub: h}
		sh.topics[s] = t
	}
	m := &Membership{topic: t, lane: int32(lane), reader: r}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(m)
	return m
}

// Signal passes a frame to all who read the session on this node.
func (h *Hub) Signal(s holdfast.SessionID, frame []byte) {
	sh := h.shard(s)
	sh.mu.Lock()
	t := sh.topics[s]
	sh.mu.Unlock()
	if t != nil {
		t.signal(frame)
	}
}

// Readers returns all who read the session on this node.
func (h *Hub) Readers(s holdfast.SessionID) []Reader {
	sh := h.shard(s)
	sh.mu.Lock()
	t := sh.topics[s]
	sh.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.readers()
}

// Sweep forgets sessions that have had no readers for [Linger], and what quiet ones remember. The server calls it every
// few seconds.
func (h *Hub) Sweep(now time.Time) {
	for i := range h.shards {
		h.shards[i].sweep(now)
	}
	h.people.sweep(now)
}

func (sh *shard) sweep(now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id, t := range sh.topics {
		switch t.age(now) {
		case abandoned:
			delete(sh.topics, id)
		case quiet:
			t.tail.Forget()
		}
	}
}

// Topics returns how many sessions are held in memory, and how many readings of them there are.
func (h *Hub) Topics() (sessions, readings int) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.Lock()
		sessions += len(sh.topics)
		for _, t := range sh.topics {
			t.mu.Lock()
			readings += int(t.count)
			t.mu.Unlock()
		}
		sh.mu.Unlock()
	}
	return sessions, readings
}
