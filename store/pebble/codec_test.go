package pebble

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

var at = time.UnixMilli(1_700_000_000_123).UTC()

func someFragments() []holdfast.Fragment {
	return []holdfast.Fragment{{Text: "a"}, {Text: "é"}, {Part: "p", Text: "b"}, {Event: json.RawMessage(`{}`)}, {Event: json.RawMessage(`1`)}}
}

func someRun() holdfast.RunInfo {
	return holdfast.RunInfo{Run: 7, ID: "r", Status: holdfast.RunFailed, Fence: 3, Fragments: 5, Tag: 9, Bytes: 7, TextBytes: 4, At: at, Changed: at,
		Answers: 6, Stop: someStop().Stop}
}

func someStop() driver.StopInfo {
	return driver.StopInfo{Stop: holdfast.Stop{ID: "x", From: holdfast.Sender{User: "u", Client: "c"}, At: at, State: holdfast.StopUnreachable}, Run: 7, Answers: 6}
}

func someRequest(state holdfast.RequestState) holdfast.Request {
	q := holdfast.Request{Offset: 8, ID: "q", Run: 7, Outlives: true, To: []holdfast.UserID{"u", "v"}, At: at, By: at.Add(time.Hour), State: state}
	if state.Settled() {
		q.Settled, q.SettledAt, q.From = 9, at.Add(time.Minute), holdfast.Sender{User: "u", Client: "c"}
	}
	return q
}

func someEntries() map[string]stored {
	var b holdfast.BodyBuilder
	for _, f := range someFragments() {
		b.Append(f)
	}
	base := holdfast.Entry{Offset: 7, First: 7, Tag: 5, At: at, ID: "id", From: holdfast.Sender{User: "u", Client: "c"}, Data: json.RawMessage(`{"a":1}`)}
	message, state, open, bare := base, base, base, holdfast.Entry{Offset: 1, First: 1, Kind: holdfast.KindEvent, At: at}
	message.Kind = holdfast.KindMessage
	state.Kind, state.Key = holdfast.KindState, "k"
	open.Kind, open.Run = holdfast.KindRun, &holdfast.Run{Status: holdfast.RunOpen, Fence: 1, Answers: 6}
	run := someRun()
	opening := open
	return map[string]stored{"message": {Entry: message}, "state": {Entry: state}, "open run": {Entry: open}, "bare": {Entry: bare},
		"ended run": session.Compacted(opening, b.Body(), &session.End{Info: run, Data: []byte(`2`), At: at.Add(time.Second)})}
}

func someFeedItems() map[string]driver.FeedItem {
	out := map[string]driver.FeedItem{}
	for name, c := range someEntries() {
		if !c.Ended.IsZero() {
			out[name] = c.EndedItem("s", "aaaaaaaaaa")
			continue
		}
		out[name] = driver.FeedItem{Session: "s", Epoch: "aaaaaaaaaa", Entry: c.Entry}
	}
	return out
}

func equal(t *testing.T, got, want any, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
}

func TestRecordsComeBack(t *testing.T) {
	for name, want := range someEntries() {
		t.Run(name, func(t *testing.T) {
			got, err := decodeEntry(encodeEntry(&want), want.Entry.Offset)
			equal(t, got, want, err)
		})
	}
	fs, err := decodeFragments(encodeFragments(someFragments()))
	equal(t, fs, someFragments(), err)

	run := someRun()
	gotRun, err := decodeOpen(encodeOpen(&run), 7)
	equal(t, gotRun, run, err)

	open := run
	open.Status = holdfast.RunOpen
	info := driver.Info{Session: "s", Epoch: "aaaaaaaaaa", First: 2, Head: 9, HeadTag: 8, Entries: 6, Bytes: 100, Created: at, Changed: at.Add(time.Hour), Open: []holdfast.RunInfo{open},
		Stops: []driver.StopInfo{someStop()}, Requests: []holdfast.Request{someRequest(holdfast.RequestOpen)}, Turns: someTurns()}
	gotInfo, n, err := decodeMeta(encodeMeta(&info), "s")
	gotInfo.Open, gotInfo.Bytes = info.Open[:n.open], gotInfo.Bytes+open.Bytes
	gotInfo.Turns.Queue = info.Turns.Queue[:n.held]
	equal(t, gotInfo, info, err)
	queue, err := decodeQueue(encodeQueue(info.Turns.Queue))
	equal(t, queue, info.Turns.Queue, err)

	stop := someStop()
	request := someRequest(holdfast.RequestAnswered)
	for _, k := range []session.Known{{Offset: 9, Tag: 2, At: at, Request: &request}, {Offset: 1, Tag: 2, At: at, Stop: &stop}, {Offset: 3, At: at, Turn: holdfast.TurnQueued},
		{Offset: 3, At: at, Turn: holdfast.TurnMoved, Command: true}, {Offset: 1, Tag: 2, At: at}, {Offset: 7, Tag: 2, At: at, Run: true}, {Offset: 7, At: at, Run: true, Ended: &run}} {
		got, err := decodeKnown(encodeKnown(&k), "r")
		equal(t, got, k, err)
	}
	standing := session.Standing{Offset: 4, Tag: 5, Kind: holdfast.KindState, Size: 6}
	gotStanding, err := decodeStanding(encodeStanding(&standing))
	equal(t, gotStanding, standing, err)

	for _, item := range someFeedItems() {
		f, err := decodeFeed(encodeFeed(&item))
		equal(t, f, item, err)
	}
}

func someTurns() driver.Turns {
	held := driver.Held{ID: "c:1", From: holdfast.Sender{User: "ann", Client: "c"}, At: at, Data: []byte(`{"text":"hi"}`), Feed: true}
	return driver.Turns{Rules: driver.TurnRules{Policy: holdfast.TurnLatest, Limit: 7, Wait: 3 * time.Second}, Own: true,
		Turn: driver.Turn{Message: 4, Until: at.Add(time.Minute)}, Queue: []driver.Held{held, {From: holdfast.Sender{User: "bob"}, At: at}}}
}

// TestARollupIsOptional: the record of an open run that has none is as it was before there were rollups.
func TestARollupIsOptional(t *testing.T) {
	run := someRun()
	before := encodeOpen(&run)
	run.Rollup = 100 * time.Millisecond
	with := encodeOpen(&run)
	got, err := decodeOpen(with, 7)
	equal(t, got, run, err)
	if n := len(with) - len(before); n != 1 || string(with[:len(before)]) != string(before) {
		t.Errorf("a rollup takes %d bytes, or stands in the middle", n)
	}
	run.Rollup = holdfast.MaxRollup
	if n := len(encodeOpen(&run)); n != len(before)+2 {
		t.Errorf("the largest one makes %d bytes of %d", n, len(before))
	}
	for _, ms := range []uint64{0, 501, 1 << 62} {
		w := newWriter(0)
		w.uint(ms)
		if _, err := decodeOpen(append(before[:len(before):len(before)], w.b[1:]...), 7); err == nil {
			t.Errorf("a rollup of %d ms was read", ms)
		}
	}
}

// TestATraceIsOptional: a feed item that has none is as it was before there were traces.
func TestATraceIsOptional(t *testing.T) {
	for name, item := range someFeedItems() {
		before := encodeFeed(&item)
		item.Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		with := encodeFeed(&item)
		got, err := decodeFeed(with)
		equal(t, got, item, err)
		if n := len(with) - len(before); n != 1+len(item.Trace) || string(with[:len(before)]) != string(before) {
			t.Errorf("%s: a trace takes %d bytes, or stands in the middle", name, n)
		}
		for n := len(before) + 1; n < len(with); n++ {
			if _, err := decodeFeed(with[:n]); err == nil {
				t.Errorf("%s cut to %d of %d bytes was read", name, n, len(with))
			}
		}
	}
}

// TestCutRecordsAreErrors cuts each kind of record everywhere, and lengthens it.
func TestCutRecordsAreErrors(t *testing.T) {
	for name, c := range records() {
		for n := range c.value {
			if c.decode(c.value[:n]) == nil {
				t.Errorf("%s cut to %d of %d bytes was read", name, n, len(c.value))
			}
		}
		if c.decode(append(c.value[:len(c.value):len(c.value)], 0)) == nil {
			t.Errorf("%s with a byte more was read", name)
		}
		other := append([]byte{version + 1}, c.value[1:]...)
		if c.decode(other) == nil {
			t.Errorf("%s of another version was read", name)
		}
	}
}

type record struct {
	value  []byte
	decode func([]byte) error
}

func records() map[string]record {
	entry := func(b []byte) error { _, err := decodeEntry(b, 7); return err }
	run, k := someRun(), session.Known{Offset: 7, At: at, Run: true}
	ended := k
	ended.Ended = &run
	stop, stopped := someStop(), session.Known{Offset: 7, At: at}
	stopped.Stop = &stop
	standing := session.Standing{Offset: 4}
	info := driver.Info{Epoch: "aaaaaaaaaa", First: 1, Head: 1, Created: at, Changed: at, Stops: []driver.StopInfo{stop},
		Requests: []holdfast.Request{someRequest(holdfast.RequestOpen)}}
	request, asked := someRequest(holdfast.RequestExpired), session.Known{Offset: 9, At: at}
	asked.Request = &request
	queueing := info
	queueing.Turns = someTurns()
	held := session.Known{Offset: 7, At: at, Turn: holdfast.TurnReplaced}
	known := func(b []byte) error { _, err := decodeKnown(b, "r"); return err }
	rs := map[string]record{
		"fragments": {encodeFragments(someFragments()), func(b []byte) error { _, err := decodeFragments(b); return err }},
		"open run":  {encodeOpen(&run), func(b []byte) error { _, err := decodeOpen(b, 7); return err }},
		"meta":      {encodeMeta(&info), func(b []byte) error { _, _, err := decodeMeta(b, "s"); return err }},
		"known":     {encodeKnown(&k), known}, "known ended": {encodeKnown(&ended), known}, "known stop": {encodeKnown(&stopped), known},
		"known request":   {encodeKnown(&asked), known},
		"known held":      {encodeKnown(&held), known},
		"queue":           {encodeQueue(someTurns().Queue), func(b []byte) error { _, err := decodeQueue(b); return err }},
		"meta with turns": {encodeMeta(&queueing), func(b []byte) error { _, _, err := decodeMeta(b, "s"); return err }},
		"standing":        {encodeStanding(&standing), func(b []byte) error { _, err := decodeStanding(b); return err }},
		"tag":             {encodeTag(3), func(b []byte) error { _, err := decodeTag(b); return err }},
		"number":          {encodeNumber(3), func(b []byte) error { _, err := decodeNumber(b); return err }},
	}
	for name, e := range someEntries() {
		rs["entry: "+name] = record{encodeEntry(&e), entry}
	}
	for name, item := range someFeedItems() {
		rs["feed: "+name] = record{encodeFeed(&item), func(b []byte) error { _, err := decodeFeed(b); return err }}
	}
	return rs
}

// FuzzDecode gives every decoder anything. They must not panic, nor return what panics when it is used.
func FuzzDecode(f *testing.F) {
	for _, r := range records() {
		f.Add(r.value)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range records() {
			_ = r.decode(b)
		}
		if c, err := decodeEntry(b, 7); err == nil {
			if c.Entry.Run != nil {
				c.Entry.Run.Body.TagAt(1 << 40)
				c.Entry.Run.Body.Skip(1)
				c.RunInfo()
			}
			again, err := decodeEntry(encodeEntry(&c), 7)
			equal(t, again, c, err)
		}
		if fs, err := decodeFragments(b); err == nil {
			var body holdfast.BodyBuilder
			for _, fr := range fs {
				body.Append(fr)
			}
			body.Body().TagAt(holdfast.FragmentNo(len(fs)))
		}
		splitDataKey(b)
		splitOpenKey(b)
		lastNumber(b)
	})
}
