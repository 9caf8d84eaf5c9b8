package conn

import (
	"crypto/rand"
	"encoding/base32"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/internal/quota"
	"github.com/holdfast/holdfast/transport"
	"golang.org/x/time/rate"
)

// Config is what all connections of a server share. Every field is set; the server's options have the defaults.
type Config struct {
	Log    Log
	Auth   Auth
	Hub    *hub.Hub
	Rooms  *attendance.Rooms
	Lanes  []*Lane
	Logger *slog.Logger
	// Ends has the records of connections that ended. Nil: nobody keeps them.
	Ends *ending.Book
	// Journal is told what connections go through. Nil: nobody is.
	Journal *journal.Journal

	// Open is closed when the store is there; until then connections can stand by, and those that attach wait. Nil: it is
	// there. Pace is told what attaches cost; nil: nobody is.
	Open <-chan struct{}
	Pace func(time.Duration)

	// HelloTimeout is how long a connection may take to say hello, and a standby to be taken. Beat is how long either side
	// may be silent while the client's page is seen, Rest while it is hidden.
	HelloTimeout, Beat, Rest time.Duration
	// WriteTimeout is how long a socket may take nothing of a small piece before the connection is given up.
	WriteTimeout time.Duration
	// MaxData bounds the data of a send or signal; MaxControl the answers that wait to be taken. Both in bytes.
	MaxData, MaxControl int
	// MaxSubs bounds the sessions that one connection reads.
	MaxSubs int
	// Rate and Burst bound the frames of one connection, per second. Asides are the same for what clients send in requests
	// beside their connections, by user and client.
	Rate   float64
	Burst  int
	Asides *quota.Quota
	// Gate bounds what a node, a user and an address have, of all connections together. Nil: nothing does.
	Gate *limits.Gate
	// Last is how many entries a subscription gets that says neither how many nor from where.
	Last int

	// Revoke returns what revocations leave of a grant in the hands of a client. Nil: all.
	Revoke func(holdfast.Grant, holdfast.ClientID) (holdfast.Grant, error)
	// Answered is told how each subscription was answered, and whether the client had come with a cursor. It must be quick. Nil:
	// nobody is told.
	Answered func(outcome holdfast.Outcome, resume bool)

	// Jitter returns a random duration below the one given, by which a connection pings early.
	Jitter func(time.Duration) time.Duration
	// Now is the clock.
	Now func() time.Time

	next atomic.Uint32
	// rules are on the connections of every user; they are replaced as a whole.
	rules atomic.Pointer[[]holdfast.ConnectionRule]
}

// SetRules replaces the rules on the connections of every user. They count for the connections that come from then on.
func (cfg *Config) SetRules(rules []holdfast.ConnectionRule) { cfg.rules.Store(&rules) }

// Rules returns those that there are now.
func (cfg *Config) Rules() []holdfast.ConnectionRule {
	if rules := cfg.rules.Load(); rules != nil {
		return *rules
	}
	return nil
}

func (cfg *Config) now() time.Time { return cfg.Now() }

func (cfg *Config) answered(outcome holdfast.Outcome, resume bool) {
	if cfg.Answered != nil {
		cfg.Answered(outcome, resume)
	}
}

// lane deals connections out in turn.
func (cfg *Config) lane() *Lane { return cfg.Lanes[int(cfg.next.Add(1))%len(cfg.Lanes)] }

var connIDs = base32.NewEncoding(strings.ToLower("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")).WithPadding(base32.NoPadding)

// newID makes an id that cannot be guessed, since an operator's or a backend's call may name it.
func (cfg *Config) newID() holdfast.ConnID {
	var b [10]byte
	// Read never fails (crypto/rand).
	_, _ = rand.Read(b[:])
	return holdfast.ConnID(connIDs.EncodeToString(b[:]))
}

// limiter returns what bounds the frames of a connection. Requests of one client share theirs: a connection of their own
// costs them nothing.
func (c *Conn) limiter() *rate.Limiter {
	if c.reach == transport.Once {
		return c.cfg.Asides.Of(string(c.grant.Load().User) + " " + string(c.client))
	}
	return rate.NewLimiter(rate.Limit(c.cfg.Rate), c.cfg.Burst)
}
