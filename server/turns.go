package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
)

// SetTurns gives the session rules of its own for what users send while an answer is under way; it makes the session if it is
// not there. See [driver.SetTurns].
func (x *Session) SetTurns(ctx context.Context, rules driver.TurnRules) (driver.Turns, error) {
	return x.applyTurns(ctx, driver.SetTurns{Rules: rules})
}

// EndTurn says that there will be no answer to a message, so that others have their turn. See [driver.EndTurn].
func (x *Session) EndTurn(ctx context.Context, message holdfast.Offset) (driver.Turns, error) {
	return x.applyTurns(ctx, driver.EndTurn{Message: message})
}

func (x *Session) applyTurns(ctx context.Context, op driver.Op) (driver.Turns, error) {
	res, err := x.srv.store.Apply(ctx, x.id, op)
	if err != nil {
		return driver.Turns{}, err
	}
	return *res.Turns, nil
}

// turns ends the turns of messages whose answers have not begun in time. The times are the engine's: this only asks when they
// are over, and asking too early, or of a turn that is over, does nothing.
type turns struct {
	now func() time.Time

	// Guarded by mu.
	mu    sync.Mutex
	until map[holdfast.SessionID]driver.Turn
}

func (t *turns) init(now func() time.Time) {
	t.now, t.until = now, map[holdfast.SessionID]driver.Turn{}
}

// found takes note of the turn that a session has.
func (t *turns) found(info *driver.Info) { t.see(info.Session, info.Turns.Turn) }

// see takes note of whose turn it is in a session.
func (t *turns) see(s holdfast.SessionID, turn driver.Turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if turn.Until.IsZero() { // nobody's, or its answer has begun
		delete(t.until, s)
		return
	}
	t.until[s] = turn
}

func (t *turns) changed(ch *driver.Change) {
	if ch.Deleted {
		t.see(ch.Session, driver.Turn{})
		return
	}
	for i := range ch.Items {
		switch it := &ch.Items[i]; {
		case it.Turn != nil:
			t.see(ch.Session, *it.Turn)
		case it.Entry != nil && it.Entry.Run != nil && it.Entry.Run.Answers != 0:
			t.began(ch.Session, it.Entry.Run.Answers)
		}
	}
}

// began takes note of a run that answers a message: the turn's time counts no more.
func (t *turns) began(s holdfast.SessionID, message holdfast.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until[s].Message == message {
		delete(t.until, s)
	}
}

// due ends the turns whose time is over.
func (t *turns) due(ctx context.Context, db *store.Store, log *slog.Logger) {
	for s, turn := range t.over() {
		t.end(ctx, db, log, s, turn)
	}
}

// over returns the turns whose time is over.
func (t *turns) over() map[holdfast.SessionID]driver.Turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, out := t.now(), map[holdfast.SessionID]driver.Turn{}
	for s, turn := range t.until {
		if !now.Before(turn.Until) {
			out[s] = turn
		}
	}
	return out
}

// end asks the engine to end a turn, and believes what it says of it. What goes wrong is tried again with the next tick.
func (t *turns) end(ctx context.Context, db *store.Store, log *slog.Logger, s holdfast.SessionID, turn driver.Turn) {
	res, err := db.Apply(ctx, s, driver.EndTurn{Message: turn.Message, Lapsed: true})
	if code := holdfast.CodeOf(err); code != "" && code != holdfast.CodeNotFound {
		log.Error("a turn that is over cannot be ended", "session", s, "message", turn.Message, "err", err)
		return
	}
	var stands driver.Turn
	if err == nil {
		stands = res.Turns.Turn
	}
	if stands.Message != turn.Message {
		log.Info("no answer to a message began in time, and others have their turn", "session", s, "message", turn.Message)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// What began meanwhile has been seen, or is going to be.
	if t.until[s] == turn && (stands.Message != turn.Message || stands.Until.IsZero()) {
		delete(t.until, s)
	}
}
