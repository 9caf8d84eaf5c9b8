// Package ending is where the end of a connection is classified: by whom it ended, with which code, and so of which class it
// is. The log, the metrics and the tests all ask here, so that they cannot differ.
//
// # Concurrency
//
// All functions and methods may be called at any time.
package ending

import (
	"log/slog"

	"github.com/holdfast/holdfast"
)

// Initiator is who ended a connection.
type Initiator string

// The initiators, a closed set.
const (
	// ByClient: it said goodbye, or closed in order.
	ByClient Initiator = "client"
	// ByServer: this server closed it, for whatever reason.
	ByServer Initiator = "server"
	// ByNetwork: it broke off, and nobody said why.
	ByNetwork Initiator = "network"
)

// Class is what kind of end it was.
type Class string

// The classes, a closed set.
const (
	// Normal: the client was done, or put its page to sleep.
	Normal Class = "normal"
	// GoingAway: one of the two is leaving: the page is closed, the server restarts.
	GoingAway Class = "going_away"
	// Superseded: a newer connection of the same client lives.
	Superseded Class = "superseded"
	// Policy: the application, an operator or a limit would have it so.
	Policy Class = "policy"
	// Auth: the token is not good, expired, or was revoked.
	Auth Class = "auth"
	// ProtocolError: one side broke the protocol, or sent what is too large.
	ProtocolError Class = "protocol_error"
	// Timeout: something did not come, or was not taken, in time.
	Timeout Class = "timeout"
	// Network: the line broke.
	Network Class = "network"
	// Server: a fault of the server, or too much for it.
	Server Class = "server"
)

// Classes are all of them.
var Classes = []Class{Normal, GoingAway, Superseded, Policy, Auth, ProtocolError, Timeout, Network, Server}

// Codes of RFC 6455 §7.4.1 besides those of package holdfast. The last two are never sent: they stand for a closing frame
// without a code, and for none at all.
const (
	CodeGoingAway   holdfast.CloseCode = 1001
	CodeProtocol    holdfast.CloseCode = 1002
	CodeUnsupported holdfast.CloseCode = 1003
	CodeNone        holdfast.CloseCode = 1005
	CodeAbnormal    holdfast.CloseCode = 1006
	CodeInvalidData holdfast.CloseCode = 1007
)

// byServer is the class of each code that this server closes with. It is complete; a test sees to that.
var byServer = map[holdfast.CloseCode]Class{
	holdfast.CloseNormal:       Normal,
	holdfast.CloseRestart:      GoingAway,
	holdfast.CloseOverload:     Server,
	holdfast.CloseTimeout:      Timeout,
	holdfast.CloseExpired:      Auth,
	holdfast.CloseStalled:      Timeout,
	holdfast.CloseInternal:     Server,
	holdfast.CloseRateLimited:  Policy,
	holdfast.CloseProtocol:     ProtocolError,
	holdfast.CloseUnauthorized: Auth,
	holdfast.CloseSuperseded:   Superseded,
	holdfast.CloseTooLarge:     ProtocolError,
	holdfast.CloseKicked:       Policy,
	holdfast.CloseVersion:      ProtocolError,
	holdfast.CloseElsewhere:    Policy,
	holdfast.CloseTooMany:      Policy,
	CodeProtocol:               ProtocolError,
	CodeUnsupported:            ProtocolError,
	CodeInvalidData:            ProtocolError,
}

// End is how a connection ended.
type End struct {
	By Initiator
	// Code is what it was closed with; CodeAbnormal where it broke off.
	Code holdfast.CloseCode
	// TimedOut: the network gave the peer up, by a deadline of its own.
	TimedOut bool
}

// Class classifies an end. A code that the table does not have is, of the server, one that an application's policy chose, and,
// of a client, an application's own: RFC 6455 §7.4.2 leaves those to it.
func (e End) Class() Class {
	switch e.By {
	case ByServer:
		if c, ok := byServer[e.Code]; ok {
			return c
		}
		return Policy
	case ByClient:
		return byClient(e.Code)
	}
	if e.TimedOut {
		return Timeout
	}
	return Network
}

func byClient(code holdfast.CloseCode) Class {
	switch {
	case code == CodeGoingAway:
		return GoingAway
	case code == CodeAbnormal:
		return Network
	case code >= CodeProtocol && code < 3000 && code != CodeNone || code == holdfast.CloseProtocol:
		// It says that we broke the protocol, or that it broke down itself.
		return ProtocolError
	}
	return Normal
}

// level is how loud an end of this class is in the log. known: its user had been verified. What strangers do is quiet: else
// anybody could fill the log. Lines that break are what this server is there for, and quiet too; the metrics count them.
func (c Class) level(known bool) slog.Level {
	switch {
	case c == Server:
		return slog.LevelWarn
	case !known:
		return slog.LevelDebug
	case c == ProtocolError:
		return slog.LevelWarn
	case c == Policy, c == Auth:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
