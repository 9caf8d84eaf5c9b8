package webhook

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/store/driver"
)

// Type says what an event tells of. The set is closed, and grows.
type Type string

// The types of events.
const (
	// MessageCreated: a user sent a message.
	MessageCreated Type = "holdfast.message.created"
	// RunEnded: a run ended, whoever ended it: its producer, the server, or an operator.
	RunEnded Type = "holdfast.run.ended"
	// RequestOpened: somebody is asked, who may not be there.
	RequestOpened Type = "holdfast.request.opened"
	// RequestSettled: somebody has answered, nobody did in time, or no answer is needed any more.
	RequestSettled Type = "holdfast.request.settled"
	// StopRequested: somebody wants a run, or the answer to a message, to be stopped.
	StopRequested Type = "holdfast.stop.requested"
	// StopSettled: the stop has come to its outcome, which for one that comes too late is all that there is of it.
	StopSettled Type = "holdfast.stop.settled"
	// MemberJoined: a client reads the session that did not before. MemberAway: nobody looks at it any more. MemberBack: somebody does
	// again. MemberLeft: it is gone, and was not back in time.
	MemberJoined Type = "holdfast.member.joined"
	MemberAway   Type = "holdfast.member.away"
	MemberBack   Type = "holdfast.member.back"
	MemberLeft   Type = "holdfast.member.left"
)

// Types returns all types of events, in the order in which they are documented.
func Types() []Type {
	return append(DefaultTypes(), StopRequested, StopSettled, MemberJoined, MemberAway, MemberBack, MemberLeft)
}

// memberTypes are those of who is there.
var memberTypes = map[holdfast.MemberChange]Type{
	holdfast.MemberJoined: MemberJoined, holdfast.MemberAway: MemberAway, holdfast.MemberBack: MemberBack, holdfast.MemberLeft: MemberLeft,
}

// DefaultTypes returns the types that an endpoint gets which names none. It does not grow: a receiver that was written before a type
// was there is not sent it unasked.
func DefaultTypes() []Type { return []Type{MessageCreated, RunEnded, RequestOpened, RequestSettled} }

// typeOf returns the type of the event that an item of the feed is; false if it is none.
func typeOf(i *driver.FeedItem) (Type, bool) {
	switch {
	case i.End():
		return RunEnded, true
	case i.Entry.Kind == holdfast.KindMessage:
		return MessageCreated, true
	}
	if ev, ok := i.Entry.RequestEvent(); ok {
		if ev.State.Settled() {
			return RequestSettled, true
		}
		return RequestOpened, true
	}
	if ev, ok := i.Entry.StopEvent(); ok {
		if ev.State.Settled() {
			return StopSettled, true
		}
		return StopRequested, true
	}
	if ev, ok := i.Entry.MemberEvent(); ok {
		return memberTypes[ev.Change], true
	}
	return "", false
}

// envelope is a CloudEvent in the structured mode of the JSON format.
type envelope struct {
	SpecVersion     string             `json:"specversion"`
	ID              string             `json:"id"`
	Source          string             `json:"source"`
	Type            Type               `json:"type"`
	Subject         holdfast.SessionID `json:"subject"`
	Time            string             `json:"time"`
	DataContentType string             `json:"datacontenttype"`
	// TraceParent is an extension of CloudEvents, that for distributed tracing.
	TraceParent string         `json:"traceparent,omitzero"`
	Data        jsontext.Value `json:"data"`
}

const contentType = "application/cloudevents+json; charset=utf-8"

// event is what is posted.
type event struct {
	id      string
	typ     Type
	session holdfast.SessionID
	cursor  string
	at      time.Time
	body    []byte
	// trace is that of the request that led to it; none if it is not known.
	trace trace.Context
	// err: it could not be made, and never can.
	err error
}

// eventID is an event's id, the same however often it is sent: that of its place in the feed. It has no dot, because dots
// separate what is signed.
func eventID(cursor string) string { return strings.ReplaceAll(cursor, ".", "-") }

// event makes the event of an item. Its bytes are the same each time.
func (d *Dispatcher) event(i *driver.FeedItem) *event {
	typ, _ := typeOf(i)
	e := &event{id: eventID(i.Cursor), typ: typ, session: i.Session, cursor: i.Cursor, at: i.At()}
	e.trace, _ = trace.Parse(i.Trace)
	data, err := d.opts.Render(i)
	if err != nil {
		e.err = err
		return e
	}
	e.body, e.err = json.Marshal(&envelope{
		SpecVersion: "1.0", ID: e.id, Source: d.opts.Source, Type: typ, Subject: i.Session,
		Time: e.at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), DataContentType: "application/json",
		TraceParent: e.trace.String(), Data: data,
	})
	return e
}
