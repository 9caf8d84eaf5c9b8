package pebble

import (
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// request is one operation on its way through the committer and the publisher to its caller, who may have left.
type request struct {
	session holdfast.SessionID
	op      driver.Op
	trace   string                 // of who asked for op
	other   func(*committer) error // instead of op

	// Written before done is closed.
	result driver.Result
	err    error
	done   chan struct{}
}

func (r *request) answer(err error) {
	if err != nil {
		r.err = err
	}
	close(r.done)
}

// queue collects requests for the committer. It needs no bound: each request has a caller who waits for it.
type queue struct {
	mu     sync.Mutex
	wait   []*request
	closed bool
	wake   chan struct{} // holds one token if wait is not empty or closed is set
}

func (q *queue) init() { q.wake = make(chan struct{}, 1) }

// put returns false if the queue is closed.
func (q *queue) put(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.wait = append(q.wait, r)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// drain returns all that waits, without waiting.
func (q *queue) drain() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	got := q.wait
	q.wait = nil
	return got
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// take waits for requests and returns all of them; false if the queue is closed and empty. There is one taker.
func (q *queue) take() ([]*request, bool) {
	for {
		// In this order: nothing is put after the queue is closed.
		closed := q.isClosed()
		if got := q.drain(); len(got) > 0 || closed {
			return got, len(got) > 0
		}
		<-q.wake
	}
}
