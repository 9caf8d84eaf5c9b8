package httpapi

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// stopObject is the stop of a run.
type stopObject struct {
	ID     string             `json:"id"`
	State  holdfast.StopState `json:"state"`
	User   holdfast.UserID    `json:"user,omitzero"`
	Client holdfast.ClientID  `json:"client,omitzero"`
	At     int64              `json:"at"`
}

// stopOf returns nil for no stop.
func stopOf(s *holdfast.Stop) *stopObject {
	if s.State == "" {
		return nil
	}
	return &stopObject{s.ID, s.State, s.From.User, s.From.Client, s.At.UnixMilli()}
}

// stopInfo is a stop and what it is to stop.
type stopInfo struct {
	stopObject `json:",embed"`
	Run        holdfast.Offset `json:"run,omitzero"`
	Answers    holdfast.Offset `json:"answers,omitzero"`
}

func stopInfoOf(s *driver.StopInfo) stopInfo {
	return stopInfo{stopObject: *stopOf(&s.Stop), Run: s.Run, Answers: s.Answers}
}

type stopInput struct {
	ID      string          `json:"id"`
	User    holdfast.UserID `json:"user"`
	Run     uint64          `json:"run"`
	Answers uint64          `json:"answers"`
}

type stopAnswer struct {
	Epoch     holdfast.Epoch  `json:"epoch"`
	Offset    holdfast.Offset `json:"offset"`
	Duplicate bool            `json:"duplicate,omitzero"`
	stopInfo  `json:",embed"`
}

func (a *api) postStop(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var in stopInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	id, err := oneID(in.ID, key)
	if err != nil {
		return err
	}
	if id == "" {
		id = "stop-" + strings.ToLower(rand.Text())
	}
	if (in.Run == 0) == (in.Answers == 0) || in.Run > maxNumber || in.Answers > maxNumber {
		return holdfast.Errorf(holdfast.CodeInvalid, "the body needs /run, a run's offset, or /answers, the offset of the message "+
			"whose answer is to be stopped, one of them")
	}
	if in.User != "" {
		if err := in.User.Validate(); err != nil {
			return err
		}
	}
	res, err := a.apply(c, driver.RequestStop{ID: id, From: holdfast.Sender{User: in.User}, Run: holdfast.Offset(in.Run),
		Answers: holdfast.Offset(in.Answers)})
	if err != nil {
		return err
	}
	w := &res.Entries[0]
	return c.answer(createdUnless(w.Duplicate), stopAnswer{res.Epoch, w.Offset, w.Duplicate, stopInfoOf(&res.Stop)})
}

func (a *api) getStop(c *call) error {
	q := readQuery(c, "user")
	user := holdfast.UserID(q.str("user"))
	if q.err != nil {
		return q.err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	s, err := a.Log.Stop(ctx, c.session, user, c.r.PathValue("stop"))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, stopInfoOf(&s))
}
