package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
)

var (
	allStates = []stateName{inIdle, inDialing, inAttaching, inLive, inDoubt, inWaiting, inAsleep, inEnded}
	allEvents = []eventKind{
		onConnect, onDisconnect, onRetry, onWake, onHidden, onSleep, onSuspect, onStable, onGate, onUnauthorized, onOpened,
		onReady, onWelcomed, onHeard, onPong, onSent, onClosed, onTimer, onMove,
	}
)

// traceT0 is when the traces begin, by the wall clock; any late moment would do.
const traceT0 = 1_790_000_000_000 * time.Millisecond

// trace is a scenario of testdata/machine.json.
type trace struct {
	Name  string
	Steps []traceStep
}

type traceStep struct {
	At      float64
	Event   traceEvent
	Random  *float64
	State   stateName
	Effects string
	Due     *int64
}

type traceEvent struct {
	Type                                                eventKind
	N                                                   uint64
	Certain, Hidden, Park, OK, Terminal, Dialed, Single bool
	Linger, Spread, Beat, Rest, RTT                     float64
	After                                               *float64
	Code                                                holdfast.CloseCode
	Reason                                              string
}

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

func (e traceEvent) event() event {
	out := event{
		kind: e.Type, n: e.N, certain: e.Certain, hidden: e.Hidden, park: e.Park, ok: e.OK, terminal: e.Terminal,
		dialed: e.Dialed, single: e.Single, told: e.After != nil, linger: ms(e.Linger), spread: ms(e.Spread),
		beat: ms(e.Beat), rest: ms(e.Rest), rtt: ms(e.RTT), code: e.Code, reason: e.Reason,
	}
	if e.After != nil {
		out.after = ms(*e.After)
	}
	return out
}

func traces(t *testing.T) []trace {
	t.Helper()
	content, err := os.ReadFile("testdata/machine.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		About     string
		Scenarios []trace
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Scenarios) == 0 {
		t.Fatal("no traces")
	}
	return file.Scenarios
}

// effectText is the effects as the traces have them.
func effectText(effects []effect) string {
	all := make([]string, len(effects))
	for i, e := range effects {
		words := []string{string(e.kind)}
		if e.n != 0 {
			words = append(words, fmt.Sprint(e.n))
		}
		if e.standby {
			words = append(words, "standby")
		}
		if e.bye != unsaid {
			words = append(words, string(e.bye))
		}
		all[i] = strings.Join(words, " ")
	}
	return strings.Join(all, ", ")
}

// due is the deadline in ms since the beginning; nil if there is none.
func due(m machine) *int64 {
	at := m.deadline()
	if at == never {
		return nil
	}
	ms := int64((at - traceT0).Round(time.Millisecond) / time.Millisecond)
	return &ms
}

func dueText(due *int64) string {
	if due == nil {
		return "never"
	}
	return fmt.Sprint(*due)
}

// The browser client's traces, which its own test reads and writes, step by step.
func TestMachineDoesWhatTheBrowsersDoes(t *testing.T) {
	for _, trace := range traces(t) {
		t.Run(strings.ReplaceAll(trace.Name, " ", "_"), func(t *testing.T) {
			m := machine{name: inIdle}
			for i, s := range trace.Steps {
				if !slices.Contains(allEvents, s.Event.Type) || !slices.Contains(allStates, s.State) {
					t.Fatalf("step %d: %q in %q is not known here", i, s.Event.Type, s.State)
				}
				chance := 0.5
				if s.Random != nil {
					chance = *s.Random
				}
				var effects []effect
				m, effects = m.step(s.Event.event(), moment{traceT0 + ms(s.At), chance})
				if m.name != s.State || effectText(effects) != s.Effects || dueText(due(m)) != dueText(s.Due) {
					t.Fatalf("step %d, %s at %v: %s, %q, due %s; want %s, %q, due %s", i, s.Event.Type, s.At, m.name,
						effectText(effects), dueText(due(m)), s.State, s.Effects, dueText(s.Due))
				}
			}
		})
	}
}

// The traces themselves leave nothing out.
func TestTracesHaveEachEventInEachState(t *testing.T) {
	type pair struct {
		state stateName
		event eventKind
	}
	seen := map[pair]bool{}
	for _, trace := range traces(t) {
		before := inIdle
		for _, s := range trace.Steps {
			seen[pair{before, s.Event.Type}] = true
			before = s.State
		}
	}
	for _, s := range allStates {
		for _, e := range allEvents {
			if !seen[pair{s, e}] {
				t.Errorf("no trace has %s in %s", e, s)
			}
		}
	}
}

// ignored is what tells nothing new in a state. Each event is either here or in the state's row of the table.
var ignored = map[stateName][]eventKind{
	inIdle: {
		onDisconnect, onRetry, onWake, onHidden, onSleep, onSuspect, onStable, onGate, onUnauthorized, onOpened, onReady, onWelcomed,
		onHeard, onPong, onSent, onClosed, onTimer, onMove,
	},
	inDialing: {onConnect, onSuspect, onStable, onReady, onWelcomed, onHeard, onPong, onSent, onMove},
	inAttaching: {
		onConnect, onSuspect, onStable, onGate, onUnauthorized, onOpened, onReady, onHeard, onPong, onSent,
		onMove,
	},
	inLive:  {onConnect, onGate, onReady, onWelcomed},
	inDoubt: {onConnect, onRetry, onSuspect, onStable, onGate, onWelcomed, onMove},
	inWaiting: {
		onSuspect, onStable, onUnauthorized, onOpened, onReady, onWelcomed, onHeard, onPong, onSent, onClosed,
		onMove,
	},
	inAsleep: {
		onSleep, onSuspect, onStable, onGate, onUnauthorized, onOpened, onReady, onWelcomed, onHeard, onPong, onSent,
		onClosed, onTimer, onMove,
	},
	inEnded: {
		onRetry, onWake, onHidden, onSleep, onSuspect, onStable, onGate, onUnauthorized, onOpened, onReady, onWelcomed, onHeard,
		onPong, onSent, onClosed, onTimer, onMove,
	},
}

// TestTableIsComplete does what the compiler does for the browser client: nobody forgets a pair.
func TestTableIsComplete(t *testing.T) {
	cells := 0
	for _, s := range allStates {
		for _, e := range allEvents {
			has, passed := table[s][e] != nil, slices.Contains(ignored[s], e)
			if has == passed {
				t.Errorf("%s in %s: in the table: %v, ignored: %v; want one of both", e, s, has, passed)
			}
			if has {
				cells++
			}
		}
	}
	total := 0
	for _, row := range table {
		total += len(row)
	}
	if len(table) != len(allStates) || cells != total {
		t.Errorf("the table has %d states and %d cells; of them %d are known", len(table), total, cells)
	}
}

// shell gives a machine random but possible events, as a shell that does what it is told would.
type shell struct {
	t *rapid.T
	m machine
	// now is the clock. open holds the sockets that were dialed and not dropped.
	now  instant
	open map[uint64]bool
	// spins counts the timer events in a row after which the next one was due at once.
	spins int
}

func (w *shell) take(e event) {
	before := w.m
	at := moment{w.now, rapid.Float64Range(0.01, 0.999).Draw(w.t, "chance")}
	m, effects := w.m.step(e, at)
	w.m = m
	for _, f := range effects {
		switch f.kind {
		case doDial:
			w.open[f.n] = true
		case doDrop:
			if !w.open[f.n] {
				w.t.Fatalf("dropped %d, which is not open", f.n)
			}
			delete(w.open, f.n)
		case doHello, doTake, doPing:
			if !w.open[f.n] {
				w.t.Fatalf("%s on %d, which is not open", f.kind, f.n)
			}
		}
	}
	for _, n := range m.sockets() {
		if !w.open[n] {
			w.t.Fatalf("%s after %s in %s holds %d, which was dropped", m.name, e.kind, before.name, n)
		}
	}
	if len(w.open) != len(m.sockets()) || len(w.open) > 2 || m.name != inDoubt && m.name != inLive && len(w.open) > 1 {
		w.t.Fatalf("%s after %s in %s: open are %v, held %v", m.name, e.kind, before.name, w.open, m.sockets())
	}
	w.checkDeadline(e)
}

// checkDeadline: no state but those that may last is a place to stay for ever.
func (w *shell) checkDeadline(e event) {
	at := w.m.deadline()
	lasts := w.m.name == inIdle || w.m.name == inAsleep || w.m.name == inEnded
	if lasts != (at == never) {
		w.t.Fatalf("%s after %s is due at %v", w.m.name, e.kind, at)
	}
	if e.kind != onTimer || at > w.now {
		w.spins = 0
	} else if w.spins++; w.spins > 2 {
		// A second that succeeds may be slow already, and ask the gate; but that is all.
		w.t.Fatalf("%s is due again and again: the timer would spin", w.m.name)
	}
}

func (w *shell) event() event {
	kind := rapid.SampledFrom(allEvents).Draw(w.t, "event")
	flag := func(name string) bool { return rapid.Bool().Draw(w.t, name) }
	e := event{kind: kind}
	switch kind {
	case onUnauthorized, onOpened, onReady, onWelcomed, onHeard, onPong, onClosed, onMove:
		held := w.m.sockets()
		if len(held) == 0 {
			return event{kind: onTimer}
		}
		e.n = rapid.SampledFrom(held).Draw(w.t, "socket")
		e.beat, e.rest, e.rtt = 10*time.Second, 25*time.Second, time.Duration(rapid.IntRange(0, 3000).Draw(w.t, "rtt"))*time.Millisecond
		e.terminal, e.dialed, e.single = false, flag("dialed"), flag("single")
		e.code = rapid.SampledFrom([]holdfast.CloseCode{1006, 1012, 1013, 4401, 4408}).Draw(w.t, "code")
		e.spread = 2 * time.Second
		if e.told = flag("told"); e.told {
			e.after, e.spread = time.Second, 4*time.Second
		}
		// Only the second can be asked to stand by, and only what was dialed can lack a token or open.
		if kind == onOpened || kind == onUnauthorized {
			if (w.m.name == inDoubt || w.m.name == inLive) && (e.n != w.m.second.n || w.m.second.asked) {
				return event{kind: onTimer}
			}
		}
		if kind == onReady && (e.n != w.m.second.n || !w.m.second.asked) || (kind == onPong || kind == onMove) && e.n != w.m.n {
			return event{kind: onTimer}
		}
	case onWake:
		e.certain, e.hidden = flag("certain"), false
	case onGate:
		e.ok = flag("ok")
	case onHidden, onSleep, onDisconnect:
		// A Go program does not hide; of disconnect the traces tell.
		return event{kind: onTimer}
	}
	return e
}

// However things go: it holds two sockets at most, and only those that were not dropped; it never gives up by itself, never
// spins, and has a deadline wherever it may not stay.
func TestMachineNeverGivesUpNorHammers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &shell{t: t, m: machine{name: inIdle}, now: traceT0, open: map[uint64]bool{}}
		w.take(event{kind: onConnect})
		for range 200 {
			e := w.event()
			if e.kind == onTimer {
				at := w.m.deadline()
				if at == never {
					t.Fatalf("%s is for ever", w.m.name)
				}
				w.now = max(w.now, at)
			}
			w.take(e)
			if w.m.name == inIdle || w.m.name == inEnded || w.m.name == inAsleep {
				t.Fatalf("%s, though nobody said so", w.m.name)
			}
			w.now += rapid.SampledFrom([]time.Duration{0, time.Millisecond, 300 * time.Millisecond, time.Second, time.Minute}).Draw(t, "time")
		}
	})
}
