package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strconv"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/stranger"
)

// operator is who came in.
type operator struct {
	Name string `json:"name"`
	// Acts: they may act, and not only look.
	Acts bool `json:"acts"`
}

type operatorKey struct{}

func operatorOf(r *http.Request) operator { return r.Context().Value(operatorKey{}).(operator) }

// maxName is how long an operator's name may be, in bytes: it stands in the audit log.
const maxName = 64

// enter checks the password. Who fails too often waits, whoever else comes from there too, but those who are in already.
func (a *Admin) enter(w http.ResponseWriter, r *http.Request) (who operator, ok bool) {
	name, password, given := r.BasicAuth()
	if !given {
		challenge(w)
		return who, false
	}
	who = operator{Name: name}
	v := a.guesses.judge(r, func() bool {
		who.Acts = a.opts.ActPassword != "" && same(password, a.opts.ActPassword)
		return (who.Acts || same(password, a.opts.Password)) && name != "" && len(name) <= maxName
	})
	from := a.guesses.address(r)
	switch {
	case v.right:
		a.guesses.remember(w, r, who)
		stranger.Known(r.Context())
		return who, true
	case v.refused:
		w.Header().Set("Retry-After", strconv.Itoa(int(v.wait.Seconds())+1))
		http.Error(w, "too many wrong passwords from this address; wait", http.StatusTooManyRequests)
		return who, false
	case v.wait > 0:
		// Once for each pause: what is refused in it is no guess, and would fill the log.
		a.opts.Logger.Warn("too many wrong passwords for the operator's page; who comes from there waits", "from", from, "wait", v.wait)
	default:
		a.opts.Logger.Warn("a wrong password for the operator's page", "from", from)
	}
	challenge(w)
	return who, false
}

// challenge asks for the password.
func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="Holdfast: your name, and the password", charset="UTF-8"`)
	http.Error(w, "the operator's page asks for your name and its password", http.StatusUnauthorized)
}

// same compares in a time that says nothing about either text.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

func (a *Admin) me(r *http.Request) (any, error) { return operatorOf(r), nil }

// mayAct guards the acts. Browsers send the password with whatever request any page makes them send, but the header only with
// those of this page: others would need a permission that is never given (Fetch standard, CORS preflight).
func mayAct(r *http.Request) error {
	if r.Header.Get("Holdfast-Operator") == "" {
		return holdfast.Errorf(holdfast.CodeForbidden, "an act needs the header Holdfast-Operator")
	}
	if !operatorOf(r).Acts {
		return holdfast.Errorf(holdfast.CodeForbidden, "this password lets you look, not act")
	}
	return nil
}
