package ws

import "github.com/holdfast/holdfast"

// The codes of RFC 6455 §7.4.1 that answer a peer who breaks it.
const (
	codeProtocol    holdfast.CloseCode = 1002
	codeUnsupported holdfast.CloseCode = 1003
	codeInvalidData holdfast.CloseCode = 1007
	// codeNone stands for a closing frame without a code.
	codeNone holdfast.CloseCode = 1005
)

// violation is what a peer did wrong, with the code that its connection is closed with.
type violation struct {
	code holdfast.CloseCode
	text string
}

func (v *violation) Error() string { return v.text }

// refusal is the violation as the error that Receive returns.
func (v *violation) refusal() *holdfast.Error {
	code := holdfast.CodeInvalid
	if v.code == holdfast.CloseTooLarge {
		code = holdfast.CodeTooLarge
	}
	return holdfast.Wrap(code, v, "the client broke WebSocket framing: %s", v.text)
}

// validCloseCode reports whether a peer may send the code: RFC 6455 §7.4 and the registry of IANA that it founded.
// 1004 is reserved; 1005, 1006 and 1015 stand for what was never sent.
func validCloseCode(c uint16) bool {
	switch {
	case c >= 3000 && c <= 4999, c >= 1000 && c <= 1003, c >= 1007 && c <= 1014:
		return true
	}
	return false
}
