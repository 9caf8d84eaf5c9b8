package client

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

// An answer is repeated, with the same id, until it is acked; and says whose it is that counts.
func TestAnswerIsRepeatedUntilAcked(t *testing.T) {
	inScene(t, func(s *scene) {
		acks, errs := make(chan wire.Ack, 1), make(chan error, 1)
		answer := func() {
			ack, err := s.client.Answer(context.Background(), "s", "", 812, json.RawMessage(`true`))
			acks <- ack
			errs <- err
		}
		f, _ := s.accept()
		go answer()
		first := want[*wire.Answer](f)
		f.conn.Abort()
		g, _ := s.accept()
		again := want[*wire.Answer](g)
		if again.ID != first.ID || again.ID == "" || again.Request != 812 || string(again.Data) != "true" {
			t.Fatalf("repeated %+v, sent %+v", again, first)
		}
		g.send(&wire.ErrFrame{Re: wire.TypeAnswer, Session: "s", ID: first.ID, Code: holdfast.CodeRateLimited, After: 1000})
		if third := want[*wire.Answer](g); third.ID != first.ID {
			t.Fatalf("repeated %+v", third)
		}
		g.send(&wire.Ack{Session: "s", ID: first.ID, Offset: 815, State: "answered", Lost: true, From: holdfast.Sender{User: "bob"}})
		if ack, err := <-acks, <-errs; err != nil || !ack.Lost || ack.From.User != "bob" || ack.Offset != 815 {
			t.Fatalf("acked %+v, %v", ack, err)
		}
		go answer()
		refused := want[*wire.Answer](g)
		g.send(&wire.ErrFrame{Re: wire.TypeAnswer, Session: "s", ID: refused.ID, Code: holdfast.CodeForbidden, Message: "no"})
		if <-acks; holdfast.CodeOf(<-errs) != holdfast.CodeForbidden {
			t.Error("a refusal was not told")
		}
		if _, err := s.client.Answer(context.Background(), "s", "", 812, json.RawMessage(`{`)); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("no JSON: %v", err)
		}
	})
}
