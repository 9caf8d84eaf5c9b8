package tail

import (
	"context"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// Log is what reading on needs of the store; see [driver.Driver] for each.
type Log interface {
	Info(ctx context.Context, s holdfast.SessionID) (driver.Info, error)
	Read(ctx context.Context, s holdfast.SessionID, q driver.Query) (driver.Page, error)
	Run(ctx context.Context, s holdfast.SessionID, run holdfast.Offset, after holdfast.FragmentNo) (holdfast.Entry, error)
	States(ctx context.Context, s holdfast.SessionID) ([]holdfast.Entry, error)
	TagAt(ctx context.Context, s holdfast.SessionID, o holdfast.Offset) (holdfast.Tag, bool, error)
}

// resolve decides what a reader with cursor c, or none, is to be told of a session that stands as info says. It answers
// continuous only if every record the cursor names is the one that stands there now.
func resolve(ctx context.Context, log Log, info *driver.Info, c *holdfast.Cursor) (holdfast.Outcome, error) {
	switch {
	case c == nil:
		return holdfast.Snapshot, nil
	case c.Epoch == "" && c.Offset == 0 && len(c.Runs) == 0 && info.First <= 1:
		// Subscribed before the first write; whatever is there now follows.
		return holdfast.Continuous, nil
	case c.Epoch != info.Epoch, c.Offset > info.Head:
		return holdfast.Lost, nil
	case c.Offset+1 < info.First:
		return holdfast.Snapshot, nil
	}
	if c.Offset > 0 {
		same, err := sameTag(ctx, log, info, c)
		if !same || err != nil {
			return holdfast.Lost, err
		}
	}
	for i := range info.Open {
		// The reader has seen the end of a run that has none: the log lost it, and may give it another.
		if c.HasEnd(info.Open[i].Run) {
			return holdfast.Lost, nil
		}
	}
	reads := 0
	for _, r := range c.Runs {
		if r.Run > c.Offset {
			return holdfast.Lost, nil // no cursor of ours
		}
		if !standsAt(info, r) {
			if reads++; reads > maxRunReads {
				return holdfast.Snapshot, nil
			}
		}
		outcome, err := resolveRun(ctx, log, info, r)
		if outcome != holdfast.Continuous || err != nil {
			return outcome, err
		}
	}
	return holdfast.Continuous, nil
}

// maxRunReads is how many runs are read to find out whether a cursor can be continued. Readers have a few open runs; one that
// names hundreds, and would have the server read them all, gets a snapshot, which costs less.
const maxRunReads = 64

// standsAt reports whether a run is open and has not grown, so that it need not be read.
func standsAt(info *driver.Info, r holdfast.RunCursor) bool {
	open := openRun(info, r.Run)
	return open != nil && open.Fragments == r.Fragment
}

// sameTag reports whether the entry at the cursor's offset is the one that stands there now. What retention has dropped,
// just before First, cannot be compared any more, unless it is the head; all that follows is there.
func sameTag(ctx context.Context, log Log, info *driver.Info, c *holdfast.Cursor) (bool, error) {
	if c.Offset == info.Head {
		return c.Tag == info.HeadTag, nil
	}
	tag, there, err := log.TagAt(ctx, info.Session, c.Offset)
	return !there || tag == c.Tag, err
}

func resolveRun(ctx context.Context, log Log, info *driver.Info, r holdfast.RunCursor) (holdfast.Outcome, error) {
	if standsAt(info, r) {
		if openRun(info, r.Run).Tag != r.Tag {
			return holdfast.Lost, nil
		}
		return holdfast.Continuous, nil
	}
	e, err := log.Run(ctx, info.Session, r.Run, 0)
	if holdfast.CodeOf(err) == holdfast.CodeNotFound {
		if r.Run < info.First {
			return holdfast.Snapshot, nil
		}
		return holdfast.Lost, nil
	}
	if err != nil {
		return "", err
	}
	if r.Fragment > e.Run.Fragments || e.Run.Body.TagAt(r.Fragment) != r.Tag {
		return holdfast.Lost, nil
	}
	return holdfast.Continuous, nil
}
