package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/wire"
)

// A generator that finds nothing wrong proves something only if it would have: each reader is given what must not pass.

func fanEntry(o holdfast.Offset, data []byte) []byte {
	return wire.AppendEntry(nil, fanSession, "", &holdfast.Entry{
		Offset: o, First: o, Kind: holdfast.KindMessage, At: time.UnixMilli(1), Data: data,
	})
}

func newFan() *fanout {
	return &fanout{Report: newReport("fanout", nil), prefix: prefixOf("entry", fanSession), frames: make([]atomic.Pointer[fanFrame], 100)}
}

func TestFanoutReadersFindWhatIsWrong(t *testing.T) {
	one, two := newFanMessage(0, 1, 128), newFanMessage(0, 2, 128)
	bent := bytes.Replace(two, []byte("ccc"), []byte("ccd"), 1)
	for name, c := range map[string]struct {
		frames [][]byte
		bad    string
	}{
		"right":              {[][]byte{fanEntry(1, one), fanEntry(2, two)}, ""},
		"a hole":             {[][]byte{fanEntry(1, one), fanEntry(3, two)}, "has 1 and received"},
		"twice":              {[][]byte{fanEntry(1, one), fanEntry(1, one)}, "has 1 and received"},
		"out of order":       {[][]byte{fanEntry(2, two)}, "has 0 and received"},
		"altered":            {[][]byte{fanEntry(1, one), fanEntry(2, bent)}, "not as it was written"},
		"another session":    {[][]byte{bytes.Replace(fanEntry(1, one), []byte("fanout"), []byte("other!"), 1)}, "has 0 and received"},
		"not like the first": {[][]byte{fanEntry(1, one), fanEntry(5, two)}, "another entry 5"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFan()
			f.frames[5].Store(&fanFrame{bytes: []byte("what the first reader received")})
			r := f.reader(1000)
			var err error
			for _, frame := range c.frames {
				if name == "not like the first" && bytes.Contains(frame, []byte(`"o":5`)) {
					r.have = 4
				}
				if err == nil {
					err = r.frame(typeOf(frame), frame)
				}
			}
			checkError(t, err, c.bad)
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestStreamReadersFindWhatIsWrong(t *testing.T) {
	at := time.Now().UnixNano()
	p := func(n int) string { return string(pieceText(3, n, at)) }
	frag := func(n, m holdfast.FragmentNo, text string) wire.ServerFrame {
		return &wire.FragFrame{Session: "stream-3", Run: 1, N: n, M: m, Fragment: holdfast.Fragment{Text: text}}
	}
	end := func(n holdfast.FragmentNo) wire.ServerFrame {
		return &wire.EndFrame{Session: "stream-3", Run: 1, Fragments: n, Status: holdfast.RunComplete}
	}
	for name, c := range map[string]struct {
		frames []wire.ServerFrame
		bad    string
	}{
		"right":             {[]wire.ServerFrame{frag(1, 1, p(0)), frag(2, 1, p(1)), end(2)}, "done"},
		"merged":            {[]wire.ServerFrame{frag(2, 2, p(0)+p(1)), end(2)}, "done"},
		"cut elsewhere":     {[]wire.ServerFrame{frag(1, 1, p(0)[:20]), frag(2, 1, p(0)[20:]+p(1)), end(2)}, "done"},
		"a fragment lost":   {[]wire.ServerFrame{frag(2, 1, p(1))}, "has 0 fragments"},
		"a fragment twice":  {[]wire.ServerFrame{frag(1, 1, p(0)), frag(1, 1, p(0))}, "has 1 fragments"},
		"text of another":   {[]wire.ServerFrame{frag(1, 1, string(pieceText(4, 0, at)))}, "piece 0 reads"},
		"text twice":        {[]wire.ServerFrame{frag(1, 1, p(0)+p(0))}, "piece 1 reads"},
		"text altered":      {[]wire.ServerFrame{frag(1, 1, strings.Replace(p(0), "and", "but", 1))}, "piece 0 reads"},
		"ended too early":   {[]wire.ServerFrame{frag(1, 1, p(0)), end(1)}, "2 were written"},
		"ended in a piece":  {[]wire.ServerFrame{frag(1, 1, p(0)+p(1)+"x"), end(1)}, "ended as complete"},
		"more than written": {[]wire.ServerFrame{frag(1, 1, p(0)+p(1)+p(2)), end(1)}, "2 were written"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &streams{Report: newReport("streams", nil), produced: make([]atomic.Int64, 4)}
			s.produced[3].Store(2)
			r := &streamReader{s: s, i: 3, prefix: prefixOf("frag", "stream-3"), run: 1}
			var err error
			for _, f := range c.frames {
				if msg := wire.Append(nil, f); err == nil {
					err = r.frame(typeOf(msg), msg)
				}
			}
			checkError(t, err, c.bad)
		})
	}
}

func TestStormFindsWhatIsWrong(t *testing.T) {
	for name, data := range map[string][]byte{"right": stormMessage(7, 6), "altered": stormMessage(7, 5)} {
		s := &storm{Report: newReport("storm", nil), o: StormOptions{Missed: 1}}
		m := &stormMember{session: 7, state: client.NewState("storm-7", true)}
		_, _ = m.state.Apply(&wire.SubAnswer{Outcome: holdfast.Snapshot, Epoch: "e", From: 1})
		for n := 1; n <= stormBefore+1; n++ {
			e := holdfast.Entry{Offset: holdfast.Offset(n), First: holdfast.Offset(n), Kind: holdfast.KindMessage, Data: stormMessage(7, n)}
			if n == stormBefore+1 {
				e.Data = data
			}
			_, _ = m.state.Apply(&wire.EntryFrame{Entry: e})
		}
		s.check(m)
		if (s.Failed() > 0) != (name == "altered") {
			t.Errorf("%s: %d violations", name, s.Failed())
		}
	}
}

// The scanner reads what the server writes, and nothing else; where it does not, the frame is not passed over.
func TestScanAgreesWithDecoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := wire.FragFrame{
			Session: "s", Run: holdfast.Offset(rapid.Uint64Range(1, 1e15).Draw(t, "run")), N: 9, M: holdfast.FragmentNo(rapid.IntRange(1, 3).Draw(t, "m")),
			Tag: 7, Fragment: holdfast.Fragment{Text: rapid.StringMatching(`[a-zü "\\]{1,9}`).Draw(t, "text"), Part: rapid.SampledFrom([]string{"", "p"}).Draw(t, "part")},
		}
		got, ok := scanFragment(wire.AppendFrag(nil, &f), prefixOf("frag", "s"))
		plain := f.Fragment.Part == "" && !strings.ContainsAny(f.Fragment.Text, `"\`)
		if ok != plain {
			t.Fatalf("scanned: %v, plain: %v", ok, plain)
		}
		if ok && (got.run != f.Run || got.n != f.N || got.m != f.M || string(got.text) != f.Fragment.Text) {
			t.Fatalf("scanned %+v of %+v", got, f)
		}
	})
}

func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l latencies
		n := rapid.IntRange(1, 500).Draw(t, "n")
		unit := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Millisecond, time.Second}).Draw(t, "unit")
		for i := range n {
			l.add(time.Duration(i+1) * unit)
		}
		for _, q := range []float64{0, 0.5, 0.99, 1} {
			want := time.Duration(min(int(q*float64(n))+1, n)) * unit
			if got := l.quantile(q); float64(got) < float64(want) || float64(got) > float64(want)*1.02+float64(time.Microsecond) {
				t.Fatalf("quantile %v of %d is %v, want %v", q, n, got, want)
			}
		}
	})
}

func TestReportTellsWhatMissed(t *testing.T) {
	r := newReport("x", map[string]any{"n": 1})
	r.atMost("slow", 12345, 2, "s")
	r.atLeast("quick", 5, 2, "1/s")
	r.fail(violation("lost entry 7"))
	var table, object bytes.Buffer
	if err := r.Print(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12,345", "MISSED (<= 2)", "ok (>= 2)", "lost entry 7"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &table)
		}
	}
	var got struct {
		Figures    []Figure
		Violations int
	}
	if err := r.JSON(&object); err != nil || json.Unmarshal(object.Bytes(), &got) != nil || len(got.Figures) != 2 || *got.Figures[0].Met || got.Violations != 1 {
		t.Errorf("%v: %s", err, &object)
	}
}
