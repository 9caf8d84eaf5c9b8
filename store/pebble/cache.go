package pebble

import (
	"container/list"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// held is a session in the committer's memory.
type held struct {
	info driver.Info // Session is always set; the rest is zero for a session that is not there

	touched bool // the batch being built changes it
	meta    bool // and must write its own record
	deleted bool // the batch deletes it, so that the database still shows what is gone
	place   *list.Element
}

// cache keeps the sessions that were written to last. It belongs to the committer.
type cache struct {
	most     int
	sessions map[holdfast.SessionID]*held
	recent   *list.List // of *held, most recent first
}

func newCache(most int) *cache {
	return &cache{most: most, sessions: make(map[holdfast.SessionID]*held), recent: list.New()}
}

func (c *cache) get(s holdfast.SessionID) *held {
	h := c.sessions[s]
	if h != nil {
		c.recent.MoveToFront(h.place)
	}
	return h
}

func (c *cache) add(info driver.Info) *held {
	h := &held{info: info}
	h.place = c.recent.PushFront(h)
	c.sessions[info.Session] = h
	return h
}

// trim forgets the sessions that are over the limit. It is called between batches only: what a batch holds and the
// database does not must not be forgotten.
func (c *cache) trim() {
	for len(c.sessions) > c.most {
		h := c.recent.Remove(c.recent.Back()).(*held)
		delete(c.sessions, h.info.Session)
	}
}
