package relay

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// reader is the other side: what it was passed on, and how it ended.
type reader struct {
	t      *testing.T
	heard  chan driver.Change
	ended  chan error
	cancel context.CancelFunc
}

func follow(t *testing.T, path string) *reader {
	ctx, cancel := context.WithCancel(t.Context())
	r := &reader{t, make(chan driver.Change, 100_000), make(chan error, 1), cancel}
	go func() { r.ended <- Follow(ctx, path, func(ch driver.Change) { r.heard <- ch }) }()
	t.Cleanup(cancel)
	return r
}

func (r *reader) end() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(10 * time.Second):
		r.t.Fatal("it does not end")
		return nil
	}
}

func create(t *testing.T) (*Writer, string) {
	path := filepath.Join(t.TempDir(), "relay")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, path
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there still: %v", err)
	}
}

// All that a store says of what it has done is passed on as it was said, before the reader comes and after.
func TestEveryKindOfChange(t *testing.T) {
	w, path := create(t)
	db := memory.New(memory.Options{})
	var want []driver.Change
	db.Watch(func(ch driver.Change) {
		want = append(want, ch)
		w.Pass(ch)
	})
	const s = "chat"
	anna := holdfast.Sender{User: "anna", Client: "c1"}
	do := func(op driver.Op) driver.Result {
		t.Helper()
		res, err := db.Apply(t.Context(), s, op)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	do(driver.Append{Entries: []driver.NewEntry{
		{Kind: holdfast.KindMessage, ID: "m1", From: anna, Data: json.RawMessage(`{"text":"hi"}`)},
		{Kind: holdfast.KindState, Key: "title", Data: json.RawMessage(`"a"`)},
	}})
	r := follow(t, path)
	run := do(driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "r1"}, Answers: 1, Rollup: 100 * time.Millisecond}).Run
	do(driver.AppendFragments{Run: run.Run, Fence: run.Fence, Fragments: []holdfast.Fragment{{Text: "one "}, {Part: "p", Event: json.RawMessage(`1`)}}})
	do(driver.RequestStop{Run: run.Run, ID: "s1", From: anna})
	do(driver.EndRun{Run: run.Run, Fence: run.Fence, Status: holdfast.RunStopped, Data: json.RawMessage(`{"tokens":2}`)})
	do(driver.OpenRequest{ID: "q1", Data: json.RawMessage(`"which?"`), To: []holdfast.UserID{"anna"}})
	do(driver.SetTurns{Rules: driver.TurnRules{Policy: holdfast.TurnQueue}})
	if err := db.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		select {
		case got := <-r.heard:
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Errorf("change %d: %s", i, diff)
			}
		case err := <-r.ended:
			t.Fatalf("it ended before change %d: %v", i, err)
		}
	}
	r.cancel()
	if err := r.end(); err != nil {
		t.Errorf("the reader ended with %v", err)
	}
	gone(t, path)
	select {
	case <-w.done:
	case <-time.After(10 * time.Second):
		t.Error("the writer does not end, and nobody reads")
	}
}

func TestAWriterThatEndsSaysSo(t *testing.T) {
	w, path := create(t)
	r := follow(t, path)
	w.Pass(driver.Change{Session: "chat", Deleted: true})
	<-r.heard
	w.End()
	w.Pass(driver.Change{Session: "chat", Deleted: true}) // goes nowhere, and nobody is held up
	if err := r.end(); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("the reader ended with %v", err)
	}
	gone(t, path)
}

// What cannot be written in time ends the relay: a change left out would be a hole.
func TestAWriterThatIsTooSlowEnds(t *testing.T) {
	w := newWriter("", nil, 2) // nothing writes
	for range 3 {
		w.Pass(driver.Change{Session: "chat"})
	}
	if w.change != nil {
		t.Error("it goes on with a hole")
	}
}

// One that nobody reads, or ever will, does not fill the disk.
func TestARelayIsBounded(t *testing.T) {
	b := bounded{io.Discard, 10}
	if _, err := b.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if _, err := b.Write(make([]byte, 1)); err == nil {
		t.Error("it takes more than it may")
	}
}

// What another version passes on is not read: what this one does not know of it would be left out.
func TestAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay")
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(format + 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := follow(t, path).end(); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("it is %v", err)
	}
}

// Another process may begin a relay while this one is read: it is not this one's, and stays.
func TestAnotherRelay(t *testing.T) {
	w, path := create(t)
	r := follow(t, path)
	w.Pass(driver.Change{Session: "chat"})
	<-r.heard
	next, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := r.end(); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("the reader ended with %v", err)
	}
	w.Close()
	if !same(next.file, path) {
		t.Error("the next one's file is gone")
	}
}

func TestNoRelay(t *testing.T) {
	err := Follow(t.Context(), filepath.Join(t.TempDir(), "relay"), func(driver.Change) {})
	if holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("it is %v", err)
	}
}

// A process that was killed leaves its file behind. Who reads that is not given what another one passes on later.
func TestARelayBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay")
	if err := os.WriteFile(path, []byte("what an earlier process left"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r := follow(t, path)
	w.Pass(driver.Change{Session: "chat", Epoch: "e1"})
	if got := <-r.heard; got.Session != "chat" || got.Epoch != "e1" {
		t.Errorf("it is passed on as %v", got)
	}
}

func TestWhatIsNoRelayIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay")
	if err := os.WriteFile(path, []byte(strings.Repeat("no changes at all. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := follow(t, path).end(); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Errorf("it is %v", err)
	}
}
