package holdfast

// CloseCode says why a connection ended. A client need not know the code to do right: 1000 and 4500 to 4999 mean stay
// away, every other code means come back (RFC 6455 §7.4 leaves 4000 to 4999 to applications).
type CloseCode uint16

// The close codes that the server sends.
const (
	// CloseNormal: the client said goodbye, or was asked to by the application.
	CloseNormal CloseCode = 1000
	// CloseRestart: the server is being restarted or moved. Come back as the reason says.
	CloseRestart CloseCode = 1012
	// CloseOverload: the server takes no more connections now. Come back as the reason says.
	CloseOverload CloseCode = 1013

	// CloseTimeout: nothing was heard from the client for too long, or no hello came. Come back at once.
	CloseTimeout CloseCode = 4400
	// CloseExpired: the token expired while the connection lived. Come back with a new one.
	CloseExpired CloseCode = 4401
	// CloseStalled: the socket took nothing for too long. Come back; nothing is lost.
	CloseStalled CloseCode = 4402
	// CloseInternal: a fault of the server. Come back later.
	CloseInternal CloseCode = 4403
	// CloseRateLimited: too many frames in too short a time. Come back later.
	CloseRateLimited CloseCode = 4404

	// CloseProtocol: the client broke the protocol; the reason says how.
	CloseProtocol CloseCode = 4500
	// CloseUnauthorized: the token does not verify.
	CloseUnauthorized CloseCode = 4501
	// CloseSuperseded: a newer connection of the same client lives.
	CloseSuperseded CloseCode = 4502
	// CloseTooLarge: a message was over the limit.
	CloseTooLarge CloseCode = 4503
	// CloseKicked: the backend or an operator ended the connection.
	CloseKicked CloseCode = 4504
	// CloseVersion: the server does not speak the client's version of the protocol.
	CloseVersion CloseCode = 4505
	// CloseElsewhere: by a rule on connections, another connection of the user has this one's place. Its user may claim it.
	CloseElsewhere CloseCode = 4506
	// CloseTooMany: by a rule on connections, there is no place for one more, whatever the user does.
	CloseTooMany CloseCode = 4507
)

// Reconnect reports whether a client that is given the code should come back. Unknown codes follow their range.
func (c CloseCode) Reconnect() bool { return c != CloseNormal && (c < 4500 || c > 4999) }

var closeNames = map[CloseCode]string{
	CloseNormal: "normal", CloseRestart: "restart", CloseOverload: "overload", CloseTimeout: "timeout",
	CloseExpired: "expired", CloseStalled: "stalled", CloseInternal: "internal", CloseRateLimited: "rate_limited",
	CloseProtocol: "protocol", CloseUnauthorized: "unauthorized", CloseSuperseded: "superseded",
	CloseTooLarge: "too_large", CloseKicked: "kicked", CloseVersion: "version",
	CloseElsewhere: "elsewhere", CloseTooMany: "too_many",
}

// String returns the name of the code as it stands in logs and goodbyes, or "other".
func (c CloseCode) String() string {
	if n, ok := closeNames[c]; ok {
		return n
	}
	return "other"
}

// Outcome is the answer to a subscription: what the entries that follow are to what the reader holds.
type Outcome string

// The outcomes, a closed set.
const (
	// Continuous: what follows continues what the reader has, without a hole.
	Continuous Outcome = "continuous"
	// Snapshot: what follows replaces what the reader has; older entries can be paged back to.
	Snapshot Outcome = "snapshot"
	// Lost: the log that the reader's cursor came from is gone; what follows is another log's snapshot.
	Lost Outcome = "lost"
	// Denied: the reader may not read this session. Nothing follows.
	Denied Outcome = "denied"
)
