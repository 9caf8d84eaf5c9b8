package webhook

import (
	"net/url"
	"regexp"
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Endpoint is a receiver of events.
type Endpoint struct {
	// Name identifies the endpoint over restarts: its place in the feed and its dead letters are kept under it. Small
	// letters, digits, - and _; at most 40. Default: "default".
	Name string
	// URL is where events are posted to, http or https. With http, who listens on the way reads the events.
	URL string
	// Secrets sign the events, each with each: so that a receiver that knows the old one or the new one can verify while a
	// secret is replaced. At least one.
	Secrets []Secret
	// Events are the types that are sent. Default: [DefaultTypes].
	Events []Type
	// Sessions are the patterns of the sessions whose events are sent, see [holdfast.MatchSession]. Default: all.
	Sessions []string
}

var endpointName = regexp.MustCompile(`^[a-z0-9_-]{1,40}$`)

func (e *Endpoint) setDefaults() error {
	if e.Name == "" {
		e.Name = "default"
	}
	if !endpointName.MatchString(e.Name) {
		return holdfast.Errorf(holdfast.CodeInvalid, "the webhook endpoint's name %q may have small letters, digits, - and _, at most 40", e.Name)
	}
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return holdfast.Errorf(holdfast.CodeInvalid, "the URL of webhook endpoint %s must be http://… or https://…, without a user", e.Name)
	}
	if len(e.Secrets) == 0 {
		return holdfast.Errorf(holdfast.CodeInvalid, "webhook endpoint %s has no secret, and its receiver could not tell who sends; "+
			"make one with: echo whsec_$(openssl rand -base64 32)", e.Name)
	}
	for _, t := range e.Events {
		if !slices.Contains(Types(), t) {
			return holdfast.Errorf(holdfast.CodeInvalid, "webhook endpoint %s asks for events of type %q; %v are known", e.Name, t, Types())
		}
	}
	return nil
}

// wants reports whether an item of the feed is an event for this endpoint.
func (e *Endpoint) wants(i *driver.FeedItem) bool {
	t, ok := typeOf(i)
	return ok && slices.Contains(e.types(), t) && e.Of(i.Session)
}

// types are those that the endpoint gets.
func (e *Endpoint) types() []Type {
	if len(e.Events) == 0 {
		return DefaultTypes()
	}
	return e.Events
}

// AsksForMembers reports whether the endpoint is to be told who is there: then somebody has to look.
func (e *Endpoint) AsksForMembers() bool {
	return slices.ContainsFunc(e.types(), func(t Type) bool {
		return t == MemberJoined || t == MemberAway || t == MemberBack || t == MemberLeft
	})
}

// Of reports whether the endpoint gets events of a session.
func (e *Endpoint) Of(s holdfast.SessionID) bool {
	return len(e.Sessions) == 0 || slices.ContainsFunc(e.Sessions, func(pattern string) bool {
		return holdfast.MatchSession(pattern, s, "")
	})
}

// shown is the URL for people: without its query, which may hold a key.
func (e *Endpoint) shown() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	u.RawQuery, u.Fragment = "", ""
	return u.String()
}
