package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

type sessionObject struct {
	Session  holdfast.SessionID `json:"session"`
	Epoch    holdfast.Epoch     `json:"epoch"`
	First    holdfast.Offset    `json:"first"`
	Head     holdfast.Offset    `json:"head"`
	Position string             `json:"position"`
	Entries  int64              `json:"entries"`
	Bytes    int64              `json:"bytes"`
	Created  int64              `json:"created"`
	Changed  int64              `json:"changed"`
	Open     []runObject        `json:"open"`
}

func sessionOf(i *driver.Info) sessionObject {
	out := sessionObject{
		Session: i.Session, Epoch: i.Epoch, First: i.First, Head: i.Head, Position: i.Cursor().String(), Entries: i.Entries,
		Bytes: i.Bytes, Created: i.Created.UnixMilli(), Changed: i.Changed.UnixMilli(), Open: []runObject{},
	}
	for j := range i.Open {
		out.Open = append(out.Open, runOf(&i.Open[j]))
	}
	return out
}

type sessionsAnswer struct {
	Sessions []sessionObject    `json:"sessions"`
	Next     holdfast.SessionID `json:"next,omitzero"`
}

func (a *api) getSessions(c *call) error {
	q := readQuery(c, "prefix", "after", "limit")
	limit := q.limit(a.Limits.Page)
	prefix, after := holdfast.SessionID(q.str("prefix")), holdfast.SessionID(q.str("after"))
	for name, id := range map[string]holdfast.SessionID{"prefix": prefix, "after": after} {
		if err := id.Validate(); id != "" && err != nil {
			q.fail("the query parameter %s: %s", name, holdfast.MessageOf(err))
		}
	}
	if q.err != nil {
		return q.err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	infos, err := a.Log.Sessions(ctx, string(prefix), after, limit)
	if err != nil {
		return err
	}
	out := sessionsAnswer{Sessions: []sessionObject{}}
	for i := range infos {
		out.Sessions = append(out.Sessions, sessionOf(&infos[i]))
	}
	if len(infos) == limit {
		out.Next = infos[limit-1].Session
	}
	return c.answer(http.StatusOK, out)
}

func (a *api) getSession(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	info, err := a.Log.Info(ctx, c.session)
	if err != nil {
		return err
	}
	if info.Epoch == "" {
		return holdfast.Errorf(holdfast.CodeNotFound, "this session has never been written to, or has been deleted")
	}
	info.Session = c.session
	return c.answer(http.StatusOK, sessionOf(&info))
}

func (a *api) deleteSession(c *call) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	ctx, cancel := a.storeContext(c, true)
	defer cancel()
	if err := a.Log.Delete(ctx, c.session); err != nil {
		return err
	}
	c.noContent()
	return nil
}

func (c *call) noContent() {
	c.wrote = true
	c.w.WriteHeader(http.StatusNoContent)
}

type openRunObject struct {
	Session   holdfast.SessionID `json:"session"`
	Epoch     holdfast.Epoch     `json:"epoch"`
	runObject `json:",embed"`
}

type openRunsAnswer struct {
	Runs []openRunObject `json:"runs"`
	Next string          `json:"next,omitzero"`
}

// getOpenRuns lists the open runs of all sessions: a producer that was restarted finds its own by their ids.
func (a *api) getOpenRuns(c *call) error {
	q := readQuery(c, "after", "limit")
	after, limit := q.runRef("after"), q.limit(a.Limits.Page)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := a.storeContext(c, false)
	defer cancel()
	runs, err := a.Log.OpenRuns(ctx, after, limit)
	if err != nil {
		return err
	}
	out := openRunsAnswer{Runs: []openRunObject{}}
	for i := range runs {
		out.Runs = append(out.Runs, openRunObject{runs[i].Session, runs[i].Epoch, runOf(&runs[i].RunInfo)})
	}
	if len(runs) == limit {
		last := &runs[limit-1]
		out.Next = string(last.Session) + "/" + strconv.FormatUint(uint64(last.Run), 10)
	}
	return c.answer(http.StatusOK, out)
}

// runRef reads the place of a run among all, session/offset; a session id has no slash.
func (q *query) runRef(name string) driver.RunRef {
	if !q.has(name) {
		return driver.RunRef{}
	}
	s, digits, _ := strings.Cut(q.str(name), "/")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxNumber || holdfast.SessionID(s).Validate() != nil {
		q.fail("the query parameter %s must be the next of the answer before, unchanged", name)
		return driver.RunRef{}
	}
	return driver.RunRef{Session: holdfast.SessionID(s), Run: holdfast.Offset(n)}
}
