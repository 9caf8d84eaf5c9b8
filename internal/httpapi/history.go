package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// entryObject is an entry as it is read.
type entryObject struct {
	Offset holdfast.Offset `json:"offset"`
	// First is there where states that stood before the entry were compacted away: it covers First to Offset.
	First    holdfast.Offset   `json:"first,omitzero"`
	Position string            `json:"position,omitzero"`
	Kind     holdfast.Kind     `json:"kind"`
	ID       string            `json:"id,omitzero"`
	User     holdfast.UserID   `json:"user,omitzero"`
	Client   holdfast.ClientID `json:"client,omitzero"`
	At       int64             `json:"at"`
	Key      string            `json:"key,omitzero"`
	Data     jsontext.Value    `json:"data,omitzero"`
	Run      *runContents      `json:"run,omitzero"`
}

type runContents struct {
	Status    holdfast.RunStatus  `json:"status"`
	Fragments holdfast.FragmentNo `json:"fragments"`
	// Body is nil where the run is told of without it, and then left out.
	Body []segmentObject `json:"body,omitzero"`
	End  jsontext.Value  `json:"end,omitzero"`
	// Answers is the offset of the message that the run answers.
	Answers holdfast.Offset `json:"answers,omitzero"`
	Stop    *stopObject     `json:"stop,omitzero"`
}

// segmentObject is a stretch of text of one part, or one event.
type segmentObject struct {
	Part  string         `json:"part,omitzero"`
	Text  string         `json:"text,omitzero"`
	Event jsontext.Value `json:"event,omitzero"`
}

// entryOf renders an entry; with an epoch, it gets its position.
func entryOf(epoch holdfast.Epoch, e *holdfast.Entry) entryObject {
	out := entryObject{
		Offset: e.Offset, Kind: e.Kind, ID: e.ID, User: e.From.User, Client: e.From.Client, At: e.At.UnixMilli(), Key: e.Key,
		Data: jsontext.Value(e.Data),
	}
	if e.First != 0 && e.First != e.Offset {
		out.First = e.First
	}
	if epoch != "" {
		out.Position = holdfast.Position{Epoch: epoch, Offset: e.Offset, Tag: e.Tag}.String()
	}
	if e.Run != nil {
		out.Run = &runContents{e.Run.Status, e.Run.Fragments, segmentsOf(e.Run.Body), jsontext.Value(e.Run.End), e.Run.Answers,
			stopOf(&e.Run.Stop)}
	}
	return out
}

func segmentsOf(b holdfast.Body) []segmentObject {
	out := make([]segmentObject, 0, len(b))
	for _, s := range b {
		out = append(out, segmentObject{s.Part, s.Text, jsontext.Value(s.Event)})
	}
	return out
}

type historyAnswer struct {
	Epoch   holdfast.Epoch  `json:"epoch"`
	First   holdfast.Offset `json:"first"`
	Head    holdfast.Offset `json:"head"`
	Entries []entryObject   `json:"entries"`
	More    bool            `json:"more"`
	// Next is what to send as after, or as before if the request had it, to go on.
	Next string `json:"next,omitzero"`
}

// place is where a reader stands: a bare offset, or a position, which says of which log it is.
type place struct {
	offset   holdfast.Offset
	position *holdfast.Position
}

// place reads a parameter that is an offset or a position.
func (q *query) place(name string) place {
	s := q.str(name)
	if !q.has(name) {
		return place{}
	}
	if strings.Contains(s, ".") {
		p, err := holdfast.ParsePosition(s)
		if err != nil || p.Offset > maxNumber {
			q.fail("the query parameter %s is not a position; send one that the server gave, unchanged", name)
			return place{}
		}
		return place{p.Offset, &p}
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxNumber {
		q.fail("the query parameter %s must be an offset, a whole number, or a position that the server gave", name)
	}
	return place{offset: holdfast.Offset(n)}
}

// readPlaces reads after and before; before=end stands behind the newest entry.
func (q *query) readPlaces() (after, before place) {
	after = q.place("after")
	if q.str("before") == "end" {
		return after, place{offset: maxNumber}
	}
	before = q.place("before")
	if q.has("before") && before.offset == 0 {
		q.fail("there is nothing before offset 0; the query parameter before must be from 1 on, or end")
	}
	return after, before
}

func (a *api) getEntries(c *call) error {
	q := readQuery(c, "after", "before", "limit")
	after, before := q.readPlaces()
	limit := q.limit(a.Limits.Page)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	page, err := a.Log.Read(ctx, c.session, driver.Query{After: after.offset, Before: before.offset, Limit: limit})
	if err != nil {
		return err
	}
	// After the read: a log that is replaced between the two is then found out here, not read by mistake.
	if err := a.checkPlaces(ctx, c.session, &page.Info, after, before); err != nil {
		return err
	}
	out := historyAnswer{Epoch: page.Info.Epoch, First: page.Info.First, Head: page.Info.Head, More: page.More,
		Entries: []entryObject{}}
	for i := range page.Entries {
		out.Entries = append(out.Entries, entryOf(page.Info.Epoch, &page.Entries[i]))
	}
	switch n := len(out.Entries); {
	case before.offset == 0 && n > 0:
		out.Next = out.Entries[n-1].Position
	case before.offset == 0:
		out.Next = q.str("after")
	case page.More && n > 0:
		out.Next = out.Entries[0].Position
	}
	return c.answer(http.StatusOK, out)
}

// checkPlaces makes sure that what was read continues what the caller has: never a part presented as the whole.
func (a *api) checkPlaces(ctx context.Context, s holdfast.SessionID, info *driver.Info, after, before place) error {
	for _, p := range []place{after, before} {
		if p.position == nil {
			continue
		}
		if err := a.checkPosition(ctx, s, info, *p.position); err != nil {
			return err
		}
	}
	switch {
	case after.offset > info.Head:
		return holdfast.Errorf(holdfast.CodeLost, "offset %d is past the head, %d: this is not the log that you read; read it "+
			"from the start", after.offset, info.Head)
	case after.offset > 0 && before.offset == 0 && after.offset+1 < info.First:
		return holdfast.Errorf(holdfast.CodeLost, "entries after offset %d have been dropped, up to %d; read from the start",
			after.offset, info.First-1)
	}
	return nil
}

func (a *api) checkPosition(ctx context.Context, s holdfast.SessionID, info *driver.Info, p holdfast.Position) error {
	if p.Epoch != info.Epoch {
		return holdfast.Errorf(holdfast.CodeLost, "the position is of another log of this session, which was deleted or lost; "+
			"read from the start")
	}
	if p.Offset == 0 {
		return nil
	}
	tag, found, err := a.Log.TagAt(ctx, s, p.Offset)
	switch {
	case err != nil:
		return err
	case found && tag == p.Tag:
		return nil
	case !found && p.Offset <= info.Head && p.Offset < info.First:
		return nil // retention has dropped the record, and with it the tag; what is missing is found by its offset
	}
	return holdfast.Errorf(holdfast.CodeLost, "another record stands at the position now: the log has lost its end and grown "+
		"anew; read from the start")
}
