package session

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Told is what goes into the feed and not into the log, and what is set with it.
type Told struct {
	Feed      []holdfast.Entry
	Consumers []driver.ConsumerValue
}

// tell leaves the session as it is, so that it is not made by who only looks at it.
func (a *applying) tell(op driver.Tell) error {
	if len(op.Entries) == 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "there is nothing to tell")
	}
	told := &Told{Consumers: op.Consumers}
	for i := range op.Entries {
		n := &op.Entries[i]
		if n.Kind != holdfast.KindEvent || n.ID != "" || n.Key != "" || len(n.Data) == 0 {
			return holdfast.Errorf(holdfast.CodeInvalid, "what is told is an event with data, without an id and a key")
		}
		e := holdfast.Entry{Kind: n.Kind, At: a.now, From: n.From, Data: n.Data}
		e.Tag = TagOf(a.info.Epoch, &e)
		told.Feed = append(told.Feed, e)
	}
	a.out.Effects.Tell, a.out.Changed = told, true
	return nil
}
