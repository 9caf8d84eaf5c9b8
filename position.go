package holdfast

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Offset numbers the entries of a session: 1, 2, 3 ... Offset 0 is before the first.
type Offset uint64

// FragmentNo numbers the fragments of a run: 1, 2, 3 ... Number 0 is before the first.
type FragmentNo uint64

// Epoch identifies one life of a session's log. It changes only when the log was deleted, lost or replaced.
// A session that was never written to has the empty epoch.
type Epoch string

// EpochLen is the length of an epoch that is not empty, in bytes of lower-case base 32.
const EpochLen = 10

// Tag identifies the record at an offset, so that a log that lost its last second and then grew differently is
// recognised although its offsets look right.
type Tag uint32

// Position is a place in a session's log: the entry at Offset has been seen. To users it is one opaque string;
// positions of one epoch sort as their strings do.
type Position struct {
	Epoch  Epoch
	Offset Offset
	Tag    Tag
}

// String returns the opaque form: epoch, offset in 20 digits, tag in 8 hexadecimal digits, joined by dots. The zero
// Position is "".
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	return fmt.Sprintf("%s.%020d.%08x", p.Epoch, uint64(p.Offset), uint32(p.Tag))
}

// ParsePosition is the inverse of [Position.String]. A text that is not a position is a [CodeInvalid] error.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	epoch, rest, ok1 := strings.Cut(s, ".")
	digits, tag, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || len(epoch) > EpochLen || len(digits) != 20 || len(tag) != 8 {
		return Position{}, Errorf(CodeInvalid, "not a position: %q; use one that the server gave, unchanged", clip(s))
	}
	o, err1 := strconv.ParseUint(digits, 10, 64)
	t, err2 := strconv.ParseUint(tag, 16, 32)
	if err1 != nil || err2 != nil {
		return Position{}, Errorf(CodeInvalid, "not a position: %q; use one that the server gave, unchanged", clip(s))
	}
	return Position{Epoch(epoch), Offset(o), Tag(t)}, nil
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// RunCursor says how far a reader has come in one run that was open: fragment Fragment is the last one it has.
type RunCursor struct {
	Run      Offset
	Fragment FragmentNo
	// Tag is the chain over the fragments so far, see [ChainTag]. 0 with Fragment 0.
	Tag Tag
}

// Cursor is how far a reader has come: everything up to Position, but of the runs listed, which were open, only what
// their RunCursor says. A run at or before Position that is not listed has been seen to its end.
type Cursor struct {
	Position
	// Runs is sorted by Run.
	Runs []RunCursor
}

// Run returns how far the cursor has come in the run at o; false means that o is not among the open ones.
func (c *Cursor) Run(o Offset) (RunCursor, bool) {
	i, ok := slices.BinarySearchFunc(c.Runs, o, func(r RunCursor, o Offset) int { return cmp.Compare(r.Run, o) })
	if !ok {
		return RunCursor{}, false
	}
	return c.Runs[i], true
}

// With returns a copy of the cursor in which run r stands as given.
func (c Cursor) With(r RunCursor) Cursor {
	i, ok := slices.BinarySearchFunc(c.Runs, r.Run, func(x RunCursor, o Offset) int { return cmp.Compare(x.Run, o) })
	runs := slices.Clone(c.Runs)
	if ok {
		runs[i] = r
	} else {
		runs = slices.Insert(runs, i, r)
	}
	c.Runs = runs
	return c
}

// Without returns a copy of the cursor in which the run at o is seen to its end.
func (c Cursor) Without(o Offset) Cursor {
	c.Runs = slices.DeleteFunc(slices.Clone(c.Runs), func(x RunCursor) bool { return x.Run == o })
	return c
}

// HasEntry reports whether the reader has seen the entry at o (for a run: its opening).
func (c *Cursor) HasEntry(o Offset) bool { return o <= c.Offset }

// HasFragment reports whether the reader has seen fragment n of the run at o.
func (c *Cursor) HasFragment(o Offset, n FragmentNo) bool {
	if o > c.Offset {
		return false
	}
	r, open := c.Run(o)
	return !open || n <= r.Fragment
}

// HasEnd reports whether the reader has seen the end of the run at o.
func (c *Cursor) HasEnd(o Offset) bool {
	if o > c.Offset {
		return false
	}
	_, open := c.Run(o)
	return !open
}

// Covers reports whether a reader at c has seen everything that a reader at d has. Both are of one epoch.
func (c *Cursor) Covers(d *Cursor) bool {
	if c.Offset < d.Offset {
		return false
	}
	for _, r := range c.Runs {
		if r.Run > d.Offset {
			continue
		}
		other, open := d.Run(r.Run)
		if !open || other.Fragment > r.Fragment {
			return false
		}
	}
	return true
}
