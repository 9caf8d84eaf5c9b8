package pebble

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pebbledb "github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/session"
	"github.com/holdfast/holdfast/store/driver"
)

func apply(t testing.TB, d driver.Driver, s holdfast.SessionID, op driver.Op) driver.Result {
	t.Helper()
	r, err := d.Apply(context.Background(), s, op)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// furnish fills a store with one of everything and closes it.
func furnish(t testing.TB, dir string) {
	t.Helper()
	d := opener(t, Options{Dir: dir})()
	entry := func(id, key string) driver.NewEntry {
		n := driver.NewEntry{Kind: holdfast.KindMessage, ID: id, Data: json.RawMessage(`{"a":1}`), Feed: key == ""}
		if key != "" {
			n.Kind, n.Key = holdfast.KindState, key
		}
		return n
	}
	for _, s := range []holdfast.SessionID{"a", "b", "c"} {
		apply(t, d, s, driver.Append{Entries: []driver.NewEntry{entry("1", ""), entry("2", "k"), entry("3", "k"), entry("4", "")}})
		for _, id := range []string{"open", "ended"} {
			r := apply(t, d, s, driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: id}}).Run
			for range 3 {
				r = apply(t, d, s, driver.AppendFragments{Run: r.Run, Fence: 1, After: int64(r.Fragments),
					Fragments: []holdfast.Fragment{{Text: "x"}, {Part: "p", Event: json.RawMessage(`1`)}}}).Run
			}
			if id == "ended" {
				apply(t, d, s, driver.EndRun{Run: r.Run, Fence: 1, Status: holdfast.RunComplete})
			}
		}
	}
	apply(t, d, "c", driver.Trim{Before: 4})
	apply(t, d, "d", driver.Append{Entries: []driver.NewEntry{entry("1", ""), entry("2", "")}})
	apply(t, d, "d", driver.RequestStop{ID: "waits", Answers: 1})
	run := apply(t, d, "d", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "run"}, Answers: 2}).Run
	apply(t, d, "d", driver.RequestStop{ID: "asked", Run: run.Run})
	apply(t, d, "d", driver.OpenRequest{ID: "settled"})
	apply(t, d, "d", driver.SettleRequest{Request: 6, State: holdfast.RequestWithdrawn})
	apply(t, d, "d", driver.OpenRequest{ID: "open", To: []holdfast.UserID{"u"}, Data: json.RawMessage(`1`)})
	apply(t, d, "d", driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: "slow"}, Rollup: holdfast.MaxRollup})
	for _, s := range []holdfast.SessionID{"d", "never-written-to"} {
		apply(t, d, s, driver.Tell{Entries: []driver.NewEntry{{Kind: holdfast.KindEvent, From: holdfast.Sender{User: "u"}, Data: json.RawMessage(`1`)}},
			Consumers: []driver.ConsumerValue{{Name: "told/" + string(s), Value: "1"}}})
	}
	if err := d.Delete(context.Background(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsNothingInASoundStore(t *testing.T) {
	dir := t.TempDir()
	furnish(t, dir)
	got, err := Verify(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := &Report{Sessions: 3, Entries: 5 + 4 + 9, OpenRuns: 4, FeedItems: 9 + 7 + 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// TestVerifyFindsDamage does each kind of damage to a sound store.
func TestVerifyFindsDamage(t *testing.T) {
	const a = holdfast.SessionID("a")
	flip := func(db *pebbledb.DB, key []byte) {
		v, ok, err := get(db, key)
		if err != nil || !ok {
			t.Fatalf("%q: %v, %v", key, ok, err)
		}
		v[len(v)-1] ^= 1
		_ = db.Set(key, v, pebbledb.Sync)
	}
	remove := func(db *pebbledb.DB, key []byte) {
		if _, ok, _ := get(db, key); !ok {
			t.Fatalf("%q is not there", key)
		}
		_ = db.Delete(key, pebbledb.Sync)
	}
	for name, c := range map[string]struct {
		damage func(db *pebbledb.DB)
		want   string
	}{
		"entry lost":          {func(db *pebbledb.DB) { remove(db, entryKey(a, 4)) }, "entry 4 is missing"},
		"entry changed":       {func(db *pebbledb.DB) { flip(db, entryKey(a, 4)) }, "does not fit its tag"},
		"head lost":           {func(db *pebbledb.DB) { remove(db, entryKey(a, 6)) }, "entry 6 is missing"},
		"tag lost":            {func(db *pebbledb.DB) { remove(db, tagKey(a, 2)) }, "entry 2 is missing"},
		"fragments lost":      {func(db *pebbledb.DB) { remove(db, fragmentsKey(a, 5, 3)) }, "where 3 is due"},
		"last fragments lost": {func(db *pebbledb.DB) { remove(db, fragmentsKey(a, 5, 5)) }, "there are 4"},
		"fragment changed":    {func(db *pebbledb.DB) { flip(db, fragmentsKey(a, 5, 3)) }, "chain tag"},
		"compact form changed": {func(db *pebbledb.DB) {
			v, _, _ := get(db, entryKey(a, 6))
			v[len(v)-3] ^= 2
			_ = db.Set(entryKey(a, 6), v, pebbledb.Sync)
		}, ""},
		"open run lost":     {func(db *pebbledb.DB) { remove(db, openKey(a, 5)) }, "open runs"},
		"open run too many": {func(db *pebbledb.DB) { _ = db.Set(openKey("z", 1), []byte{1}, pebbledb.Sync) }, "a session that is not there"},
		"session lost":      {func(db *pebbledb.DB) { remove(db, metaKey(a)) }, "data of a session that is not there"},
		"session changed":   {func(db *pebbledb.DB) { flip(db, metaKey(a)) }, "ends too early"},
		"id lost":           {func(db *pebbledb.DB) { remove(db, idKey(a, "", "1")) }, "not found by its id"},
		"stop lost":         {func(db *pebbledb.DB) { remove(db, idKey("d", "", "asked")) }, "stop \"asked\" is not found"},
		"waiting stop lost": {func(db *pebbledb.DB) { remove(db, idKey("d", "", "waits")) }, "stop \"waits\" is not found"},
		"answer lost":       {func(db *pebbledb.DB) { remove(db, idKey("d", session.AnswersScope, "2")) }, "the message 2"},
		"request lost":      {func(db *pebbledb.DB) { remove(db, entryKey("d", 8)) }, "event of the open request 8"},
		"request settled": {func(db *pebbledb.DB) {
			k := session.Known{Offset: 7, At: at}
			_ = db.Set(idKey("d", session.RequestsScope, session.RequestID(8)), encodeKnown(&k), pebbledb.Sync)
		}, "both open and settled"},
		"waiting lost":          {func(db *pebbledb.DB) { remove(db, waitKey("d")) }, "whether something waits in it, true"},
		"waiting too long":      {func(db *pebbledb.DB) { _ = db.Set(waitKey(a), []byte{version}, pebbledb.Sync) }, "nothing waits in it"},
		"state's index lost":    {func(db *pebbledb.DB) { remove(db, stateKey(a, "k")) }, "not the latest of its key"},
		"state's index changed": {func(db *pebbledb.DB) { flip(db, stateKey(a, "k")) }, "not the latest of its key"},
		"feed item lost":        {func(db *pebbledb.DB) { remove(db, feedKey(2)) }, "where 2 is due"},
		"feed item changed":     {func(db *pebbledb.DB) { flip(db, feedKey(2)) }, "feed item 2"},
		"feed's index lost":     {func(db *pebbledb.DB) { remove(db, feedOfKey(a, 2)) }, "not found by its session"},
		"feed's index too long": {func(db *pebbledb.DB) { _ = db.Set(feedOfKey(a, 99), []byte{1}, pebbledb.Sync) }, "names item 99"},
		"stray fragments":       {func(db *pebbledb.DB) { _ = db.Set(fragmentsKey(a, 1, 1), []byte{1, 0}, pebbledb.Sync) }, "not open"},
		"cut short":             {func(db *pebbledb.DB) { _ = db.Set(entryKey(a, 1), []byte{version, 1, 0}, pebbledb.Sync) }, "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir()}
			furnish(t, o.Dir)
			if err := o.setDefaults(); err != nil {
				t.Fatal(err)
			}
			db, release, err := openDB(&o, false)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(db)
			_ = db.Close()
			_ = release()
			report, err := Verify(context.Background(), o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, p := range report.Problems {
				found = found || strings.Contains(p.Text, c.want)
			}
			if !found {
				t.Fatalf("want a problem with %q, got %+v", c.want, report.Problems)
			}
		})
	}
}

// A store that was made before the feed had an index by session gets it when it is opened.
func TestFeedOfAnOlderStore(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	furnish(t, o.Dir)
	read := func() []driver.FeedItem {
		d := opener(t, o)()
		items, err := d.FeedOf(context.Background(), "a", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return items
	}
	want := read()
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	db, release, err := openDB(&o, false)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Delete(keyFeedOf, pebbledb.Sync)
	_ = db.DeleteRange([]byte{spaceFeedOf}, []byte{spaceFeedOf + 1}, pebbledb.Sync)
	_ = db.Close()
	_ = release()
	if report, err := Verify(context.Background(), o.Dir); err != nil || len(report.Problems) > 0 {
		t.Errorf("an older store is not sound: %v, %+v", err, report)
	}
	if diff := cmp.Diff(want, read()); diff != "" || len(want) != 3 {
		t.Errorf("%d items before (-want +got):\n%s", len(want), diff)
	}
}

func TestBackupAndRestore(t *testing.T) {
	ctx := context.Background()
	root := t.TempDir()
	live, backup, cold, back := filepath.Join(root, "live"), filepath.Join(root, "b", "1"), filepath.Join(root, "cold"), filepath.Join(root, "back")
	furnish(t, live)
	d := opener(t, Options{Dir: live})().(*Driver)
	want, err := d.Read(ctx, "a", driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Backup(backup); err != nil {
		t.Fatal(err)
	}
	if err := d.Backup(backup); holdfast.CodeOf(err) != holdfast.CodeConflict {
		t.Fatalf("over another backup: %v", err)
	}
	apply(t, d, "a", driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage}}})
	if err := Backup(live, cold); holdfast.CodeOf(err) != holdfast.CodeUnavailable {
		t.Fatalf("of a store in use: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Backup(live, cold); err != nil {
		t.Fatal(err)
	}
	if err := Restore(ctx, backup, live); holdfast.CodeOf(err) != holdfast.CodeConflict {
		t.Fatalf("over a store: %v", err)
	}
	if err := os.Mkdir(back, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restore(ctx, backup, back); err != nil {
		t.Fatal(err)
	}
	r := opener(t, Options{Dir: back})()
	defer r.Close()
	got, err := r.Read(ctx, "a", driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if w := apply(t, r, "a", driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage}}}).Entries[0]; w.Offset != 7 {
		t.Fatalf("goes on at %d", w.Offset)
	}
}

func TestToolsOnNothing(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	_, err1 := Verify(context.Background(), none)
	err2 := Backup(none, none+"2")
	err3 := Restore(context.Background(), none, none+"2")
	_, err4 := Verify(context.Background(), t.TempDir())
	for _, err := range []error{err1, err2, err3, err4} {
		if holdfast.CodeOf(err) != holdfast.CodeNotFound {
			t.Errorf("got %v", err)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("a tool made a store")
	}
}
