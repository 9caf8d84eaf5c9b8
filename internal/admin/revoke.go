package admin

import (
	"net/http"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/revocation"
)

// revoked is what a revocation did: so many connections were closed, and so many have less than before.
type revoked struct {
	Revocation revocation.Rule `json:"revocation"`
	Closed     int             `json:"closed"`
	Changed    int             `json:"changed"`
}

func revoke(n Node, r *http.Request, o *order) (any, error) {
	rule := revocation.Rule{
		Token: o.Token, User: o.User, Client: o.Client, Session: string(o.Session), Actions: o.Actions, Reason: o.Reason,
	}
	if o.Until != 0 {
		rule.Until = time.UnixMilli(o.Until)
	}
	done, closed, changed, err := n.Revoke(r.Context(), rule)
	return revoked{done, closed, changed}, err
}

func restore(n Node, r *http.Request, o *order) (any, error) {
	found, err := n.Restore(r.Context(), o.ID)
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no such revocation; its time may be over")
	}
	return map[string]bool{"restored": true}, err
}

// revocations are what is revoked, the newest first.
func (a *Admin) revocations(*http.Request) (any, error) {
	all := a.opts.Node.Revocations()
	slices.Reverse(all)
	return append([]revocation.Rule{}, all[:min(len(all), most)]...), nil
}
