package server

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/text"
	"github.com/holdfast/holdfast/store/driver"
)

// Run is the producer's side of a run: an [io.Writer] whose every write is a fragment, durable when it returns. It is ended
// once, by Complete, Fail or End; a run that is dropped without that is ended by the server when its lease lapses. Its
// methods may be called from several goroutines; their writes then come in some order.
type Run struct {
	session *Session
	ctx     context.Context
	cancel  context.CancelCauseFunc
	// fence is the one under which this producer writes.
	fence holdfast.Fence

	// stop is the stop of the run, if one is known. It is written by the store's watcher too, which must not wait for mu.
	stop atomic.Pointer[holdfast.Stop]

	// Guarded by mu.
	mu   sync.Mutex
	info holdfast.RunInfo
	// partial holds, for each part, the bytes of a character that a write broke off in.
	partial map[string][]byte
}

var _ io.Writer = (*Run)(nil)

func newRun(ctx context.Context, x *Session, res driver.Result) *Run {
	r := &Run{session: x, fence: res.Run.Fence, info: res.Run, partial: map[string][]byte{}}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	ref := driver.RunRef{Session: x.id, Run: res.Run.Run}
	x.srv.runs.add(ref, r)
	// It may have ended before it was added, and then nothing else would say so. Where the store cannot tell now, the
	// next write will.
	e, err := x.srv.store.Run(ctx, x.id, ref.Run, res.Run.Fragments)
	switch {
	case holdfast.CodeOf(err) == holdfast.CodeNotFound:
		x.srv.runs.gone(ref)
	case err == nil && e.Run.Status.Ended():
		x.srv.runs.ended(ref, e.Run.Status, e.Run.Stop)
	case err == nil:
		x.srv.runs.stopped(ref, e.Run.Stop)
	}
	return r
}

// Context ends when somebody has asked for the run to be stopped, when it has ended, whoever ended it, or when another
// producer has taken it over: there is no use in producing any more. Its cause is a [holdfast.Error], with
// [holdfast.CodeStopped] for a stop: then the producer is to end the run as stopped, within Options.StopGrace. It also ends with the context that the run was opened with.
func (r *Run) Context() context.Context { return r.ctx }

// Info says how the run stood after this producer's last write.
func (r *Run) Info() holdfast.RunInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.info
}

// Stop is the stop of the run as it stands now; zero if nobody has asked for one.
func (r *Run) Stop() holdfast.Stop {
	if s := r.stop.Load(); s != nil {
		return *s
	}
	return holdfast.Stop{}
}

// Write appends text to the answer, the part named "". A character that is split between two writes goes out whole, with
// the second; bytes that are no UTF-8 are replaced by U+FFFD.
func (r *Run) Write(p []byte) (int, error) { return r.writeText("", p) }

// WriteString is Write for strings.
func (r *Run) WriteString(s string) (int, error) { return r.writeText("", []byte(s)) }

// Part returns a writer of the text of a named part.
func (r *Run) Part(name string) io.Writer { return part{r, name} }

type part struct {
	run  *Run
	name string
}

func (p part) Write(b []byte) (int, error) { return p.run.writeText(p.name, b) }

func (r *Run) writeText(name string, p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := append(r.partial[name], p...)
	whole := len(b) - text.Unfinished(b)
	if whole > 0 {
		if err := r.writeLocked(holdfast.Fragment{Part: name, Text: toValid(b[:whole])}); err != nil {
			return 0, err
		}
	}
	r.partial[name] = append([]byte(nil), b[whole:]...)
	return len(p), nil
}

func toValid(p []byte) string {
	if utf8.Valid(p) {
		return string(p)
	}
	return string([]rune(string(p)))
}

// Event appends an event to a part: a tool call, a result, a source. It is never merged with others and never dropped.
func (r *Run) Event(name string, event json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeLocked(holdfast.Fragment{Part: name, Event: event})
}

// writeLocked appends fragments; with none it only looks whether it could.
func (r *Run) writeLocked(fragments ...holdfast.Fragment) error {
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	res, err := r.session.srv.store.Apply(r.ctx, r.session.id, driver.AppendFragments{
		Run: r.info.Run, Fence: r.fence, After: int64(r.info.Fragments), Fragments: fragments,
	})
	if err != nil {
		switch holdfast.CodeOf(err) {
		case holdfast.CodeFenced, holdfast.CodeEnded, holdfast.CodeStopped, holdfast.CodeNotFound:
			r.cancel(err)
		}
		return err
	}
	r.info = res.Run
	return nil
}

// Beat renews the run's lease and writes nothing: for a producer that has nothing to say for longer than the lease. It fails
// as a write would.
func (r *Run) Beat() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.writeLocked(); err != nil {
		return err
	}
	_, release := r.session.srv.leases.Hold(r.session.id, r.info.Run, r.fence)
	release()
	return nil
}

// Complete ends the run as complete. data is what readers get with the end: usage, a finish reason; may be nil.
func (r *Run) Complete(ctx context.Context, data json.RawMessage) error {
	return r.End(ctx, holdfast.RunComplete, data)
}

// Fail ends the run as failed. What was written stays.
func (r *Run) Fail(ctx context.Context, data json.RawMessage) error {
	return r.End(ctx, holdfast.RunFailed, data)
}

// End ends the run with a status. If a stop was requested, [holdfast.RunStopped] heeds it, and with another status it was too
// late. Repeating it with the same status does nothing; with another it is [holdfast.CodeEnded].
func (r *Run) End(ctx context.Context, status holdfast.RunStatus, data json.RawMessage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	res, err := r.session.srv.store.Apply(ctx, r.session.id, driver.EndRun{
		Run: r.info.Run, Fence: r.fence, Status: status, Data: data,
	})
	if err != nil {
		return err
	}
	r.info = res.Run
	r.session.srv.runs.ended(driver.RunRef{Session: r.session.id, Run: r.info.Run}, status, res.Run.Stop)
	return nil
}

// producers are the runs that this program writes to.
type producers struct {
	mu   sync.Mutex
	runs map[driver.RunRef][]*Run
}

func (p *producers) init() { p.runs = map[driver.RunRef][]*Run{} }

func (p *producers) add(ref driver.RunRef, r *Run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, old := range p.runs[ref] {
		if old.fence < r.fence {
			old.cancel(holdfast.Errorf(holdfast.CodeFenced, "another producer has taken the run over"))
		}
	}
	p.runs[ref] = append(p.runs[ref], r)
}

func (p *producers) changed(ch *driver.Change) {
	for i := range ch.Items {
		if end := ch.Items[i].End; end != nil {
			p.ended(driver.RunRef{Session: ch.Session, Run: end.Run}, end.Status, end.Stop)
		}
		if s := ch.Items[i].Stop; s != nil && s.State == holdfast.StopRequested {
			p.stopped(driver.RunRef{Session: ch.Session, Run: s.Run}, s.Stop)
		}
	}
	if !ch.Deleted {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for ref := range p.runs {
		if ref.Session == ch.Session {
			p.goneLocked(ref)
		}
	}
}

func (p *producers) gone(ref driver.RunRef) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goneLocked(ref)
}

func (p *producers) goneLocked(ref driver.RunRef) {
	p.endLocked(ref, holdfast.Errorf(holdfast.CodeNotFound, "the session was deleted"))
}

// stopped tells the producers of an open run of its stop, if it has one. They stay: how the run ends is theirs to say.
func (p *producers) stopped(ref driver.RunRef, stop holdfast.Stop) {
	if stop.State == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs[ref] {
		r.stop.Store(&stop)
		r.cancel(holdfast.Errorf(holdfast.CodeStopped, "a stop of the run was requested"))
	}
}

func (p *producers) ended(ref driver.RunRef, status holdfast.RunStatus, stop holdfast.Stop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.runs[ref] {
		if stop.State != "" {
			r.stop.Store(&stop)
		}
	}
	p.endLocked(ref, holdfast.Errorf(holdfast.CodeEnded, "the run has ended: %s", status))
}

func (p *producers) endLocked(ref driver.RunRef, cause error) {
	for _, r := range p.runs[ref] {
		r.cancel(cause)
	}
	delete(p.runs, ref)
}
