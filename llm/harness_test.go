package llm_test

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"testing"

	"github.com/holdfast/holdfast"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a run that notes what is written to it.
type record struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	// gate, if not nil, is taken from before each append: an append is under way until the test gives.
	gate chan struct{}
	// begun gets a value when an append has begun.
	begun chan struct{}
	// refuse, if not nil, may refuse the n-th append.
	refuse func(n int) error

	mu        sync.Mutex
	fragments []holdfast.Fragment
	under     int // appends under way
	status    holdfast.RunStatus
	end       json.RawMessage
	beats     int
}

func newRecord(t *testing.T) *record {
	r := &record{}
	r.ctx, r.cancel = context.WithCancelCause(t.Context())
	t.Cleanup(func() { r.cancel(nil) })
	return r
}

func (r *record) Context() context.Context { return r.ctx }

func (r *record) Part(name string) io.Writer { return recordPart{r, name} }

type recordPart struct {
	r    *record
	name string
}

func (p recordPart) Write(b []byte) (int, error) {
	return len(b), p.r.append(holdfast.Fragment{Part: p.name, Text: string(b)})
}

func (r *record) Event(part string, e json.RawMessage) error {
	return r.append(holdfast.Fragment{Part: part, Event: e})
}

func (r *record) append(f holdfast.Fragment) error {
	r.mu.Lock()
	if r.under++; r.under > 1 {
		panic("two appends at a time")
	}
	n := len(r.fragments) + 1
	r.mu.Unlock()
	if r.begun != nil {
		r.begun <- struct{}{}
	}
	if r.gate != nil {
		<-r.gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.under--
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	if r.refuse != nil {
		if err := r.refuse(n); err != nil {
			return err
		}
	}
	if err := f.Validate(); err != nil {
		return err
	}
	r.fragments = append(r.fragments, f)
	return nil
}

func (r *record) Beat() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats++
	return nil
}

func (r *record) End(ctx context.Context, status holdfast.RunStatus, data json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	r.status, r.end = status, data
	return nil
}

// body is what was written, with neighbouring texts joined, as readers have it.
func (r *record) body() holdfast.Body {
	var b holdfast.BodyBuilder
	for _, f := range r.fragments {
		b.Append(f)
	}
	return b.Body()
}
