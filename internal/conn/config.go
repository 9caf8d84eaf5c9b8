package conn

import (
	"crypto/rand"
	"encoding/base32"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/hub"
	"golang.org/x/time/rate"
)

// Config is what all connections of a server share. Every field is set; the server's options have the defaults.
type Config struct {
	Log    Log
	Auth   Auth
	Hub    *hub.Hub
	Lanes  []*Lane
	Logger *slog.Logger

	// HelloTimeout is how long a connection may take to say hello; Beat how long either side may be silent.
	HelloTimeout, Beat time.Duration
	// WriteTimeout is how long a socket may take nothing of a small piece before the connection is given up.
	WriteTimeout time.Duration
	// MaxData bounds the data of a send or signal; MaxControl the answers that wait to be taken. Both in bytes.
	MaxData, MaxControl int
	// MaxSubs bounds the sessions that one connection reads.
	MaxSubs int
	// Rate and Burst bound the frames of one connection, per second.
	Rate  float64
	Burst int
	// Last is how many entries a subscription gets that says neither how many nor from where.
	Last int

	// Jitter returns a random duration below the one given, by which a connection's beat is shortened.
	Jitter func(time.Duration) time.Duration
	// Now is the clock.
	Now func() time.Time

	next atomic.Uint32
}

func (cfg *Config) now() time.Time { return cfg.Now() }

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

func (cfg *Config) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(cfg.Rate), cfg.Burst) }
