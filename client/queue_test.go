package client

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// A queue that is full holds the messages up; a command that makes room does not stand behind them.
func TestCommandsDoNotWaitForMessages(t *testing.T) {
	inScene(t, func(s *scene) {
		acks, errs := make(chan wire.Ack, 2), make(chan error, 2)
		insist := func(fn func() (wire.Ack, error)) {
			go func() {
				ack, err := fn()
				acks <- ack
				errs <- err
			}()
		}
		f, _ := s.accept()
		insist(func() (wire.Ack, error) {
			return s.client.Send(context.Background(), "s", "m", json.RawMessage(`1`))
		})
		want[*wire.Send](f)
		insist(func() (wire.Ack, error) {
			return s.client.Withdraw(context.Background(), "s", wire.QueueRef{ID: "old"})
		})
		first := want[*wire.Queue](f)
		f.conn.Abort()
		g, _ := s.accept()
		var again *wire.Queue
		for _, frame := range []wire.ClientFrame{<-g.frames, <-g.frames} {
			if q, ok := frame.(*wire.Queue); ok {
				again = q
			}
		}
		if again == nil || *again != *first || again.ID == "" || again.Do != wire.QueueWithdraw || again.Of.ID != "old" {
			t.Fatalf("repeated %+v, sent %+v", again, first)
		}
		g.send(&wire.Ack{Session: "s", ID: again.ID, Offset: 9, State: string(holdfast.TurnWithdrawn)})
		if ack, err := <-acks, <-errs; err != nil || ack.State != string(holdfast.TurnWithdrawn) {
			t.Fatalf("withdrawn: %+v, %v", ack, err)
		}
		g.send(&wire.Ack{Session: "s", ID: "m", Offset: 10, State: string(holdfast.TurnQueued)})
		if ack, err := <-acks, <-errs; err != nil || ack.State != string(holdfast.TurnQueued) {
			t.Fatalf("sent: %+v, %v", ack, err)
		}
		insist(func() (wire.Ack, error) { return s.client.Move(context.Background(), "s", wire.QueueRef{ID: "m"}, 2) })
		move := want[*wire.Queue](g)
		if move.Do != wire.QueueMove || move.To != 2 {
			t.Errorf("moved: %+v", move)
		}
		g.send(&wire.ErrFrame{Re: wire.TypeQueue, Session: "s", ID: move.ID, Code: holdfast.CodeConflict, Message: "it has had its turn"})
		if <-acks; holdfast.CodeOf(<-errs) != holdfast.CodeConflict {
			t.Error("a refusal was not told")
		}
	})
}
