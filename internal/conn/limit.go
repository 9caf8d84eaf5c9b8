package conn

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/wire"
	"golang.org/x/time/rate"
)

// enter counts the connection in; one that is too many is told so, and when to come back.
func (c *Conn) enter() {
	c.from = c.t.Info().Remote.Addr()
	if no := c.cfg.Gate.Enter(c.from); no != nil {
		c.refused(no)
		return
	}
	c.entered = true
}

// signIn counts it in as its user's.
func (c *Conn) signIn() bool {
	user := c.grant.Load().User
	if no := c.cfg.Gate.SignIn(user, c.cfg.Hub.Holds(user, c.client)); no != nil {
		c.refused(no)
		return false
	}
	c.signedIn = true
	return true
}

// signOut counts it out of all that it was counted in.
func (c *Conn) signOut() {
	if c.signedIn {
		c.cfg.Gate.SignOut(c.grant.Load().User)
	}
	if c.entered {
		c.cfg.Gate.Leave(c.from)
	}
}

func (c *Conn) refused(no *limits.Refusal) { c.bye(no.Code, no.Reason, no.After, no.Spread) }

// allowed takes a frame of so many bytes from all the buckets that it counts in.
func (c *Conn) allowed(f wire.ClientFrame, bytes int) bool {
	now := c.cfg.now()
	if c.limit == nil {
		c.limit = c.limiter()
		if perSecond, burst := c.cfg.Gate.Bytes(); perSecond > 0 {
			c.byteLimit = rate.NewLimiter(rate.Limit(perSecond), burst)
		}
	}
	n := cost(f)
	return c.limit.AllowN(now, min(n, c.cfg.Burst)) && (c.byteLimit == nil || c.byteLimit.AllowN(now, bytes)) &&
		c.cfg.Gate.Allow(c.grant.Load().User, c.from, n, bytes)
}

// tooManySessions is what a user is told who reads as many as one may.
func tooManySessions() error {
	return holdfast.Errorf(holdfast.CodeTooLarge, "this user reads as many sessions as one may at a time")
}
