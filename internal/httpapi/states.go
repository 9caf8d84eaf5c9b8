package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

type stateAnswer struct {
	Epoch     holdfast.Epoch  `json:"epoch"`
	Offset    holdfast.Offset `json:"offset"`
	Position  string          `json:"position"`
	At        int64           `json:"at"`
	Duplicate bool            `json:"duplicate,omitzero"`
}

type statesAnswer struct {
	States []entryObject `json:"states"`
}

func (a *api) putState(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	name := c.r.PathValue("key")
	if err := holdfast.ValidateKey("the state's key", name); err != nil {
		return err
	}
	id, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var value jsontext.Value
	if err := a.readJSON(c, &value); err != nil {
		return err
	}
	data, err := compact(value)
	if err != nil {
		return err
	}
	entry := driver.NewEntry{Kind: holdfast.KindState, ID: id, Key: name, Data: data}
	res, err := a.apply(c, driver.Append{Entries: []driver.NewEntry{entry}})
	if err != nil {
		return err
	}
	w := writtenOf(res.Epoch, &res.Entries[0])
	status := http.StatusCreated
	if w.Duplicate {
		status = http.StatusOK
	}
	return c.answer(status, stateAnswer{res.Epoch, w.Offset, w.Position, w.At, w.Duplicate})
}

func (a *api) getStates(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	entries, err := a.Log.States(ctx, c.session)
	if err != nil {
		return err
	}
	out := statesAnswer{States: []entryObject{}}
	for i := range entries {
		// Without positions: the epoch is not of the same moment as the states.
		out.States = append(out.States, entryOf("", &entries[i]))
	}
	return c.answer(http.StatusOK, out)
}
