package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Apply performs one operation on a session that stands as info says. Errors of the operation are *holdfast.Error;
// other errors come from the Lookup. With an error nothing has happened.
func Apply(info driver.Info, in Input, look Lookup) (Outcome, error) {
	a := applying{info: info, in: in, look: look, now: Time(in.Now)}
	var err error
	switch op := in.Op.(type) {
	case driver.Append:
		err = a.append(op)
	case driver.OpenRunOp:
		err = a.openRun(op)
	case driver.AppendFragments:
		err = a.fragments(op)
	case driver.EndRun:
		err = a.endRun(op)
	case driver.RequestStop:
		err = a.requestStop(op)
	case driver.SettleStop:
		err = a.settleStop(op)
	case driver.OpenRequest:
		err = a.openRequest(op)
	case driver.SettleRequest:
		err = a.settleRequest(op)
	case driver.SetTurns:
		err = a.setTurns(op)
	case driver.EditQueue:
		err = a.editQueue(op)
	case driver.EndTurn:
		err = a.endTurn(op)
	case driver.Tell:
		err = a.tell(op)
	case driver.Trim:
		err = a.trim(op)
	case driver.Expire:
		err = a.expire(op)
	default:
		err = holdfast.Errorf(holdfast.CodeInvalid, "unknown operation %T", in.Op)
	}
	if err == nil {
		err = a.takeTurns()
	}
	if err != nil {
		return Outcome{}, err
	}
	a.out.Result.Epoch = a.info.Epoch
	if a.out.Info = a.info; a.out.Effects.Delete {
		a.out.Info = driver.Info{}
	}
	return a.out, nil
}

// Time cuts a time to what the log keeps: milliseconds, in UTC.
func Time(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// applying is one operation under way; info is changed as it goes and thrown away if it fails.
type applying struct {
	info driver.Info
	in   Input
	look Lookup
	now  time.Time
	out  Outcome

	// What this operation itself wrote, which look does not know yet.
	ids  map[scopedID]Known
	keys map[string]Standing

	// unshown: what waits has changed, and no state shows it yet.
	unshown bool
}

type scopedID struct {
	user holdfast.UserID
	id   string
}

// changed notes that the session was written to; the first write creates it.
func (a *applying) changed() {
	a.out.Changed = true
	if a.info.Epoch == "" {
		a.info = driver.Info{Session: a.in.Session, Epoch: a.in.Epoch, First: 1, Created: a.now, Turns: a.info.Turns}
	}
	a.info.Changed = a.now
}

// run returns the index of an open run in info.Open.
func (a *applying) run(o holdfast.Offset) (int, bool) {
	for i := range a.info.Open {
		if a.info.Open[i].Run == o {
			return i, true
		}
	}
	return 0, false
}

// setRun replaces one open run. The slice is copied: readers may hold the old one.
func (a *applying) setRun(i int, r holdfast.RunInfo) {
	a.info.Open = slices.Clone(a.info.Open)
	a.info.Open[i] = r
	a.out.Effects.Runs = append(a.out.Effects.Runs, r)
}

// Own returns the operation with copies of all JSON in it, so that the caller may reuse its buffers even where it gave
// up waiting and the engine did not.
func Own(op driver.Op) driver.Op {
	switch op := op.(type) {
	case driver.Append:
		op.Entries = slices.Clone(op.Entries)
		for i := range op.Entries {
			op.Entries[i].Data = bytes.Clone(op.Entries[i].Data)
		}
		return op
	case driver.OpenRunOp:
		op.Entry.Data = bytes.Clone(op.Entry.Data)
		return op
	case driver.AppendFragments:
		op.Fragments = slices.Clone(op.Fragments)
		for i := range op.Fragments {
			op.Fragments[i].Event = bytes.Clone(op.Fragments[i].Event)
		}
		return op
	case driver.EndRun:
		op.Data = bytes.Clone(op.Data)
		return op
	case driver.OpenRequest:
		op.To, op.Default, op.Data = slices.Clone(op.To), bytes.Clone(op.Default), bytes.Clone(op.Data)
		return op
	case driver.SettleRequest:
		op.Data = bytes.Clone(op.Data)
		return op
	case driver.Tell:
		op.Entries = slices.Clone(op.Entries)
		for i := range op.Entries {
			op.Entries[i].Data = bytes.Clone(op.Entries[i].Data)
		}
		op.Consumers = slices.Clone(op.Consumers)
		return op
	}
	return op
}

// orNil turns empty JSON into none, so that what is read equals what is kept in memory.
func orNil(b json.RawMessage) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	return b
}
