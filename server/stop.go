package server

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// StopRequest asks for a run to be stopped.
type StopRequest struct {
	// ID makes the request idempotent: repeating it returns the stop as it stands now. It must be set.
	ID string
	// From is who asked; zero for the backend itself.
	From holdfast.Sender
	// Run is the run; or Answers is the message whose answer is meant, which may not have begun. Exactly one is set.
	Run, Answers holdfast.Offset
}

// Stop asks for a run to be stopped and returns the stop when it is durable. All readers see it, and what becomes of it;
// its state is requested, or too late if the run has ended, or what the run's earlier stop has come to. See
// [driver.RequestStop].
func (x *Session) Stop(ctx context.Context, r StopRequest) (driver.StopInfo, error) {
	res, err := x.srv.store.Apply(ctx, x.id, driver.RequestStop{ID: r.ID, From: r.From, Run: r.Run, Answers: r.Answers})
	return res.Stop, err
}
