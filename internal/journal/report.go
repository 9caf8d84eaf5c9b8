package journal

import (
	"bytes"
	"encoding/json"

	"github.com/holdfast/holdfast/internal/clientlog"
)

// told is the data of a record that a client sent: what it said, as it said it.
type told struct{ json.RawMessage }

// AddReport takes the log that a client sent of itself, on the server's clock. A client sends its latest records each time, so
// those that an earlier report brought are left out.
func (j *Journal) AddReport(r *clientlog.Report) {
	if j == nil {
		return
	}
	off := r.Received.Sub(r.Sent)
	known := j.Find(Query{User: r.User, Client: r.Client, Limit: len(j.ring)})
	for _, c := range r.Records {
		if !has(known, c) {
			j.Add(Record{At: c.At.Add(off), Source: Client, Event: c.Event, User: r.User, Client: r.Client, Data: told{c.Data}})
		}
	}
}

// has compares what the client said, its own time included: the offset of its clock differs from report to report.
func has(known []Record, c clientlog.Record) bool {
	for i := range known {
		if t, ok := known[i].Data.(told); ok && known[i].Event == c.Event && bytes.Equal(t.RawMessage, c.Data) {
			return true
		}
	}
	return false
}
