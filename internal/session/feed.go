package session

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast"
)

// FeedCursor is a place in the feed of one store: after item number Seq. Its text sorts as the numbers do.
type FeedCursor struct {
	// Feed identifies the feed, so that a cursor of another store is not taken for one of this.
	Feed string
	Seq  uint64
}

// String returns the text that a [driver.FeedItem] bears.
func (c FeedCursor) String() string { return fmt.Sprintf("%s.%020d", c.Feed, c.Seq) }

// FeedRange is what a feed has: items Trimmed+1 to Last.
type FeedRange struct {
	Feed          string
	Trimmed, Last uint64
}

// After returns the number of the item that a reader has seen who gives this cursor.
func (r FeedRange) After(cursor string) (uint64, error) {
	if cursor == "" {
		return r.Trimmed, nil
	}
	feed, digits, ok := strings.Cut(cursor, ".")
	seq, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || len(digits) != 20 || feed != r.Feed || seq > r.Last {
		return 0, holdfast.Errorf(holdfast.CodeInvalid, "not a cursor of this feed; begin again with an empty one")
	}
	if seq < r.Trimmed {
		return 0, holdfast.Errorf(holdfast.CodeLost, "the feed no longer has what follows this cursor; read the sessions, "+
			"then begin again with an empty one")
	}
	return seq, nil
}
