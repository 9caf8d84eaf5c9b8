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
	// format is of what is passed on. It grows with every change of [driver.Change] and what is in it: what one side does not know it
	// would leave out, and its clients would never be told.
	format = 1
	// lookEvery is how often the reader looks for more: a file tells nobody.
	lookEvery = 2 * time.Millisecond
	// room is how many changes may wait to be written. A disk that is slower ends the relay, and holds nothing up.
	room = 16 << 10
	// longest is how long a relay lasts at most, and largest how many bytes it has: the reader may be gone without having removed the
	// file, or never have been there.
	longest = 30 * time.Second
	largest = 64 << 20
	// checkEvery is how often the writer looks whether the file is still wanted.
	checkEvery = 100 * time.Millisecond
)

// Writer is the side that has the store. All methods may be called at any time.
type Writer struct {
	// Static.
	path string
	file *os.File
	// over is closed when the relay has ended, done when the goroutine that writes has: after that, when the file is not wanted any
	// more, or after longest.
	over, done chan struct{}

	// Guarded by mu.
	mu sync.Mutex
	// change is nil when the relay has ended: what is passed on then goes nowhere.
	change chan driver.Change
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
	w := newWriter(path, f, room)
	go w.run(w.change) // waited for by Close
	return w, nil
}

func newWriter(path string, f *os.File, room int) *Writer {
	return &Writer{path: path, file: f, over: make(chan struct{}), done: make(chan struct{}), change: make(chan driver.Change, room)}
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

// End ends the relay: the other side is to have no clients any more. What was not passed on yet is not.
func (w *Writer) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endLocked()
}

func (w *Writer) endLocked() {
	if w.change != nil {
		w.change = nil
		close(w.over)
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
	defer func() { removeIfSame(w.file, w.path); _ = w.file.Close() }()
	left := time.NewTimer(longest)
	defer left.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	out := bufio.NewWriter(&bounded{w.file, largest})
	enc := gob.NewEncoder(out)
	if enc.Encode(format) != nil {
		return
	}
	for {
		select {
		case ch := <-change:
			if enc.Encode(&ch) != nil || len(change) == 0 && out.Flush() != nil {
				return
			}
		case <-check.C:
			if !same(w.file, w.path) {
				return
			}
		case <-w.over:
			return
		case <-left.C:
			return
		}
	}
}

// bounded takes no more than so many bytes.
type bounded struct {
	to   io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrShortWrite
	}
	return b.to.Write(p)
}

// same reports whether the file is the one that stands at the path: another process may have begun another relay.
func same(f *os.File, path string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(mine, there)
}

func removeIfSame(f *os.File, path string) {
	if same(f, path) {
		_ = os.Remove(path)
	}
}

// Follow calls fn with each change that the other process passes on, in order, until ctx ends, and then removes the file.
// It returns an error, which is [holdfast.CodeUnavailable], if there is no relay, and when the other process has ended it.
func Follow(ctx context.Context, path string, fn func(driver.Change)) error {
	f, err := os.Open(path)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "there is no relay")
	}
	defer func() { removeIfSame(f, path); _ = f.Close() }()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	dec := gob.NewDecoder(bufio.NewReader(&follower{ctx: ctx, file: f, path: path, tick: tick.C}))
	var is int
	if err = dec.Decode(&is); err == nil && is != format {
		err = errors.New("it is of another version")
	}
	for err == nil && ctx.Err() == nil {
		var ch driver.Change
		if err = dec.Decode(&ch); err == nil {
			fn(ch)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "the relay has ended")
}

// follower reads a file, and at its end waits for more. It has ended when the file is not there any more, whatever is left to read.
type follower struct {
	ctx  context.Context
	file *os.File
	path string
	tick <-chan time.Time
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		n, err := f.file.Read(p)
		if err != nil && err != io.EOF {
			return n, err
		}
		if n > 0 {
			select {
			case <-f.tick:
			default:
				return n, nil
			}
		} else {
			select {
			case <-f.tick:
			case <-f.ctx.Done():
			}
		}
		if f.ctx.Err() != nil || !same(f.file, f.path) {
			return 0, io.EOF
		}
		if n > 0 {
			return n, nil
		}
	}
}
