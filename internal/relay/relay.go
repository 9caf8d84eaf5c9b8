// Package relay passes on what one process commits to another one on the same machine, which had the store before and has
// clients still: they are shown everything there until they have moved, one after the other. The two share a file. The one
// that has the store writes into it, the other reads on at its end.
//
// The file says by its being there that the relay goes on. Either side removes it: the reader when it has no clients left,
// the writer when it cannot go on. Whoever finds it gone stops.
package relay

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

const (
	// lookEvery is how often the reader looks for more: a file tells nobody.
	lookEvery = 2 * time.Millisecond
	// room is how many changes may wait to be written. A disk that is slower ends the relay, and holds nothing up.
	room = 16 << 10
	// longest is how long a relay lasts at most: the reader may be gone without having removed the file.
	longest = 30 * time.Second
	// checkEvery is how often the writer looks whether the file is still wanted.
	checkEvery = 100 * time.Millisecond
)

// Writer is the side that has the store. All methods may be called at any time.
type Writer struct {
	// Static.
	path string
	file *os.File

	// Guarded by mu.
	mu sync.Mutex
	// change is nil when the relay has ended: what is passed on then goes nowhere.
	change chan driver.Change

	// done is closed when the goroutine that writes has ended: after End, when the file is not wanted any more, or after longest.
	done chan struct{}
}

// Create begins a relay in place of any that an earlier process left.
func Create(path string) (*Writer, error) {
	// The file of an earlier relay may be read still: it is another one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, file: f, change: make(chan driver.Change, room), done: make(chan struct{})}
	go w.run(w.change) // waited for by Close
	return w, nil
}

// Pass passes a change on. It does not wait.
func (w *Writer) Pass(ch driver.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.change == nil {
		return
	}
	select {
	case w.change <- ch:
	default:
		// One that is left out would leave a hole, which the other side could not fill.
		w.endLocked()
	}
}

// End ends the relay: the other side is to have no clients any more.
func (w *Writer) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked()
}

func (w *Writer) endLocked() {
	if w.change != nil {
		close(w.change)
		w.change = nil
		_ = os.Remove(w.path)
	}
}

// Close is End, and waits until nothing is written any more.
func (w *Writer) Close() {
	w.End()
	<-w.done
}

func (w *Writer) run(change <-chan driver.Change) {
	defer close(w.done)
	defer w.End()
	defer w.file.Close()
	out := bufio.NewWriter(w.file)
	enc := gob.NewEncoder(out)
	over := time.NewTimer(longest)
	defer over.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case ch, more := <-change:
			if !more || enc.Encode(&ch) != nil || len(change) == 0 && out.Flush() != nil {
				return
			}
		case <-check.C:
			if _, err := os.Stat(w.path); err != nil {
				return
			}
		case <-over.C:
			return
		}
	}
}

// Follow calls fn with each change that the other process passes on, in order, until ctx ends, and then removes the file.
// It returns an error, which is [holdfast.CodeUnavailable], if there is no relay, and when the other process has ended it.
func Follow(ctx context.Context, path string, fn func(driver.Change)) error {
	f, err := os.Open(path)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "there is no relay")
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(path)
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	dec := gob.NewDecoder(bufio.NewReader(&follower{ctx: ctx, file: f, path: path, tick: tick.C}))
	for {
		var ch driver.Change
		if err := dec.Decode(&ch); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return holdfast.Wrap(holdfast.CodeUnavailable, err, "the relay has ended")
		}
		fn(ch)
	}
}

// follower reads a file, and at its end waits for more.
type follower struct {
	ctx  context.Context
	file *os.File
	path string
	tick <-chan time.Time
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		n, err := f.file.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		select {
		case <-f.tick:
		case <-f.ctx.Done():
			return 0, io.EOF
		}
		if _, err := os.Stat(f.path); err != nil {
			return 0, io.EOF
		}
	}
}
