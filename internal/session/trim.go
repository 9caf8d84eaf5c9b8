package session

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// trim drops what is below op.Before, states, open runs and open requests excepted: of the states that are there each is the latest
// of its key. It goes down to the first entry and not just to info.First, because a run or request that an
// earlier trim had to keep may have ended since.
func (a *applying) trim(op driver.Trim) error {
	if op.Before > a.info.Head+1 {
		return holdfast.Errorf(holdfast.CodeInvalid, "cannot trim before offset %d: the last entry is at %d", op.Before, a.info.Head)
	}
	if a.info.Epoch == "" {
		return nil
	}
	t := &Trimmed{Before: max(op.Before, a.info.First)}
	for s, err := range a.look.Below(op.Before) {
		if err != nil {
			return err
		}
		if _, open := a.run(s.Offset); open || s.Kind == holdfast.KindState || a.openRequestAt(s.Offset) >= 0 {
			continue
		}
		a.info.Entries--
		a.info.Bytes -= s.Size
		t.drop(s.Offset)
	}
	if t.Before == a.info.First && len(t.Gone) == 0 {
		return nil
	}
	// Not by changed: a trim is not a write, and retention looks for sessions that were not written to for long.
	a.out.Changed = true
	a.info.First = t.Before
	a.out.Effects.Trim = t
	return nil
}

// drop adds one offset; offsets come in ascending order.
func (t *Trimmed) drop(o holdfast.Offset) {
	if n := len(t.Gone); n > 0 && t.Gone[n-1].To == o {
		t.Gone[n-1].To++
		return
	}
	t.Gone = append(t.Gone, Range{From: o, To: o + 1})
}

// expire drops the session unless somebody wrote to it after the caller looked. Each write of an entry moves the head,
// and what else can be written to needs an open run. An open request has a deadline to come.
func (a *applying) expire(op driver.Expire) error {
	if a.info.Epoch == "" {
		return nil
	}
	if op.Epoch != a.info.Epoch || op.Head != a.info.Head || a.info.Unfinished() {
		return holdfast.Errorf(holdfast.CodeConflict, "the session stands at %d in epoch %s with %d open runs, %d open requests and %d messages that "+
			"wait; look again before dropping it", a.info.Head, a.info.Epoch, len(a.info.Open), len(a.info.Requests), len(a.info.Turns.Queue))
	}
	a.out.Changed = true
	a.out.Effects.Delete = true
	return nil
}
