package storetest

import (
	"encoding/json"
	"fmt"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func compactionCases() []testCase {
	return []testCase{
		{"Compaction/CutAtEveryFragment", testCut},
		{"Compaction/EmptyRun", testEmptyRun},
		{"Compaction/LongRun", testLongRun},
		{"Compaction/NeighboursStay", testNeighbours},
	}
}

func mixedFragments() []holdfast.Fragment {
	return []holdfast.Fragment{{Text: "a"}, {Text: "bc"}, {Text: "é"}, {Event: json.RawMessage(`{"e":1}`)}, {Event: json.RawMessage(`2`)},
		{Text: "d"}, {Part: "p", Text: "ef"}, {Part: "p", Text: "g"}, {Part: "p", Event: json.RawMessage(`[]`)}, {Part: "p", Text: "h"}, {Text: "i"}}
}

// testCut reads a run from each fragment on, open and ended, after it was appended in pieces of every size.
func testCut(e *env) {
	fs := mixedFragments()
	for size := 1; size <= len(fs); size++ {
		run := e.open(s1, fmt.Sprintf("r%d", size))
		for at := 0; at < len(fs); at += size {
			e.apply(s1, grow(run, int64(at), fs[at:min(at+size, len(fs))]...))
		}
		cuts := func() {
			e.Helper()
			var tag holdfast.Tag
			for n := 0; n <= len(fs)+1; n++ {
				got := e.run(s1, run.Run, holdfast.FragmentNo(n))
				same(e, fmt.Sprintf("pieces of %d, after fragment %d", size, n), got.Run.Body.Fragments(), fs[min(n, len(fs)):])
				if n > len(fs) {
					break
				}
				same(e, "chain", e.run(s1, run.Run, 0).Run.Body.TagAt(holdfast.FragmentNo(n)), tag)
				if n < len(fs) {
					tag = holdfast.ChainTag(tag, &fs[n])
				}
			}
			same(e, "tag", e.run(s1, run.Run, 5).Run.Tag, tag)
			same(e, "count", e.run(s1, run.Run, 5).Run.Fragments, holdfast.FragmentNo(len(fs)))
		}
		cuts()
		e.apply(s1, end(run, holdfast.RunComplete))
		cuts()
	}
}

func testEmptyRun(e *env) {
	run := e.open(s1, "r")
	op := end(run, holdfast.RunStopped)
	op.Data = nil
	e.apply(s1, op)
	same(e, "run", e.run(s1, run.Run, 0).Run, &holdfast.Run{Status: holdfast.RunStopped, Fence: 1})
}

func testLongRun(e *env) {
	run := e.open(s1, "r")
	const ops, each = 200, 50
	want := ""
	for i := range ops {
		var fs []holdfast.Fragment
		for j := range each {
			fs = append(fs, holdfast.Fragment{Text: fmt.Sprintf("%d.%d ", i, j)})
			want += fs[j].Text
		}
		e.apply(s1, grow(run, int64(i*each), fs...))
	}
	open := e.run(s1, run.Run, 0)
	same(e, "open text", open.Run.Body.Text(""), want)
	e.apply(s1, end(run, holdfast.RunComplete))
	ended := e.run(s1, run.Run, 0)
	same(e, "ended body", ended.Run.Body, open.Run.Body)
	same(e, "last", e.run(s1, run.Run, ops*each-1).Run.Body.Fragments(), text(fmt.Sprintf("%d.%d ", ops-1, each-1)))
}

// testNeighbours ends one of three runs whose fragments came mixed, beside a session whose name begins alike.
func testNeighbours(e *env) {
	var runs []holdfast.RunInfo
	for i := range 3 {
		runs = append(runs, e.open(s1, fmt.Sprint(i)))
	}
	near := e.open(s1+"x", "0")
	for i := range 4 {
		for k, r := range runs {
			e.apply(s1, grow(r, int64(i), text(fmt.Sprint(k))...))
		}
		e.apply(s1+"x", grow(near, int64(i), text("x")...))
	}
	e.apply(s1, end(runs[1], holdfast.RunComplete))
	for k, r := range runs {
		same(e, "body", e.run(s1, r.Run, 0).Run.Body.Text(""), fmt.Sprintf("%d%d%d%d", k, k, k, k))
	}
	same(e, "neighbour", e.run(s1+"x", near.Run, 0).Run.Body.Text(""), "xxxx")
	same(e, "open", len(e.info(s1).Open), 2)
	e.apply(s1, grow(runs[2], 4, text("!")...))
	if err := e.Delete(e.ctx(), s1); err != nil {
		e.Fatal(err)
	}
	same(e, "neighbour", e.run(s1+"x", near.Run, 0).Run.Body.Text(""), "xxxx")
	same(e, "neighbour's open runs", len(e.info(s1+"x").Open), 1)
	e.apply(s1+"x", driver.EndRun{Run: near.Run, Fence: near.Fence, Status: holdfast.RunComplete})
}
