package holdfast

import "testing"

// The codes with what a client does and reads. The numbers are on the wire and never change.
func TestCloseCodes(t *testing.T) {
	want := map[CloseCode]struct {
		name      string
		reconnect bool
	}{
		1000: {"normal", false}, 1012: {"restart", true}, 1013: {"overload", true},
		4400: {"timeout", true}, 4401: {"expired", true}, 4402: {"stalled", true}, 4403: {"internal", true},
		4404: {"rate_limited", true}, 4500: {"protocol", false}, 4501: {"unauthorized", false},
		4502: {"superseded", false}, 4503: {"too_large", false}, 4504: {"kicked", false}, 4505: {"version", false},
		4506: {"elsewhere", false}, 4507: {"too_many", false},
	}
	names := map[string]bool{}
	for i := range 1 << 16 {
		c := CloseCode(i)
		w, known := want[c]
		if !known {
			w.name, w.reconnect = "other", i < 4500 || i > 4999
		}
		if c.String() != w.name || c.Reconnect() != w.reconnect {
			t.Errorf("%d: %s, reconnect %v; want %s, %v", i, c, c.Reconnect(), w.name, w.reconnect)
		}
		if known && names[w.name] {
			t.Errorf("two codes are called %s", w.name)
		}
		names[w.name] = true
	}
	for _, c := range []CloseCode{CloseNormal, CloseRestart, CloseOverload, CloseTimeout, CloseExpired, CloseStalled,
		CloseInternal, CloseRateLimited, CloseProtocol, CloseUnauthorized, CloseSuperseded, CloseTooLarge, CloseKicked, CloseVersion} {
		if _, ok := want[c]; !ok {
			t.Errorf("%d is not in the table", c)
		}
	}
}
