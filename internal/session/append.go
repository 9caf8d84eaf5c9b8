package session

import (
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
		if err := a.appendOne(&op.Entries[i], len(op.Entries) > 1); err != nil {
			return err
		}
	}
	a.out.Items = make([]driver.Item, len(a.out.Effects.Entries))
	for i := range a.out.Items {
		a.out.Items[i].Entry = &a.out.Effects.Entries[i]
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
	case holdfast.KindRun:
		return holdfast.Errorf(holdfast.CodeInvalid, "a run is opened, not appended")
	default:
		return holdfast.Errorf(holdfast.CodeInvalid, "unknown kind of entry %q; message, state and event are known", n.Kind)
	}
	return nil
}

// appendOne appends one entry; more says that others of the same operation may repeat its ID or key.
func (a *applying) appendOne(n *driver.NewEntry, more bool) error {
	known, dup, err := a.known(n.From.User, n.ID)
	if err != nil {
		return err
	}
	if dup {
		a.out.Result.Entries = append(a.out.Result.Entries, written(&known, true))
		return nil
	}
	e := a.put(n)
	k := KnownBy(&e)
	if more && n.ID != "" {
		if a.ids == nil {
			a.ids = make(map[scopedID]Known)
		}
		a.ids[scopedID{n.From.User, n.ID}] = k
	}
	a.out.Result.Entries = append(a.out.Result.Entries, written(&k, false))
	if e.Kind == holdfast.KindState {
		return a.replace(&e, more)
	}
	return nil
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
	return driver.Written{Offset: k.Offset, Tag: k.Tag, At: k.At, Duplicate: dup}
}
