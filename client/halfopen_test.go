package client

import (
	"testing"
	"time"
)

// A client whose page is seen, and whose server has fallen silent without a word, doubts the connection and has another one
// in the making within 12.5 s: 1.2 beats, and the time that a pong may take.
func TestClause12_AClientDetectsAHalfOpenConnectionWithin12500ms(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second} {
		now := traceT0
		m := machine{name: inIdle}
		var effects []effect
		take := func(e event) {
			m, effects = m.step(e, moment{now, 0.5})
		}
		take(event{kind: onConnect})
		take(event{kind: onOpened, n: m.n})
		take(event{kind: onWelcomed, n: m.n, beat: 10 * time.Second, rest: 25 * time.Second, rtt: rtt})
		take(event{kind: onStable})
		last := now // nothing is heard from here on
		for {
			now = m.deadline()
			take(event{kind: onTimer})
			if m.name == inDoubt && m.second.n != 0 {
				break
			}
			if m.name != inLive && m.name != inDoubt {
				t.Fatalf("after %v it is %s", now-last, m.name)
			}
		}
		if took := now - last; took > 12_500*time.Millisecond || took < 12*time.Second {
			t.Errorf("with a round trip of %v another dial begins after %v", rtt, took)
		}
		if len(effects) != 1 || effects[0].kind != doDial {
			t.Errorf("the effects are %v", effects)
		}
		// And the dead one is given up soon after, whatever becomes of the other.
		if until := m.until - last; until > 15*time.Second {
			t.Errorf("it is given up after %v only", until)
		}
	}
}
