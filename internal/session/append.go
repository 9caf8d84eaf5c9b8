package session

import (
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func (a *applying) append(op driver.Append) error {
	if len(op.Entries) == 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "an append needs at least one entry")
	}
	if op.IfEpoch != "" && op.IfEpoch != a.info.Epoch {
		return holdfast.Errorf(holdfast.CodeConflict, "the session's epoch is %q, not %q; read it again from the start",
			a.info.Epoch, op.IfEpoch)
	}
	for i := range op.Entries {
		if err := checkEntry(&op.Entries[i]); err != nil {
			return err
		}
	}
	a.out.Result.Entries = make([]driver.Written, 0, len(op.Entries))
	for i := range op.Entries {
		if err := a.appendOne(&op.Entries[i], &op.Turns, len(op.Entries) > 1); err != nil {
			return err
		}
	}
	return nil
}

func checkEntry(n *driver.NewEntry) error {
	switch n.Kind {
	case holdfast.KindMessage, holdfast.KindEvent:
		if n.Key != "" {
			return holdfast.Errorf(holdfast.CodeInvalid, "an entry of kind %s has no key; only states have one", n.Kind)
		}
	case holdfast.KindState:
		if n.Key == "" {
			return holdfast.Errorf(holdfast.CodeInvalid, "a state needs a key")
		}
		if reserved(n.Key) {
			return errReserved("a key", n.Key)
		}
	case holdfast.KindRun:
		return holdfast.Errorf(holdfast.CodeInvalid, "a run is opened, not appended")
	default:
		return holdfast.Errorf(holdfast.CodeInvalid, "unknown kind of entry %q; message, state and event are known", n.Kind)
	}
	if reserved(n.ID) {
		return errReserved("an id", n.ID)
	}
	return nil
}

func reserved(s string) bool { return strings.HasPrefix(s, holdfast.ReservedPrefix) }

func errReserved(what, s string) error {
	return holdfast.Errorf(holdfast.CodeInvalid, "%s that begins with %q is the server's: %q", what, holdfast.ReservedPrefix, s)
}

// appendOne appends one entry, a user's message by the rules of turns; more says that others of the same operation may repeat
// its ID or key.
func (a *applying) appendOne(n *driver.NewEntry, turns *driver.TurnRules, more bool) error {
	known, dup, err := a.known(n.From.User, n.ID)
	switch {
	case err != nil:
		return err
	case dup && known.Command:
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to a command to the queue, not to an entry")
	case dup:
		a.out.Result.Entries = append(a.out.Result.Entries, written(&known, true))
		return nil
	case n.Kind == holdfast.KindMessage && n.From.User != "":
		return a.send(n, turns, more)
	}
	e := a.write(n, more)
	if e.Kind == holdfast.KindState {
		return a.replace(e, more)
	}
	return nil
}

// write puts an entry that was asked for, and says where it stands.
func (a *applying) write(n *driver.NewEntry, more bool) *holdfast.Entry {
	e := a.put(n)
	k := KnownBy(&e)
	if more && n.ID != "" {
		a.uses(n.From.User, n.ID, k)
	}
	a.out.Result.Entries = append(a.out.Result.Entries, written(&k, false))
	a.out.Items = append(a.out.Items, driver.Item{Entry: &e})
	return &e
}

// uses notes what an id stands for, in what follows in this operation.
func (a *applying) uses(user holdfast.UserID, id string, k Known) {
	if a.ids == nil {
		a.ids = make(map[scopedID]Known)
	}
	a.ids[scopedID{user, id}] = k
}

// put gives the next offset to a new entry.
func (a *applying) put(n *driver.NewEntry) holdfast.Entry {
	a.changed()
	a.info.Head++
	e := holdfast.Entry{Offset: a.info.Head, First: a.info.Head, Kind: n.Kind, At: a.now, ID: n.ID, From: n.From,
		Key: n.Key, Data: orNil(n.Data)}
	if n.Kind == holdfast.KindRun {
		e.Run = &holdfast.Run{Status: holdfast.RunOpen, Fence: 1}
	}
	e.Tag = TagOf(a.info.Epoch, &e)
	a.info.HeadTag = e.Tag
	a.info.Entries++
	a.info.Bytes += Size(&e)
	a.out.Effects.Entries = append(a.out.Effects.Entries, e)
	if n.Feed {
		a.out.Effects.Feed = append(a.out.Effects.Feed, e)
	}
	return e
}

// replace removes the state that e replaces.
func (a *applying) replace(e *holdfast.Entry, more bool) error {
	old, ok := a.keys[e.Key]
	if !ok {
		var err error
		if old, ok, err = a.look.Latest(e.Key); err != nil {
			return err
		}
	}
	if ok {
		a.info.Entries--
		a.info.Bytes -= old.Size
		a.out.Effects.Replaced = append(a.out.Effects.Replaced,
			Replaced{Offset: old.Offset, Tag: old.Tag, KeepTag: old.Offset >= a.info.First})
	}
	if more {
		if a.keys == nil {
			a.keys = make(map[string]Standing)
		}
		a.keys[e.Key] = StandingOf(e)
	}
	return nil
}

func (a *applying) known(user holdfast.UserID, id string) (Known, bool, error) {
	if id == "" || a.info.Epoch == "" {
		return Known{}, false, nil
	}
	if k, ok := a.ids[scopedID{user, id}]; ok {
		return k, true, nil
	}
	return a.look.Known(user, id)
}

func written(k *Known, dup bool) driver.Written {
	return driver.Written{Offset: k.Offset, Tag: k.Tag, At: k.At, Duplicate: dup, State: k.Turn}
}
