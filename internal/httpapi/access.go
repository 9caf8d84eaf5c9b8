package httpapi

import (
	"strings"

	"github.com/holdfast/holdfast"
)

// authenticate finds the grant of the request's token. Its errors and logs never hold the token or a part of it.
func (a *api) authenticate(c *call) error {
	headers := c.r.Header.Values("Authorization")
	if len(headers) == 0 {
		return holdfast.Errorf(holdfast.CodeUnauthorized, "there is no token; send Authorization: Bearer <token>")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	// Two headers might be taken one way here and another way by a proxy in front.
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || strings.ContainsAny(token, " ,") {
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the Authorization header is not one Bearer token; send "+
			"Authorization: Bearer <token>, once")
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	grant, err := a.Auth.Verify(ctx, token)
	if err != nil {
		return err
	}
	if !grant.Expires.IsZero() && !a.Now().Before(grant.Expires) {
		return holdfast.Errorf(holdfast.CodeUnauthorized, "the token has expired; get a new one")
	}
	c.grant = grant
	return nil
}

// authorize checks the grant against what the route asks for.
func authorize(c *call, need access) error {
	switch {
	case need == forAnyone, c.grant.Backend:
		return nil
	case need == forReaders && c.grant.Allows(holdfast.ActionRead, c.session):
		return nil
	case need == forReaders:
		return holdfast.Errorf(holdfast.CodeForbidden, "the token does not allow reading this session")
	}
	return holdfast.Errorf(holdfast.CodeForbidden, "this takes a backend's token; this one is a user's")
}
