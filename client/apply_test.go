package client

import (
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/wire"
)

func message(o, first holdfast.Offset) *wire.EntryFrame {
	return &wire.EntryFrame{Session: "s", Entry: holdfast.Entry{
		Offset: o, First: first, Tag: holdfast.Tag(o), Kind: holdfast.KindMessage, Data: json.RawMessage(`1`),
	}}
}

func run(o holdfast.Offset, n holdfast.FragmentNo, text string) *wire.EntryFrame {
	f := message(o, o)
	f.Entry.Kind, f.Entry.Data = holdfast.KindRun, nil
	f.Entry.Run = &holdfast.Run{Status: holdfast.RunOpen, Fragments: n, Tag: 7}
	if text != "" {
		f.Entry.Run.Body = holdfast.Body{{Text: text}}
	}
	return f
}

// frag is a frame of m fragments up to n. Its tag is right only if it is one fragment after tag 7.
func frag(o holdfast.Offset, n, m holdfast.FragmentNo, text string) *wire.FragFrame {
	f := &wire.FragFrame{Session: "s", Run: o, N: n, M: m, Fragment: holdfast.Fragment{Text: text}}
	f.Tag = holdfast.ChainTag(7, &f.Fragment)
	return f
}

func snapshot(from holdfast.Offset) *wire.SubAnswer {
	return &wire.SubAnswer{Session: "s", Outcome: holdfast.Snapshot, Epoch: "e", From: from, Head: 9, More: true}
}

// What a strict state refuses, another one skips or takes as a reason to subscribe again; in no case is it applied.
func TestApplyFindsRepeatsAndHoles(t *testing.T) {
	start := []wire.ServerFrame{snapshot(3), run(1, 2, "ab"), message(3, 3), run(4, 1, "x")}
	end := &wire.EndFrame{Session: "s", Run: 4, Fragments: 1, Tag: 7, Status: holdfast.RunComplete}
	for name, c := range map[string]struct {
		before []wire.ServerFrame
		frame  wire.ServerFrame
		code   holdfast.Code
	}{
		"entry again":           {nil, message(3, 3), holdfast.CodeConflict},
		"run again":             {nil, run(4, 1, "x"), holdfast.CodeConflict},
		"early run again":       {nil, run(1, 2, "ab"), holdfast.CodeConflict},
		"entry missing":         {nil, message(6, 6), holdfast.CodeGap},
		"covered states":        {nil, message(7, 5), ""},
		"covers too little":     {nil, message(7, 6), holdfast.CodeGap},
		"next fragment":         {nil, frag(4, 2, 1, "y"), ""},
		"next fragments":        {nil, frag(4, 3, 2, "yz"), ""},
		"fragment again":        {nil, frag(4, 1, 1, "x"), holdfast.CodeConflict},
		"fragment missing":      {nil, frag(4, 3, 1, "z"), holdfast.CodeGap},
		"fragments overlap":     {nil, frag(1, 3, 2, "bc"), holdfast.CodeGap},
		"fragment of none":      {nil, frag(9, 1, 1, "x"), holdfast.CodeGap},
		"fragment of a message": {nil, frag(3, 1, 1, "x"), holdfast.CodeConflict},
		"another text": {nil, &wire.FragFrame{Session: "s", Run: 4, N: 2, M: 1, Tag: 8,
			Fragment: holdfast.Fragment{Text: "y"}}, holdfast.CodeGap},
		"no fragments":          {nil, frag(4, 2, 0, "y"), holdfast.CodeGap},
		"end":                   {nil, end, ""},
		"end again":             {[]wire.ServerFrame{end}, end, holdfast.CodeConflict},
		"fragment after end":    {[]wire.ServerFrame{end}, frag(4, 2, 1, "y"), holdfast.CodeConflict},
		"end too early":         {nil, &wire.EndFrame{Run: 1, Fragments: 3, Tag: 7, Status: holdfast.RunComplete}, holdfast.CodeGap},
		"end of none":           {nil, &wire.EndFrame{Run: 9, Status: holdfast.RunComplete}, holdfast.CodeGap},
		"live":                  {nil, &wire.Live{Session: "s", Offset: 4}, ""},
		"live too early":        {nil, &wire.Live{Session: "s", Offset: 5}, holdfast.CodeGap},
		"another log":           {nil, &wire.EntryFrame{Epoch: "f", Entry: message(5, 5).Entry}, holdfast.CodeGap},
		"continues too late":    {nil, &wire.SubAnswer{Outcome: holdfast.Continuous, Epoch: "e", From: 6}, holdfast.CodeGap},
		"continues another log": {nil, &wire.SubAnswer{Outcome: holdfast.Continuous, Epoch: "f", From: 5}, holdfast.CodeGap},
		"continues":             {nil, &wire.SubAnswer{Outcome: holdfast.Continuous, Epoch: "e", From: 5}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, strict := range []bool{true, false} {
				s := NewState("s", strict)
				for _, f := range append(append([]wire.ServerFrame{}, start...), c.before...) {
					if ch, err := s.Apply(f); err != nil || ch.Kind == Nothing || ch.Kind == Hole {
						t.Fatalf("%+v: %+v, %v", f, ch, err)
					}
				}
				cursor := s.Cursor()
				ch, err := s.Apply(c.frame)
				want := holdfast.Code("")
				if strict {
					want = c.code
				}
				if holdfast.CodeOf(err) != want {
					t.Fatalf("strict %v: error %v, want %q", strict, err, want)
				}
				if (ch.Kind == Hole) != (c.code == holdfast.CodeGap) || (ch.Kind == Nothing) != (c.code == holdfast.CodeConflict) {
					t.Fatalf("strict %v: change %+v, want code %q", strict, ch, c.code)
				}
				if _, answer := c.frame.(*wire.SubAnswer); c.code != "" && !answer && !sameCursor(cursor, s.Cursor()) {
					t.Fatalf("strict %v: what was refused moved the cursor", strict)
				}
			}
		})
	}
}

func sameCursor(a, b *holdfast.Cursor) bool {
	return a != nil && b != nil && a.Position == b.Position && a.Covers(b) && b.Covers(a)
}

func TestCursorIsWithheldUntilItsTagIsKnown(t *testing.T) {
	s := NewState("s", true)
	if s.Cursor() != nil {
		t.Fatal("a reader who was never answered has a cursor")
	}
	_, _ = s.Apply(snapshot(3))
	if s.Cursor() != nil {
		t.Fatal("a snapshot without entries gave a cursor, whose tag nobody knows")
	}
	_, _ = s.Apply(message(3, 3))
	if c := s.Cursor(); c == nil || c.Offset != 3 || c.Tag != 3 || c.Epoch != "e" {
		t.Fatalf("cursor %+v", c)
	}
	s.Resubscribe()
	if ch, err := s.Apply(message(9, 9)); err != nil || ch.Kind != Nothing {
		t.Fatalf("a frame before the answer: %+v, %v", ch, err)
	}
}

func TestPages(t *testing.T) {
	s := NewState("s", true)
	_, _ = s.Apply(snapshot(5))
	_, _ = s.Apply(run(2, 1, "x")) // open, so the snapshot brought it
	_, _ = s.Apply(message(5, 5))
	page := func(epoch holdfast.Epoch, more bool, items ...holdfast.Entry) *wire.PageAnswer {
		return &wire.PageAnswer{Session: "s", Epoch: epoch, Items: items, More: more}
	}
	ended := run(1, 1, "done").Entry
	ended.Run.Status = holdfast.RunComplete
	if ch := s.ApplyPage(5, page("other", true, message(4, 4).Entry)); ch.Kind != Nothing {
		t.Errorf("a page of another log: %+v", ch)
	}
	if ch := s.ApplyPage(5, page("e", true, run(3, 1, "x").Entry)); ch.Kind != Hole {
		t.Errorf("an open run that the snapshot did not bring: %+v", ch)
	}
	if ch := s.ApplyPage(5, page("e", true, message(3, 3).Entry, message(4, 4).Entry)); ch.Kind != Paged || s.First() != 3 || !s.More() {
		t.Errorf("%+v, first %d", ch, s.First())
	}
	if ch := s.ApplyPage(5, page("e", true, message(3, 3).Entry)); ch.Kind != Nothing {
		t.Errorf("the same page again: %+v", ch)
	}
	if ch := s.ApplyPage(3, page("e", false, ended, run(2, 1, "x").Entry)); ch.Kind != Paged || s.First() != 1 || s.More() {
		t.Errorf("%+v, first %d", ch, s.First())
	}
	var offsets []holdfast.Offset
	for _, e := range s.Entries() {
		offsets = append(offsets, e.Offset)
	}
	if len(offsets) != 5 || offsets[0] != 1 || offsets[4] != 5 {
		t.Errorf("holds %v", offsets)
	}
	if _, err := s.Apply(frag(2, 2, 1, "y")); err != nil {
		t.Errorf("the open run does not go on: %v", err)
	}
}
