package server

import (
	"context"
	"sync"
	"time"
)

// parts are the goroutines that use the store while a server runs. They work on while clients go elsewhere.
type parts struct {
	ctx    context.Context
	cancel context.CancelFunc
	fail   func(error)
	// own are those that need nobody else; callers wait for others: for receivers of webhooks, for the application.
	own, callers sync.WaitGroup
}

// newParts returns none yet. fail is told of the fault of a part, after which all of them end.
func newParts(ctx context.Context, fail func(error)) *parts {
	p := &parts{fail: fail}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return p
}

// start starts a part. It ends with the others, and is waited for by stop.
func (p *parts) start(run func(context.Context) error) { p.own.Go(p.running(run)) }

// startCaller starts one that waits for others: nobody else is to wait for it.
func (p *parts) startCaller(run func(context.Context) error) { p.callers.Go(p.running(run)) }

func (p *parts) running(run func(context.Context) error) func() {
	return func() {
		if err := run(p.ctx); err != nil && p.healthy() {
			p.failed(err)
		}
	}
}

func (p *parts) failed(err error) {
	p.cancel()
	p.fail(err)
}

// healthy reports whether they are all at work.
func (p *parts) healthy() bool { return p.ctx.Err() == nil }

// callersTime is how long callers are waited for while nobody has the store. What they could not store then is done again by the next
// server, as after a crash: at least once is what they promise.
const callersTime = 100 * time.Millisecond

// letGo ends them all, and returns when the store can be closed.
func (p *parts) letGo() {
	p.cancel()
	p.own.Wait()
	over := make(chan struct{})
	go func() { p.callers.Wait(); close(over) }() // ends when they do, which stop waits for
	timer := time.NewTimer(callersTime)
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}

// stop ends them all, and waits for them.
func (p *parts) stop() {
	p.cancel()
	p.own.Wait()
	p.callers.Wait()
}
