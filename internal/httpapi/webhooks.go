package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
)

// Webhooks are the receivers that events are delivered to. Where an endpoint or a letter is not there, the error is
// [holdfast.CodeNotFound].
type Webhooks interface {
	// Endpoints describes all of them.
	Endpoints() []Webhook
	// Letters lists an endpoint's dead letters after an id. They may be fewer than limit although more follow.
	Letters(ctx context.Context, endpoint, after string, limit int) ([]WebhookLetter, error)
	// DropLetter removes a dead letter for good.
	DropLetter(ctx context.Context, endpoint, id string) error
	// ReplayLetters has dead letters sent again, all of them if there are no ids, and returns how many.
	ReplayLetters(ctx context.Context, endpoint string, ids []string) (int, error)
	// Replay has everything sent again that the feed has after a cursor and that is not older than since.
	Replay(ctx context.Context, endpoint, after string, since time.Time) error
	// Enable lets an endpoint that was disabled have events again.
	Enable(ctx context.Context, endpoint string) error
}

// Webhook is how an endpoint stands.
type Webhook struct {
	Name, URL        string
	Events, Sessions []string
	// Disabled says why nothing is sent; "" if it is. Failing: the receiver as a whole does not answer.
	Disabled string
	Failing  bool
	// Place is the cursor up to which all is done with but for the sessions that are behind; Behind counts those.
	Place  string
	Behind int
	// Delivered and Failed are when that last happened, zero if it did not since the server started. Error says how.
	Delivered, Failed time.Time
	Error             string
}

// WebhookLetter is an event that was given up.
type WebhookLetter struct {
	ID, Type string
	Session  holdfast.SessionID
	// Event is the CloudEvent as it was sent.
	Event    jsontext.Value
	Attempts int
	At, Died time.Time
	Error    string
	// Again: it is about to be sent again.
	Again bool
}

// noWebhooks is a server without any.
type noWebhooks struct{}

func (noWebhooks) Endpoints() []Webhook { return nil }
func (noWebhooks) Letters(context.Context, string, string, int) ([]WebhookLetter, error) {
	return nil, noEndpoint()
}
func (noWebhooks) DropLetter(context.Context, string, string) error { return noEndpoint() }
func (noWebhooks) ReplayLetters(context.Context, string, []string) (int, error) {
	return 0, noEndpoint()
}
func (noWebhooks) Replay(context.Context, string, string, time.Time) error { return noEndpoint() }
func (noWebhooks) Enable(context.Context, string) error                    { return noEndpoint() }

func noEndpoint() error {
	return holdfast.Errorf(holdfast.CodeNotFound, "this server has no webhook endpoints")
}

type webhookObject struct {
	Name      string   `json:"name"`
	URL       string   `json:"url"`
	Events    []string `json:"events"`
	Sessions  []string `json:"sessions"`
	State     string   `json:"state"`
	Reason    string   `json:"reason,omitzero"`
	Place     string   `json:"place"`
	Behind    int      `json:"behind"`
	Delivered int64    `json:"delivered,omitzero"`
	Failed    int64    `json:"failed,omitzero"`
	Error     string   `json:"error,omitzero"`
}

type webhooksAnswer struct {
	Webhooks []webhookObject `json:"webhooks"`
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func webhookOf(w *Webhook) webhookObject {
	out := webhookObject{Name: w.Name, URL: w.URL, Events: append([]string{}, w.Events...), Sessions: append([]string{}, w.Sessions...),
		State: "active", Reason: w.Disabled, Place: w.Place, Behind: w.Behind, Delivered: millis(w.Delivered), Failed: millis(w.Failed),
		Error: w.Error}
	switch {
	case w.Disabled != "":
		out.State = "disabled"
	case w.Failing:
		out.State = "failing"
	}
	return out
}

func (a *api) getWebhooks(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	out := webhooksAnswer{Webhooks: []webhookObject{}}
	for _, w := range a.Webhooks.Endpoints() {
		out.Webhooks = append(out.Webhooks, webhookOf(&w))
	}
	return c.answer(http.StatusOK, out)
}

type letterObject struct {
	ID       string             `json:"id"`
	Type     string             `json:"type"`
	Session  holdfast.SessionID `json:"session"`
	Attempts int                `json:"attempts"`
	At       int64              `json:"at"`
	Died     int64              `json:"died"`
	Error    string             `json:"error"`
	Again    bool               `json:"again,omitzero"`
	Event    jsontext.Value     `json:"event,omitzero"`
}

type lettersAnswer struct {
	Letters []letterObject `json:"letters"`
	// Next is there if there may be more.
	Next string `json:"next,omitzero"`
}

func (a *api) getLetters(c *call) error {
	q := readQuery(c, "after", "limit")
	limit := q.limit(a.Limits.Page)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	letters, err := a.Webhooks.Letters(ctx, c.r.PathValue("endpoint"), q.str("after"), limit)
	if err != nil {
		return err
	}
	out := lettersAnswer{Letters: []letterObject{}}
	for _, l := range letters {
		out.Letters = append(out.Letters, letterObject{ID: l.ID, Type: l.Type, Session: l.Session, Attempts: l.Attempts,
			At: l.At.UnixMilli(), Died: l.Died.UnixMilli(), Error: l.Error, Again: l.Again, Event: l.Event})
		out.Next = l.ID
	}
	return c.answer(http.StatusOK, out)
}

func (a *api) deleteLetter(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	if err := a.Webhooks.DropLetter(ctx, c.r.PathValue("endpoint"), c.r.PathValue("letter")); err != nil {
		return err
	}
	c.wrote = true
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// replayInput has one member: what is to be sent again.
type replayInput struct {
	Letters    *[]string `json:"letters"`
	AllLetters bool      `json:"allLetters"`
	After      *string   `json:"after"`
	Since      *int64    `json:"since"`
}

func (in *replayInput) validate(most int) error {
	given := 0
	for _, there := range []bool{in.Letters != nil, in.AllLetters, in.After != nil, in.Since != nil} {
		if there {
			given++
		}
	}
	switch {
	case given != 1:
		return holdfast.Errorf(holdfast.CodeInvalid, "the body has one member: letters (ids), allLetters (true), after (a cursor of the "+
			"feed) or since (Unix time in milliseconds)")
	case in.Letters != nil && (len(*in.Letters) == 0 || len(*in.Letters) > most):
		return holdfast.Errorf(holdfast.CodeInvalid, "/letters has %d ids; 1 to %d are allowed", len(*in.Letters), most)
	case in.Since != nil && (*in.Since < 0 || *in.Since > maxNumber):
		return holdfast.Errorf(holdfast.CodeInvalid, "/since must be a Unix time in milliseconds")
	}
	return nil
}

type replayAnswer struct {
	// Letters is how many dead letters are sent again.
	Letters int `json:"letters"`
}

func (a *api) postReplay(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	var in replayInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	if err := in.validate(a.Limits.Batch); err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	endpoint := c.r.PathValue("endpoint")
	var out replayAnswer
	var err error
	switch {
	case in.AllLetters:
		out.Letters, err = a.Webhooks.ReplayLetters(ctx, endpoint, nil)
	case in.Letters != nil:
		out.Letters, err = a.Webhooks.ReplayLetters(ctx, endpoint, *in.Letters)
	case in.After != nil:
		err = a.Webhooks.Replay(ctx, endpoint, *in.After, time.Time{})
	default:
		err = a.Webhooks.Replay(ctx, endpoint, "", time.UnixMilli(*in.Since))
	}
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
}

func (a *api) postEnable(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	if err := a.Webhooks.Enable(ctx, c.r.PathValue("endpoint")); err != nil {
		return err
	}
	c.wrote = true
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
