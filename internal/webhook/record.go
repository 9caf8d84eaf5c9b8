package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/webhook/schedule"
)

// place is how far an endpoint has come; one record, so that all of it changes at once.
type place struct {
	// At is the cursor of [schedule.Table.Place].
	At string `json:"at"`
	// Since leaves out events that are older, in Unix milliseconds.
	Since int64 `json:"since"`
	// Round numbers the times that the endpoint was sent back in the feed. Lanes of other rounds mean nothing.
	Round int `json:"round"`
	// Disabled says why nothing is sent any more; "" if it is.
	Disabled string `json:"disabled,omitzero"`
}

// laneRecord is a stored lane.
type laneRecord struct {
	Round    int                `json:"round"`
	Session  holdfast.SessionID `json:"session"`
	After    string             `json:"after"`
	Seen     string             `json:"seen"`
	Fails    int                `json:"fails"`
	Attempts int                `json:"attempts"`
	Due      int64              `json:"due"`
	Unwell   bool               `json:"unwell"`
}

// Letter is an event that was given up.
type Letter struct {
	ID      string             `json:"id"`
	Type    Type               `json:"type"`
	Session holdfast.SessionID `json:"session"`
	Cursor  string             `json:"cursor"`
	// Event is what is posted.
	Event string `json:"event"`
	// Attempts is how often it was tried, At when it happened, Died when it was given up, both in Unix milliseconds.
	Attempts int   `json:"attempts"`
	At       int64 `json:"at"`
	Died     int64 `json:"died"`
	// Error is how the last attempt ended, for people.
	Error string `json:"error"`
	// Trace is the traceparent header that it is sent with, if there is one.
	Trace string `json:"trace,omitzero"`
	// Again: it is about to be sent again, because somebody asked for it.
	Again bool `json:"again"`
}

func (e *Endpoint) prefix() string    { return "webhook/" + e.Name + "/" }
func (e *Endpoint) placeName() string { return e.prefix() + "place" }
func (e *Endpoint) lanes() string     { return e.prefix() + "lane/" }
func (e *Endpoint) letters() string   { return e.prefix() + "dead/" }

// laneName is under what a session's lane is stored. Ids of sessions may be too long to be part of a name.
func (e *Endpoint) laneName(s holdfast.SessionID) string {
	sum := sha256.Sum256([]byte(s))
	return e.lanes() + hex.EncodeToString(sum[:16])
}

func (e *Endpoint) letterName(id string) string { return e.letters() + id }

// put stores a value as JSON.
func (d *Dispatcher) put(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return d.opts.Log.SetConsumer(ctx, name, string(text))
}

func (d *Dispatcher) remove(ctx context.Context, name string) error {
	return d.opts.Log.SetConsumer(ctx, name, "")
}

// each calls fn with each stored value under a prefix.
func (d *Dispatcher) each(ctx context.Context, prefix string, fn func(name, value string) error) error {
	after := ""
	for {
		page, err := d.opts.Log.Consumers(ctx, prefix, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, c := range page {
			after = c.Name
			if err := fn(c.Name, c.Value); err != nil {
				return err
			}
		}
	}
}

func (r *laneRecord) lane() schedule.Record {
	return schedule.Record{Session: r.Session, After: r.After, Seen: r.Seen, Fails: r.Fails, Attempts: r.Attempts,
		Due: time.UnixMilli(r.Due), Unwell: r.Unwell}
}

func recordOf(r *schedule.Record, round int) laneRecord {
	return laneRecord{round, r.Session, r.After, r.Seen, r.Fails, r.Attempts, r.Due.UnixMilli(), r.Unwell}
}
