package server

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/admin"
	"github.com/holdfast/holdfast/internal/clientlog"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/journal"
	"github.com/holdfast/holdfast/internal/metrics"
	"github.com/holdfast/holdfast/internal/remote"
	"github.com/holdfast/holdfast/store/driver"
)

// AdminOptions say how the operator's page is made; Node and Remote are set by [Server.Admin].
type AdminOptions = admin.Options

// Admin is the operator's page: an [net/http.Handler] for an address of its own, and Run, which keeps its history of an hour.
type Admin = admin.Admin

// Admin returns the operator's page of this node. Errors are [holdfast.CodeInvalid] and name the option.
func (s *Server) Admin(o AdminOptions) (*Admin, error) {
	o.Node, o.Remote = (*operator)(s), remote.Trusted(s.opts.TrustedProxies).Of
	return admin.New(o)
}

// ended is told of every connection that has ended. The operator's page shows those that were somebody's.
func (s *Server) ended(r *ending.Record) {
	s.countEnd(r)
	if !r.Attached {
		return
	}
	positions := make(map[holdfast.SessionID]holdfast.Offset, len(r.Positions))
	for _, p := range r.Positions {
		positions[p.Session] = p.Offset
	}
	s.journal.Add(journal.Record{
		Source: journal.Server, Event: journal.Ended, User: r.User, Client: r.Client, Conn: r.Conn,
		Data: &journal.End{
			Class: string(r.Class()), By: string(r.By), Code: r.Code, Reason: r.Reason, Age: r.Age.Milliseconds(), In: r.In, Out: r.Out,
			Positions: positions,
		},
	})
}

// reported takes the log that a client sent of itself.
func (s *Server) reported(ctx context.Context, r *clientlog.Report) {
	s.journal.AddReport(r)
	s.opts.Reports(ctx, r)
}

// operator shows the server to the operator's page.
type operator Server

var _ admin.Node = (*operator)(nil)

// Figures implements [admin.Node].
func (s *operator) Figures(context.Context) (admin.Figures, error) {
	sessions, readings := s.hub.Topics()
	conns, users := s.hub.Census()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	counted := s.metrics.Totals()
	return admin.Figures{
		At: s.opts.Now(), Started: s.started, Phase: (*Server)(s).is().String(), Connections: conns, Users: users, Sessions: sessions, Readings: readings,
		Attached: counted[metrics.Attaches], Ended: counted[metrics.Age], Entries: counted[metrics.Entries],
		Fragments: counted[metrics.Fragments], RunsEnded: counted[metrics.Runs],
		Goroutines: runtime.NumGoroutine(), Heap: int64(m.HeapAlloc),
	}, nil
}

// Connections implements [admin.Node].
func (s *operator) Connections(user holdfast.UserID, limit int) []admin.Connection {
	if user == "" {
		return views(s.hub.All(limit))
	}
	all := s.hub.Connections(user)
	return views(all[:min(len(all), limit)])
}

// views describes connections, the newest first.
func views(all []hub.Conn) []admin.Connection {
	out := make([]admin.Connection, 0, len(all))
	for _, c := range all {
		d := c.Describe()
		out = append(out, admin.Connection{
			Conn: d.ID, User: d.User, Client: d.Client, Generation: d.Generation, Transport: d.Transport, Remote: d.Remote,
			Agent: d.Agent, Since: d.Since, Sessions: d.Sessions,
		})
	}
	slices.SortFunc(out, func(a, b admin.Connection) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Conn, b.Conn))
	})
	return out
}

// Session implements [admin.Node].
func (s *operator) Session(ctx context.Context, id holdfast.SessionID) (admin.Session, error) {
	info, err := s.store.Info(ctx, id)
	if err != nil {
		return admin.Session{}, err
	}
	readers := s.readers(id)
	if info.Epoch == "" && len(readers) == 0 {
		return admin.Session{}, holdfast.Errorf(holdfast.CodeNotFound, "there is no such session, and nobody reads it")
	}
	out := admin.Session{
		Session: id, Epoch: info.Epoch, First: info.First, Head: info.Head, Entries: info.Entries, Bytes: info.Bytes,
		Created: info.Created, Changed: info.Changed, Open: []admin.OpenRun{}, Readers: readers,
	}
	for i := range info.Open {
		r := &info.Open[i]
		out.Open = append(out.Open, admin.OpenRun{
			Run: r.Run, ID: r.ID, Fragments: r.Fragments, Bytes: r.Bytes, At: r.At, Changed: r.Changed, Stop: r.Stop.State,
		})
	}
	return out, nil
}

// readers are the connections that read a session now.
func (s *operator) readers(id holdfast.SessionID) []admin.Connection {
	var all []hub.Conn
	for _, c := range s.hub.All(0) {
		if slices.Contains(c.Describe().Sessions, id) {
			all = append(all, c)
		}
	}
	return views(all)
}

// logged is what the timeline shows of an entry: never its contents.
type logged struct {
	Offset    holdfast.Offset     `json:"offset"`
	ID        string              `json:"id,omitzero"`
	Key       string              `json:"key,omitzero"`
	Bytes     int                 `json:"bytes"`
	Status    holdfast.RunStatus  `json:"status,omitzero"`
	Fragments holdfast.FragmentNo `json:"fragments,omitzero"`
}

// entriesShown is how many entries of a session stand in its timeline.
const entriesShown = 200

// Timeline implements [admin.Node].
func (s *operator) Timeline(ctx context.Context, q journal.Query) ([]journal.Record, error) {
	list := s.journal.Find(q)
	if q.Session == "" {
		return list, nil
	}
	info, err := s.store.Info(ctx, q.Session)
	if err != nil || info.Head == 0 {
		return list, err
	}
	page, err := s.store.Read(ctx, q.Session, driver.Query{Before: info.Head + 1, Limit: entriesShown})
	if err != nil {
		return nil, err
	}
	for i := range page.Entries {
		if e := &page.Entries[i]; within(e.At, &q) {
			list = append(list, inLog(q.Session, e))
		}
	}
	slices.SortStableFunc(list, func(a, b journal.Record) int { return a.At.Compare(b.At) })
	return list, nil
}

func within(at time.Time, q *journal.Query) bool {
	return (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || !at.After(q.To))
}

func inLog(s holdfast.SessionID, e *holdfast.Entry) journal.Record {
	data := logged{Offset: e.Offset, ID: e.ID, Key: e.Key, Bytes: len(e.Data)}
	if e.Run != nil {
		data.Status, data.Fragments = e.Run.Status, e.Run.Fragments
		for _, seg := range e.Run.Body {
			data.Bytes += len(seg.Text) + len(seg.Event)
		}
	}
	return journal.Record{
		At: e.At, Source: journal.Log, Event: string(e.Kind), User: e.From.User, Client: e.From.Client, About: s, Data: &data,
	}
}

// found is how many names of a kind a search finds.
const found = 20

// Search implements [admin.Node]: in what is remembered, and among all sessions of the store.
func (s *operator) Search(ctx context.Context, begin string) (journal.Names, error) {
	names := s.journal.Search(begin, found)
	stored, err := s.store.Sessions(ctx, begin, "", found)
	for i := range stored {
		if id := stored[i].Session; !slices.Contains(names.Sessions, id) && len(names.Sessions) < 2*found {
			names.Sessions = append(names.Sessions, id)
		}
	}
	return names, err
}

// Disconnect implements [admin.Node].
func (s *operator) Disconnect(ctx context.Context, c holdfast.ConnID) (bool, error) {
	return (*connections)(s).Disconnect(ctx, c)
}

// DisconnectUser implements [admin.Node].
func (s *operator) DisconnectUser(ctx context.Context, u holdfast.UserID) (int, error) {
	return (*connections)(s).DisconnectUser(ctx, u)
}

// AskReport implements [admin.Node].
func (s *operator) AskReport(ctx context.Context, c holdfast.ConnID) (bool, error) {
	return (*connections)(s).AskReport(ctx, c)
}

// Revoke implements [admin.Node].
func (s *operator) Revoke(ctx context.Context, r Revocation) (done Revocation, closed, changed int, err error) {
	return (*Server)(s).Revoke(ctx, r)
}

// Restore implements [admin.Node].
func (s *operator) Restore(ctx context.Context, id string) (bool, error) {
	return (*Server)(s).Restore(ctx, id)
}

// Revocations implements [admin.Node].
func (s *operator) Revocations() []Revocation { return (*Server)(s).Revocations() }

// EndRun implements [admin.Node].
func (s *operator) EndRun(ctx context.Context, id holdfast.SessionID, run holdfast.Offset) error {
	_, err := s.store.Apply(ctx, id, driver.EndRun{Run: run, Status: holdfast.RunInterrupted, Force: true})
	return err
}
