package httpapi

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// entryInput is one entry as a backend sends it.
type entryInput struct {
	Data jsontext.Value `json:"data"`
	Kind holdfast.Kind  `json:"kind"`
	ID   string         `json:"id"`
}

// entriesInput is a single entry, or a list of them.
type entriesInput struct {
	Data    jsontext.Value `json:"data"`
	Kind    holdfast.Kind  `json:"kind"`
	ID      string         `json:"id"`
	Entries *[]entryInput  `json:"entries"`
	IfEpoch holdfast.Epoch `json:"ifEpoch"`
}

// writtenObject says where an entry stands.
type writtenObject struct {
	Offset    holdfast.Offset `json:"offset"`
	Position  string          `json:"position"`
	At        int64           `json:"at"`
	Duplicate bool            `json:"duplicate,omitzero"`
}

type entriesAnswer struct {
	Epoch   holdfast.Epoch  `json:"epoch"`
	Entries []writtenObject `json:"entries"`
}

func writtenOf(epoch holdfast.Epoch, w *driver.Written) writtenObject {
	p := holdfast.Position{Epoch: epoch, Offset: w.Offset, Tag: w.Tag}
	return writtenObject{w.Offset, p.String(), w.At.UnixMilli(), w.Duplicate}
}

// apply performs one operation on the call's session. Once begun it is not given up because the client left: the
// client could not tell what became of it.
func (a *api) apply(c *call, op driver.Op) (driver.Result, error) {
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	return a.Log.Apply(ctx, c.session, op)
}

func (a *api) postEntries(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var in entriesInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	entries, err := in.entries(key, a.Limits.Batch)
	if err != nil {
		return err
	}
	res, err := a.apply(c, driver.Append{Entries: entries, IfEpoch: in.IfEpoch})
	if err != nil {
		return err
	}
	out := entriesAnswer{Epoch: res.Epoch}
	status := http.StatusOK
	for i := range res.Entries {
		out.Entries = append(out.Entries, writtenOf(res.Epoch, &res.Entries[i]))
		if !res.Entries[i].Duplicate {
			status = http.StatusCreated
		}
	}
	return c.answer(status, out)
}

// entries returns what is to be written. In a list, an entry without an id of its own gets the header's key and its
// place in the list, so that repeating the same request repeats the same ids.
func (in *entriesInput) entries(key string, most int) ([]driver.NewEntry, error) {
	if in.Entries == nil {
		id, err := oneID(in.ID, key)
		if err != nil {
			return nil, err
		}
		e, err := (&entryInput{in.Data, in.Kind, id}).entry("")
		return []driver.NewEntry{e}, err
	}
	list := *in.Entries
	switch {
	case in.Data != nil || in.Kind != "" || in.ID != "":
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the body has entries and data, kind or id; send one entry or a list")
	case len(list) == 0:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "entries is empty; send at least one")
	case len(list) > most:
		return nil, holdfast.Errorf(holdfast.CodeTooLarge, "there are %d entries, at most %d are allowed at a time", len(list), most)
	}
	out := make([]driver.NewEntry, 0, len(list))
	for i := range list {
		place := "/entries/" + strconv.Itoa(i)
		if list[i].ID == "" && key != "" {
			list[i].ID = key + "#" + strconv.Itoa(i)
		}
		e, err := list[i].entry(place)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// entry checks one entry; place says where in the body it is, for errors.
func (in *entryInput) entry(place string) (driver.NewEntry, error) {
	var none driver.NewEntry
	data, err := compact(in.Data)
	switch {
	case err != nil:
		return none, err
	case data == nil:
		return none, holdfast.Errorf(holdfast.CodeInvalid, "%s/data is missing; it is what the entry says, as JSON", place)
	}
	kind := in.Kind
	switch kind {
	case "":
		kind = holdfast.KindMessage
	case holdfast.KindMessage, holdfast.KindEvent:
	default:
		return none, holdfast.Errorf(holdfast.CodeInvalid, "%s/kind is %q; message and event are written here, states by PUT "+
			"to states/{key}, runs by POST to runs", place, clip(string(kind)))
	}
	if in.ID != "" {
		if err := holdfast.ValidateKey(place+"/id", in.ID); err != nil {
			return none, err
		}
	}
	return driver.NewEntry{Kind: kind, ID: in.ID, Data: data}, nil
}
