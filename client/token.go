package client

import (
	"context"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

const (
	// tokenMargin: a token with less time left is replaced before it is used.
	tokenMargin = 30 * time.Second
	// tokenPatience is how long the token's source may take. After that it is asked again.
	tokenPatience = 10 * time.Second
)

// token is the one in use. It is owned by Run.
type token struct {
	value string
	held  bool
	// expires is by this machine's clock.
	expires instant

	// turn counts the questions; pending: the latest, asked at askedAt, has not been answered.
	turn    uint64
	pending bool
	askedAt instant
	// absent: it could not be had the last time. renew: the server wants the next one.
	absent, renew bool
}

func (t *token) usable(now instant) bool { return t.held && now < t.expires-tokenMargin }

// fetchToken asks the token's source, if it is not being asked already.
func (c *Client) fetchToken() {
	now := c.now()
	t := &c.token
	if t.pending && (now-t.askedAt).Abs() < tokenPatience {
		return
	}
	t.turn++
	t.pending, t.askedAt = true, now
	turn := t.turn
	// Ends when the source answers, which its context, of tokenPatience and of Run, asks it to; Run waits for it.
	c.all.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, tokenPatience)
		defer cancel()
		value, err := c.opts.Token(ctx)
		c.post(func() { c.tokenCame(turn, value, err) })
	})
}

// tokenCame takes what the source said. Whichever token comes last counts; that there is none, only the latest answer tells.
func (c *Client) tokenCame(turn uint64, value string, err error) {
	t := &c.token
	if turn == t.turn {
		t.pending = false
	} else if err != nil {
		return
	}
	t.absent = err != nil
	if err == nil {
		t.value, t.held, t.expires = value, true, never
	}
	if t.renew && err == nil {
		c.writeControl(&wire.TokenRefresh{Token: value})
	}
	// Without a fresh one the server ends the connection when the old one has expired, and then it is asked again.
	t.renew = false
	for _, n := range c.machine.sockets() {
		l := c.links[n]
		switch {
		case l == nil || !l.tokenless:
		case err != nil:
			e := event{kind: onUnauthorized, n: n, terminal: refused(err), dialed: l.started, reason: holdfast.MessageOf(err)}
			c.dispatch(e, err)
		default:
			l.tokenless = false
			if !l.started {
				l.start()
			}
			c.proceed(l)
		}
	}
}

// refused says that a token's source will not give one later either.
func refused(err error) bool {
	code := holdfast.CodeOf(err)
	return code == holdfast.CodeUnauthorized || code == holdfast.CodeForbidden
}

// expiring: the server has said how long the token lasts, and wants another one.
func (c *Client) expiring(f *wire.Expiring) {
	c.token.expires, c.token.renew = c.now()+millis(f.In), true
	c.fetchToken()
}

// tokenLasts takes the time by the server's clock, in Unix ms, at which the token expires; 0 if it does not.
func (c *Client) tokenLasts(exp int64) {
	c.token.expires = never
	if exp != 0 {
		c.token.expires = millis(exp) - c.serverAhead
	}
}
