// Package holdfast is the vocabulary of Holdfast: the words that the server, the wire, the stores and the
// clients share, and nothing that moves. It imports only the standard library and does no I/O.
//
// # The words
//
// A [SessionID] names a durable, ordered log. The log holds an [Entry] at each [Offset]: a message, a run, a state
// or an event of the session itself. A run is an entry that grows: it is opened, [Fragment]s are appended to it and
// it ends once, with a [RunStatus]. A [Position] says where in a log a record stands; a [Cursor] says how far a
// reader has come, open runs included.
//
// A user ([UserID]) has clients ([ClientID]: a device or a tab), and a client has at most one live connection
// ([ConnID]) at a time, told apart by a generation. The three are never one. What a user may do is a [Grant].
//
// # Errors
//
// Every refusal is an [Error] with a [Code] from a closed set; the text is for people. A connection ends with a
// [CloseCode] whose range tells the client whether to come back.
package holdfast

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// SessionID names a session. The application chooses it: 1 to 128 bytes of letters, digits and . _ ~ : @ -
type SessionID string

// UserID names who signed in, as the token's subject says: 1 to 256 bytes of UTF-8 without control characters.
type UserID string

// ClientID names one device or tab, chosen by the client and stable over its reconnects: 1 to 64 bytes of
// letters, digits and . _ ~ : @ -
type ClientID string

// ConnID names one live connection on one node. It is the server's and dies with the connection.
type ConnID string

// Generation counts the dials of one client. Of two connections of a client the higher one is the living one.
type Generation uint64

// Limits of identifiers, in bytes.
const (
	MaxSessionID = 128
	MaxUserID    = 256
	MaxClientID  = 64
	// MaxKey bounds idempotency keys, client message ids, state keys and part names.
	MaxKey = 256
)

// Validate reports what is wrong with the id, as an [Error] with [CodeInvalid], or nil.
func (id SessionID) Validate() error { return validName("session id", string(id), MaxSessionID) }

// Validate reports what is wrong with the id, as an [Error] with [CodeInvalid], or nil.
func (id ClientID) Validate() error { return validName("client id", string(id), MaxClientID) }

// Validate reports what is wrong with the id, as an [Error] with [CodeInvalid], or nil.
func (id UserID) Validate() error { return validText("user id", string(id), MaxUserID) }

// ValidateKey reports what is wrong with an idempotency key, message id, state key or part name; what names it in
// the error's text.
func ValidateKey(what, key string) error { return validText(what, key, MaxKey) }

func validName(what, s string, most int) error {
	if s == "" {
		return Errorf(CodeInvalid, "%s is empty", what)
	}
	if len(s) > most {
		return Errorf(CodeInvalid, "%s has %d bytes, at most %d are allowed", what, len(s), most)
	}
	for i := 0; i < len(s); i++ {
		if !nameByte(s[i]) {
			return Errorf(CodeInvalid, "%s has %s at byte %d; letters, digits and . _ ~ : @ - are allowed",
				what, strconv.QuoteRuneToASCII(rune(s[i])), i)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("._~:@-", c) >= 0
}

func validText(what, s string, most int) error {
	if s == "" {
		return Errorf(CodeInvalid, "%s is empty", what)
	}
	if len(s) > most {
		return Errorf(CodeInvalid, "%s has %d bytes, at most %d are allowed", what, len(s), most)
	}
	if !utf8.ValidString(s) {
		return Errorf(CodeInvalid, "%s is not valid UTF-8", what)
	}
	for i, r := range s {
		if r < 0x20 || r == 0x7f {
			return Errorf(CodeInvalid, "%s has a control character at byte %d", what, i)
		}
	}
	return nil
}
