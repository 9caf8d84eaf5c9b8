package httpapi

import (
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// runObject is a run without its contents.
type runObject struct {
	Run       holdfast.Offset     `json:"run"`
	ID        string              `json:"id,omitzero"`
	Status    holdfast.RunStatus  `json:"status"`
	Fence     holdfast.Fence      `json:"fence"`
	Fragments holdfast.FragmentNo `json:"fragments"`
	Bytes     int64               `json:"bytes"`
	TextBytes int64               `json:"textBytes"`
	At        int64               `json:"at"`
	Changed   int64               `json:"changed"`
	Answers   holdfast.Offset     `json:"answers,omitzero"`
	Stop      *stopObject         `json:"stop,omitzero"`
	Rollup    int64               `json:"rollup,omitzero"`
}

func runOf(r *holdfast.RunInfo) runObject {
	return runObject{
		Run: r.Run, ID: r.ID, Status: r.Status, Fence: r.Fence, Fragments: r.Fragments, Bytes: r.Bytes,
		TextBytes: r.TextBytes, At: r.At.UnixMilli(), Changed: r.Changed.UnixMilli(), Answers: r.Answers,
		Stop: stopOf(&r.Stop), Rollup: r.Rollup.Milliseconds(),
	}
}

type runInput struct {
	ID       string         `json:"id"`
	Data     jsontext.Value `json:"data"`
	TakeOver bool           `json:"takeOver"`
	Answers  uint64         `json:"answers"`
	Rollup   uint64         `json:"rollup"`
}

type runAnswer struct {
	Epoch     holdfast.Epoch `json:"epoch"`
	Duplicate bool           `json:"duplicate,omitzero"`
	runObject `json:",embed"`
}

func (a *api) postRun(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var in runInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	id, err := oneID(in.ID, key)
	if err != nil {
		return err
	}
	if in.TakeOver && id == "" {
		return holdfast.Errorf(holdfast.CodeInvalid, "takeOver needs the id that the run was opened with")
	}
	if in.Answers > maxNumber {
		return holdfast.Errorf(holdfast.CodeInvalid, "/answers must be the offset of a message, at most %d", maxNumber)
	}
	if in.Rollup > maxRollup {
		return holdfast.Errorf(holdfast.CodeInvalid, "/rollup must be a number of milliseconds from 0 to %d", maxRollup)
	}
	data, err := compact(in.Data)
	if err != nil {
		return err
	}
	entry := driver.NewEntry{Kind: holdfast.KindRun, ID: id, Data: data}
	res, err := a.apply(c, driver.OpenRunOp{
		Entry: entry, TakeOver: in.TakeOver, Answers: holdfast.Offset(in.Answers), Rollup: milliseconds(in.Rollup),
	})
	if err != nil {
		return err
	}
	out := runAnswer{Epoch: res.Epoch, Duplicate: res.Entries[0].Duplicate, runObject: runOf(&res.Run)}
	return c.answer(createdUnless(out.Duplicate), out)
}

func createdUnless(duplicate bool) int {
	if duplicate {
		return http.StatusOK
	}
	return http.StatusCreated
}

// maxRollup is the largest rollup, in milliseconds.
const maxRollup = uint64(holdfast.MaxRollup / time.Millisecond)

func milliseconds(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }

type fragmentInput struct {
	Part  string         `json:"part"`
	Text  string         `json:"text"`
	Event jsontext.Value `json:"event"`
}

type fragmentsInput struct {
	Fence     *uint64          `json:"fence"`
	After     *uint64          `json:"after"`
	Fragments *[]fragmentInput `json:"fragments"`
}

type fragmentsAnswer struct {
	// Fragments is how many the run has now.
	Fragments holdfast.FragmentNo `json:"fragments"`
	Repeated  int                 `json:"repeated"`
}

func (a *api) postFragments(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	run, err := runOffset(c)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(c.r)
	if err != nil {
		return err
	}
	var in fragmentsInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	if key != "" && in.After == nil {
		return holdfast.Errorf(holdfast.CodeInvalid, "fragments are not known by an Idempotency-Key: send after, the number of "+
			"the fragment before these, and repeating the request writes nothing twice")
	}
	op, err := in.op(run, a.Limits.Batch)
	if err != nil {
		return err
	}
	res, err := a.apply(c, op)
	if err != nil {
		return err
	}
	if len(op.Fragments) == 0 && a.Leases != nil {
		// A heartbeat: the producer lives, and is still the run's, or apply would have said so.
		_, release := a.Leases.Hold(c.session, run, op.Fence)
		release()
	}
	return c.answer(http.StatusOK, fragmentsAnswer{res.Run.Fragments, res.Repeated})
}

func (in *fragmentsInput) op(run holdfast.Offset, most int) (driver.AppendFragments, error) {
	op := driver.AppendFragments{Run: run, After: driver.AnyFragment}
	fence, err := requiredFence(in.Fence)
	if err != nil {
		return op, err
	}
	op.Fence = fence
	if in.After != nil {
		if *in.After > maxNumber {
			return op, holdfast.Errorf(holdfast.CodeInvalid, "/after must be a whole number from 0 to %d", maxNumber)
		}
		op.After = int64(*in.After)
	}
	switch {
	case in.Fragments == nil:
		return op, holdfast.Errorf(holdfast.CodeInvalid, "/fragments is missing; send [] to only renew the lease")
	case len(*in.Fragments) > most:
		return op, holdfast.Errorf(holdfast.CodeTooLarge, "there are %d fragments, at most %d are allowed at a time",
			len(*in.Fragments), most)
	}
	for i, f := range *in.Fragments {
		event, err := compact(f.Event)
		if err != nil {
			return op, err
		}
		fragment := holdfast.Fragment{Part: f.Part, Text: f.Text, Event: event}
		if err := fragment.Validate(); err != nil {
			return op, holdfast.Wrap(holdfast.CodeInvalid, err, "/fragments/%d: %s", i, holdfast.MessageOf(err))
		}
		op.Fragments = append(op.Fragments, fragment)
	}
	return op, nil
}

func requiredFence(f *uint64) (holdfast.Fence, error) {
	if f == nil {
		return 0, holdfast.Errorf(holdfast.CodeInvalid, "/fence is missing; the answer that opened the run has it")
	}
	return holdfast.Fence(*f), nil
}

type endInput struct {
	Fence  *uint64            `json:"fence"`
	Status holdfast.RunStatus `json:"status"`
	Data   jsontext.Value     `json:"data"`
}

func (a *api) postEnd(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	run, err := runOffset(c)
	if err != nil {
		return err
	}
	var in endInput
	if err := a.readJSON(c, &in); err != nil {
		return err
	}
	fence, err := requiredFence(in.Fence)
	if err != nil {
		return err
	}
	if !in.Status.Ended() {
		return holdfast.Errorf(holdfast.CodeInvalid, "/status must be complete, failed, stopped or interrupted")
	}
	data, err := compact(in.Data)
	if err != nil {
		return err
	}
	res, err := a.apply(c, driver.EndRun{Run: run, Fence: fence, Status: in.Status, Data: data})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, runOf(&res.Run))
}

// contentsAnswer is a run with its fragments, or those after one.
type contentsAnswer struct {
	Run       holdfast.Offset     `json:"run"`
	ID        string              `json:"id,omitzero"`
	At        int64               `json:"at"`
	Data      jsontext.Value      `json:"data,omitzero"`
	Status    holdfast.RunStatus  `json:"status"`
	Fence     holdfast.Fence      `json:"fence"`
	Fragments holdfast.FragmentNo `json:"fragments"`
	After     holdfast.FragmentNo `json:"after"`
	Body      []segmentObject     `json:"body"`
	End       jsontext.Value      `json:"end,omitzero"`
	Answers   holdfast.Offset     `json:"answers,omitzero"`
	Stop      *stopObject         `json:"stop,omitzero"`
	Rollup    int64               `json:"rollup,omitzero"`
}

func (a *api) getRun(c *call) error {
	q := readQuery(c, "after")
	after := holdfast.FragmentNo(q.number("after", 0, maxNumber))
	if q.err != nil {
		return q.err
	}
	run, err := runOffset(c)
	if err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	e, err := a.Log.Run(ctx, c.session, run, after)
	if err != nil {
		return err
	}
	if after > e.Run.Fragments {
		return holdfast.Errorf(holdfast.CodeLost, "the run has %d fragments, fewer than %d: it is not the one that you read; "+
			"read it from the start", e.Run.Fragments, after)
	}
	out := contentsAnswer{
		Run: e.Offset, ID: e.ID, At: e.At.UnixMilli(), Data: jsontext.Value(e.Data), Status: e.Run.Status, Fence: e.Run.Fence,
		Fragments: e.Run.Fragments, After: after, Body: segmentsOf(e.Run.Body), End: jsontext.Value(e.Run.End),
		Answers: e.Run.Answers, Stop: stopOf(&e.Run.Stop), Rollup: e.Run.Rollup.Milliseconds(),
	}
	return c.answer(http.StatusOK, out)
}
