package holdfast

import (
	"bytes"
	"encoding/json"
	"time"
)

// RequestState is the life of a request: open, then exactly one of the outcomes.
type RequestState string

// The states of a request, a closed set.
const (
	// RequestOpen: it waits for somebody to answer it.
	RequestOpen RequestState = "open"
	// RequestAnswered: somebody did. The first answer counts.
	RequestAnswered RequestState = "answered"
	// RequestExpired: nobody did in time, and its default stands in for an answer.
	RequestExpired RequestState = "expired"
	// RequestWithdrawn: the backend needs no answer any more, or the run that it belongs to has ended.
	RequestWithdrawn RequestState = "withdrawn"
)

// Settled reports whether the state is one of the outcomes.
func (s RequestState) Settled() bool {
	switch s {
	case RequestAnswered, RequestExpired, RequestWithdrawn:
		return true
	}
	return false
}

// Request is a question of the backend that waits for a person: an approval, or a tool that runs in the page. What is asked, and
// what is answered, is in its events, see [RequestEvent]. The zero value is no request.
type Request struct {
	// Offset is where the event stands that opened it. It names the request.
	Offset Offset
	// ID is the backend's id of it, an idempotency key in the backend's scope.
	ID string
	// Run is the run that it belongs to, 0 for none. It is withdrawn when the run ends, unless Outlives is set.
	Run      Offset
	Outlives bool
	// To are the users who may answer. Empty: everybody who may send to the session.
	To []UserID
	// At is when it was opened, By until when it may be answered, by the clock of the server, in milliseconds.
	At, By time.Time
	State  RequestState

	// Settled is where the event stands that settled it, 0 while it is open; SettledAt is when that was.
	Settled   Offset
	SettledAt time.Time
	// From is whose answer counts: zero for one of the backend, for the deadline and for a withdrawal.
	From Sender
}

// MayAnswer reports whether a user is among those who are asked; the backend, which is no user, always is.
func (r *Request) MayAnswer(u UserID) bool {
	if u == "" || len(r.To) == 0 {
		return true
	}
	for _, to := range r.To {
		if to == u {
			return true
		}
	}
	return false
}

// RequestEvent is what the data of a request's event says, an entry of [KindEvent]. One opens the request, and its entry's offset
// names it; another one, written once, settles it.
type RequestEvent struct {
	// Offset is that of the event that opened the request; 0 in that event itself.
	Offset Offset       `json:"o,omitempty"`
	ID     string       `json:"id"`
	State  RequestState `json:"state"`

	// Of an event that opens: as in [Request]; By in Unix milliseconds. Default is the data that the deadline settles it with.
	Run      Offset          `json:"run,omitempty"`
	Outlives bool            `json:"outlives,omitempty"`
	To       []UserID        `json:"to,omitempty"`
	By       int64           `json:"by,omitempty"`
	Default  json.RawMessage `json:"default,omitempty"`

	// Of an event that settles: whose answer counts.
	User   UserID   `json:"u,omitempty"`
	Client ClientID `json:"c,omitempty"`

	// Data is what is asked, or what is answered.
	Data json.RawMessage `json:"data,omitempty"`
}

// requestPrefix begins the data of every request's event, and of no other that the server writes.
const requestPrefix = `{"request":{`

type requestData struct {
	Request RequestEvent `json:"request"`
}

// Marshal returns the event's data, without insignificant white space.
func (r *RequestEvent) Marshal() (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the application's JSON stays what it is
	if err := enc.Encode(requestData{*r}); err != nil {
		return nil, Wrap(CodeInvalid, err, "the data of a request is not valid JSON")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// RequestEvent returns what a request's event says; false if the entry is not one.
func (e *Entry) RequestEvent() (RequestEvent, bool) {
	if e.Kind != KindEvent || !bytes.HasPrefix(e.Data, []byte(requestPrefix)) {
		return RequestEvent{}, false
	}
	var d requestData
	if json.Unmarshal(e.Data, &d) != nil || d.Request.State != RequestOpen && !d.Request.State.Settled() {
		return RequestEvent{}, false
	}
	return d.Request, true
}
