// Package revocation takes back what tokens allow, before they expire: a token, a user, a device, a session, or single
// actions. What was taken back stays so for as long as the tokens could live, over restarts.
//
// # Concurrency
//
// All methods may be called at any time.
package revocation

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Rule says what is taken back: from all tokens that fit all of the fields that are set. At least one of Token, User, Client
// and Session is.
type Rule struct {
	ID string `json:"id"`
	// Token is the id of a token, its claim jti.
	Token string `json:"token,omitempty"`
	// User is whose; with Client, of one device alone. A device's id is its own word: with a token that it may use, it can come
	// as another one.
	User   holdfast.UserID   `json:"user,omitempty"`
	Client holdfast.ClientID `json:"client,omitempty"`
	// Session is a pattern as in tokens, without {user}; empty for all.
	Session string `json:"session,omitempty"`
	// Actions are what is taken back; empty for all. With neither Session nor Actions the token is worth nothing.
	Actions []holdfast.Action `json:"actions,omitempty"`
	// Reason is for people.
	Reason string `json:"reason,omitempty"`
	// At is when. Tokens that were issued later are not meant, unless the rule names one. iat has whole seconds, so one of the
	// same second is meant.
	At time.Time `json:"at"`
	// Until is when the rule is forgotten: when no token can be left that it means. Zero is never.
	Until time.Time `json:"until,omitzero"`
}

// Validate reports what is wrong with the rule, as a *holdfast.Error with CodeInvalid, or nil.
func (r *Rule) Validate() error {
	switch {
	case r.Token == "" && r.User == "" && r.Session == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "a revocation names a token, a user or a session")
	case r.Client != "" && r.User == "":
		return holdfast.Errorf(holdfast.CodeInvalid, "a revocation of a client names its user, too")
	case len(r.Token) > holdfast.MaxKey || len(r.Reason) > holdfast.MaxKey || len(r.Session) > holdfast.MaxKey:
		return holdfast.Errorf(holdfast.CodeInvalid, "token, session and reason have at most %d bytes each", holdfast.MaxKey)
	case strings.Contains(r.Session, "{"):
		return holdfast.Errorf(holdfast.CodeInvalid, "the session is an id, or a pattern with *; name the user in user")
	}
	if r.User != "" {
		if err := r.User.Validate(); err != nil {
			return err
		}
	}
	if r.Client != "" {
		if err := r.Client.Validate(); err != nil {
			return err
		}
	}
	for _, a := range r.Actions {
		if a != holdfast.ActionRead && a != holdfast.ActionSend && a != holdfast.ActionStop {
			return holdfast.Errorf(holdfast.CodeInvalid, "actions has %q; read, send and stop are known", string(a))
		}
	}
	return nil
}

// means reports whether the rule is about a grant, in the hands of a client; "" for one that is not known.
func (r *Rule) means(g *holdfast.Grant, client holdfast.ClientID) bool {
	switch {
	case r.Token != "" && r.Token != g.ID, r.User != "" && r.User != g.User, r.Client != "" && r.Client != client:
		return false
	case r.Token != "":
		return true
	}
	// A backend's token is no user's; only its own id revokes it. One that does not say when it was issued may be an old one.
	return !g.Backend && (g.Issued.IsZero() || g.Issued.Unix() <= r.At.Unix())
}

// Store keeps rules.
type Store interface {
	SetConsumer(ctx context.Context, name, value string) error
	Consumers(ctx context.Context, prefix, after string, limit int) ([]driver.ConsumerValue, error)
}

const (
	// Prefix is of the names under which rules are stored.
	Prefix = "holdfast:revocation:"
	// MaxRules is how many there may be: each is looked at with each token.
	MaxRules = 10_000
)

// Book holds the rules.
type Book struct {
	// Static after construction.
	store Store
	now   func() time.Time

	// mu orders changes; the page is read without it, and replaced as a whole.
	mu   sync.Mutex
	page atomic.Pointer[page]
}

// page is what the book says until it says something else. The two stand in one place, so that who waits for the next page knows
// which rules it has seen.
type page struct {
	rules []Rule
	// turned is closed when there is another page.
	turned chan struct{}
}

// New returns an empty book.
func New(store Store, now func() time.Time) *Book {
	b := &Book{store: store, now: now}
	b.page.Store(&page{turned: make(chan struct{})})
	return b
}

// turnLocked replaces the rules, and then tells those who wait.
func (b *Book) turnLocked(rules []Rule) {
	close(b.page.Swap(&page{rules, make(chan struct{})}).turned)
}

// Load reads what is stored. It is called before anybody is let in.
func (b *Book) Load(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Rule
	after := ""
	for {
		found, err := b.store.Consumers(ctx, Prefix, after, 1000)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			b.turnLocked(all)
			return nil
		}
		for _, c := range found {
			after = c.Name
			var r Rule
			if err := json.Unmarshal([]byte(c.Value), &r); err != nil {
				return holdfast.Wrap(holdfast.CodeInternal, err, "a revocation in the store cannot be read")
			}
			all = append(all, r)
		}
	}
}

// Add adds a rule, durably, and gives it its id and its time.
func (b *Book) Add(ctx context.Context, r Rule) (Rule, error) {
	if err := r.Validate(); err != nil {
		return r, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.page.Load().rules) >= MaxRules {
		return r, holdfast.Errorf(holdfast.CodeTooLarge, "there are %d revocations, as many as there may be; shorten how long they are kept", MaxRules)
	}
	r.ID, r.At = strings.ToLower(rand.Text()), b.now()
	value, err := json.Marshal(&r)
	if err != nil {
		return r, holdfast.Wrap(holdfast.CodeInternal, err, "the revocation cannot be encoded")
	}
	if err := b.store.SetConsumer(ctx, Prefix+r.ID, string(value)); err != nil {
		return r, err
	}
	b.turnLocked(append(slices.Clone(b.page.Load().rules), r))
	return r, nil
}

// Remove removes a rule; false if there is none of that id.
func (b *Book) Remove(ctx context.Context, id string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Clone(b.page.Load().rules)
	i := slices.IndexFunc(all, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return false, nil
	}
	if err := b.store.SetConsumer(ctx, Prefix+id, ""); err != nil {
		return false, err
	}
	b.turnLocked(slices.Delete(all, i, i+1))
	return true, nil
}

// List returns the rules, by time.
func (b *Book) List() []Rule {
	all := slices.Clone(b.page.Load().rules)
	slices.SortStableFunc(all, func(x, y Rule) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.ID, y.ID)) })
	return all
}

// Tidy forgets rules whose time is over.
func (b *Book) Tidy(ctx context.Context) error {
	now := b.now()
	for _, r := range b.page.Load().rules {
		if r.Until.IsZero() || now.Before(r.Until) {
			continue
		}
		if _, err := b.Remove(ctx, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// Apply returns what is left of a grant in the hands of a client; "" for one that is not known. A grant of which nothing is left is
// [holdfast.CodeUnauthorized].
func (b *Book) Apply(g holdfast.Grant, client holdfast.ClientID) (holdfast.Grant, error) {
	return b.page.Load().apply(g, client)
}

// Follow does what Apply does for a client that is not known, and returns a channel that is closed when the rules are others: for
// who uses a grant for long.
func (b *Book) Follow(g holdfast.Grant) (left holdfast.Grant, changed <-chan struct{}, err error) {
	p := b.page.Load()
	left, err = p.apply(g, "")
	return left, p.turned, err
}

func (p *page) apply(g holdfast.Grant, client holdfast.ClientID) (holdfast.Grant, error) {
	g.Denied = nil
	for i := range p.rules {
		r := &p.rules[i]
		switch {
		case !r.means(&g, client):
		case r.Session == "" && len(r.Actions) == 0:
			return g, holdfast.Errorf(holdfast.CodeUnauthorized, "the token was revoked")
		default:
			g.Denied = append(g.Denied, holdfast.Denial{Session: cmp.Or(r.Session, "*"), Actions: r.Actions})
		}
	}
	return g, nil
}

// Auth turns tokens into grants.
type Auth interface {
	Verify(ctx context.Context, token string) (holdfast.Grant, error)
}

// Over returns an Auth whose grants have gone through the book.
func (b *Book) Over(a Auth) Auth { return verifier{a, b} }

type verifier struct {
	Auth
	book *Book
}

// Verify implements Auth.
func (v verifier) Verify(ctx context.Context, token string) (holdfast.Grant, error) {
	g, err := v.Auth.Verify(ctx, token)
	if err != nil {
		return g, err
	}
	return v.book.Apply(g, "")
}
