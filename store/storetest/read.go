package storetest

import (
	"fmt"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func readCases() []testCase {
	return []testCase{
		{"Read/BothWays", testReadBothWays},
		{"Read/Defaults", testReadDefaults},
		{"Read/MaxBytes", testMaxBytes},
		{"Read/Pages", testPages},
	}
}

func testReadBothWays(e *env) {
	e.fill(s1, 10)
	type want struct {
		os   []holdfast.Offset
		more bool
	}
	for name, c := range map[string]struct {
		q driver.Query
		want
	}{
		"all":              {driver.Query{}, want{offs(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), false}},
		"after":            {driver.Query{After: 8}, want{offs(9, 10), false}},
		"limit":            {driver.Query{After: 2, Limit: 3}, want{offs(3, 4, 5), true}},
		"limit exact":      {driver.Query{After: 7, Limit: 3}, want{offs(8, 9, 10), false}},
		"after head":       {driver.Query{After: 10}, want{nil, false}},
		"past head":        {driver.Query{After: 1 << 63}, want{nil, false}},
		"last":             {driver.Query{Before: 11, Limit: 3}, want{offs(8, 9, 10), true}},
		"before past head": {driver.Query{Before: 1 << 63, Limit: 2}, want{offs(9, 10), true}},
		"before":           {driver.Query{Before: 4, Limit: 2}, want{offs(2, 3), true}},
		"before to start":  {driver.Query{Before: 4, Limit: 3}, want{offs(1, 2, 3), false}},
		"before 1":         {driver.Query{Before: 1}, want{nil, false}},
		"between":          {driver.Query{After: 3, Before: 7}, want{offs(4, 5, 6), false}},
		"between limited":  {driver.Query{After: 3, Before: 7, Limit: 2}, want{offs(5, 6), true}},
		"between exact":    {driver.Query{After: 3, Before: 7, Limit: 3}, want{offs(4, 5, 6), false}},
		"empty between":    {driver.Query{After: 3, Before: 4}, want{nil, false}},
		"crossed":          {driver.Query{After: 7, Before: 4}, want{nil, false}},
	} {
		p := e.read(s1, c.q)
		same(e, name, offsets(p.Entries), c.os)
		same(e, name+": more", p.More, c.more)
		same(e, name+": info", p.Info, e.info(s1))
	}
}

func testReadDefaults(e *env) {
	e.fill(s1, 150)
	p := e.read(s1, driver.Query{})
	if len(p.Entries) != 100 || !p.More || p.Entries[0].Offset != 1 {
		e.Fatalf("%d entries, more %v", len(p.Entries), p.More)
	}
	p = e.read(s1, driver.Query{Before: 151})
	if len(p.Entries) != 100 || !p.More || p.Entries[0].Offset != 51 {
		e.Fatalf("%d entries, more %v", len(p.Entries), p.More)
	}
	big := `"` + strings.Repeat("x", 200<<10) + `"`
	e.add("big", message(big), message(big), message(big), message(big), message(big), message(big))
	if p = e.read("big", driver.Query{}); len(p.Entries) != 5 || !p.More {
		e.Fatalf("of 1 MiB: %d entries, more %v", len(p.Entries), p.More)
	}
}

func testMaxBytes(e *env) {
	ten := message(`"12345678"`)
	e.add(s1, ten, ten, ten)
	run := e.open(s1, "12345678")
	e.apply(s1, grow(run, 0, text(strings.Repeat("x", 100))...))
	e.add(s1, ten)
	for name, c := range map[string]struct {
		q    driver.Query
		os   []holdfast.Offset
		more bool
	}{
		"two":                  {driver.Query{MaxBytes: 20}, offs(1, 2), true},
		"not quite three":      {driver.Query{MaxBytes: 29}, offs(1, 2), true},
		"the first always":     {driver.Query{MaxBytes: 1}, offs(1), true},
		"a run counts whole":   {driver.Query{After: 2, MaxBytes: 100}, offs(3), true},
		"a long run alone":     {driver.Query{After: 3, MaxBytes: 50}, offs(4), true},
		"backward":             {driver.Query{Before: 4, MaxBytes: 20}, offs(2, 3), true},
		"backward, the run":    {driver.Query{Before: 6, MaxBytes: 100}, offs(5), true},
		"backward, first only": {driver.Query{Before: 5, MaxBytes: 1}, offs(4), true},
		"everything":           {driver.Query{MaxBytes: 1000}, offs(1, 2, 3, 4, 5), false},
	} {
		p := e.read(s1, c.q)
		same(e, name, offsets(p.Entries), c.os)
		same(e, name+": more", p.More, c.more)
	}
}

// testPages walks a session of every kind of entry in pages of every size, both ways.
func testPages(e *env) {
	for i := range 12 {
		switch i % 4 {
		case 0:
			e.fill(s1, 1)
		case 1:
			e.add(s1, state(fmt.Sprint("k", i%3), `1`))
		case 2:
			e.add(s1, state("hot", fmt.Sprint(i)))
		case 3:
			e.open(s1, fmt.Sprint("r", i))
		}
	}
	whole := e.read(s1, every()).Entries
	for limit := 1; limit <= len(whole)+1; limit++ {
		var up, down []holdfast.Entry
		for q := (driver.Query{Limit: limit}); ; {
			p := e.read(s1, q)
			up = append(up, p.Entries...)
			if !p.More {
				break
			}
			q.After = p.Entries[len(p.Entries)-1].Offset
		}
		for q := (driver.Query{Before: 13, Limit: limit}); ; {
			p := e.read(s1, q)
			down = append(append([]holdfast.Entry{}, p.Entries...), down...)
			if !p.More {
				break
			}
			q.Before = p.Entries[0].Offset
		}
		same(e, fmt.Sprintf("up by %d", limit), up, whole)
		same(e, fmt.Sprintf("down by %d", limit), down, whole)
	}
}
