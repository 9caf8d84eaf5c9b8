package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast/holdfast"
)

// Connections are the live connections of this server, or of all servers that share its store.
type Connections interface {
	// Connections lists the live connections of a user, oldest first.
	Connections(ctx context.Context, user holdfast.UserID) ([]Connection, error)
	// Disconnect ends one connection with [holdfast.CloseKicked]; false if there is none of that id.
	Disconnect(ctx context.Context, conn holdfast.ConnID) (bool, error)
	// AskReport asks the client of a connection for its log, which comes by itself, later or never; false if there is no
	// connection of that id.
	AskReport(ctx context.Context, conn holdfast.ConnID) (bool, error)
	// DisconnectUser ends all connections of a user with [holdfast.CloseKicked] and returns how many there were.
	DisconnectUser(ctx context.Context, user holdfast.UserID) (int, error)
}

// Connection is a live connection.
type Connection struct {
	Conn       holdfast.ConnID
	User       holdfast.UserID
	Client     holdfast.ClientID
	Generation holdfast.Generation
	// Transport names the carriage, such as "ws"; Agent is what the client's software calls itself. May be empty.
	Transport, Agent string
	// Since is when the connection was made.
	Since time.Time
	// Sessions are those that it reads, and Positions, in the same order, how far it has come and how far there is to come.
	Sessions  []holdfast.SessionID
	Positions []Progress
	// Heard and Said are when a message last came and went, In and Out the bytes of all.
	Heard, Said time.Time
	In, Out     int64
	// Resumed is how often a session was continued where the client had left off.
	Resumed int
}

// Progress is the offset that was written to a connection, and the head of the session.
type Progress struct{ Offset, Head holdfast.Offset }

// noConnections is a server without any.
type noConnections struct{}

func (noConnections) Connections(context.Context, holdfast.UserID) ([]Connection, error) {
	return nil, nil
}
func (noConnections) Disconnect(context.Context, holdfast.ConnID) (bool, error)    { return false, nil }
func (noConnections) AskReport(context.Context, holdfast.ConnID) (bool, error)     { return false, nil }
func (noConnections) DisconnectUser(context.Context, holdfast.UserID) (int, error) { return 0, nil }

type connectionObject struct {
	Conn       holdfast.ConnID      `json:"conn"`
	User       holdfast.UserID      `json:"user"`
	Client     holdfast.ClientID    `json:"client"`
	Generation holdfast.Generation  `json:"generation"`
	Transport  string               `json:"transport,omitzero"`
	Agent      string               `json:"agent,omitzero"`
	Since      int64                `json:"since"`
	Sessions   []holdfast.SessionID `json:"sessions"`
	Positions  []progressObject     `json:"positions,omitzero"`
	AgeMs      int64                `json:"age"`
	LastIn     int64                `json:"lastIn"`
	LastOut    int64                `json:"lastOut"`
	BytesIn    int64                `json:"bytesIn"`
	BytesOut   int64                `json:"bytesOut"`
	Resumed    int                  `json:"resumed"`
}

type progressObject struct {
	Session holdfast.SessionID `json:"session"`
	Offset  holdfast.Offset    `json:"offset"`
	Head    holdfast.Offset    `json:"head"`
	// Lag is how many entries it has not been written.
	Lag holdfast.Offset `json:"lag"`
}

// objectOf is a connection as the API shows it, at a time.
func objectOf(l *Connection, now time.Time) connectionObject {
	o := connectionObject{
		Conn: l.Conn, User: l.User, Client: l.Client, Generation: l.Generation, Transport: l.Transport, Agent: l.Agent,
		Since: l.Since.UnixMilli(), Sessions: l.Sessions, AgeMs: now.Sub(l.Since).Milliseconds(), LastIn: l.Heard.UnixMilli(),
		LastOut: l.Said.UnixMilli(), BytesIn: l.In, BytesOut: l.Out, Resumed: l.Resumed,
	}
	for i, p := range l.Positions {
		o.Positions = append(o.Positions, progressObject{l.Sessions[i], p.Offset, p.Head, p.Head - p.Offset})
	}
	return o
}

type connectionsAnswer struct {
	Connections []connectionObject `json:"connections"`
}

type disconnectedAnswer struct {
	Disconnected int `json:"disconnected"`
}

// user reads the {user} of the path.
func (c *call) user() (holdfast.UserID, error) {
	if err := readQuery(c).err; err != nil {
		return "", err
	}
	user := holdfast.UserID(c.r.PathValue("user"))
	return user, user.Validate()
}

func (a *api) getConnections(c *call) error {
	user, err := c.user()
	if err != nil {
		return err
	}
	list, err := a.Connections.Connections(c.r.Context(), user)
	if err != nil {
		return err
	}
	out := connectionsAnswer{Connections: []connectionObject{}}
	for i := range list {
		out.Connections = append(out.Connections, objectOf(&list[i], a.Now()))
	}
	return c.answer(http.StatusOK, out)
}

func (a *api) deleteUserConnections(c *call) error {
	user, err := c.user()
	if err != nil {
		return err
	}
	n, err := a.Connections.DisconnectUser(c.r.Context(), user)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, disconnectedAnswer{n})
}

func (a *api) deleteConnection(c *call) error {
	if err := c.toConnection(a.Connections.Disconnect); err != nil {
		return err
	}
	c.noContent()
	return nil
}

// askReport answers before the report has come.
func (a *api) askReport(c *call) error {
	if err := c.toConnection(a.Connections.AskReport); err != nil {
		return err
	}
	c.wrote = true
	c.w.WriteHeader(http.StatusAccepted)
	return nil
}

// toConnection does something to the {conn} of the path.
func (c *call) toConnection(do func(context.Context, holdfast.ConnID) (bool, error)) error {
	if err := readQuery(c).err; err != nil {
		return err
	}
	conn := c.r.PathValue("conn")
	if err := holdfast.ValidateKey("the connection's id", conn); err != nil {
		return err
	}
	found, err := do(c.r.Context(), holdfast.ConnID(conn))
	if err == nil && !found {
		err = holdfast.Errorf(holdfast.CodeNotFound, "there is no such connection; it may have ended by itself")
	}
	return err
}
