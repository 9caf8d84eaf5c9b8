package llm

import (
	"encoding/json"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// maxPiece is how many bytes of text one append takes at most; a run's fragments may have 64 KiB.
	maxPiece = 32 << 10
	// maxWaiting is how many bytes may wait for the append under way. More hold up the reading of the provider.
	maxWaiting = 1 << 20
	// beat is how often the lease of a run is renewed while the provider is silent.
	beat = 15 * time.Second
)

// piece is something to be appended: text, or an event.
type piece struct {
	part  string
	text  []byte
	event json.RawMessage
}

// pump appends to a run what it is given, in order, one append at a time. Pieces of text of one part that wait next to each
// other become one. Its goroutine is started by startPump, ends after close or an error, and close waits for it.
type pump struct {
	run  Run
	done chan struct{}

	mu sync.Mutex
	// changed is signalled when something was put, taken or closed, or the writing failed.
	changed sync.Cond
	// Guarded by mu.
	waiting []piece
	size    int
	closed  bool
	idle    bool // a beat is due
	err     error
}

func startPump(run Run) *pump {
	p := &pump{run: run, done: make(chan struct{})}
	p.changed.L = &p.mu
	// Awaited by close; it ends once that was called and what waits has been written, or with the first error.
	go p.write()
	return p
}

func (p *pump) text(part, s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.roomLocked() {
		return
	}
	p.size += len(s)
	if n := len(p.waiting); n > 0 && p.waiting[n-1].event == nil && p.waiting[n-1].part == part {
		p.waiting[n-1].text = append(p.waiting[n-1].text, s...)
	} else {
		p.waiting = append(p.waiting, piece{part: part, text: []byte(s)})
	}
	p.changed.Broadcast()
}

func (p *pump) event(part string, e json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.roomLocked() {
		return
	}
	p.size += len(e)
	p.waiting = append(p.waiting, piece{part: part, event: e})
	p.changed.Broadcast()
}

// roomLocked waits until there is room, and is false where writing has failed.
func (p *pump) roomLocked() bool {
	for p.size >= maxWaiting && p.err == nil {
		p.changed.Wait()
	}
	return p.err == nil
}

// failed returns why nothing can be written any more, or nil.
func (p *pump) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// close returns once all has been written, with the error that came first.
func (p *pump) close() error {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	<-p.done
	return p.err
}

func (p *pump) write() {
	defer close(p.done)
	silence := time.AfterFunc(beat, p.beatDue)
	defer silence.Stop()
	for {
		batch, due, ok := p.next()
		if !ok {
			return
		}
		var err error
		if due {
			err = p.renew()
		}
		for i := 0; i < len(batch) && err == nil; i++ {
			err = p.append(batch[i])
		}
		silence.Reset(beat)
		if err != nil {
			p.fail(err)
			return
		}
	}
}

func (p *pump) beatDue() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = true
	p.changed.Broadcast()
}

// next waits for something to do; ok is false if there will be nothing any more.
func (p *pump) next() (batch []piece, due, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) == 0 && !p.closed && !p.idle {
		p.changed.Wait()
	}
	batch, due = p.waiting, p.idle && len(p.waiting) == 0
	p.waiting, p.size, p.idle = nil, 0, false
	p.changed.Broadcast()
	return batch, due, len(batch) > 0 || due
}

func (p *pump) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.waiting, p.size = err, nil, 0
	p.changed.Broadcast()
}

// renew keeps the lease, where the run has a way to.
func (p *pump) renew() error {
	if r, ok := p.run.(interface{ Beat() error }); ok {
		return r.Beat()
	}
	return nil
}

func (p *pump) append(x piece) error {
	if x.event != nil {
		return p.run.Event(x.part, x.event)
	}
	for len(x.text) > 0 {
		n := len(x.text)
		if n > maxPiece {
			for n = maxPiece; n > maxPiece-utf8.UTFMax && !utf8.RuneStart(x.text[n]); n-- {
			}
		}
		if _, err := p.run.Part(x.part).Write(x.text[:n]); err != nil {
			return err
		}
		x.text = x.text[n:]
	}
	return nil
}
