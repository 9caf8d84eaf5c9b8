package httpapi

import (
	"context"
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

// tenure is how long a request that takes long may go on: until its token expires, or is taken back. It belongs to the
// request's goroutine.
type tenure struct {
	a *api
	c *call
	// expired is closed when the token's time is over; nil if that never is.
	expired <-chan struct{}
	// changed is closed when the revocations are others than those that were looked at last; nil if they never are.
	changed <-chan struct{}
	// release lets go of what it holds.
	release context.CancelFunc
}

// unread stands for revocations that nobody has looked at yet.
var unread = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// tenure begins one. What was revoked since the token was verified is found by the first check.
func (a *api) tenure(c *call) *tenure {
	t := &tenure{a: a, c: c, release: func() {}}
	if !c.grant.Expires.IsZero() {
		// Not the request's own context: when the client has left, a pipe still writes what has arrived.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), c.grant.Expires.Sub(a.Now()))
		t.expired, t.release = ctx.Done(), cancel
	}
	if a.Follow != nil {
		t.changed = unread
	}
	return t
}

// check reports whether the right to the route was taken back. To select on changed is not enough: of two channels that are ready
// a select takes any, and nothing may follow once a revocation was answered. So what is about to be said or written is checked.
func (t *tenure) check() error {
	select {
	case <-t.changed:
	default:
		return nil
	}
	grant, changed, err := t.a.Follow(t.c.grant)
	if err != nil {
		return err
	}
	t.c.grant = grant
	if err := authorize(t.c, t.c.access); err != nil {
		return err
	}
	t.changed = changed
	return nil
}

// over reports whether the token's time is over.
func (t *tenure) over() bool {
	select {
	case <-t.expired:
		return true
	default:
		return false
	}
}
