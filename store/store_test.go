package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance: a Store is an engine too.
func TestConformance(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Harness {
		return storetest.Harness{Open: func() driver.Driver { return open(t, store.Options{}) }}
	})
}

func open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.New(memory.New(memory.Options{Now: o.Now}), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func apply(t testing.TB, s *store.Store, id holdfast.SessionID, op driver.Op) driver.Result {
	t.Helper()
	r, err := s.Apply(context.Background(), id, op)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func message(data string) driver.NewEntry {
	return driver.NewEntry{Kind: holdfast.KindMessage, Data: json.RawMessage(data)}
}

func appendOf(ns ...driver.NewEntry) driver.Append { return driver.Append{Entries: ns} }

func TestNewRefuses(t *testing.T) {
	_, err1 := store.New(nil, store.Options{})
	_, err2 := store.New(memory.New(memory.Options{}), store.Options{Retention: store.Retention{MaxAge: -1}})
	for _, err := range []error{err1, err2} {
		if holdfast.CodeOf(err) != holdfast.CodeInvalid {
			t.Errorf("got %v", err)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	s := open(t, store.Options{})
	run := apply(t, s, "a", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r"}}).Run
	long := strings.Repeat("x", holdfast.MaxKey+1)
	with := func(fn func(*driver.NewEntry)) driver.Op {
		n := message(`1`)
		fn(&n)
		return appendOf(message(`1`), n)
	}
	grow := func(fs ...holdfast.Fragment) driver.Op {
		return driver.AppendFragments{Run: run.Run, Fence: 1, Fragments: fs}
	}
	for name, c := range map[string]struct {
		op   driver.Op
		code holdfast.Code
	}{
		"bad JSON":            {appendOf(message(`{`)), holdfast.CodeInvalid},
		"much data":           {appendOf(message(`"` + strings.Repeat("x", 256<<10) + `"`)), holdfast.CodeTooLarge},
		"long id":             {with(func(n *driver.NewEntry) { n.ID = long }), holdfast.CodeInvalid},
		"control in id":       {with(func(n *driver.NewEntry) { n.ID = "a\x00b" }), holdfast.CodeInvalid},
		"bad user":            {with(func(n *driver.NewEntry) { n.From.User = "a\n" }), holdfast.CodeInvalid},
		"bad client":          {with(func(n *driver.NewEntry) { n.From.Client = "a b" }), holdfast.CodeInvalid},
		"long key":            {with(func(n *driver.NewEntry) { n.Kind, n.Key = holdfast.KindState, long }), holdfast.CodeInvalid},
		"many entries":        {appendOf(make([]driver.NewEntry, 1001)...), holdfast.CodeTooLarge},
		"run with bad JSON":   {driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, Data: json.RawMessage(`x`)}}, holdfast.CodeInvalid},
		"end with bad JSON":   {driver.EndRun{Run: run.Run, Fence: 1, Status: holdfast.RunComplete, Data: json.RawMessage(`x`)}, holdfast.CodeInvalid},
		"empty fragment":      {grow(holdfast.Fragment{}), holdfast.CodeInvalid},
		"half a character":    {grow(holdfast.Fragment{Text: "é"[:1]}), holdfast.CodeInvalid},
		"large fragment":      {grow(holdfast.Fragment{Text: strings.Repeat("x", 64<<10+1)}), holdfast.CodeTooLarge},
		"many fragments":      {grow(make([]holdfast.Fragment, 1001)...), holdfast.CodeTooLarge},
		"fragment's bad JSON": {grow(holdfast.Fragment{Event: json.RawMessage(`{`)}), holdfast.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Apply(context.Background(), "a", c.op); holdfast.CodeOf(err) != c.code {
				t.Fatalf("got %v, want code %s", err, c.code)
			}
		})
	}
	if i, _ := s.Info(context.Background(), "a"); i.Head != 1 || i.Open[0].Fragments != 0 {
		t.Fatalf("something was written: %+v", i)
	}
}

func TestRunSize(t *testing.T) {
	engine := memory.New(memory.Options{})
	opts := store.Options{Limits: store.Limits{MaxRunBytes: 10}}
	s, err := store.New(engine, opts)
	if err != nil {
		t.Fatal(err)
	}
	run := apply(t, s, "a", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r"}}).Run
	grow := func(after int64, text ...string) driver.AppendFragments {
		op := driver.AppendFragments{Run: run.Run, Fence: 1, After: after}
		for _, x := range text {
			op.Fragments = append(op.Fragments, holdfast.Fragment{Text: x})
		}
		return op
	}
	refused := func(s *store.Store, op driver.Op) {
		t.Helper()
		if _, err := s.Apply(context.Background(), "a", op); holdfast.CodeOf(err) != holdfast.CodeTooLarge {
			t.Fatalf("got %v", err)
		}
	}
	refused(s, grow(0, "12345678901"))
	apply(t, s, "a", grow(0, "1234", "5678"))
	apply(t, s, "a", grow(0, "1234", "5678", "90"))
	apply(t, s, "a", grow(1, "5678", "90"))
	refused(s, grow(3, "x"))
	refused(s, grow(2, "90", "x"))
	refused(s, grow(driver.AnyFragment, "x"))
	other, err := store.New(engine, opts) // one that saw nothing of this
	if err != nil {
		t.Fatal(err)
	}
	refused(other, grow(3, "x"))
	apply(t, other, "a", driver.EndRun{Run: run.Run, Fence: 1, Status: holdfast.RunComplete})

	// The same offset of a session's next life is another run, deleted here or elsewhere.
	if err := engine.Delete(context.Background(), "a"); err != nil {
		t.Fatal(err)
	}
	apply(t, s, "a", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r"}})
	apply(t, s, "a", grow(0, "1234567890"))
}

// clock is a clock that stands still.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newClock() *clock { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func sweep(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.SweepOnce(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// shape is what is left of each session: offsets, or nothing if it is gone.
func shape(t testing.TB, s *store.Store) map[holdfast.SessionID]string {
	t.Helper()
	infos, err := s.Sessions(context.Background(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := map[holdfast.SessionID]string{}
	for _, i := range infos {
		p, err := s.Read(context.Background(), i.Session, driver.Query{Limit: 10_000, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("first %d:", i.First)
		for _, e := range p.Entries {
			text += fmt.Sprintf(" %d", e.Offset)
		}
		out[i.Session] = text
	}
	return out
}

func TestRetentionByAge(t *testing.T) {
	c := newClock()
	s := open(t, store.Options{Now: c.Now, Retention: store.Retention{MaxAge: time.Hour}})
	apply(t, s, "idle", appendOf(message(`1`)))
	apply(t, s, "busy", appendOf(message(`1`), driver.NewEntry{Kind: holdfast.KindState, Key: "k"}, message(`3`)))
	apply(t, s, "open", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun}})
	apply(t, s, "open", appendOf(message(`2`)))
	c.now = c.now.Add(40 * time.Minute)
	apply(t, s, "busy", appendOf(message(`4`), message(`5`)))
	sweep(t, s)
	want := map[holdfast.SessionID]string{"idle": "first 1: 1", "busy": "first 1: 1 2 3 4 5", "open": "first 1: 1 2"}
	if diff := cmp.Diff(want, shape(t, s)); diff != "" {
		t.Fatal(diff)
	}
	c.now = c.now.Add(40 * time.Minute)
	sweep(t, s)
	want = map[holdfast.SessionID]string{"busy": "first 4: 2 4 5", "open": "first 3: 1"}
	if diff := cmp.Diff(want, shape(t, s)); diff != "" {
		t.Fatal(diff)
	}
}

func TestRetentionByEntriesAndBytes(t *testing.T) {
	c := newClock()
	s := open(t, store.Options{Now: c.Now, Retention: store.Retention{MaxEntries: 5000, MaxBytes: 4000}})
	many := make([]driver.NewEntry, 1000)
	for i := range many {
		many[i] = message(`1`)
	}
	for range 15 {
		apply(t, s, "many", appendOf(many...))
	}
	big := message(`"` + strings.Repeat("x", 998) + `"`)
	apply(t, s, "big", appendOf(big, big, big, big, big, message(`1`)))
	apply(t, s, "small", appendOf(message(`1`)))
	apply(t, s, "huge", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun}})
	for range 6 {
		apply(t, s, "huge", driver.AppendFragments{Run: 1, Fence: 1, After: driver.AnyFragment, Fragments: []holdfast.Fragment{{Text: strings.Repeat("x", 1000)}}})
	}
	apply(t, s, "huge", appendOf(message(`2`)))
	sweep(t, s)
	i, err := s.Info(context.Background(), "many")
	if err != nil || i.Head != 15_000 || i.First != 11_001 || i.Bytes != 4000 {
		t.Errorf("many: %+v, %v", i, err)
	}
	got := shape(t, s)
	delete(got, "many")
	want := map[holdfast.SessionID]string{"big": "first 3: 3 4 5 6", "small": "first 1: 1", "huge": "first 3: 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestRetentionByTotal(t *testing.T) {
	c := newClock()
	s := open(t, store.Options{Now: c.Now, Retention: store.Retention{MaxTotalBytes: 3500}})
	big := message(`"` + strings.Repeat("x", 998) + `"`)
	write := func(id holdfast.SessionID, n int) {
		c.now = c.now.Add(time.Second)
		for range n {
			apply(t, s, id, appendOf(big))
		}
	}
	write("a", 1)
	write("b", 1)
	write("open", 1)
	apply(t, s, "open", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun}})
	write("c", 1)
	write("a", 1) // now the one written to last
	sweep(t, s)
	want := map[holdfast.SessionID]string{"a": "first 1: 1 2", "open": "first 2: 2", "c": "first 1: 1"}
	if diff := cmp.Diff(want, shape(t, s)); diff != "" {
		t.Fatal(diff)
	}
	write("a", 4)
	sweep(t, s)
	want = map[holdfast.SessionID]string{"a": "first 4: 4 5 6", "open": "first 2: 2"}
	if diff := cmp.Diff(want, shape(t, s)); diff != "" {
		t.Fatal(diff)
	}
}

// late is an engine on which something is written to each session just after it was listed.
type late struct {
	driver.Driver
	after func(holdfast.SessionID)
}

func (l late) Sessions(ctx context.Context, prefix string, after holdfast.SessionID, limit int) ([]driver.Info, error) {
	infos, err := l.Driver.Sessions(ctx, prefix, after, limit)
	for _, i := range infos {
		l.after(i.Session)
	}
	return infos, err
}

func TestClause2_RetentionNeverDropsWhatIsWrittenMeanwhile(t *testing.T) {
	c := newClock()
	engine := memory.New(memory.Options{Now: c.Now})
	var s *store.Store
	s, err := store.New(late{engine, func(id holdfast.SessionID) { apply(t, s, id, appendOf(message(`"new"`))) }},
		store.Options{Now: c.Now, Retention: store.Retention{MaxAge: time.Hour, MaxTotalBytes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, "a", appendOf(message(`1`)))
	apply(t, s, "b", appendOf(message(`1`)))
	c.now = c.now.Add(2 * time.Hour)
	sweep(t, s)
	plain, err := store.New(engine, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[holdfast.SessionID]string{"a": "first 1: 1 2", "b": "first 1: 1 2"}
	if diff := cmp.Diff(want, shape(t, plain)); diff != "" {
		t.Fatal(diff)
	}
}

func TestFeedRetention(t *testing.T) {
	for name, c := range map[string]struct {
		age  time.Duration
		want int
	}{"default": {0, 1}, "for ever": {-1, 2}, "short": {time.Minute, 0}} {
		t.Run(name, func(t *testing.T) {
			k := newClock()
			s := open(t, store.Options{Now: k.Now, FeedMaxAge: c.age})
			n := message(`1`)
			n.Feed = true
			apply(t, s, "a", appendOf(n))
			k.now = k.now.Add(72 * time.Hour)
			apply(t, s, "a", appendOf(n))
			k.now = k.now.Add(time.Hour)
			sweep(t, s)
			items, err := s.Feed(context.Background(), "", 10)
			if err != nil || len(items) != c.want {
				t.Fatalf("%d items, %v; want %d", len(items), err, c.want)
			}
		})
	}
}

func TestSweepRunsUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, store.Options{Retention: store.Retention{MaxEntries: 1}})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { s.Sweep(ctx); close(ended) }()
		apply(t, s, "a", appendOf(message(`1`), message(`2`)))
		for range 2 {
			<-time.After(61 * time.Second)
			if i, _ := s.Info(ctx, "a"); i.First != i.Head {
				t.Fatalf("not swept: %+v", i)
			}
			apply(t, s, "a", appendOf(message(`3`)))
		}
		cancel()
		<-ended
	})
}
