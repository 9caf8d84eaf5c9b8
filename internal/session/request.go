package session

import (
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// The whole life of a request. "=" writes nothing; each change is told by an event in the same step. Late is from its deadline on.
//
//	          answer       answer, late   withdraw     withdraw, late   expire   expire, late   its run ends
//	none      not_found    not_found      not_found    not_found        not_found (in each case)
//	open      answered     expired        withdrawn    expired          =        expired        withdrawn, or = if it outlives the run
//	settled   =            =              =            =                =        =              =

// RequestsScope is the scope of what no user's id can be: the requests that are settled, known by their offsets in decimal.
const RequestsScope holdfast.UserID = "\x01requests"

// RequestID is the id of a settled request in [RequestsScope].
func RequestID(o holdfast.Offset) string { return answersID(o) }

func (a *applying) openRequest(op driver.OpenRequest) error {
	if err := checkRequest(&op); err != nil {
		return err
	}
	known, dup, err := a.known("", op.ID)
	if err != nil {
		return err
	}
	if dup {
		return a.askedBefore(&known)
	}
	if op.Run != 0 {
		if err := a.mayAsk(&op); err != nil {
			return err
		}
	}
	if len(a.info.Requests) >= driver.MaxOpenRequests {
		return holdfast.Errorf(holdfast.CodeTooLarge, "%d requests are open in the session, and no more are allowed; withdraw some", len(a.info.Requests))
	}
	within := op.Within
	if within == 0 {
		within = driver.DefaultRequestTime
	}
	r := holdfast.Request{ID: op.ID, Run: op.Run, Outlives: op.Outlives, To: slices.Clone(op.To), At: a.now, By: Time(a.now.Add(within)),
		State: holdfast.RequestOpen}
	ev := holdfast.RequestEvent{ID: r.ID, State: r.State, Run: r.Run, Outlives: r.Outlives, To: r.To, By: r.By.UnixMilli(),
		Default: orNil(op.Default), Data: orNil(op.Data)}
	data, err := ev.Marshal()
	if err != nil {
		return err
	}
	e := a.put(&driver.NewEntry{Kind: holdfast.KindEvent, ID: op.ID, Data: data, Feed: true})
	r.Offset = e.Offset
	a.info.Requests = append(slices.Clip(a.info.Requests), r)
	a.out.Items = append(a.out.Items, driver.Item{Entry: &e, Request: &r})
	a.out.Result.Request = r
	a.out.Result.Entries = []driver.Written{{Offset: e.Offset, Tag: e.Tag, At: e.At}}
	return nil
}

func checkRequest(op *driver.OpenRequest) error {
	switch {
	case op.ID == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "a request needs an id, so that it can be repeated")
	case op.Within < 0 || op.Within > driver.MaxRequestTime:
		return holdfast.Errorf(holdfast.CodeInvalid, "a request waits for more than nothing and at most %v, not %v", driver.MaxRequestTime, op.Within)
	case op.Within > 0 && op.Within < time.Millisecond:
		return holdfast.Errorf(holdfast.CodeInvalid, "a request waits for at least 1 ms, not %v", op.Within)
	case len(op.To) > driver.MaxRequestTo:
		return holdfast.Errorf(holdfast.CodeTooLarge, "a request names %d users; at most %d are allowed", len(op.To), driver.MaxRequestTo)
	case op.Run == 0 && (op.Outlives || op.Fence != 0):
		return holdfast.Errorf(holdfast.CodeInvalid, "a request that belongs to no run has no fence and outlives none")
	}
	return nil
}

// mayAsk reports whether the run that a request is to belong to can have one more: what is refused to fragments is to requests.
func (a *applying) mayAsk(op *driver.OpenRequest) error {
	i, open, ended, err := a.find(op.Run)
	if err != nil {
		return err
	}
	r := ended
	if open {
		r = a.info.Open[i]
	}
	a.out.Result.Run = r
	switch {
	case op.Fence != 0 && op.Fence != r.Fence:
		return fenced(&r, op.Fence)
	case r.Stop.State != "" && (open || r.Status == holdfast.RunStopped):
		return runError(holdfast.CodeStopped, &r, "the run at offset %d is stopped; nobody is asked for it any more", r.Run)
	case !open:
		return runError(holdfast.CodeEnded, &r, "the run at offset %d has ended as %s", r.Run, r.Status)
	}
	return nil
}

// askedBefore answers the opening of a request that was opened before.
func (a *applying) askedBefore(k *Known) error {
	r, ok, err := a.requestAt(k.Offset)
	if err != nil {
		return err
	}
	if !ok {
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d, which is not a request", k.Offset)
	}
	a.out.Result.Request = r
	a.out.Result.Entries = []driver.Written{written(k, true)}
	return nil
}

// requestAt returns a request as it stands.
func (a *applying) requestAt(o holdfast.Offset) (holdfast.Request, bool, error) {
	if a.info.Epoch == "" {
		return holdfast.Request{}, false, nil
	}
	r, err := FindRequest(&a.info, a.look.Known, o)
	return r, r.State != "", err
}

// FindRequest returns a request as it stands, zero if there is none.
func FindRequest(info *driver.Info, known func(holdfast.UserID, string) (Known, bool, error), o holdfast.Offset) (r holdfast.Request, err error) {
	for i := range info.Requests {
		if info.Requests[i].Offset == o {
			return info.Requests[i], nil
		}
	}
	k, ok, err := known(RequestsScope, RequestID(o))
	if err != nil || !ok || k.Request == nil {
		return r, err
	}
	return *k.Request, nil
}

// openRequestAt returns the index of an open request in info.Requests, or -1.
func (a *applying) openRequestAt(o holdfast.Offset) int {
	return slices.IndexFunc(a.info.Requests, func(r holdfast.Request) bool { return r.Offset == o })
}

func (a *applying) settleRequest(op driver.SettleRequest) error {
	if !op.State.Settled() {
		return holdfast.Errorf(holdfast.CodeInvalid, "a request cannot be settled as %q; answered, withdrawn and expired are known", op.State)
	}
	i := a.openRequestAt(op.Request)
	if i < 0 {
		return a.settledBefore(&op)
	}
	r := a.info.Requests[i]
	if op.State == holdfast.RequestAnswered && !r.MayAnswer(op.From.User) {
		return holdfast.Errorf(holdfast.CodeForbidden, "the request at offset %d asks somebody else", r.Offset)
	}
	if k, used, err := a.known(op.From.User, op.ID); err != nil {
		return err
	} else if used {
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d", k.Offset)
	}
	if !a.now.Before(r.By) {
		a.out.Result.Lost = op.State != holdfast.RequestExpired
		return a.expireRequest(i)
	}
	if op.State == holdfast.RequestExpired { // somebody's clock runs ahead of ours
		a.out.Result.Request = r
		return nil
	}
	return a.settleAt(i, &op)
}

// settledBefore answers the settling of a request that is open no more. Of the operation that settled it this is a repeat.
func (a *applying) settledBefore(op *driver.SettleRequest) error {
	r, ok, err := a.requestAt(op.Request)
	if err != nil {
		return err
	}
	if !ok {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no request at offset %d", op.Request)
	}
	k, used, err := a.known(op.From.User, op.ID)
	if err != nil {
		return err
	}
	if used && k.Offset != r.Settled {
		return holdfast.Errorf(holdfast.CodeConflict, "this id belongs to the entry at offset %d", k.Offset)
	}
	settled, _, err := a.known(RequestsScope, RequestID(op.Request))
	if err != nil {
		return err
	}
	a.out.Result.Request = r
	a.out.Result.Entries = []driver.Written{written(&settled, true)}
	a.out.Result.Lost = !used && !(op.ID == "" && op.State == r.State && op.State != holdfast.RequestAnswered)
	return nil
}

// expireRequest settles the open request at index i with its default.
func (a *applying) expireRequest(i int) error {
	o := a.info.Requests[i].Offset
	e, ok, err := a.look.Event(o)
	if err != nil {
		return err
	}
	ev, asks := e.RequestEvent()
	if !ok || !asks {
		return holdfast.Errorf(holdfast.CodeInternal, "the event of the open request at offset %d is not there; verify the store", o)
	}
	return a.settleAt(i, &driver.SettleRequest{Request: o, State: holdfast.RequestExpired, Data: ev.Default})
}

// settleAt settles the open request at index i.
func (a *applying) settleAt(i int, op *driver.SettleRequest) error {
	r := a.info.Requests[i]
	r.State, r.From, r.SettledAt = op.State, op.From, a.now
	ev := holdfast.RequestEvent{Offset: r.Offset, ID: r.ID, State: r.State, User: r.From.User, Client: r.From.Client, Data: orNil(op.Data)}
	data, err := ev.Marshal()
	if err != nil {
		return err
	}
	e := a.put(&driver.NewEntry{Kind: holdfast.KindEvent, ID: op.ID, From: op.From, Data: data, Feed: true})
	r.Settled = e.Offset
	a.info.Requests = slices.Delete(slices.Clone(a.info.Requests), i, i+1)
	k := KnownBy(&e)
	k.Request = &r
	a.knows(RequestsScope, RequestID(r.Offset), k)
	a.out.Items = append(a.out.Items, driver.Item{Entry: &e, Request: &r})
	a.out.Result.Request = r
	a.out.Result.Entries = []driver.Written{{Offset: e.Offset, Tag: e.Tag, At: e.At}}
	return nil
}

// withdrawOf withdraws the open requests of a run that ends.
func (a *applying) withdrawOf(run holdfast.Offset) error {
	res := a.out.Result
	for i := 0; i < len(a.info.Requests); {
		r := &a.info.Requests[i]
		if r.Run != run || r.Outlives {
			i++
			continue
		}
		if err := a.settleAt(i, &driver.SettleRequest{Request: r.Offset, State: holdfast.RequestWithdrawn}); err != nil {
			return err
		}
	}
	a.out.Result = res // of the operation on the run
	return nil
}

// NoRequest is the error of asking for a request that is not there.
func NoRequest(o holdfast.Offset) error {
	return holdfast.Errorf(holdfast.CodeNotFound, "there is no request at offset %d", o)
}
