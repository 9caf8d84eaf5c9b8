package storetest

import (
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func listCases() []testCase {
	return []testCase{
		{"List/Sessions", testSessions},
		{"List/OpenRuns", testOpenRuns},
	}
}

func (e *env) sessions(prefix string, after holdfast.SessionID, limit int) []holdfast.SessionID {
	e.Helper()
	infos, err := e.Sessions(e.ctx(), prefix, after, limit)
	if err != nil {
		e.Fatal(err)
	}
	var ids []holdfast.SessionID
	for _, i := range infos {
		same(e, "info in a list", i, e.info(i.Session))
		ids = append(ids, i.Session)
	}
	return ids
}

func testSessions(e *env) {
	for _, s := range []holdfast.SessionID{"b", "a:2", "a", "a-1", "a:1", "a:10", "~", "A"} {
		e.furnish(s)
	}
	ids := func(ids ...holdfast.SessionID) []holdfast.SessionID { return ids }
	for name, c := range map[string]struct {
		prefix string
		after  holdfast.SessionID
		limit  int
		want   []holdfast.SessionID
	}{
		"all":                {"", "", 100, ids("A", "a", "a-1", "a:1", "a:10", "a:2", "b", "~")},
		"prefix":             {"a:", "", 100, ids("a:1", "a:10", "a:2")},
		"prefix is a name":   {"a:1", "", 100, ids("a:1", "a:10")},
		"after":              {"", "a:1", 100, ids("a:10", "a:2", "b", "~")},
		"after and prefix":   {"a:", "a:1", 100, ids("a:10", "a:2")},
		"after not there":    {"", "a0", 100, ids("a:1", "a:10", "a:2", "b", "~")},
		"after before":       {"b", "a", 100, ids("b")},
		"after behind":       {"a", "b", 100, nil},
		"limit":              {"", "a", 2, ids("a-1", "a:1")},
		"limit 0":            {"", "", 0, nil},
		"nothing with it":    {"zz", "", 100, nil},
		"last of characters": {"~", "", 100, ids("~")},
	} {
		same(e, name, e.sessions(c.prefix, c.after, c.limit), c.want)
	}
	e.remove("a")
	same(e, "after a deletion", e.sessions("a", "", 2), ids("a-1", "a:1"))
}

func testOpenRuns(e *env) {
	var want []driver.RunRef
	for _, s := range []holdfast.SessionID{"a", "a-1", "b"} {
		e.add(s, message(`0`))
		for _, id := range []string{"x", "y", "z"} {
			run := e.open(s, id)
			if id == "y" {
				e.apply(s, end(run, holdfast.RunFailed))
				continue
			}
			e.apply(s, grow(run, 0, text(id)...))
			want = append(want, driver.RunRef{Session: s, Run: run.Run})
		}
	}
	var got []driver.RunRef
	for after := (driver.RunRef{}); ; {
		runs, err := e.OpenRuns(e.ctx(), after, 2)
		if err != nil {
			e.Fatal(err)
		}
		for _, r := range runs {
			after = driver.RunRef{Session: r.Session, Run: r.Run}
			got = append(got, after)
			i := e.info(r.Session)
			same(e, "epoch", r.Epoch, i.Epoch)
			same(e, "run", r.RunInfo, i.Open[len(got)%2^1])
		}
		if len(runs) == 0 {
			break
		}
	}
	same(e, "open runs", got, want)
}
