package httpapi

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// requestObject is a request. Data and Default are what is asked, as long as the log has it.
type requestObject struct {
	Offset   holdfast.Offset       `json:"offset"`
	ID       string                `json:"id"`
	State    holdfast.RequestState `json:"state"`
	Run      holdfast.Offset       `json:"run,omitzero"`
	Outlives bool                  `json:"outlives,omitzero"`
	To       []holdfast.UserID     `json:"to,omitzero"`
	At       int64                 `json:"at"`
	By       int64                 `json:"by"`
	Default  jsontext.Value        `json:"default,omitzero"`
	Data     jsontext.Value        `json:"data,omitzero"`
	Settled  *settledObject        `json:"settled,omitzero"`
}

// settledObject is how a request was settled, and where the event of that stands.
type settledObject struct {
	Offset holdfast.Offset   `json:"offset"`
	At     int64             `json:"at"`
	User   holdfast.UserID   `json:"user,omitzero"`
	Client holdfast.ClientID `json:"client,omitzero"`
	Data   jsontext.Value    `json:"data,omitzero"`
}

// requestOf reads what is asked, and what was answered, out of the log. What retention has dropped is left out.
func (a *api) requestOf(ctx context.Context, s holdfast.SessionID, r *holdfast.Request) (requestObject, error) {
	o := requestObject{Offset: r.Offset, ID: r.ID, State: r.State, Run: r.Run, Outlives: r.Outlives, To: r.To, At: r.At.UnixMilli(),
		By: r.By.UnixMilli()}
	opened, _, err := driver.RequestEventAt(ctx, a.Log, s, r.Offset)
	if err != nil {
		return o, err
	}
	o.Default, o.Data = jsontext.Value(opened.Default), jsontext.Value(opened.Data)
	if !r.State.Settled() {
		return o, nil
	}
	settled, _, err := driver.RequestEventAt(ctx, a.Log, s, r.Settled)
	o.Settled = &settledObject{Offset: r.Settled, At: r.SettledAt.UnixMilli(), User: r.From.User, Client: r.From.Client,
		Data: jsontext.Value(settled.Data)}
	return o, err
}

type requestInput struct {
	ID       string            `json:"id"`
	Data     jsontext.Value    `json:"data"`
	Default  jsontext.Value    `json:"default"`
	To       []holdfast.UserID `json:"to"`
	Within   float64           `json:"within"`
	Run      uint64            `json:"run"`
	Fence    uint64            `json:"fence"`
	Outlives bool              `json:"outlives"`
}

func (in *requestInput) op(id string) (op driver.OpenRequest, err error) {
	if !(in.Within >= 0 && in.Within <= driver.MaxRequestTime.Seconds()) {
		return op, holdfast.Errorf(holdfast.CodeInvalid, "/within must be a number of seconds, more than 0 and at most %.0f", driver.MaxRequestTime.Seconds())
	}
	if in.Run > maxNumber {
		return op, holdfast.Errorf(holdfast.CodeInvalid, "/run must be the offset of a run, at most %d", maxNumber)
	}
	for _, u := range in.To {
		if err := u.Validate(); err != nil {
			return op, err
		}
	}
	op = driver.OpenRequest{ID: id, Run: holdfast.Offset(in.Run), Fence: holdfast.Fence(in.Fence), Outlives: in.Outlives, To: in.To,
		Within: time.Duration(in.Within * float64(time.Second))}
	if op.Data, err = compact(in.Data); err == nil {
		op.Default, err = compact(in.Default)
	}
	return op, err
}

// requestAnswer answers what opens or settles a request.
type requestAnswer struct {
	Epoch     holdfast.Epoch `json:"epoch"`
	Duplicate bool           `json:"duplicate,omitzero"`
	// Lost: it was settled by somebody else.
	Lost          bool `json:"lost,omitzero"`
	requestObject `json:",embed"`
}

func (a *api) applyRequest(c *call, op driver.Op) (out requestAnswer, err error) {
	res, err := a.apply(c, op)
	if err != nil {
		return out, err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	object, err := a.requestOf(ctx, c.session, &res.Request)
	return requestAnswer{res.Epoch, res.Entries[0].Duplicate, res.Lost, object}, err
}

func (a *api) postRequest(c *call) error {
	var in requestInput
	id, err := a.readWithID(c, &in, &in.ID)
	if err != nil {
		return err
	}
	if id == "" {
		id = "ask-" + strings.ToLower(rand.Text())
	}
	op, err := in.op(id)
	if err != nil {
		return err
	}
	out, err := a.applyRequest(c, op)
	if err != nil {
		return err
	}
	return c.answer(createdUnless(out.Duplicate), out)
}

// readWithID reads a body, and the id that it or the header has.
func (a *api) readWithID(c *call, in any, given *string) (string, error) {
	if err := readQuery(c).err; err != nil {
		return "", err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return "", err
	}
	if err := a.readJSON(c, in); err != nil {
		return "", err
	}
	return oneID(*given, key)
}

type requestsAnswer struct {
	Epoch    holdfast.Epoch  `json:"epoch"`
	Requests []requestObject `json:"requests"`
}

func (a *api) getRequests(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	info, err := a.Log.Info(ctx, c.session)
	if err != nil {
		return err
	}
	out := requestsAnswer{info.Epoch, make([]requestObject, 0, len(info.Requests))}
	for i := range info.Requests {
		o, err := a.requestOf(ctx, c.session, &info.Requests[i])
		if err != nil {
			return err
		}
		out.Requests = append(out.Requests, o)
	}
	return c.answer(http.StatusOK, out)
}

// getRequest answers with a request as it stands; with wait, once it is settled, or the time is over.
func (a *api) getRequest(c *call) error {
	q := readQuery(c, "wait")
	wait := q.seconds("wait", a.Limits.Wait)
	if q.err != nil {
		return q.err
	}
	at, err := requestOffset(c)
	if err != nil {
		return err
	}
	if wait > 0 {
		_ = c.rc.SetReadDeadline(time.Time{})
		_ = c.rc.SetWriteDeadline(time.Time{})
	}
	r, err := a.awaitRequest(c, at, wait)
	if err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	out, err := a.requestOf(ctx, c.session, &r)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
}

// awaitRequest returns a request when it is settled, or as it stands when the time, or that of the token, is over or the server
// stops.
func (a *api) awaitRequest(c *call, at holdfast.Offset, wait time.Duration) (holdfast.Request, error) {
	held := a.tenure(c)
	defer held.release()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		settled, release := a.requestSettled(c.session, at)
		ctx, cancel := a.storeContext(c, false)
		r, err := a.Log.Request(ctx, c.session, at)
		cancel()
		if err == nil {
			err = held.check()
		}
		if err != nil || r.State.Settled() || wait == 0 {
			release()
			return r, err
		}
		look := time.NewTimer(blindPoll)
		more := true
		select {
		case <-settled:
		case <-look.C:
		case <-held.changed:
		case <-held.expired:
			more = false
		case <-over.C:
			more = false
		case <-a.Stopping:
			more = false
		case <-c.r.Context().Done():
			more = false
		}
		look.Stop()
		release()
		if !more {
			wait = 0 // look once more, for what was settled at this moment
		}
	}
}

func (a *api) requestSettled(s holdfast.SessionID, at holdfast.Offset) (<-chan struct{}, func()) {
	if a.RequestSettled == nil {
		return nil, func() {}
	}
	return a.RequestSettled(s, at)
}

type settleInput struct {
	ID   string          `json:"id"`
	User holdfast.UserID `json:"user"`
	Data jsontext.Value  `json:"data"`
}

func (a *api) postAnswer(c *call) error { return a.settleRequest(c, holdfast.RequestAnswered) }

func (a *api) postWithdraw(c *call) error { return a.settleRequest(c, holdfast.RequestWithdrawn) }

func (a *api) settleRequest(c *call, state holdfast.RequestState) error {
	at, err := requestOffset(c)
	if err != nil {
		return err
	}
	var in settleInput
	id, err := a.readWithID(c, &in, &in.ID)
	if err != nil {
		return err
	}
	switch {
	case state == holdfast.RequestWithdrawn && in.User != "":
		return holdfast.Errorf(holdfast.CodeInvalid, "the backend withdraws a request for itself; leave /user out")
	case state == holdfast.RequestAnswered && len(in.Data) == 0:
		return holdfast.Errorf(holdfast.CodeInvalid, "/data is missing: it is the answer")
	}
	if in.User != "" {
		if err := in.User.Validate(); err != nil {
			return err
		}
	}
	data, err := compact(in.Data)
	if err != nil {
		return err
	}
	out, err := a.applyRequest(c, driver.SettleRequest{Request: at, State: state, ID: id, From: holdfast.Sender{User: in.User}, Data: data})
	if err != nil {
		return err
	}
	return c.answer(createdUnless(out.Duplicate), out)
}
