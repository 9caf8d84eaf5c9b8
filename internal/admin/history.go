package admin

import (
	"context"
	"sync"
	"time"
)

const (
	// sampleEvery is the grain of the history, and samples an hour of it.
	sampleEvery = 5 * time.Second
	samples     = 720
)

// history is the last hour of figures.
type history struct {
	mu   sync.Mutex
	list []Figures
}

func (h *history) add(f Figures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == samples {
		h.list = append(h.list[:0], h.list[1:]...)
	}
	h.list = append(h.list, f)
}

func (h *history) all() []Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Figures{}, h.list...)
}

// Run keeps the history until ctx ends. Without it the page works, and has none.
func (a *Admin) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if f, err := a.opts.Node.Figures(ctx); err == nil {
			a.history.add(f)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
