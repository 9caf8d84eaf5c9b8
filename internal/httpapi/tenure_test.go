package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/revocation"
)

// tenured is an API whose tokens end 40 s from now, or with what is revoked.
func tenured(t *testing.T) (*bench, *revocation.Book) {
	b := newBench(t, nil)
	book := revocation.New(b.log, time.Now)
	soon := time.Now().Add(40 * time.Second)
	b.opts.Auth = book.Over(grants{
		backendToken: {Backend: true, ID: "b1", Expires: soon},
		readerToken:  {User: "ada", ID: "u1", Read: []string{"chat-*"}, Expires: soon},
	})
	b.opts.Follow = book.Follow
	return b, book
}

// ask makes a request without a socket, which is what the time of synctest needs.
func (b *bench) ask(method, path, token string, body io.Reader) answer {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "Bearer "+token)
	httpapi.New(b.opts).ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.Bytes()}
}

// Who waits is answered when the token's right is taken back, and not before; and when its time is over, as things stand.
func TestWaitingEndsWithTheToken(t *testing.T) {
	const request, feed = requestsPath + "/1?wait=60", "/v1/feed?wait=60"
	session := revocation.Rule{User: "ada", Session: "chat-*"}
	for name, c := range map[string]struct {
		path, token string
		rule        revocation.Rule
		after       time.Duration
		want        int
	}{
		"the feed, revoked":                 {feed, backendToken, revocation.Rule{Token: "b1"}, 3 * time.Second, http.StatusUnauthorized},
		"a request, revoked":                {request, backendToken, revocation.Rule{Token: "b1"}, 3 * time.Second, http.StatusUnauthorized},
		"a user's, whose token was revoked": {request, readerToken, revocation.Rule{Token: "u1"}, 3 * time.Second, http.StatusUnauthorized},
		"a user's, without the session":     {request, readerToken, session, 3 * time.Second, http.StatusForbidden},
		"a user's, without another one":     {request, readerToken, revocation.Rule{User: "ada", Session: "x"}, 40 * time.Second, http.StatusOK},
		"the feed, of another token":        {feed, backendToken, revocation.Rule{Token: "b2"}, 40 * time.Second, http.StatusOK},
		"the feed, where users have less":   {feed, backendToken, session, 40 * time.Second, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, book := tenured(t)
				if a := b.ask("POST", requestsPath, backendToken, strings.NewReader(`{"id":"q"}`)); a.status != http.StatusCreated {
					t.Fatalf("%d %s", a.status, a.body)
				}
				begun := time.Now()
				time.AfterFunc(3*time.Second, func() {
					if _, err := book.Add(t.Context(), c.rule); err != nil {
						t.Error(err)
					}
				})
				a := b.ask("GET", c.path, c.token, http.NoBody)
				if took := time.Since(begun); a.status != c.want || took != c.after {
					t.Errorf("answered %d %s after %v", a.status, a.body, took)
				}
			})
		})
	}
}

// cutting is an answer whose request is cut where a socket would be: a read that is under way returns.
type cutting struct {
	*httptest.ResponseRecorder
	body *io.PipeReader
}

func (c cutting) SetReadDeadline(d time.Time) error {
	if d.IsZero() {
		return nil
	}
	return c.body.CloseWithError(os.ErrDeadlineExceeded)
}

// A pipe of which a text comes each 3 s, at 6 s right after the revocation: nothing is written after that, and nothing after the token's
// end. The run stays open.
func TestPipeEndsWithTheToken(t *testing.T) {
	for name, c := range map[string]struct {
		rule revocation.Rule
		text string
	}{
		"revoked":          {revocation.Rule{Token: "b1"}, "ab"},
		"expired":          {revocation.Rule{Token: "b2"}, "abcdefghijklmn"},
		"expired, unasked": {revocation.Rule{}, "abcdefghijklmn"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, book := tenured(t)
				body, text := io.Pipe()
				w, r := cutting{httptest.NewRecorder(), body}, httptest.NewRequest("PUT", pipePath+"?id=r", body)
				r.Header.Set("Authorization", "Bearer "+backendToken)
				done := make(chan struct{})
				go func() { defer close(done); httpapi.New(b.opts).ServeHTTP(w, r) }()
				for i := range 20 {
					if i == 2 && c.rule.Token != "" {
						if _, err := book.Add(t.Context(), c.rule); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := text.Write([]byte{byte('a' + i)}); err != nil {
						break // the pipe has ended
					}
					<-time.After(3 * time.Second)
				}
				text.Close()
				<-done
				answer{w.Code, w.Result().Header, w.Body.Bytes()}.refused(t, http.StatusUnauthorized, holdfast.CodeUnauthorized)
				if run := b.runNow(1); run.Status != holdfast.RunOpen || run.Body.Text("") != c.text {
					t.Errorf("%s: %q, want %q", run.Status, run.Body.Text(""), c.text)
				}
			})
		})
	}
}
