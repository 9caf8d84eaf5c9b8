package runtest

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// History is what was asked of one run and what was told. It may be written to from several goroutines.
type History struct {
	mu  sync.Mutex
	now int64
	ops []porcupine.Operation
}

// call makes a request and notes it. Who asks is a number of his own; his requests do not overlap.
func (h *History) call(who int, a Ask, do func() Told) Told {
	began := h.tick()
	told := do()
	if told.away {
		return told
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	op := porcupine.Operation{ClientId: who, Input: &a, Call: began, Output: told, Return: h.now}
	if told.Lost {
		// It may still be under way, and be heard much later.
		op.Return = math.MaxInt64
	}
	h.ops = append(h.ops, op)
	return told
}

func (h *History) tick() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now++
	return h.now
}

// Len is how many requests there were.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Check returns an error where no order of the requests explains what was told.
func (h *History) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	ops := h.ops
	// A stop that waits may be given up, and the run that comes after all once more; a lease lapses once.
	for who, k := range []Kind{lapse, settle, settle} {
		ops = append(ops, porcupine.Operation{ClientId: 1000 + who, Input: &Ask{Kind: k}, Output: Told{}, Return: math.MaxInt64})
	}
	switch porcupine.CheckOperationsTimeout(model(), ops, 30*time.Second) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("%d requests are too many to be checked in time", len(ops))
	}
	return fmt.Errorf("no order of these explains what was told:\n%s", h.stringLocked())
}

func (h *History) stringLocked() string {
	var b strings.Builder
	for _, op := range h.ops {
		fmt.Fprintf(&b, "%3d to %3d, %d: %+v -> %+v\n", op.Call, op.Return, op.ClientId, *op.Input.(*Ask), op.Output)
	}
	return b.String()
}
