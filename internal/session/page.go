package session

import (
	"slices"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

// The limits of a page where the query names none.
const (
	DefaultLimit    = 100
	DefaultMaxBytes = 1 << 20
)

// PageBuilder collects the entries of one query within its limits.
type PageBuilder struct {
	limit, room int
	backward    bool
	entries     []holdfast.Entry
	more        bool
}

// NewPage returns a builder for the query.
func NewPage(q driver.Query) *PageBuilder {
	b := &PageBuilder{limit: q.Limit, room: q.MaxBytes, backward: q.Before != 0}
	if b.limit <= 0 {
		b.limit = DefaultLimit
	}
	if b.room <= 0 {
		b.room = DefaultMaxBytes
	}
	return b
}

// Full reports whether one more entry would be too many, so that a reader need not load it; it sets the page's More.
func (b *PageBuilder) Full() bool {
	b.more = b.more || len(b.entries) >= b.limit
	return b.more
}

// Add takes the next entry of the query's range, in the query's direction, and reports whether the next one may be
// given. An entry that is refused is there, so the page says More.
func (b *PageBuilder) Add(e holdfast.Entry) bool {
	size := int(Size(&e))
	if b.Full() || len(b.entries) > 0 && size > b.room {
		b.more = true
		return false
	}
	b.entries = append(b.entries, e)
	b.room -= size
	return true
}

// Page returns the page, entries ascending.
func (b *PageBuilder) Page(info driver.Info) driver.Page {
	if b.backward {
		slices.Reverse(b.entries)
	}
	return driver.Page{Info: info, Entries: b.entries, More: b.more}
}
