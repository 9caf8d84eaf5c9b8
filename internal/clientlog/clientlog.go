// Package clientlog reads the logs that clients send of themselves: what their connection went through, for whoever has to
// find out why it did. They come from strangers' machines: everything is bounded, and what looks like a credential is
// taken out before anybody sees it.
package clientlog

import (
	stdjson "encoding/json"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/text"
)

// Limits of a report. Larger ones are [holdfast.CodeTooLarge].
const (
	// MaxBody is how large it may be, in bytes.
	MaxBody = 64 << 10
	// MaxRecords is how many records it may have.
	MaxRecords = 500
	// maxName is how long the name of an event may be, and maxAgent what is kept of the client's name, in bytes.
	maxName, maxAgent = 64, 128
)

// Reason is why a client sends its log.
type Reason string

// The reasons, a closed set.
const (
	// Asked: the server asked for it.
	Asked Reason = "asked"
	// Error: something went wrong in the client.
	Error Reason = "error"
	// User: its user wants it to be looked at.
	User Reason = "user"
)

// Report is the log of one client.
type Report struct {
	// User is who the token names; the rest is the client's word.
	User   holdfast.UserID
	Client holdfast.ClientID
	Reason Reason
	Agent  string
	// Sent is when it was sent, by the client's clock, and Received when it came, by the server's: what lies between the two
	// lies between all other times of the report and the server's too.
	Sent, Received time.Time
	Records        []Record
}

// Record is one event in a client.
type Record struct {
	At    time.Time
	Event string
	// Data is the whole record, a JSON object.
	Data stdjson.RawMessage
}

// Parse reads a report, and the token that it came with. The report has no user yet, and no time of receipt. Errors are
// [holdfast.CodeInvalid] or [holdfast.CodeTooLarge], and hold nothing of it.
func Parse(body []byte) (r Report, token string, err error) {
	var in struct {
		Token  string            `json:"token"`
		Client holdfast.ClientID `json:"client"`
		Reason Reason            `json:"reason"`
		Agent  string            `json:"agent"`
		Now    int64             `json:"now"`
		Log    []jsontext.Value  `json:"log"`
	}
	if len(body) > MaxBody {
		return r, "", holdfast.Errorf(holdfast.CodeTooLarge, "the report is larger than %d bytes; send less of the log", MaxBody)
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return r, "", holdfast.Wrap(holdfast.CodeInvalid, err, "the report is not JSON of the form that reports have")
	}
	if err := in.Client.Validate(); err != nil {
		return r, "", err
	}
	if in.Reason != Asked && in.Reason != Error && in.Reason != User {
		return r, "", holdfast.Errorf(holdfast.CodeInvalid, "the reason of a report is asked, error or user")
	}
	if len(in.Log) > MaxRecords {
		return r, "", holdfast.Errorf(holdfast.CodeTooLarge, "the report has %d records, at most %d are allowed", len(in.Log), MaxRecords)
	}
	r = Report{Client: in.Client, Reason: in.Reason, Agent: text.Clip(in.Agent, maxAgent), Sent: time.UnixMilli(in.Now)}
	for i, v := range in.Log {
		rec, err := parseRecord(v, in.Token)
		if err != nil {
			return r, "", holdfast.Wrap(holdfast.CodeInvalid, err, "record %d of the report is not an object with a time at and a name e", i)
		}
		r.Records = append(r.Records, rec)
	}
	return r, in.Token, nil
}

func parseRecord(v jsontext.Value, token string) (Record, error) {
	var in struct {
		At    *float64 `json:"at"`
		Event string   `json:"e"`
	}
	if err := json.Unmarshal(v, &in); err != nil {
		return Record{}, err
	}
	if in.At == nil || in.Event == "" || len(in.Event) > maxName {
		return Record{}, holdfast.Errorf(holdfast.CodeInvalid, "at or e is missing or too long")
	}
	data, err := redact(v, token)
	return Record{At: time.UnixMicro(int64(*in.At * 1000)), Event: in.Event, Data: data}, err
}
