package client

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
)

func TestMachine(t *testing.T) {
	at := time.Unix(1e9, 0)
	gone := event{kind: broken, now: at, chance: 0.5}
	with := func(code holdfast.CloseCode) event { e := gone; e.code = code; return e }
	for name, c := range map[string]struct {
		events []event
		want   order
	}{
		"starts":           {[]event{{kind: started}}, order{phase: Dialing}},
		"opens":            {[]event{{kind: started}, {kind: opened}}, order{phase: Attaching}},
		"welcomed":         {[]event{{kind: started}, {kind: opened}, {kind: welcomed}}, order{phase: Live}},
		"stops dialing":    {[]event{{kind: started}, {kind: stopped}}, order{phase: Over}},
		"stops waiting":    {[]event{{kind: started}, gone, {kind: stopped}}, order{phase: Over}},
		"first failure":    {[]event{{kind: started}, gone}, order{phase: Waiting, wait: 125 * time.Millisecond}},
		"second failure":   {[]event{{kind: started}, gone, {kind: due}, gone}, order{phase: Waiting, wait: 250 * time.Millisecond}},
		"woken":            {[]event{{kind: started}, gone, {kind: woken}}, order{phase: Dialing}},
		"expired":          {[]event{{kind: started}, with(holdfast.CloseExpired), {kind: due}}, order{phase: Dialing, fresh: true}},
		"refused":          {[]event{{kind: started}, with(holdfast.CloseUnauthorized)}, order{phase: Dialing, fresh: true}},
		"refused twice":    {[]event{{kind: started}, with(holdfast.CloseUnauthorized), with(holdfast.CloseUnauthorized)}, order{phase: Over}},
		"superseded":       {[]event{{kind: started}, with(holdfast.CloseSuperseded)}, order{phase: Over}},
		"normal":           {[]event{{kind: started}, with(holdfast.CloseNormal)}, order{phase: Over}},
		"unknown code":     {[]event{{kind: started}, with(4321)}, order{phase: Waiting, wait: 125 * time.Millisecond}},
		"code of RFC 6455": {[]event{{kind: started}, with(1011)}, order{phase: Waiting, wait: 125 * time.Millisecond}},
		"over is over":     {[]event{{kind: started}, {kind: stopped}, {kind: started}}, order{phase: Over}},
		"late event":       {[]event{{kind: started}, {kind: welcomed}}, order{phase: Dialing}},
		"told": {[]event{{kind: started}, {kind: broken, chance: 0.5, code: 1013, told: true, after: time.Second,
			spread: 4 * time.Second}}, order{phase: Waiting, wait: 3 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			var m machine
			var got order
			for _, e := range c.events {
				got = m.on(e)
			}
			if got != c.want || m.phase != c.want.phase {
				t.Errorf("got %+v in %v, want %+v", got, m.phase, c.want)
			}
		})
	}
}

// However things go: it never waits longer than it may, never dials after its end, and forgets failures only when stable.
func TestMachineNeverGivesUpNorHammers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m machine
		now, failed := time.Unix(1e9, 0), 0
		for range 200 {
			e := event{kind: eventKind(rapid.IntRange(int(started), int(woken)).Draw(t, "event")), now: now, chance: rapid.Float64Range(0, 0.999).Draw(t, "chance")}
			was := m.phase
			o := m.on(e)
			switch {
			case o.phase == Over:
				t.Fatal("over, though nobody said so")
			case e.kind == broken && was != Waiting && was != Idle:
				failed++
				if o.phase != Waiting || o.wait > longCap || failed < 4 && o.wait > shortCap {
					t.Fatalf("failure %d: %+v", failed, o)
				}
			case e.kind == settled && was == Live, e.kind == woken && was == Waiting:
				failed = 0
			}
			if m.fails != failed {
				t.Fatalf("counts %d failures, there were %d", m.fails, failed)
			}
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(t, "time"))
		}
	})
}
