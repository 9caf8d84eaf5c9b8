// Package doctor examines a deployment from a client's place: whether what stands between a page and the server lets through
// what sessions need. Each check ends in a finding, and each finding that is not well says what to change.
package doctor

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast/holdfast"
)

// Level says how a check went.
type Level string

// The levels, a closed set.
const (
	// OK: as it should be.
	OK Level = "ok"
	// Warn: it works, and something should be changed all the same.
	Warn Level = "warn"
	// Fail: clients suffer from it.
	Fail Level = "fail"
	// Skip: it was not examined, and the text says what is missing.
	Skip Level = "skip"
)

// Finding is what one check found.
type Finding struct {
	Check string
	Level Level
	// What was found.
	What string
	// Do is what to change; empty where nothing is.
	Do string
}

// Options say what to examine. URL is required.
type Options struct {
	// URL is the server's as pages know it: https://chat.example.com, without a path.
	URL string
	// Token is any user's that the server takes. Default: none, and what needs one is skipped.
	Token string
	// Origin is that of the page that will connect. Default: none, as a program that is no browser.
	Origin string
	// Idle is how long a connection is left alone, to see whether somebody cuts it. Default 70 s, more than the usual 60 of
	// proxies; negative skips it.
	Idle time.Duration
	// Patience is how long any answer may take. Default 5 s.
	Patience time.Duration
	// TLS is used with https. Default: the system's certificate authorities.
	TLS *tls.Config
}

func (o *Options) setDefaults() error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return holdfast.Errorf(holdfast.CodeInvalid, "the address must be as https://chat.example.com; this one is %q", o.URL)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "the address must end after the host, as https://chat.example.com; clients add the path")
	}
	o.URL = u.Scheme + "://" + u.Host
	if o.Idle == 0 {
		o.Idle = 70 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	return nil
}

// examination is one run through the checks. One goroutine uses it.
type examination struct {
	o    Options
	http *http.Client
	// name is of this examination alone: two at once must not take each other for a client that came back.
	name string
	// gen numbers its connections, of which each ends the one before.
	gen holdfast.Generation
}

// A check looks at one thing. It returns as soon as ctx ends.
type check struct {
	name string
	// token: it is of no use without one.
	token bool
	run   func(e *examination, ctx context.Context) Finding
}

// checks are in the order in which a cause comes before its effects.
var checks = []check{
	{"reach", false, (*examination).reach},
	{"certificate", false, (*examination).certificate},
	{"clock", false, (*examination).clock},
	{"ready", false, (*examination).ready},
	{"websocket", false, (*examination).websocket},
	{"hello in the dial", false, (*examination).early},
	{"large messages", true, (*examination).large},
	{"event stream", true, (*examination).events},
	{"polling", true, (*examination).polling},
	{"silence", true, (*examination).silence},
}

// Examine runs the checks one after another and reports each finding as it is made. If the server cannot be reached at all it
// ends with that. It takes about as long as Idle. An error means that the options are wrong, or that ctx ended.
func Examine(ctx context.Context, o Options, report func(Finding)) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	e := &examination{
		o: o, name: "doctor-" + rand.Text()[:8],
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: o.TLS}, CheckRedirect: noRedirect},
	}
	defer e.http.CloseIdleConnections()
	for _, c := range checks {
		f := Finding{Level: Skip, What: "needs a token; give one with --token-file"}
		if !c.token || o.Token != "" {
			f = c.run(e, ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.Check = c.name
		report(f)
		if c.name == "reach" && f.Level == Fail {
			return nil
		}
	}
	return nil
}

// A client does not follow redirects when it dials, so neither does this.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (e *examination) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.o.Patience)
}
