package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
)

// maxNumber is the largest number that every JSON reader keeps exact (RFC 8259 §6).
const maxNumber = 1<<53 - 1

// defaultPage is how many items a list has if it was not asked for another number.
const defaultPage = 100

// query is the query string, read strictly. The first error sticks; Err tells it.
type query struct {
	values url.Values
	err    error
}

// readQuery takes the query string, in which only the names given may be, each once.
func readQuery(c *call, names ...string) *query {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.fail("the query string is not well-formed: percent-encode every value")
	}
	for name, vs := range values {
		switch {
		case !slices.Contains(names, name):
			q.fail("the query parameter %q is not known here", clip(name))
		case len(vs) > 1:
			q.fail("the query parameter %s is there %d times; once is enough", name, len(vs))
		}
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = holdfast.Errorf(holdfast.CodeInvalid, format, args...)
	}
}

func (q *query) has(name string) bool { return q.values.Has(name) }

func (q *query) str(name string) string { return q.values.Get(name) }

// number reads a whole number from 0 to most; def if it is absent.
func (q *query) number(name string, def, most uint64) uint64 {
	if !q.has(name) {
		return def
	}
	n, err := strconv.ParseUint(q.str(name), 10, 64)
	if err != nil || n > most {
		q.fail("the query parameter %s must be a whole number from 0 to %d", name, most)
		return def
	}
	return n
}

// limit reads the parameter limit.
func (q *query) limit(most int) int {
	if q.has("limit") && q.str("limit") == "0" {
		q.fail("the query parameter limit must be from 1 to %d", most)
	}
	return int(q.number("limit", uint64(min(defaultPage, most)), uint64(most)))
}

// seconds reads a time in seconds, which may have a fraction.
func (q *query) seconds(name string, most time.Duration) time.Duration {
	if !q.has(name) {
		return 0
	}
	f, err := strconv.ParseFloat(q.str(name), 64)
	// Negated, so that NaN is refused as well.
	if err != nil || !(f >= 0 && f <= most.Seconds()) {
		q.fail("the query parameter %s must be a number of seconds from 0 to %g", name, most.Seconds())
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// flag reads true or false.
func (q *query) flag(name string, def bool) bool {
	if !q.has(name) {
		return def
	}
	switch q.str(name) {
	case "true":
		return true
	case "false":
		return false
	}
	q.fail("the query parameter %s must be true or false", name)
	return def
}

// runOffset reads the {run} of the path: a run is addressed by the offset it was opened at.
func runOffset(c *call) (holdfast.Offset, error) {
	n, err := strconv.ParseUint(c.r.PathValue("run"), 10, 64)
	if err != nil || n == 0 || n > maxNumber {
		return 0, holdfast.Errorf(holdfast.CodeInvalid, "a run is addressed by its offset, a whole number from 1 on; "+
			"the answer that opened it has it as run")
	}
	return holdfast.Offset(n), nil
}

// requestOffset reads the {request} of the path: a request is addressed by the offset it was opened at.
func requestOffset(c *call) (holdfast.Offset, error) {
	n, err := strconv.ParseUint(c.r.PathValue("request"), 10, 64)
	if err != nil || n == 0 || n > maxNumber {
		return 0, holdfast.Errorf(holdfast.CodeInvalid, "a request is addressed by its offset, a whole number from 1 on; "+
			"the answer that opened it has it as offset")
	}
	return holdfast.Offset(n), nil
}
