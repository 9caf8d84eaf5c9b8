package store

import (
	"sync"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// maxRunSizes bounds how many open runs' sizes are remembered; others are asked for.
const maxRunSizes = 1 << 16

type runSize struct {
	fragments holdfast.FragmentNo
	bytes     int64
}

// with is the size after an operation; 0 if the operation adds nothing.
func (r runSize) with(op *driver.AppendFragments) int64 {
	fresh := op.Fragments
	if op.After >= 0 && op.After < int64(r.fragments) {
		fresh = fresh[min(int64(r.fragments)-op.After, int64(len(fresh))):]
	}
	if len(fresh) == 0 {
		return 0
	}
	total := r.bytes
	for i := range fresh {
		total += int64(len(fresh[i].Text) + len(fresh[i].Event))
	}
	return total
}

// runSizes remembers how large open runs are from the engine's last answers, so that the engine need not be asked
// before each fragment. It may be behind where another node writes,
// and of another life of a session that another node deleted; so a refusal needs a second look.
type runSizes struct {
	mu   sync.Mutex
	runs map[driver.RunRef]runSize
}

func newRunSizes() *runSizes { return &runSizes{runs: make(map[driver.RunRef]runSize)} }

func (r *runSizes) of(s holdfast.SessionID, run holdfast.Offset) (runSize, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size, ok := r.runs[driver.RunRef{Session: s, Run: run}]
	return size, ok
}

func (r *runSizes) note(s holdfast.SessionID, run *holdfast.RunInfo) {
	if run.Run == 0 {
		return
	}
	ref := driver.RunRef{Session: s, Run: run.Run}
	r.mu.Lock()
	defer r.mu.Unlock()
	if run.Status.Ended() {
		delete(r.runs, ref)
		return
	}
	if old, ok := r.runs[ref]; ok && old.fragments > run.Fragments {
		return // an answer that was overtaken
	}
	if len(r.runs) >= maxRunSizes {
		for other := range r.runs { // any one will do
			delete(r.runs, other)
			break
		}
	}
	r.runs[ref] = runSize{run.Fragments, run.Bytes}
}

// forget drops what is known of a session that was deleted: its offsets begin anew.
func (r *runSizes) forget(s holdfast.SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.runs {
		if ref.Session == s {
			delete(r.runs, ref)
		}
	}
}
