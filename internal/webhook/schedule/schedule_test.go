package schedule

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func policy() Policy {
	return Policy{Waits: []time.Duration{10 * time.Second, time.Minute, time.Hour}, MaxAge: 24 * time.Hour, Slots: 4, Lanes: 100}
}

// bench is a table with a clock.
type bench struct {
	*testing.T
	*Table
	now time.Time
	n   int
}

func newBench(t *testing.T, p Policy) *bench { return &bench{T: t, Table: New(p, "", nil), now: start} }

func cursor(n int) string { return fmt.Sprintf("f.%06d", n) }

// feed puts one event of each session into the feed.
func (b *bench) feed(sessions ...holdfast.SessionID) {
	for _, s := range sessions {
		b.n++
		b.Scanned(cursor(b.n), s, true)
	}
}

// next expects an attempt with a session.
func (b *bench) next(s holdfast.SessionID) Task {
	b.Helper()
	task, ok := b.Next(b.now)
	if !ok || task.Session != s {
		b.Fatalf("got %+v, %v, want a task for %s", task, ok, s)
	}
	return task
}

func (b *bench) idle() {
	b.Helper()
	if task, ok := b.Next(b.now); ok {
		b.Fatalf("there is a task: %+v", task)
	}
}

// done ends an attempt with the session's event at a cursor.
func (b *bench) done(s holdfast.SessionID, r Result, n int) Effect {
	b.Helper()
	fx := b.Done(s, Outcome{Result: r, Cursor: cursor(n), At: start, Chance: 0.5}, b.now)
	b.Settled(s, b.now)
	return fx
}

func TestOneSessionGoesInOrder(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "a", "b")
	task := b.next("a")
	b.next("b")
	b.idle()
	if task.After != "" || task.Seen != cursor(2) {
		t.Errorf("the task is %+v", task)
	}
	if got := b.Place(); got != "" {
		t.Errorf("the place is %q before anything is done with", got)
	}
	b.done("b", Delivered, 3)
	b.done("a", Delivered, 1)
	if got := b.Place(); got != cursor(1) {
		t.Errorf("the place is %q after the first", got)
	}
	b.next("a")
	b.done("a", Delivered, 2)
	if got := b.Place(); got != cursor(3) || b.Behind() != 0 {
		t.Errorf("the place is %q after all, and %d are behind", got, b.Behind())
	}
}

func TestAFailureWaitsAlone(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "a", "b")
	b.next("a")
	fx := b.done("a", Refused, 1)
	want := &Record{Session: "a", After: "", Seen: cursor(2), Fails: 1, Attempts: 1, Due: start.Add(5 * time.Second)}
	if d := cmp.Diff(Effect{Store: want, Wait: 5 * time.Second}, fx); d != "" {
		t.Error(d)
	}
	b.next("b")
	b.done("b", Delivered, 3)
	if got := b.Place(); got != cursor(3) {
		t.Errorf("a lane that is stored holds the place at %q", got)
	}
	b.idle()
	if at := b.Wake(b.now); !at.Equal(want.Due) {
		t.Errorf("wake at %v, want %v", at, want.Due)
	}
	b.now = want.Due
	if task := b.next("a"); task.Failed != 1 {
		t.Errorf("the task is %+v", task)
	}
	if fx := b.done("a", Delivered, 1); fx.Store == nil || fx.Store.After != cursor(1) || fx.Store.Attempts != 0 {
		t.Errorf("the progress of a lane that is stored: %+v", fx)
	}
	b.next("a")
	if fx := b.done("a", Delivered, 2); !fx.Forget || b.Behind() != 0 {
		t.Errorf("the end of a lane that is stored: %+v", fx)
	}
}

// tries plays one event until it is done with, and returns how long each wait was.
func (b *bench) tries(s holdfast.SessionID, o Outcome) (waits []time.Duration) {
	b.Helper()
	for {
		if _, ok := b.Next(b.now); !ok {
			b.Fatal("no task")
		}
		fx := b.Done(s, o, b.now)
		b.Settled(s, b.now)
		if fx.Store == nil {
			if !fx.Dead {
				b.Fatalf("ended with %+v", fx)
			}
			return waits
		}
		waits = append(waits, fx.Wait)
		b.now = b.now.Add(fx.Wait)
	}
}

func TestWhenAnEventIsGivenUp(t *testing.T) {
	s, m, h := time.Second, time.Minute, time.Hour
	for name, c := range map[string]struct {
		o    Outcome
		want []time.Duration
	}{
		"refused":         {Outcome{Result: Refused, Chance: 0.5}, []time.Duration{5 * s, 30 * s, 30 * m}},
		"unwell":          {Outcome{Result: Unwell, Chance: 0.5}, []time.Duration{5 * s, 30 * s, 30 * m}},
		"no luck":         {Outcome{Result: Refused}, []time.Duration{0, 0, 0}},
		"asked to wait":   {Outcome{Result: Unwell, Chance: 0.5, RetryAfter: m}, []time.Duration{m, m, 30 * m}},
		"too old already": {Outcome{Result: Refused, At: start.Add(-24 * h)}, nil},
		"limited for ever": {Outcome{Result: Limited, RetryAfter: 8 * h},
			[]time.Duration{8 * h, 8 * h, 8 * h}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy())
			b.feed("a")
			c.o.Cursor = cursor(1)
			if c.o.At.IsZero() {
				c.o.At = start
			}
			if d := cmp.Diff(c.want, b.tries("a", c.o)); d != "" {
				t.Error(d)
			}
			if b.Behind() != 0 || b.Place() != cursor(1) {
				t.Errorf("%d are behind, the place is %q", b.Behind(), b.Place())
			}
		})
	}
}

func TestThePlaceWaitsForTheLetter(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a")
	b.next("a")
	fx := b.Done("a", Outcome{Result: Refused, Cursor: cursor(1), At: start.Add(-48 * time.Hour)}, b.now)
	if !fx.Dead || b.Place() != "" {
		t.Errorf("%+v: the place is %q, and the letter is not stored yet", fx, b.Place())
	}
	b.Settled("a", b.now)
	if b.Place() != cursor(1) {
		t.Errorf("the place is %q", b.Place())
	}
}

func TestALimitStopsTheWholeReceiver(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "b")
	b.next("a")
	b.Done("a", Outcome{Result: Limited, Cursor: cursor(1), At: start, RetryAfter: 7 * time.Second}, b.now)
	b.Settled("a", b.now)
	b.idle()
	if at := b.Wake(b.now); at.Sub(b.now) != 7*time.Second {
		t.Errorf("wake in %v", at.Sub(b.now))
	}
	b.now = b.now.Add(7 * time.Second)
	b.next("a")
	b.next("b")
}

func TestRepetitionsLeaveRoom(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "b", "c", "d")
	for i, s := range []holdfast.SessionID{"a", "b", "c", "d"} {
		b.next(s)
		b.done(s, Refused, i+1)
	}
	b.now = b.now.Add(time.Hour)
	b.feed("e", "f", "g")
	got := map[holdfast.SessionID]bool{}
	for range 4 {
		task, ok := b.Next(b.now)
		if !ok {
			t.Fatal("a slot stays empty")
		}
		got[task.Session] = task.Failed > 0
	}
	b.idle()
	retries := 0
	for _, r := range got {
		if r {
			retries++
		}
	}
	if retries != 2 {
		t.Errorf("%d of 4 slots repeat: %v", retries, got)
	}
}

func TestAnOutageEndsForAllAtOnce(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "b", "c")
	for i, s := range []holdfast.SessionID{"a", "b"} {
		b.next(s)
		b.done(s, Unreachable, i+1)
	}
	if !b.Failing() {
		t.Fatal("nobody is there, and it is not noticed")
	}
	b.next("c")
	b.done("c", Unreachable, 3)
	// The lanes wait for up to 10 s, and the receiver is asked after 1 s.
	for _, wait := range []time.Duration{time.Second, 2 * time.Second} {
		if at := b.Wake(b.now); at.Sub(b.now) != wait {
			t.Fatalf("asked again in %v, want %v", at.Sub(b.now), wait)
		}
		b.now = b.now.Add(wait)
		task, ok := b.Next(b.now)
		if !ok {
			t.Fatal("it is not asked")
		}
		b.idle()
		if fx := b.done(task.Session, Unwell, int(task.Seen[len(task.Seen)-1]-'0')); fx.Store.Attempts != 0 {
			t.Errorf("asking counts against the event: %+v", fx.Store)
		}
	}
	b.now = b.now.Add(4 * time.Second)
	task, _ := b.Next(b.now)
	b.done(task.Session, Delivered, 9)
	if b.Failing() || b.Behind() != 2 {
		t.Fatalf("failing %v, %d behind", b.Failing(), b.Behind())
	}
	b.now = b.now.Add(wakeSpread)
	for range 2 {
		if _, ok := b.Next(b.now); !ok {
			t.Error("a lane waits on although the receiver is back")
		}
	}
}

func TestAfterARestartItIsAskedAtOnce(t *testing.T) {
	b := newBench(t, policy())
	due := start.Add(time.Hour)
	b.Table = New(policy(), cursor(3), []Record{{Session: "a", Seen: cursor(1), Fails: 4, Attempts: 2, Due: due, Unwell: true},
		{Session: "b", After: cursor(1), Seen: cursor(2), Fails: 4, Attempts: 2, Due: due, Unwell: true},
		{Session: "c", After: cursor(2), Seen: cursor(3), Fails: 1, Attempts: 1, Due: due}})
	task, ok := b.Next(b.now)
	if !ok || task.Failed != 4 {
		t.Fatalf("%+v, %v", task, ok)
	}
	b.idle()
	b.done(task.Session, Delivered, 3)
	b.now = b.now.Add(wakeSpread)
	if _, ok := b.Next(b.now); !ok {
		t.Error("the other one waits on")
	}
	b.idle()
}

func TestOneBadSessionIsNoOutage(t *testing.T) {
	b := newBench(t, Policy{Waits: slices.Repeat([]time.Duration{time.Second}, 20), MaxAge: time.Hour, Slots: 4, Lanes: 10})
	b.feed("a")
	for range 10 {
		b.next("a")
		b.done("a", Unwell, 1)
		b.now = b.now.Add(time.Second)
	}
	if b.Failing() {
		t.Error("the failures of one session are taken for an outage")
	}
}

func TestARoomfulOfLanes(t *testing.T) {
	b := newBench(t, Policy{Waits: []time.Duration{time.Hour}, MaxAge: time.Hour, Slots: 2, Lanes: 6})
	n := 0
	for b.Room() {
		n++
		s := holdfast.SessionID(fmt.Sprint("s", n))
		b.feed(s)
		if n <= 3 {
			b.next(s)
			b.done(s, Refused, n)
		}
	}
	if n != 6 {
		t.Errorf("there is room for %d lanes, want 6: 3 that failed, and then 3 of 4 new ones", n)
	}
	b.next("s4")
	b.done("s4", Delivered, 4)
	if !b.Room() {
		t.Error("no room after one is done with")
	}
	b.Disable()
	if b.idle(); b.Room() || !b.Wake(b.now).IsZero() {
		t.Error("disabled, it goes on")
	}
	b.Enable()
	b.next("s5")
}

func TestGone(t *testing.T) {
	b := newBench(t, policy())
	b.feed("a", "b")
	b.next("a")
	if fx := b.done("a", Gone, 1); !fx.Disable || !b.Disabled() {
		t.Errorf("%+v", fx)
	}
	b.idle()
	if b.Place() != "" || b.Behind() != 2 {
		t.Errorf("the place is %q, %d behind", b.Place(), b.Behind())
	}
	b.Enable()
	b.next("b")
	b.next("a")
}

// world is a feed, a receiver and what is stored, around a table that is killed now and then.
type world struct {
	t     *rapid.T
	table *Table
	now   time.Time
	feed  []holdfast.SessionID // event n is at cursor n+1
	bad   map[int]bool         // events that the receiver never takes
	mood  Result               // what the receiver answers to others

	// What is stored.
	place   string
	records map[holdfast.SessionID]Record

	under map[holdfast.SessionID]Task
	took  map[holdfast.SessionID][]int // events that were delivered or given up, in the order in which that was first so
	seen  map[int]bool
}

func number(c string) int {
	n := 0
	if c != "" {
		_, _ = fmt.Sscanf(c, "f.%d", &n)
	}
	return n
}

func (w *world) restart() {
	w.under = map[holdfast.SessionID]Task{}
	w.table = New(Policy{Waits: []time.Duration{time.Second, 2 * time.Second}, MaxAge: time.Hour, Slots: 3, Lanes: 5}, w.place,
		slices.Collect(maps.Values(w.records)))
}

func (w *world) scan() {
	for w.table.Room() {
		n := number(w.table.ScannedTo())
		if n >= len(w.feed) {
			return
		}
		w.table.Scanned(cursor(n+1), w.feed[n], w.feed[n] != "unwanted")
	}
}

func (w *world) begin() {
	for {
		task, ok := w.table.Next(w.now)
		if !ok {
			return
		}
		if _, busy := w.under[task.Session]; busy {
			w.t.Fatalf("%s is tried twice at once", task.Session)
		}
		w.under[task.Session] = task
	}
}

// find is the first event of a task, from 1 on, or 0.
func (w *world) find(task Task) int {
	for n := number(task.After) + 1; n <= number(task.Seen); n++ {
		if w.feed[n-1] == task.Session {
			return n
		}
	}
	return 0
}

func (w *world) answer(n int) Result {
	switch {
	case n == 0:
		return Nothing
	case w.bad[n]:
		return Refused
	}
	return w.mood
}

// note remembers an event that is done with.
func (w *world) note(s holdfast.SessionID, n int) {
	if !w.seen[n] {
		w.seen[n] = true
		w.took[s] = append(w.took[s], n)
	}
}

// end ends the attempt with a session. written is how many steps are made before the program is killed; 4 for all. Between
// the steps the rest of the program goes on, as meanwhile says.
func (w *world) end(s holdfast.SessionID, written int, chance float64, meanwhile func()) {
	task := w.under[s]
	delete(w.under, s)
	n := w.find(task)
	r := w.answer(n)
	if r == Delivered {
		w.note(s, n)
	}
	at := start
	if n%3 == 0 {
		at = start.Add(-2 * time.Hour) // too old to be tried again
	}
	fx := w.table.Done(s, Outcome{Result: r, Cursor: cursor(n), At: at, Chance: chance}, w.now)
	for step, do := range []func(){
		func() {
			if fx.Dead {
				w.note(s, n)
			}
		},
		func() {
			if fx.Store != nil {
				w.records[s] = *fx.Store
			}
		},
		func() {
			if fx.Forget {
				delete(w.records, s)
			}
		},
		func() { w.table.Settled(s, w.now) },
	} {
		meanwhile()
		if step == written {
			w.restart()
			return
		}
		do()
	}
}

// flush stores the place, which only grows.
func (w *world) flush() {
	place := w.table.Place()
	if place < w.place {
		w.t.Fatalf("the place went back from %s to %s", w.place, place)
	}
	w.place = place
}

// TestModel kills the table at any moment, also in the middle of what is to be stored. Nothing may be left out, and what
// each session's receiver sees for the first time must come in order.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, now: start, bad: map[int]bool{}, records: map[holdfast.SessionID]Record{},
			took: map[holdfast.SessionID][]int{}, seen: map[int]bool{}, mood: Delivered}
		w.restart()
		t.Repeat(map[string]func(*rapid.T){
			"events": func(t *rapid.T) {
				for range rapid.IntRange(1, 5).Draw(t, "events") {
					w.event(t)
				}
				w.scan()
				w.begin()
			},
			"end": func(t *rapid.T) {
				for range rapid.IntRange(1, 4).Draw(t, "ends") {
					w.begin()
					if len(w.under) == 0 {
						t.Skip("nothing is under way")
					}
					s := rapid.SampledFrom(slices.Sorted(maps.Keys(w.under))).Draw(t, "session")
					written := rapid.SampledFrom([]int{4, 4, 4, 4, 4, 3, 2, 1, 0}).Draw(t, "written")
					w.end(s, written, rapid.Float64Range(0, 0.99).Draw(t, "chance"), func() { w.meanwhile(t) })
				}
			},
			"mood": func(t *rapid.T) {
				w.mood = rapid.SampledFrom([]Result{Delivered, Delivered, Unwell, Unreachable, Limited, Later}).Draw(t, "mood")
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"flush": func(*rapid.T) { w.flush() },
			"kill":  func(*rapid.T) { w.restart() },
			"":      func(t *rapid.T) { w.check(t) },
		})
		w.finish(t)
	})
}

// event puts an event into the feed.
func (w *world) event(t *rapid.T) {
	w.feed = append(w.feed, rapid.SampledFrom([]holdfast.SessionID{"a", "a", "b", "b", "c", "d", "e", "f", "unwanted"}).Draw(t, "session"))
	if rapid.IntRange(0, 3).Draw(t, "bad") == 0 {
		w.bad[len(w.feed)] = true
	}
}

// meanwhile is what may happen between two steps of another goroutine.
func (w *world) meanwhile(t *rapid.T) {
	switch rapid.IntRange(0, 3).Draw(t, "meanwhile") {
	case 0:
		w.event(t)
		w.scan()
	case 1:
		w.event(t)
		w.scan()
		w.flush()
	}
}

func (w *world) check(t *rapid.T) {
	if len(w.under) > 3 || w.table.Behind() > 5+6 {
		t.Fatalf("%d attempts at once, %d lanes", len(w.under), w.table.Behind())
	}
	for s, took := range w.took {
		if !slices.IsSorted(took) {
			t.Fatalf("%s: the order was %v", s, took)
		}
	}
}

// finish lets the receiver be well, and waits.
func (w *world) finish(t *rapid.T) {
	w.mood = Delivered
	for range 10 * (len(w.feed) + 20) {
		w.scan()
		w.begin()
		for _, s := range slices.Sorted(maps.Keys(w.under)) {
			w.end(s, 4, 0.5, func() {})
		}
		if at := w.table.Wake(w.now); at.After(w.now) {
			w.now = at
		}
	}
	w.check(t)
	for i, s := range w.feed {
		if s != "unwanted" && !w.seen[i+1] {
			t.Fatalf("event %d of %s was left out; stored: place %q, %+v", i+1, s, w.place, w.records)
		}
	}
	if w.table.Behind() != 0 || len(w.records) != 0 || number(w.table.Place()) != len(w.feed) {
		t.Fatalf("at the end %d are behind, %d recorded, the place is %q of %d", w.table.Behind(), len(w.records), w.table.Place(), len(w.feed))
	}
}
