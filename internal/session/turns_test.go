package session

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

var update = flag.Bool("update", false, "write testdata/turns.txt anew; commit it only if you understand it")

var bob = holdfast.Sender{User: "bob", Client: "b1"}

// turnCase is a session in which a message stands at 1; where its answer has begun, that is the run at 2, and else a run at 2
// answers nothing.
type turnCase struct {
	name string
	info driver.Info
	look scoped
}

// turnCases are all ways in which a session may be busy, with nobody waiting and with bob waiting.
func turnCases(p holdfast.TurnPolicy) (out []turnCase) {
	run := holdfast.RunInfo{Run: 2, ID: "r", Status: holdfast.RunOpen, Fence: 1, At: now, Changed: now}
	answer := run
	answer.Answers = 1
	soon, over := driver.Turn{Message: 1, Until: now.Add(time.Second)}, driver.Turn{Message: 1, Until: now}
	held := driver.Held{ID: "waits", From: bob, At: now, Data: []byte(`1`), Feed: true}
	for _, c := range []struct {
		name string
		turn driver.Turn
		open []holdfast.RunInfo
	}{
		{"free", driver.Turn{}, nil},
		{"awaited", soon, nil},
		{"too late", over, nil},
		{"answered", driver.Turn{Message: 1}, []holdfast.RunInfo{answer}},
		{"a run", driver.Turn{}, []holdfast.RunInfo{run}},
		{"awaited, a run", soon, []holdfast.RunInfo{run}},
	} {
		for _, waits := range []bool{false, true} {
			info := driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 1, Head: 3, Entries: 3, Open: c.open,
				Turns: driver.Turns{Rules: driver.TurnRules{Policy: p, Limit: 2}, Own: true, Turn: c.turn}}
			known := map[scopedID]Known{{"ann", "message"}: {Offset: 1}, {"", "r"}: {Offset: 2, Run: true}}
			name := c.name
			if waits {
				info.Turns.Queue = []driver.Held{held}
				known[scopedID{"bob", "waits"}] = Known{Offset: 3, Turn: holdfast.TurnQueued}
				name += ", bob waits"
			}
			// What cannot be: turns where none are taken, and a queue that nothing keeps waiting.
			if p == holdfast.TurnParallel && (c.turn.Message != 0 || waits) || waits && c.name == "free" {
				continue
			}
			out = append(out, turnCase{name, info, scoped{ids: known}})
		}
	}
	return out
}

type turnOp struct {
	name string
	op   driver.Op
}

func turnOps() []turnOp {
	say := func(id string, from holdfast.Sender) driver.NewEntry {
		return driver.NewEntry{Kind: holdfast.KindMessage, ID: id, From: from, Data: []byte(`1`), Feed: true}
	}
	run := func(id string, answers holdfast.Offset) driver.OpenRunOp {
		return driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id}, Answers: answers}
	}
	edit := func(do holdfast.TurnState) driver.EditQueue {
		return driver.EditQueue{ID: "edit", From: ann, Do: do, Of: driver.HeldRef{User: "bob", ID: "waits"}, To: 5}
	}
	return []turnOp{
		{"ann sends", driver.Append{Entries: []driver.NewEntry{say("a", ann)}}},
		{"bob sends", driver.Append{Entries: []driver.NewEntry{say("b", bob)}}},
		{"bob repeats", driver.Append{Entries: []driver.NewEntry{say("waits", bob)}}},
		{"the backend writes", driver.Append{Entries: []driver.NewEntry{say("m", holdfast.Sender{})}}},
		{"three at once", driver.Append{Entries: []driver.NewEntry{say("x", ann), say("y", ann), say("m", holdfast.Sender{})}}},
		{"an answer begins", run("new", 1)},
		{"another run begins", run("new", 0)},
		{"the run ends", driver.EndRun{Run: 2, Fence: 1, Status: holdfast.RunComplete}},
		{"its lease lapses", driver.EndRun{Run: 2, Force: true, Status: holdfast.RunInterrupted}},
		{"the answer is stopped", driver.RequestStop{ID: "s", From: ann, Answers: 1}},
		{"there will be none", driver.EndTurn{Message: 1}},
		{"its time is over", driver.EndTurn{Message: 1, Lapsed: true}},
		{"withdraw", edit(holdfast.TurnWithdrawn)},
		{"move", edit(holdfast.TurnMoved)},
		{"set queue", driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue}}},
		{"set parallel", driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnParallel}}},
	}
}

// TestEveryTurn goes through every way in which a session may be busy, every policy and every operation. What comes of it is in
// testdata/turns.txt: what was written, in order, then who waits and whose turn it is.
func TestEveryTurn(t *testing.T) {
	var b strings.Builder
	for _, p := range []holdfast.TurnPolicy{holdfast.TurnParallel, holdfast.TurnQueue, holdfast.TurnLatest, holdfast.TurnReject, holdfast.TurnInterrupt} {
		for _, c := range turnCases(p) {
			fmt.Fprintf(&b, "%s, %s\n", p, c.name)
			for _, op := range turnOps() {
				before := fmt.Sprintf("%+v", c.info)
				out, err := Apply(c.info, Input{Session: "s", Op: op.op, Now: now, Epoch: "bbbbbbbbbb"}, c.look)
				fmt.Fprintf(&b, "    %-22s %s\n", op.name, turnCell(&out, err))
				if after := fmt.Sprintf("%+v", c.info); after != before {
					t.Errorf("%s, %s, %s: the state given was changed", p, c.name, op.name)
				}
				checkTurns(t, fmt.Sprintf("%s, %s, %s", p, c.name, op.name), &out)
			}
		}
	}
	file := filepath.Join("testdata", "turns.txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), b.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func turnCell(out *Outcome, err error) string {
	var he *holdfast.Error
	switch {
	case errors.As(err, &he):
		return string(he.Code)
	case err != nil:
		return err.Error()
	case !out.Changed && len(out.Result.Entries) == 1 && out.Result.Entries[0].State != "":
		return "= " + string(out.Result.Entries[0].State)
	case !out.Changed:
		return "="
	}
	var did []string
	for i := range out.Items {
		switch it := &out.Items[i]; {
		case it.End != nil:
			did = append(did, "end")
		case it.Stop != nil && it.Stop.ID != "s":
			did = append(did, fmt.Sprintf("stop of %s by %s %s", map[bool]string{true: "the run", false: "the answer"}[it.Stop.Run != 0], it.Stop.From.User, it.Stop.State))
		case it.Stop != nil:
			did = append(did, "stop "+string(it.Stop.State))
		case it.Entry.Key == holdfast.TurnsKey:
			did = append(did, "shown")
		case it.Entry.Kind == holdfast.KindMessage:
			did = append(did, it.Entry.ID)
		default:
			did = append(did, string(it.Entry.Kind))
		}
	}
	turns := &out.Info.Turns
	var waits []string
	for i := range turns.Queue {
		waits = append(waits, turns.Queue[i].ID)
	}
	what := strings.Join(did, ", ")
	if len(waits) > 0 {
		what += " | " + strings.Join(waits, " ") + " wait"
	}
	if turns.Turn.Message != 0 {
		what += fmt.Sprintf(" | the turn of %d", turns.Turn.Message)
		if turns.Turn.Until.IsZero() {
			what += ", answered"
		}
	}
	if what == "" {
		return "the turn is over"
	}
	return strings.TrimPrefix(what, " | ")
}

// checkTurns checks what holds whatever happened.
func checkTurns(t *testing.T, name string, out *Outcome) {
	t.Helper()
	turns := &out.Info.Turns
	if len(turns.Queue) > 0 && len(out.Info.Open) == 0 && turns.Turn.Message == 0 {
		t.Errorf("%s: somebody waits, and nothing is under way", name)
	}
	if turns.Rules.Parallel() && (len(turns.Queue) > 0 || turns.Turn.Message != 0) {
		t.Errorf("%s: turns where none are taken: %+v", name, turns)
	}
	shown := ""
	for _, e := range out.Effects.Entries {
		if e.Key == holdfast.TurnsKey {
			shown = string(e.Data)
		}
		if e.Kind == holdfast.KindMessage && e.At != now {
			t.Errorf("%s: %s was let in at %s", name, e.ID, e.At)
		}
	}
	if want := string(turnsData(turns, nil)); shown != "" && !strings.HasPrefix(shown, strings.TrimSuffix(want, "}")) {
		t.Errorf("%s: shown is %s, and it is %s", name, shown, want)
	}
	if out.Effects.Queue != (shown != "") {
		t.Errorf("%s: the queue is to be stored: %v, what is shown is %q", name, out.Effects.Queue, shown)
	}
}

// TestTurnsRefused: what no rules and no commands can be, and what is too much.
func TestTurnsRefused(t *testing.T) {
	c := turnCases(holdfast.TurnQueue)[2] // awaited, bob waits
	of := driver.HeldRef{User: "bob", ID: "waits"}
	large := driver.NewEntry{Kind: holdfast.KindMessage, ID: "large", From: ann, Data: []byte(`"` + strings.Repeat("x", driver.MaxTurnsBytes) + `"`)}
	for name, want := range map[string]struct {
		op   driver.Op
		code holdfast.Code
	}{
		"no policy":       {driver.SetTurns{}, holdfast.CodeInvalid},
		"unknown policy":  {driver.SetTurns{Rules: driver.TurnRules{Policy: "polite"}}, holdfast.CodeInvalid},
		"negative limit":  {driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue, Limit: -1}}, holdfast.CodeInvalid},
		"too long a wait": {driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue, Wait: 2 * time.Hour}}, holdfast.CodeInvalid},
		"half a ms":       {driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue, Wait: 500 * time.Microsecond}}, holdfast.CodeInvalid},
		"no id":           {driver.EditQueue{Do: holdfast.TurnMoved, Of: of}, holdfast.CodeInvalid},
		"no message":      {driver.EditQueue{ID: "e", Do: holdfast.TurnMoved}, holdfast.CodeInvalid},
		"no such edit":    {driver.EditQueue{ID: "e", Do: holdfast.TurnReplaced, Of: of}, holdfast.CodeInvalid},
		"to before all":   {driver.EditQueue{ID: "e", Do: holdfast.TurnMoved, Of: of, To: -1}, holdfast.CodeInvalid},
		"reserved":        {driver.EditQueue{ID: "holdfast:e", Do: holdfast.TurnMoved, Of: of}, holdfast.CodeInvalid},
		"a message's id":  {driver.EditQueue{ID: "message", From: ann, Do: holdfast.TurnMoved, Of: of}, holdfast.CodeConflict},
		"another's":       {driver.EditQueue{ID: "e", Do: holdfast.TurnMoved, Of: driver.HeldRef{User: "ann", ID: "waits"}}, holdfast.CodeNotFound},
		"in the log":      {driver.EditQueue{ID: "e", Do: holdfast.TurnMoved, Of: driver.HeldRef{User: "ann", ID: "message"}}, holdfast.CodeConflict},
		"a turn of none":  {driver.EndTurn{Message: 9}, holdfast.CodeNotFound},
		"reserved key":    {driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: holdfast.TurnsKey}}}, holdfast.CodeInvalid},
		"too large":       {driver.Append{Entries: []driver.NewEntry{large}}, holdfast.CodeRateLimited},
		"expire":          {driver.Expire{Epoch: "aaaaaaaaaa", Head: 3}, holdfast.CodeConflict},
	} {
		if out, err := Apply(c.info, Input{Session: "s", Op: want.op, Now: now}, c.look); holdfast.CodeOf(err) != want.code || out.Changed {
			t.Errorf("%s: %v, want %s", name, err, want.code)
		}
	}
	alone := turnCases(holdfast.TurnQueue)[1]
	out, err := Apply(alone.info, Input{Session: "s", Op: driver.Append{Entries: []driver.NewEntry{large}}, Now: now}, alone.look)
	if err != nil || len(out.Info.Turns.Queue) != 1 {
		t.Errorf("a large message waits alone: %v", err)
	}
	c.look.err = errors.New("disk")
	for _, op := range turnOps() {
		if op.name == "there will be none" || op.name == "its time is over" || op.name == "set queue" {
			continue // they look for nothing
		}
		if _, err := Apply(c.info, Input{Session: "s", Op: op.op, Now: now}, c.look); !errors.Is(err, c.look.err) {
			t.Errorf("%s on a broken store: %v", op.name, err)
		}
	}
}

// TestTurnsStateSays pins what the state says that shows the queue: it is read by every client.
func TestTurnsStateSays(t *testing.T) {
	turns := driver.Turns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue}, Turn: driver.Turn{Message: 805},
		Queue: []driver.Held{{ID: "x<", From: ann, At: now, Data: []byte(`{"a": "<&"}`)}}}
	const want = `{"policy":"queue","turn":805,"queue":[{"id":"x<","u":"ann","c":"a1","at":1700000000123,"data":{"a":"<&"}}],` +
		`"out":[{"id":"y","u":"bob","state":"withdrawn","by":"ann"}]}`
	if got := string(turnsData(&turns, []left{{"y", "bob", holdfast.TurnWithdrawn, "ann"}})); got != want {
		t.Errorf("got %s", got)
	}
	if got := string(turnsData(&driver.Turns{Turn: turns.Turn}, nil)); got != `{"policy":"parallel","turn":null,"queue":[]}` {
		t.Errorf("got %s", got)
	}
}
