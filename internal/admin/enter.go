package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"

	"github.com/holdfast/holdfast"
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

// enter checks the password. Who fails too often waits, whoever else comes from there too.
func (a *Admin) enter(w http.ResponseWriter, r *http.Request) (operator, bool) {
	name, password, given := r.BasicAuth()
	who := operator{Name: name, Acts: a.opts.ActPassword != "" && same(password, a.opts.ActPassword)}
	if given && name != "" && len(name) <= maxName && (who.Acts || same(password, a.opts.Password)) {
		return who, true
	}
	if given {
		from, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			from = r.RemoteAddr
		}
		if wait, ok := a.tries.Take(from); !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
			http.Error(w, "too many wrong passwords from this address; wait", http.StatusTooManyRequests)
			return who, false
		}
		a.opts.Logger.Warn("a wrong password for the operator's page", "from", from)
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="Holdfast: your name, and the password", charset="UTF-8"`)
	http.Error(w, "the operator's page asks for your name and its password", http.StatusUnauthorized)
	return who, false
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
