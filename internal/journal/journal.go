// Package journal remembers for a while what connections went through on this node, and what clients say of it themselves,
// so that somebody can find out why a person saw what they saw. It is memory, bounded, and gone with the process: the log of
// the program and the sessions themselves are what lasts.
//
// # Concurrency
//
// All methods may be called at any time. Add costs a lock for the time of a copy; Find reads the whole journal.
package journal

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// Source is who says so.
type Source string

// The sources, a closed set.
const (
	// Server: this node saw it.
	Server Source = "server"
	// Client: a client sent it, in a report of its own log. Its times are brought to the server's clock.
	Client Source = "client"
	// Log: it stands in a session's log.
	Log Source = "log"
)

// The events of this node. Those of clients have the names that clients gave them.
const (
	// Attached: the connection is its client's living one from now on. Data is an [Attach].
	Attached = "attached"
	// Resumed: a session was answered, and all that was there then has been written. Data is a [Resume].
	Resumed = "resumed"
	// Denied: a session may not be read. Data is a [Denial].
	Denied = "denied"
	// Hidden and Seen: the client's page is.
	Hidden, Seen = "hidden", "seen"
	// Ended: the connection did. Data is an [End].
	Ended = "ended"
)

// Record is one thing that happened to a connection, or to a session on it.
type Record struct {
	At     time.Time          `json:"at"`
	Source Source             `json:"source"`
	Event  string             `json:"event"`
	User   holdfast.UserID    `json:"user,omitzero"`
	Client holdfast.ClientID  `json:"client,omitzero"`
	Conn   holdfast.ConnID    `json:"conn,omitzero"`
	About  holdfast.SessionID `json:"session,omitzero"`
	// Data is what more is known, to be shown as JSON; nil for nothing. It is never changed.
	Data any `json:"data,omitzero"`
}

// Attach says what connected.
type Attach struct {
	Generation holdfast.Generation `json:"generation"`
	Transport  string              `json:"transport"`
	Remote     string              `json:"remote"`
	Agent      string              `json:"agent,omitzero"`
	Hidden     bool                `json:"hidden,omitzero"`
	// Before is the connection that it took the place of, or that its client had lost; Away, in ms, how long it was without,
	// and Class how that one ended. Empty for a client that is new.
	Before holdfast.ConnID `json:"before,omitzero"`
	Away   int64           `json:"away,omitzero"`
	Class  string          `json:"class,omitzero"`
}

// Resume says how a session was resumed: with what outcome, from and up to which offset, in how many frames and bytes, and how
// many ms that took until all was handed to the socket.
type Resume struct {
	Outcome holdfast.Outcome `json:"outcome"`
	From    holdfast.Offset  `json:"from"`
	Head    holdfast.Offset  `json:"head"`
	Frames  int              `json:"frames"`
	Bytes   int              `json:"bytes"`
	Took    int64            `json:"took"`
}

// Denial says why.
type Denial struct {
	Code    holdfast.Code `json:"code"`
	Message string        `json:"message"`
}

// End says how a connection ended: its class, by whom, the code, its age in ms, its bytes each way, and how far it had come.
type End struct {
	Class     string                                 `json:"class"`
	By        string                                 `json:"by"`
	Code      holdfast.CloseCode                     `json:"code"`
	Reason    string                                 `json:"reason"`
	Age       int64                                  `json:"age"`
	In        int64                                  `json:"in"`
	Out       int64                                  `json:"out"`
	Positions map[holdfast.SessionID]holdfast.Offset `json:"positions,omitzero"`
}

// Journal holds the latest records. A nil Journal holds none.
type Journal struct {
	now func() time.Time

	// Guarded by mu. ring is full once it has come round; next is where the oldest stands then.
	mu   sync.RWMutex
	ring []Record
	next int
	full bool
}

// New returns a journal of at most so many records, each of some 300 bytes.
func New(records int, now func() time.Time) *Journal {
	return &Journal{now: now, ring: make([]Record, max(records, 1))}
}

// Add takes a record; where it has no time, it is now.
func (j *Journal) Add(r Record) {
	if j == nil {
		return
	}
	if r.At.IsZero() {
		r.At = j.now()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring[j.next] = r
	j.next++
	if j.next == len(j.ring) {
		j.next, j.full = 0, true
	}
}

// Query says which records. Empty members ask for nothing; at least one should be set.
type Query struct {
	User   holdfast.UserID
	Client holdfast.ClientID
	Conn   holdfast.ConnID
	// Session asks for what happened to the session on any connection, for what else happened to the connections of the clients
	// that read it, and for what clients of their users say of themselves: where tabs share a connection, its client is none of
	// theirs.
	Session  holdfast.SessionID
	From, To time.Time
	// Limit is how many at most, the latest; 0 is 1000.
	Limit int
}

const defaultLimit = 1000

// reader is a client of a user; without a client, any of theirs.
type reader struct {
	user   holdfast.UserID
	client holdfast.ClientID
}

// Find returns records by time.
func (j *Journal) Find(q Query) []Record {
	if j == nil {
		return nil
	}
	if q.Limit <= 0 {
		q.Limit = defaultLimit
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	readers := j.readersLocked(q.Session)
	var found []Record
	for r := range j.eachLocked {
		if q.has(r, readers) {
			found = append(found, *r)
		}
	}
	slices.SortStableFunc(found, func(a, b Record) int { return a.At.Compare(b.At) })
	return found[max(0, len(found)-q.Limit):]
}

// readersLocked are the clients that read a session, and their users.
func (j *Journal) readersLocked(s holdfast.SessionID) map[reader]bool {
	readers := map[reader]bool{}
	if s == "" {
		return readers
	}
	for r := range j.eachLocked {
		if r.About == s {
			readers[reader{r.User, r.Client}], readers[reader{user: r.User}] = true, true
		}
	}
	return readers
}

func (q *Query) has(r *Record, readers map[reader]bool) bool {
	switch {
	case q.User != "" && r.User != q.User, q.Client != "" && r.Client != q.Client, q.Conn != "" && r.Conn != q.Conn:
		return false
	case !q.From.IsZero() && r.At.Before(q.From), !q.To.IsZero() && r.At.After(q.To):
		return false
	case q.Session == "" || r.About == q.Session:
		return true
	}
	who := reader{user: r.User}
	if r.Source != Client {
		who.client = r.Client
	}
	return r.About == "" && readers[who]
}

// eachLocked goes through the records, the oldest first.
func (j *Journal) eachLocked(yield func(*Record) bool) {
	if j.full {
		for i := j.next; i < len(j.ring); i++ {
			if !yield(&j.ring[i]) {
				return
			}
		}
	}
	for i := range j.next {
		if !yield(&j.ring[i]) {
			return
		}
	}
}

// Names are users, clients, sessions and connections whose names hold a text.
type Names struct {
	Users    []holdfast.UserID    `json:"users"`
	Sessions []holdfast.SessionID `json:"sessions"`
	Conns    []holdfast.ConnID    `json:"conns"`
}

// Search finds names that begin with the text, at most limit of each, those that were last heard of first.
func (j *Journal) Search(begin string, limit int) Names {
	out := Names{Users: []holdfast.UserID{}, Sessions: []holdfast.SessionID{}, Conns: []holdfast.ConnID{}}
	if j == nil {
		return out
	}
	users, sessions, conns := map[holdfast.UserID]time.Time{}, map[holdfast.SessionID]time.Time{}, map[holdfast.ConnID]time.Time{}
	j.mu.RLock()
	defer j.mu.RUnlock()
	for r := range j.eachLocked {
		note(users, r.User, begin, r.At)
		note(sessions, r.About, begin, r.At)
		note(conns, r.Conn, begin, r.At)
	}
	out.Users, out.Sessions, out.Conns = latest(users, limit), latest(sessions, limit), latest(conns, limit)
	return out
}

func note[K ~string](into map[K]time.Time, name K, begin string, at time.Time) {
	if name != "" && len(name) >= len(begin) && string(name[:len(begin)]) == begin {
		into[name] = at
	}
}

func latest[K ~string](of map[K]time.Time, limit int) []K {
	names := make([]K, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b K) int { return cmp.Or(of[b].Compare(of[a]), cmp.Compare(a, b)) })
	return names[:min(len(names), limit)]
}
