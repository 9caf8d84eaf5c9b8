package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// AskOptions say what is asked of people.
type AskOptions struct {
	// ID makes asking idempotent: where the backend has asked under this id in the session before, that request is waited for, or its
	// answer returned. It must be set.
	ID string
	// Data is what is asked. May be empty.
	Data json.RawMessage
	// To are the users who may answer. Default: everybody whose token may send.
	To []holdfast.UserID
	// Within is how long there is to answer, by the engine's clock. Default: 1 hour; at most 30 days. It is looked at once a second.
	Within time.Duration
	// Default is what [Answer.Data] is if nobody answers. May be empty.
	Default json.RawMessage
	// Run is the run that it belongs to, 0 for none. It is withdrawn when the run ends, unless Outlives is set. [Run.Ask] sets it.
	Run      holdfast.Offset
	Outlives bool
	// Withdraw has the request withdrawn when the context of Ask ends. Without it it stays open: the context's end says that this
	// program waits no more, not that nobody wants to know.
	Withdraw bool
}

func (o *AskOptions) op(fence holdfast.Fence) driver.OpenRequest {
	return driver.OpenRequest{ID: o.ID, Run: o.Run, Fence: fence, Outlives: o.Outlives, To: o.To, Within: o.Within, Default: o.Default,
		Data: o.Data}
}

// Answer is how a request was settled. Only one in state [holdfast.RequestAnswered] is somebody's.
type Answer struct {
	holdfast.Request
	// Data is the answer; of an expired request its default; of one that was withdrawn why, if that was said.
	Data json.RawMessage
}

// OpenRequest asks people and does not wait. It returns when that is durable, with the request as it stands now; its offset names it.
func (x *Session) OpenRequest(ctx context.Context, o AskOptions) (holdfast.Request, error) {
	res, err := x.srv.store.Apply(ctx, x.id, o.op(0))
	return res.Request, err
}

// Ask asks people and waits until the request is settled: by the first answer, by its deadline, or by a withdrawal. It outlives this
// program: asked again under the same id, the answer is there, whoever gave it meanwhile. If ctx ends first, its error is returned
// and the request stays open; see [AskOptions.Withdraw].
func (x *Session) Ask(ctx context.Context, o AskOptions) (Answer, error) { return x.ask(ctx, &o, 0) }

func (x *Session) ask(ctx context.Context, o *AskOptions, fence holdfast.Fence) (Answer, error) {
	res, err := x.srv.store.Apply(ctx, x.id, o.op(fence))
	if err != nil {
		return Answer{}, err
	}
	a, err := x.AwaitAnswer(ctx, res.Request.Offset)
	if err == nil || ctx.Err() == nil || !o.Withdraw {
		return a, err
	}
	// The caller is gone, its wish is not.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawTime)
	defer cancel()
	if _, werr := x.Withdraw(late, res.Request.Offset, nil); werr != nil {
		x.srv.opts.Logger.Warn("a request cannot be withdrawn; it stays open until its deadline", "session", x.id,
			"request", res.Request.Offset, "err", werr)
	}
	return a, err
}

// withdrawTime is how long withdrawing may take after the caller's context has ended.
const withdrawTime = 5 * time.Second

// lookAgain is how often who waits for an answer looks by itself, for what another node did on a shared engine.
const lookAgain = 10 * time.Second

// AwaitAnswer waits until a request is settled. It is [holdfast.CodeNotFound] if there is none, also when its session is deleted, and
// [holdfast.CodeLost] if retention has dropped what was answered.
func (x *Session) AwaitAnswer(ctx context.Context, request holdfast.Offset) (Answer, error) {
	for {
		settled, release := x.srv.requests.settled(x.id, request)
		r, err := x.srv.store.Request(ctx, x.id, request)
		if err == nil && !r.State.Settled() {
			pause(ctx, settled, lookAgain)
			err = ctx.Err()
		}
		release()
		switch {
		case err != nil && ctx.Err() != nil:
			return Answer{Request: r}, context.Cause(ctx)
		case err != nil:
			return Answer{}, err
		case r.State.Settled():
			return x.answer(ctx, r)
		}
	}
}

func (x *Session) answer(ctx context.Context, r holdfast.Request) (Answer, error) {
	ev, ok, err := driver.RequestEventAt(ctx, x.srv.store, x.id, r.Settled)
	if err == nil && !ok {
		err = holdfast.Errorf(holdfast.CodeLost, "the request at offset %d was settled as %s, and retention has dropped what was said", r.Offset, r.State)
	}
	return Answer{Request: r, Data: ev.Data}, err
}

// AnswerRequest answers a request on behalf of a user, or, with no user in from, of the backend itself. The first answer counts: what
// is returned says how the request was settled, and lost that it was not by this answer. The id makes it idempotent; it may be "".
func (x *Session) AnswerRequest(ctx context.Context, request holdfast.Offset, id string, from holdfast.Sender, data json.RawMessage) (r holdfast.Request, lost bool, err error) {
	res, err := x.srv.store.Apply(ctx, x.id, driver.SettleRequest{Request: request, State: holdfast.RequestAnswered, ID: id, From: from, Data: data})
	return res.Request, res.Lost, err
}

// Withdraw settles a request as withdrawn, if nothing else has settled it; what is returned says how it was. data, which may be nil,
// says why.
func (x *Session) Withdraw(ctx context.Context, request holdfast.Offset, data json.RawMessage) (holdfast.Request, error) {
	res, err := x.srv.store.Apply(ctx, x.id, driver.SettleRequest{Request: request, State: holdfast.RequestWithdrawn, Data: data})
	return res.Request, err
}

// Ask asks people for the run, see [Session.Ask], and keeps the run's lease while it waits. It ends with the run's context too: a run
// that is stopped, has ended or is another producer's has nothing to ask.
func (r *Run) Ask(ctx context.Context, o AskOptions) (Answer, error) {
	o.Run = r.Info().Run
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.ctx, func() { cancel(context.Cause(r.ctx)) })()
	stop := r.session.srv.leases.keep(r.session.id, o.Run)
	defer stop()
	a, err := r.session.ask(ctx, &o, r.fence)
	// Where the run is over, the store may have been asked with a context that had ended, or not.
	if (err != nil || a.State == holdfast.RequestWithdrawn) && r.ctx.Err() != nil {
		return a, context.Cause(r.ctx)
	}
	return a, err
}
