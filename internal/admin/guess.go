package admin

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/holdfast/holdfast/internal/quota"
)

// Ten wrong passwords at once, and one each six seconds from then on, from one address.
const (
	guessBurst = 10
	guessEvery = 6 * time.Second
)

// guesses bounds how often a wrong password may be given. Who has none left waits, with the right one too: an answer that told
// them apart would be one more guess.
//
// Somebody who guesses must not lock those out who are in. So whoever gave a right password gets a cookie, and their tries are
// counted apart from those of who has none. It opens nothing, and it is one for all who may look, and one for all who may act: with one
// of their own, who may look could have new tries at the other password for each new cookie.
type guesses struct {
	// Static after construction. from is the address of a request; looks and acts are the cookies.
	from        func(*http.Request) netip.AddrPort
	looks, acts string

	// mu is held from asking whether there is a try left until it is taken: many requests at once would all be given the same one.
	mu    sync.Mutex
	tries *quota.Quota
}

const cookieName = "holdfast-operator"

func newGuesses(o *Options) *guesses {
	return &guesses{
		from: o.Remote, looks: rand.Text(), acts: rand.Text(),
		tries: quota.New(1/guessEvery.Seconds(), guessBurst, o.Now),
	}
}

// verdict is what came of a password.
type verdict struct {
	right bool
	// wait is how long it is until the next try; 0 if there is one left. A wrong password was compared unless refused.
	wait    time.Duration
	refused bool
}

// judge says whether the password of a request is right, by compare, which is not called when there is no try left.
func (g *guesses) judge(r *http.Request, compare func() bool) verdict {
	key := g.key(r)
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.tries.Wait(key); wait > 0 {
		return verdict{wait: wait, refused: true}
	}
	if compare() {
		return verdict{right: true}
	}
	g.tries.Take(key)
	return verdict{wait: g.tries.Wait(key)}
}

// key is whose tries those of a request are: its address's, and there those of who has the same cookie.
func (g *guesses) key(r *http.Request) string {
	from := g.address(r)
	switch {
	case g.has(r, g.acts):
		return "acts " + from
	case g.has(r, g.looks):
		return "looks " + from
	}
	return from
}

// address is that of a request, of IPv6 the 64 bits that one customer is given.
func (g *guesses) address(r *http.Request) string {
	from := g.from(r).Addr()
	if !from.IsValid() {
		return r.RemoteAddr
	}
	if from.Is6() {
		return netip.PrefixFrom(from.WithZone(""), 64).Masked().String()
	}
	return from.String()
}

func (g *guesses) has(r *http.Request, value string) bool {
	c, err := r.Cookie(cookieName)
	return err == nil && same(c.Value, value)
}

// remember gives who gave a right password the cookie.
func (g *guesses) remember(w http.ResponseWriter, r *http.Request, who operator) {
	value := g.looks
	if who.Acts {
		value = g.acts
	}
	if g.has(r, value) || g.has(r, g.acts) {
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
}
