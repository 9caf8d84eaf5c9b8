package holdfast

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorCodeAndMessage(t *testing.T) {
	const hidden = "internal error; the server's log has the detail"
	own := Errorf(CodeGap, "fragment %d is missing", 3)
	for name, c := range map[string]struct {
		err       error
		code      Code
		text, log string
	}{
		"own":             {own, CodeGap, "fragment 3 is missing", "gap: fragment 3 is missing"},
		"wrapped by fmt":  {fmt.Errorf("append: %w", own), CodeGap, "fragment 3 is missing", "append: gap: fragment 3 is missing"},
		"with a cause":    {Wrap(CodeUnavailable, io.EOF, "the store %s", "fails"), CodeUnavailable, "the store fails", "unavailable: the store fails: EOF"},
		"own inside own":  {Wrap(CodeInternal, own, "outer"), CodeInternal, "outer", "internal: outer: gap: fragment 3 is missing"},
		"another":         {io.ErrUnexpectedEOF, CodeInternal, hidden, "unexpected EOF"},
		"joined":          {errors.Join(io.EOF, own), CodeGap, "fragment 3 is missing", "EOF\ngap: fragment 3 is missing"},
		"percent in text": {Errorf(CodeInvalid, "%s", "100%d"), CodeInvalid, "100%d", "invalid: 100%d"},
	} {
		t.Run(name, func(t *testing.T) {
			if CodeOf(c.err) != c.code || MessageOf(c.err) != c.text || c.err.Error() != c.log {
				t.Errorf("%q, %q, %q", CodeOf(c.err), MessageOf(c.err), c.err)
			}
		})
	}
	if CodeOf(nil) != "" {
		t.Errorf("nil has the code %q", CodeOf(nil))
	}
	if err := Wrap(CodeInternal, io.EOF, "x"); !errors.Is(err, io.EOF) {
		t.Error("the cause cannot be found")
	}
}

// The codes are on the wire and never change.
func TestCodes(t *testing.T) {
	want := []Code{"invalid", "too_large", "unauthorized", "forbidden", "not_found", "conflict", "fenced", "run_ended",
		"stopped", "gap", "lost", "rate_limited", "unavailable", "internal"}
	if d := cmp.Diff(want, Codes()); d != "" {
		t.Error(d)
	}
	Codes()[0] = "changed"
	if Codes()[0] != CodeInvalid {
		t.Error("a caller can change the list")
	}
}
