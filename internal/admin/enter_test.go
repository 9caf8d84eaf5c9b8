package admin

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/internal/remote"
)

// caller comes to the page from an address, with the cookies that it was given.
type caller struct {
	a       *Admin
	from    string
	cookies []*http.Cookie
}

func (c *caller) get(password string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/api/me", nil)
	r.RemoteAddr = c.from
	if password != "" {
		r.SetBasicAuth("otto", password)
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	c.a.ServeHTTP(w, r)
	if got := w.Result().Cookies(); got != nil {
		c.cookies = got
	}
	return w.Result()
}

func (c *caller) gets(t *testing.T, what, password string, want int) {
	t.Helper()
	if got := c.get(password).StatusCode; got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

const wrong, here = "not the password", "192.0.2.1:1000"

// Without a password nothing is shown, the page itself included.
func TestEnter(t *testing.T) {
	a, _ := page(t, nil)
	for _, path := range []string{"/", "/api/now", "/api/timeline?user=a"} {
		if w := ask(a, http.MethodGet, path, "", ""); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a password: %d", path, w.Code)
		}
	}
}

// When the tries are used up no password is compared any more, or guessing would go on as fast as before, and only the wrong
// ones would look different.
func TestWhoGuessesWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := page(t, nil)
		var log bytes.Buffer
		a.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		guesser := caller{a: a, from: here}
		for range 10 {
			guesser.gets(t, "a wrong password", wrong, 401)
		}
		for range 100 {
			guesser.gets(t, "the next wrong password", wrong, 429)
		}
		guesser.gets(t, "the right password after ten wrong ones", looks, 429)
		guesser.gets(t, "no password at all", "", 401)
		if after := guesser.get(acting).Header.Get("Retry-After"); after != "7" && after != "6" {
			t.Errorf("to come back after %q s", after)
		}
		(&caller{a: a, from: "192.0.2.2:1000"}).gets(t, "the right one from elsewhere", looks, 200)
		if all := log.String(); strings.Count(all, "level=WARN") != 10 || strings.Count(all, "too many") != 1 {
			t.Errorf("the log of ten guesses and one pause:\n%s", all)
		}
		<-time.After(6 * time.Second)
		guesser.gets(t, "one more, later", wrong, 401)
		guesser.gets(t, "and another", looks, 429)
		<-time.After(6 * time.Second)
		guesser.gets(t, "the right one, later", looks, 200)
	})
}

// Many at once do not get more tries than one after another.
func TestGuessesAtOnceAreCounted(t *testing.T) {
	a, _ := page(t, nil)
	var compared atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if (&caller{a: a, from: here}).get(wrong).StatusCode == 401 {
				compared.Add(1)
			}
		})
	}
	all.Wait()
	if n := compared.Load(); n != guessBurst {
		t.Errorf("%d guesses were compared, want %d", n, guessBurst)
	}
}

// Behind one proxy, who guesses and who works come from one address.
func TestAGuesserDoesNotLockOutWhoIsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := page(t, nil)
		looker, actor, guesser := caller{a: a, from: here}, caller{a: a, from: here}, caller{a: a, from: here}
		looker.gets(t, "who looks", looks, 200)
		actor.gets(t, "who acts", acting, 200)
		for range 20 {
			guesser.get(wrong)
		}
		guesser.gets(t, "the right password, of who guesses", looks, 429)
		looker.gets(t, "who looks already", looks, 200)
		actor.gets(t, "who acts already", acting, 200)
		guesser.cookies = []*http.Cookie{{Name: cookieName, Value: "looks"}}
		guesser.gets(t, "with a cookie of their own making", looks, 429)
	})
}

// The right password to look is no way to more guesses at the one to act.
func TestWhoLooksGuessesNoFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := page(t, nil)
		compared := 0
		for range 100 {
			c := caller{a: a, from: here}
			c.get(looks)
			for range 20 {
				if c.get(wrong).StatusCode == 401 {
					compared++
				}
			}
		}
		if compared > 2*guessBurst {
			t.Errorf("%d guesses were compared", compared)
		}
	})
}

func TestAGuesserIsAnAddress(t *testing.T) {
	for name, tc := range map[string]struct {
		one, forOne, other, forOther string
		same                         bool
	}{
		"another port":               {one: here, other: "192.0.2.1:2000", same: true},
		"another address":            {one: here, other: "192.0.2.2:1000"},
		"a neighbour in IPv6":        {one: "[2001:db8::1]:1", other: "[2001:db8::ffff:2]:1", same: true},
		"another network":            {one: "[2001:db8::1]:1", other: "[2001:db8:0:1::1]:1"},
		"two behind a trusted proxy": {one: "10.1.1.1:1", forOne: "198.51.100.1", other: "10.1.1.1:2", forOther: "198.51.100.2"},
		"one who invents proxies":    {one: here, forOne: "198.51.100.1", other: here, forOther: "198.51.100.2", same: true},
		"no address":                 {one: "@", other: "@", same: true},
	} {
		a, err := New(Options{Node: &desk{}, Password: looks, Remote: remote.Trusted{netip.MustParsePrefix("10.0.0.0/8")}.Of})
		if err != nil {
			t.Fatal(err)
		}
		key := func(from, forwarded string) string {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = from
			if forwarded != "" {
				r.Header.Set("X-Forwarded-For", forwarded)
			}
			return a.guesses.key(r)
		}
		if one, other := key(tc.one, tc.forOne), key(tc.other, tc.forOther); (one == other) != tc.same {
			t.Errorf("%s: counted for %s and %s", name, one, other)
		}
	}
}
