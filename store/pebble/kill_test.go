package pebble

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

const (
	killEnv     = "HOLDFAST_TEST_KILL"
	killWriters = 64
)

// TestKillChild is the program that is killed. On its own it does nothing.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killEnv)
	if dir == "" {
		t.Skip("it is run by the tests that kill it")
	}
	level := driver.Durability(os.Getenv(killEnv + "_SYNC"))
	d, err := Open(Options{Dir: dir, Sync: level, CachedSessions: 20})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "@"+format+"\n", args...)
		_ = out.Flush()
	}
	d.Watch(func(c driver.Change) {
		for _, i := range c.Items {
			switch {
			case i.Entry != nil:
				say("shown %s %s %d %d", c.Session, c.Epoch, i.Entry.Offset, i.Entry.Tag)
			case i.Fragments != nil:
				say("grown %s %s %d %d %d", c.Session, c.Epoch, i.Fragments.Run, int(i.Fragments.First)+len(i.Fragments.Fragments)-1, i.Fragments.Tag)
			}
		}
	})
	var writers sync.WaitGroup
	for w := range killWriters {
		writers.Go(func() { killWriter(d, w, os.Getenv(killEnv+"_ROUND"), say) })
	}
	writers.Wait()
}

// killWriter writes messages, states and runs for ever and says what was acknowledged.
func killWriter(d *Driver, w int, round string, say func(string, ...any)) {
	ctx := context.Background()
	s := holdfast.SessionID(fmt.Sprintf("s%d", w%40)) // some have two writers
	must := func(r driver.Result, err error) driver.Result {
		if err != nil {
			panic(err)
		}
		return r
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s.%d.%d", round, w, i)
		n := driver.NewEntry{Kind: holdfast.KindMessage, ID: id, Data: json.RawMessage(`{"text":"hello"}`), Feed: i%8 == 0}
		if i%3 == 0 {
			n.Kind, n.Key = holdfast.KindState, fmt.Sprint("k", i%2)
		}
		r := must(d.Apply(ctx, s, driver.Append{Entries: []driver.NewEntry{n}}))
		say("acked %s %s %d %d %s", s, r.Epoch, r.Entries[0].Offset, r.Entries[0].Tag, id)
		if i%4 != 0 {
			continue
		}
		r = must(d.Apply(ctx, s, driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r" + id}}))
		say("acked %s %s %d %d r%s", s, r.Epoch, r.Entries[0].Offset, r.Entries[0].Tag, id)
		for k := range int64(5) {
			r = must(d.Apply(ctx, s, driver.AppendFragments{Run: r.Run.Run, Fence: 1, After: k, Fragments: []holdfast.Fragment{{Text: "word "}}}))
			say("grown %s %s %d %d %d", s, r.Epoch, r.Run.Run, r.Run.Fragments, r.Run.Tag)
		}
		r = must(d.Apply(ctx, s, driver.EndRun{Run: r.Run.Run, Fence: 1, Status: holdfast.RunComplete}))
		say("ended %s %s %d %d %d", s, r.Epoch, r.Run.Run, r.Run.Fragments, r.Run.Tag)
	}
}

func killRounds() int {
	if os.Getenv("HOLDFAST_TEST_LONG") == "1" {
		return 20
	}
	return 3
}

func TestClause2_KillLosesNothingAcknowledged(t *testing.T) {
	for _, level := range []driver.Durability{driver.DurableFsync, driver.DurableProcess} {
		t.Run(string(level), func(t *testing.T) {
			dir := t.TempDir()
			seen := newWitness()
			for round := range killRounds() {
				killOnce(t, dir, level, round, seen)
				seen.check(t, dir)
			}
			t.Logf("%d rounds: %d entries, %d states of runs, %d ends were witnessed, none lost", killRounds(), len(seen.entries), len(seen.grown), len(seen.ended))
		})
	}
}

// killOnce runs the child, kills it after a random number of its lines, and takes down all that it said.
func killOnce(t *testing.T, dir string, level driver.Durability, round int, seen *witness) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	child.Env = append(os.Environ(), killEnv+"="+dir, killEnv+"_SYNC="+string(level), fmt.Sprintf("%s_ROUND=%d", killEnv, round))
	child.Stderr = os.Stderr
	pipe, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	after := 500 + rand.IntN(30_000)
	lines := bufio.NewReader(pipe)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil { // a last line without its end was perhaps not said whole
			if err != io.EOF {
				t.Fatal(err)
			}
			break
		}
		if text, ok := strings.CutPrefix(line, "@"); ok {
			seen.take(t, text)
		} else {
			t.Errorf("the child said: %s", line)
		}
		if n == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = child.Wait() // it was killed
	if t.Failed() {
		t.FailNow()
	}
}

type place struct {
	session holdfast.SessionID
	offset  holdfast.Offset
}

// witness holds all that the children said.
type witness struct {
	epochs  map[holdfast.SessionID]holdfast.Epoch
	entries map[place]holdfast.Tag
	acked   map[place]string // the id acknowledged there
	grown   map[place]map[holdfast.FragmentNo]holdfast.Tag
	ended   map[place]holdfast.FragmentNo
}

func newWitness() *witness {
	return &witness{epochs: map[holdfast.SessionID]holdfast.Epoch{}, entries: map[place]holdfast.Tag{}, acked: map[place]string{},
		grown: map[place]map[holdfast.FragmentNo]holdfast.Tag{}, ended: map[place]holdfast.FragmentNo{}}
}

func (w *witness) take(t *testing.T, line string) {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 5 {
		t.Fatalf("the child said %q", line)
	}
	p := place{session: holdfast.SessionID(f[1])}
	var n, tag uint64
	if _, err := fmt.Sscan(f[3], &p.offset); err != nil {
		t.Fatal(err)
	}
	if epoch, ok := w.epochs[p.session]; ok && epoch != holdfast.Epoch(f[2]) {
		t.Fatalf("%s: epoch %s became %s", p.session, epoch, f[2])
	}
	w.epochs[p.session] = holdfast.Epoch(f[2])
	if _, err := fmt.Sscan(f[4], &n); err != nil {
		t.Fatal(err)
	}
	switch f[0] {
	case "shown", "acked":
		if old, ok := w.entries[p]; ok && old != holdfast.Tag(n) {
			t.Fatalf("%v was given twice", p)
		}
		w.entries[p] = holdfast.Tag(n)
		if f[0] == "acked" {
			if old, ok := w.acked[p]; ok {
				t.Fatalf("%v was given to %s and %s", p, old, f[5])
			}
			w.acked[p] = f[5]
		}
	case "grown", "ended":
		if _, err := fmt.Sscan(f[5], &tag); err != nil {
			t.Fatal(err)
		}
		if w.grown[p] == nil {
			w.grown[p] = map[holdfast.FragmentNo]holdfast.Tag{}
		}
		if old, ok := w.grown[p][holdfast.FragmentNo(n)]; ok && old != holdfast.Tag(tag) {
			t.Fatalf("fragment %d of %v was given twice", n, p)
		}
		w.grown[p][holdfast.FragmentNo(n)] = holdfast.Tag(tag)
		if f[0] == "ended" {
			w.ended[p] = holdfast.FragmentNo(n)
		}
	}
}

// check opens the store and compares it with all that was ever said.
func (w *witness) check(t *testing.T, dir string) {
	t.Helper()
	ctx := context.Background()
	d := opener(t, Options{Dir: dir})()
	for s, epoch := range w.epochs {
		p, err := d.Read(ctx, s, driver.Query{Limit: 1 << 30, MaxBytes: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		if p.Info.Epoch != epoch {
			t.Fatalf("%s: epoch %s became %s", s, epoch, p.Info.Epoch)
		}
		next := holdfast.Offset(1)
		for _, e := range p.Entries {
			if e.First != next {
				t.Fatalf("%s: entry %d covers from %d, want %d", s, e.Offset, e.First, next)
			}
			next = e.Offset + 1
			if id, ok := w.acked[place{s, e.Offset}]; ok && id != e.ID {
				t.Fatalf("%s: %s was acknowledged at %d, where %s stands", s, id, e.Offset, e.ID)
			}
			w.checkRun(t, place{s, e.Offset}, &e)
		}
		if next != p.Info.Head+1 {
			t.Fatalf("%s ends at %d, the head is %d", s, next-1, p.Info.Head)
		}
	}
	for p, want := range w.entries {
		if tag, ok, err := d.TagAt(ctx, p.session, p.offset); !ok || tag != want || err != nil {
			t.Fatalf("%v was acknowledged or shown, and is gone: %v, %v", p, ok, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(ctx, dir)
	if err != nil || len(report.Problems) > 0 {
		t.Fatalf("verify: %+v, %v", report, err)
	}
}

func (w *witness) checkRun(t *testing.T, p place, e *holdfast.Entry) {
	t.Helper()
	for n, tag := range w.grown[p] {
		if e.Run == nil || e.Run.Fragments < n || e.Run.Body.TagAt(n) != tag {
			t.Fatalf("%v: fragment %d was acknowledged or shown, and is gone", p, n)
		}
	}
	if n, ok := w.ended[p]; ok && (e.Run.Status != holdfast.RunComplete || e.Run.Fragments != n) {
		t.Fatalf("%v: its end was acknowledged, and it is %s", p, e.Run.Status)
	}
}
