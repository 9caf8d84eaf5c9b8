package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
)

func at(minute int) time.Time { return time.Date(2026, 1, 1, 12, minute, 0, 0, time.UTC) }

func rules(t *testing.T, texts ...string) (all []holdfast.ConnectionRule) {
	t.Helper()
	for _, text := range texts {
		r, err := holdfast.ParseConnectionRule(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// three are a laptop with two windows, of which nobody looks at one, and a phone. old came first and was used last.
var three = []Conn{
	{ID: "old", Client: "a", Device: "laptop", Since: at(1), Used: at(30)},
	{ID: "hidden", Client: "b", Device: "laptop", Since: at(2), Used: at(20), Hidden: true},
	{ID: "phone", Client: "c", Device: "phone", Since: at(3), Used: at(10)},
}

func changed(all []Conn, id holdfast.ConnID, change func(*Conn)) []Conn {
	all = slices.Clone(all)
	for i := range all {
		if all[i].ID == id {
			change(&all[i])
		}
	}
	return all
}

func TestDecide(t *testing.T) {
	type connIDs = []holdfast.ConnID
	dead := changed(three, "phone", func(c *Conn) { c.Dead = true })
	reading := changed(three, "phone", func(c *Conn) { c.ReadOnly = true })
	cases := []struct {
		name     string
		rules    []string
		existing []Conn
		client   holdfast.ClientID // "d", a tablet's, where it is left out
		act      holdfast.Act
		want     Decision
	}{
		{name: "no rule", existing: three},
		{name: "room", rules: []string{"max=4 on=reject"}, existing: three},
		{name: "allow", rules: []string{"max=1 on=allow"}, existing: three},
		{name: "reject", rules: []string{"max=3 on=reject"}, existing: three, act: "claim", want: Decision{Verdict: Reject}},
		{name: "oldest", rules: []string{"max=3 on=evict_oldest"}, existing: three, act: "open", want: Decision{Evicted: connIDs{"old"}}},
		{name: "oldest, claimed", rules: []string{"max=3 on=evict_oldest"}, existing: three, act: "claim", want: Decision{Evicted: connIDs{"old"}}},
		{name: "oldest, by itself", rules: []string{"max=3 on=evict_oldest"}, existing: three, want: Decision{Verdict: Elsewhere}},
		{name: "an act that is none", rules: []string{"max=3 on=evict_oldest"}, existing: three, act: "please", want: Decision{Verdict: Elsewhere}},
		{name: "idle", rules: []string{"max=3 on=evict_idle"}, existing: three, act: "open", want: Decision{Evicted: connIDs{"hidden"}}},
		{name: "take over", rules: []string{"max=3 on=take_over"}, existing: three, act: "open", want: Decision{Evicted: connIDs{"old"}}},
		{name: "ask", rules: []string{"max=3 on=ask"}, existing: three, act: "open", want: Decision{Verdict: Ask}},
		{name: "ask, claimed", rules: []string{"max=3 on=ask"}, existing: three, act: "claim", want: Decision{Evicted: connIDs{"hidden"}}},
		{name: "read only", rules: []string{"max=3 on=read_only"}, existing: three, act: "open", want: Decision{Verdict: ReadOnly}},
		{name: "read only, claimed", rules: []string{"max=3 on=read_only"}, existing: three, act: "claim", want: Decision{Demoted: connIDs{"hidden"}}},
		{name: "who reads only has no place", rules: []string{"max=3 on=reject"}, existing: reading},
		{name: "the dead go first", rules: []string{"max=3 on=evict_oldest"}, existing: dead, act: "open", want: Decision{Dead: connIDs{"phone"}}},
		{name: "the dead lock nobody out", rules: []string{"max=3 on=reject"}, existing: dead, want: Decision{Dead: connIDs{"phone"}}},
		{name: "the dead stay where there is room", rules: []string{"max=4 on=reject"}, existing: dead},
		{name: "dead, and still no room", rules: []string{"max=2 on=reject"}, existing: dead, want: Decision{Verdict: Reject, Dead: connIDs{"phone"}}},
		{name: "its own ghost counts for nothing", rules: []string{"max=3 on=reject"}, existing: three, client: "c"},
		{name: "a tighter rule", rules: []string{"max=1 on=evict_oldest"}, existing: three, act: "open", want: Decision{Evicted: connIDs{"old", "hidden", "phone"}}},
		{name: "a device of its own", rules: []string{"max=1 on=reject per=device"}, existing: three},
		{name: "the gravest verdict counts", rules: []string{"max=3 on=evict_oldest", "max=3 on=ask"}, existing: three, act: "open", want: Decision{Verdict: Ask}},
		{name: "who goes by one rule is gone for the next", rules: []string{"max=3 on=evict_oldest", "max=3 on=evict_idle"}, existing: three, act: "open", want: Decision{Evicted: connIDs{"old"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			incoming := Conn{ID: "new", Client: "d", Device: "tablet"}
			if c.client != "" {
				incoming.Client = c.client
			}
			if diff := cmp.Diff(c.want, Decide(rules(t, c.rules...), c.existing, incoming, c.act)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a device's own windows", func(t *testing.T) {
		got := Decide(rules(t, "max=1 on=evict_oldest per=device"), three, Conn{ID: "new", Client: "d", Device: "phone"}, holdfast.ActOpen)
		if want := (Decision{Evicted: connIDs{"phone"}}); cmp.Diff(want, got) != "" {
			t.Error(cmp.Diff(want, got))
		}
	})
}

// world does at random what clients do, and holds what must be true whatever they do.
type world struct {
	t    *testing.T
	rnd  *rand.Rand
	rule holdfast.ConnectionRule
	live []Conn
	now  time.Time
	n    int
}

func (w *world) arrive(client holdfast.ClientID, act holdfast.Act) {
	w.n++
	w.now = w.now.Add(time.Second)
	in := Conn{ID: holdfast.ConnID(fmt.Sprint("x", w.n)), Client: client, Since: w.now, Used: w.now}
	before := slices.Clone(w.live)
	d := Decide([]holdfast.ConnectionRule{w.rule}, w.live, in, act)
	what := fmt.Sprintf("%s arrives by %q at %v with %+v: %+v", client, act, w.rule, before, d)
	if len(d.Evicted)+len(d.Demoted) > 1 {
		w.t.Fatalf("more than one has to go for one: %s", what)
	}
	if act == holdfast.ActNone && len(d.Evicted)+len(d.Demoted) > 0 {
		w.t.Fatalf("somebody has to go though no user did anything: %s", what)
	}
	was := slices.ContainsFunc(before, func(c Conn) bool { return c.Client == client && !c.ReadOnly })
	if was && d.Conflict() {
		w.t.Fatalf("its own ghost is in its way: %s", what)
	}
	if slices.ContainsFunc(before, func(c Conn) bool { return c.Dead && !c.ReadOnly && c.Client != client }) && len(d.Evicted)+len(d.Demoted) > 0 && len(d.Dead) == 0 {
		w.t.Fatalf("one that lives has to go before one that is dead: %s", what)
	}
	w.live = slices.DeleteFunc(w.live, func(c Conn) bool {
		return c.Client == client || slices.Contains(d.Dead, c.ID) || slices.Contains(d.Evicted, c.ID)
	})
	for i := range w.live {
		w.live[i].ReadOnly = w.live[i].ReadOnly || slices.Contains(d.Demoted, w.live[i].ID)
	}
	if d.Verdict <= ReadOnly {
		in.ReadOnly = d.Verdict == ReadOnly
		w.live = append(w.live, in)
	}
	places := 0
	for _, c := range w.live {
		if !c.ReadOnly {
			places++
		}
	}
	if w.rule.On != holdfast.ConflictAllow && places > w.rule.Max {
		w.t.Fatalf("%d have places: %s", places, what)
	}
}

func TestModel(t *testing.T) {
	for _, on := range []holdfast.Conflict{"allow", "reject", "evict_oldest", "evict_idle", "take_over", "ask", "read_only"} {
		for seed := range uint64(50) {
			w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), now: at(0)}
			w.rule = holdfast.ConnectionRule{Max: 1 + w.rnd.IntN(4), On: on}
			for range 300 {
				client := holdfast.ClientID(fmt.Sprint("c", w.rnd.IntN(8)))
				switch w.rnd.IntN(6) {
				case 0:
					w.live = slices.DeleteFunc(w.live, func(c Conn) bool { return c.Client == client })
				case 1:
					for i := range w.live {
						w.live[i].Dead = w.live[i].Dead || w.live[i].Client == client
					}
				case 2:
					for i := range w.live {
						w.live[i].Hidden = w.live[i].Client == client
					}
				default:
					w.arrive(client, []holdfast.Act{"", "open", "claim"}[w.rnd.IntN(3)])
				}
			}
		}
	}
}

func TestRulesAsText(t *testing.T) {
	for _, text := range []string{"max=3 on=evict_oldest", "max=1 on=ask per=device", "max=2 on=read_only in=session", "max=9 on=reject per=device in=session"} {
		if got := rules(t, text)[0].String(); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for text, says := range map[string]string{
		"": "needs max", "on=ask": "needs max", "max=0 on=ask": "needs max", "max=3": "needs on", "max=3 on=panic": "needs on",
		"max=x on=ask": "max=x", "max=3 on=ask per=planet": "per=planet", "max=3 on=ask in=cellar": "in=cellar", "max=3 on=ask speed=9": "speed=9",
	} {
		_, err := holdfast.ParseConnectionRule(text)
		if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is refused with %v, want a word of %s", text, err, says)
		}
	}
}

func TestPace(t *testing.T) {
	var p Pace
	now := at(0)
	// Somebody who changes windows every other second for a while is not hindered.
	for i := range Switches {
		if ok, _ := p.Switch(now); !ok {
			t.Fatalf("switch %d was denied", i+1)
		}
		now = now.Add(2 * time.Second)
	}
	// Clients that do it as fast as they can for ten minutes come to a few, fewer and fewer.
	var p2 Pace
	var done, flaps []time.Duration
	for d := time.Duration(0); d < 10*time.Minute; d += 50 * time.Millisecond {
		ok, flap := p2.Switch(at(0).Add(d))
		if ok {
			done = append(done, d)
		}
		if flap {
			flaps = append(flaps, d)
		}
	}
	if len(done) > Switches+8 || len(done) < Switches || done[len(done)-1] < 5*time.Minute {
		t.Errorf("switches at %v", done)
	}
	if len(flaps) < 3 || len(flaps) > 8 {
		t.Errorf("flapping was told of %d times: %v", len(flaps), flaps)
	}
	// Later all is forgotten.
	later := at(0).Add(time.Hour)
	if !p2.Settled(later) {
		t.Error("an hour later there is still something to remember")
	}
	if ok, _ := p2.Switch(later); !ok {
		t.Error("an hour later a switch is denied")
	}
}

func TestPaceOfRefusals(t *testing.T) {
	var p Pace
	now := at(0)
	n := 0
	for now.Before(at(10)) {
		now = now.Add(p.Refuse(now))
		n++
	}
	// One that dials again at once is held to about one dial each three seconds.
	if n > Refusals+10*60/3+10 || n < 100 {
		t.Errorf("%d refusals in ten minutes", n)
	}
}
