package server

import (
	"cmp"
	"context"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/httpapi"
	"github.com/holdfast/holdfast/internal/webhook"
)

// Webhook is a receiver of events over HTTP.
type Webhook = webhook.Endpoint

// WebhookPolicy says how events are delivered to receivers.
type WebhookPolicy = webhook.Policy

// WebhookType says what an event tells of.
type WebhookType = webhook.Type

// WebhookSecret signs events; see [ParseWebhookSecrets].
type WebhookSecret = webhook.Secret

// ParseWebhookSecrets reads secrets, whsec_… and one a line.
func ParseWebhookSecrets(text string) ([]WebhookSecret, error) { return webhook.ParseSecrets(text) }

// DefaultWebhookRetries is the default of WebhookPolicy.Retries.
func DefaultWebhookRetries() []time.Duration { return webhook.DefaultRetries() }

// newWebhooks makes the dispatcher, nil if there is nobody to deliver to.
func (s *Server) newWebhooks() (*webhook.Dispatcher, error) {
	if len(s.opts.Webhooks) == 0 {
		return nil, nil
	}
	if age, most := s.opts.Keep.FeedMaxAge, cmp.Or(s.opts.WebhookPolicy.MaxAge, webhook.DefaultMaxAge); age > 0 && age <= most {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the feed is kept for %v and webhooks are repeated for up to %v: the feed must be "+
			"kept for longer, or events are dropped while they wait", age, most)
	}
	return webhook.New(webhook.Options{
		Policy: s.opts.WebhookPolicy, Endpoints: s.opts.Webhooks, Log: s.store, Render: httpapi.FeedItem, Changed: s.feed.next,
		Logger: s.opts.Logger, Now: s.opts.Now,
	})
}

// webhooks shows the dispatcher to the HTTP API.
type webhooks struct{ *webhook.Dispatcher }

var _ httpapi.Webhooks = webhooks{}

// Endpoints implements [httpapi.Webhooks].
func (w webhooks) Endpoints() []httpapi.Webhook {
	var out []httpapi.Webhook
	for _, st := range w.Statuses() {
		h := httpapi.Webhook{Name: st.Name, URL: st.URL, Sessions: st.Sessions, Disabled: st.Disabled, Failing: st.Failing,
			Place: st.Place, Behind: st.Behind, Delivered: st.Delivered, Failed: st.Failed, Error: st.Error}
		for _, t := range st.Events {
			h.Events = append(h.Events, string(t))
		}
		out = append(out, h)
	}
	return out
}

// Letters implements [httpapi.Webhooks].
func (w webhooks) Letters(ctx context.Context, endpoint, after string, limit int) ([]httpapi.WebhookLetter, error) {
	letters, err := w.Dispatcher.Letters(ctx, endpoint, after, limit)
	out := make([]httpapi.WebhookLetter, len(letters))
	for i, l := range letters {
		out[i] = httpapi.WebhookLetter{ID: l.ID, Type: string(l.Type), Session: l.Session, Event: jsontext.Value(l.Event),
			Attempts: l.Attempts, At: time.UnixMilli(l.At), Died: time.UnixMilli(l.Died), Error: l.Error, Again: l.Again}
	}
	return out, err
}
