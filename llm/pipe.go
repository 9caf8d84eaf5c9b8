package llm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/holdfast/holdfast"
)

// Run is what an answer is written to; [github.com/holdfast/holdfast/server.Run] is one. Its writes are made one at a time,
// from one goroutine. With a method Beat() error it is called now and then while the provider is silent.
type Run interface {
	// Context ends when there is no use in writing any more, with the reason as its cause.
	Context() context.Context
	// Part returns a writer of the text of a part. A write is one fragment; it has returned when it is durable.
	Part(name string) io.Writer
	// Event appends an event to a part.
	Event(part string, event json.RawMessage) error
	// End ends the run. data may be nil.
	End(ctx context.Context, status holdfast.RunStatus, data json.RawMessage) error
}

// Dialect is what a provider speaks.
type Dialect string

// The dialects.
const (
	// OpenAI is that of chat completions and of responses; which of the two is seen from the stream.
	OpenAI Dialect = "openai"
	// Anthropic is that of the Messages API.
	Anthropic Dialect = "anthropic"
)

// dialect takes the events of a stream one by one.
type dialect interface {
	// take applies an event; over says that it was the last.
	take(ev sseEvent) (over bool, err error)
	// done reports whether the answer is whole, should the stream have ended here.
	done() bool
}

func (d Dialect) reader(w *writer) (dialect, error) {
	switch d {
	case OpenAI:
		return newOpenAI(w), nil
	case Anthropic:
		return newAnthropic(w), nil
	}
	return nil, fmt.Errorf("llm: unknown dialect %q", d)
}

// Do makes a request of a provider and pipes its answer into the run; see [Pipe]. When the run ends, the request is given
// up, also before it was answered. If that is because somebody asked for it to be stopped, the run is ended as stopped. A provider that cannot be reached ends the run as failed.
func Do(client *http.Client, req *http.Request, d Dialect, run Run) (Answer, error) {
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	defer context.AfterFunc(run.Context(), cancel)()
	res, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return settle(req.Context(), run, Answer{}, &Error{Code: CodeUnavailable, Err: err})
	}
	return Pipe(req.Context(), res, d, run)
}

// Pipe pipes a provider's answer into the run and ends the run. It closes the body, and at once if the run or ctx ends
// meanwhile. The error is an [*Error] where the provider failed, and the run with it; it is the cause of the run's context
// where the run has ended otherwise, ctx's where that has ended, and any other is of the run's writing.
func Pipe(ctx context.Context, res *http.Response, d Dialect, run Run) (Answer, error) {
	defer func() { _ = res.Body.Close() }()
	closeBody := func() { _ = res.Body.Close() }
	defer context.AfterFunc(run.Context(), closeBody)()
	defer context.AfterFunc(ctx, closeBody)()
	if res.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		return settle(ctx, run, Answer{}, statusError(res.StatusCode, string(said)))
	}
	return PipeReader(ctx, res.Body, d, run)
}

// PipeReader is [Pipe] for a stream that comes from elsewhere. It does not break off a read that is under way when the run
// or ctx ends; the next one is not begun.
func PipeReader(ctx context.Context, in io.Reader, d Dialect, run Run) (Answer, error) {
	w := &writer{}
	reader, err := d.reader(w)
	if err != nil {
		return Answer{}, err
	}
	out := startPump(run)
	w.out = out
	err = read(ctx, newSSEReader(in), reader, out)
	if werr := out.close(); werr != nil {
		err = werr
	}
	return settle(ctx, run, w.answer, err)
}

// read reads until the answer is over, or something is in the way. What that was is looked at by settle.
func read(ctx context.Context, in *sseReader, d dialect, out *pump) error {
	for ctx.Err() == nil && out.run.Context().Err() == nil && out.failed() == nil {
		ev, err := in.next()
		switch {
		case err == io.EOF && d.done():
			return nil
		case err == io.EOF:
			return readError(io.ErrUnexpectedEOF)
		case err != nil:
			return readError(err)
		}
		if over, err := d.take(ev); over || err != nil {
			return err
		}
	}
	return nil
}

// settle ends the run as it should be after what happened. The causes are looked at in the order in which they explain
// each other: a run that ended closes the body, which then looks like a provider that broke off.
func settle(ctx context.Context, run Run, a Answer, err error) (Answer, error) {
	if cause := cmp.Or(context.Cause(run.Context()), err); holdfast.CodeOf(cause) == holdfast.CodeStopped {
		data, merr := json.Marshal(a)
		return a, errors.Join(cause, merr, run.End(ctx, holdfast.RunStopped, data))
	}
	if cause := context.Cause(run.Context()); cause != nil {
		return a, cause
	}
	if cause := context.Cause(ctx); cause != nil {
		return a, cause
	}
	if err == nil {
		data, merr := json.Marshal(a)
		if merr != nil {
			return a, merr
		}
		return a, run.End(ctx, holdfast.RunComplete, data)
	}
	var failed *Error
	if !errors.As(err, &failed) {
		// The run cannot be written. If it can be ended, readers need not wait for its lease to lapse.
		return a, errors.Join(err, run.End(ctx, holdfast.RunFailed, unwritable))
	}
	data, merr := json.Marshal(failure{a, reason{failed.Code, failed.Reason()}})
	return a, errors.Join(err, merr, run.End(ctx, holdfast.RunFailed, data))
}

var unwritable = json.RawMessage(`{"error":{"code":"unwritable","message":"The answer could not be kept."}}`)

// failure is the end of a failed run.
type failure struct {
	Answer
	Error reason `json:"error"`
}

type reason struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}
