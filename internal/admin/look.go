package admin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/journal"
)

// Figures are how a node stands at a moment. Counters grow from the start of the process on.
type Figures struct {
	At      time.Time `json:"at"`
	Started time.Time `json:"started"`
	Phase   string    `json:"phase"`
	// Connections are those that are attached, Users whose they are. Sessions are held in memory; Readings are of them.
	Connections int `json:"connections"`
	Users       int `json:"users"`
	Sessions    int `json:"sessions"`
	Readings    int `json:"readings"`
	// Attached and Ended count connections. Entries, Fragments and RunsEnded count what was written.
	Attached  int64 `json:"attached"`
	Ended     int64 `json:"ended"`
	Entries   int64 `json:"entries"`
	Fragments int64 `json:"fragments"`
	RunsEnded int64 `json:"runsEnded"`
	// Goroutines, and the Heap in use in bytes.
	Goroutines int   `json:"goroutines"`
	Heap       int64 `json:"heap"`
}

// Connection is a live connection.
type Connection struct {
	Conn       holdfast.ConnID     `json:"conn"`
	User       holdfast.UserID     `json:"user"`
	Client     holdfast.ClientID   `json:"client"`
	Generation holdfast.Generation `json:"generation"`
	Transport  string              `json:"transport"`
	Remote     string              `json:"remote"`
	Agent      string              `json:"agent,omitzero"`
	Since      time.Time           `json:"since"`
	// Sessions are those that it reads.
	Sessions []holdfast.SessionID `json:"sessions"`
}

// Session is a session, and who reads it on this node.
type Session struct {
	Session holdfast.SessionID `json:"session"`
	Epoch   holdfast.Epoch     `json:"epoch"`
	First   holdfast.Offset    `json:"first"`
	Head    holdfast.Offset    `json:"head"`
	Entries int64              `json:"entries"`
	Bytes   int64              `json:"bytes"`
	Created time.Time          `json:"created"`
	Changed time.Time          `json:"changed"`
	Open    []OpenRun          `json:"open"`
	Readers []Connection       `json:"readers"`
}

// OpenRun is a run that goes on.
type OpenRun struct {
	Run       holdfast.Offset     `json:"run"`
	ID        string              `json:"id"`
	Fragments holdfast.FragmentNo `json:"fragments"`
	Bytes     int64               `json:"bytes"`
	At        time.Time           `json:"at"`
	Changed   time.Time           `json:"changed"`
	Stop      holdfast.StopState  `json:"stop,omitzero"`
}

// most is how many of anything one answer has.
const most = 500

func (a *Admin) now(r *http.Request) (any, error) { return a.opts.Node.Figures(r.Context()) }

func (a *Admin) past(*http.Request) (any, error) { return a.history.all(), nil }

func (a *Admin) connections(r *http.Request) (any, error) {
	return a.opts.Node.Connections(holdfast.UserID(r.FormValue("user")), most), nil
}

func (a *Admin) session(r *http.Request) (any, error) {
	return a.opts.Node.Session(r.Context(), holdfast.SessionID(r.FormValue("session")))
}

func (a *Admin) search(r *http.Request) (any, error) {
	return a.opts.Node.Search(r.Context(), r.FormValue("q"))
}

func (a *Admin) timeline(r *http.Request) (any, error) {
	q := journal.Query{
		User: holdfast.UserID(r.FormValue("user")), Client: holdfast.ClientID(r.FormValue("client")),
		Conn: holdfast.ConnID(r.FormValue("conn")), Session: holdfast.SessionID(r.FormValue("session")),
	}
	if q.User == "" && q.Client == "" && q.Conn == "" && q.Session == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "say whose timeline: user, client, conn or session")
	}
	var err error
	if q.From, err = moment(r, "from"); err != nil {
		return nil, err
	}
	if q.To, err = moment(r, "to"); err != nil {
		return nil, err
	}
	list, err := a.opts.Node.Timeline(r.Context(), q)
	if list == nil {
		list = []journal.Record{}
	}
	return list, err
}

// moment reads Unix milliseconds.
func moment(r *http.Request, name string) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, holdfast.Errorf(holdfast.CodeInvalid, "%s is a time in ms since 1970, not %q", name, text)
	}
	return time.UnixMilli(ms), nil
}
