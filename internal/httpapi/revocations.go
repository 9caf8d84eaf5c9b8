package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/revocation"
)

// Revocations take back what tokens allow.
type Revocations interface {
	// Revoke makes a revocation, durable when it returns, and applies it to the live connections: so many were closed, and so
	// many have less than before.
	Revoke(ctx context.Context, r revocation.Rule) (done revocation.Rule, closed, changed int, err error)
	// Revocations lists them, by time.
	Revocations() []revocation.Rule
	// Restore takes one back; false if there is none of that id.
	Restore(ctx context.Context, id string) (bool, error)
}

type noRevocations struct{}

func (noRevocations) Revoke(context.Context, revocation.Rule) (done revocation.Rule, closed, changed int, err error) {
	return done, 0, 0, holdfast.Errorf(holdfast.CodeUnavailable, "this server keeps no revocations")
}
func (noRevocations) Revocations() []revocation.Rule                { return nil }
func (noRevocations) Restore(context.Context, string) (bool, error) { return false, nil }

type revocationInput struct {
	Token   string            `json:"token"`
	User    holdfast.UserID   `json:"user"`
	Client  holdfast.ClientID `json:"client"`
	Session string            `json:"session"`
	Actions []holdfast.Action `json:"actions"`
	Until   int64             `json:"until"`
	Reason  string            `json:"reason"`
}

type revocationObject struct {
	ID      string            `json:"id"`
	Token   string            `json:"token,omitzero"`
	User    holdfast.UserID   `json:"user,omitzero"`
	Client  holdfast.ClientID `json:"client,omitzero"`
	Session string            `json:"session,omitzero"`
	Actions []holdfast.Action `json:"actions,omitzero"`
	At      int64             `json:"at"`
	Until   int64             `json:"until,omitzero"`
	Reason  string            `json:"reason,omitzero"`
}

type revokedAnswer struct {
	Revocation revocationObject `json:"revocation"`
	Closed     int              `json:"closed"`
	Changed    int              `json:"changed"`
}

type revocationsAnswer struct {
	Revocations []revocationObject `json:"revocations"`
}

func revocationOf(r *revocation.Rule) revocationObject {
	return revocationObject{
		ID: r.ID, Token: r.Token, User: r.User, Client: r.Client, Session: r.Session, Actions: r.Actions, At: r.At.UnixMilli(),
		Until: millis(r.Until), Reason: r.Reason,
	}
}

func (a *api) postRevocation(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	var in revocationInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	r := revocation.Rule{Token: in.Token, User: in.User, Client: in.Client, Session: in.Session, Actions: in.Actions, Reason: in.Reason}
	switch now := a.Now().UnixMilli(); {
	case in.Until < 0 || in.Until > maxNumber || in.Until != 0 && in.Until <= now:
		return holdfast.Errorf(holdfast.CodeInvalid, "/until must be a Unix time in milliseconds that is to come")
	case in.Until > 0:
		r.Until = time.UnixMilli(in.Until)
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	done, closed, changed, err := a.Revocations.Revoke(ctx, r)
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, revokedAnswer{revocationOf(&done), closed, changed})
}

func (a *api) getRevocations(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	out := revocationsAnswer{Revocations: []revocationObject{}}
	for _, r := range a.Revocations.Revocations() {
		out.Revocations = append(out.Revocations, revocationOf(&r))
	}
	return c.answer(http.StatusOK, out)
}

func (a *api) deleteRevocation(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	found, err := a.Revocations.Restore(ctx, c.r.PathValue("revocation"))
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no such revocation; its time may be over")
	}
	if err != nil {
		return err
	}
	c.noContent()
	return nil
}
