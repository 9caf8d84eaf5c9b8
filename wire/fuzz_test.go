package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast/holdfast"
)

func FuzzDecode(f *testing.F) {
	for _, g := range encodeAll() {
		f.Add([]byte(g.Frame))
	}
	f.Add([]byte(`{"t":"sub","s":"x","cur":{"r":[[1,2,3],[1,2,99999999999]]}}`))
	f.Add([]byte(`{"t":"take","gen":18446744073709551615,"hidden":null,"subs":[{"s":"x","cur":{}},{}]}`))
	f.Add([]byte(`{"t":"hello","v":1,"mode":"\u0000","wait":-9223372036854775808,"hidden":true}`))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if frame, err := DecodeClient(msg); err == nil {
			again, err := DecodeClient(AppendClient(nil, frame))
			if err != nil {
				t.Fatalf("a frame that was read cannot be read again: %v", err)
			}
			if a, b := AppendClient(nil, frame), AppendClient(nil, again); string(a) != string(b) {
				t.Fatalf("encoding is not stable:\n%s\n%s", a, b)
			}
		} else if holdfast.CodeOf(err) != holdfast.CodeInvalid && holdfast.CodeOf(err) != holdfast.CodeTooLarge {
			t.Fatalf("error with code %q: %v", holdfast.CodeOf(err), err)
		}
		if frame, err := DecodeServer(msg); err == nil && !json.Valid(Append(nil, frame)) {
			t.Fatalf("encoding of %T is not JSON: %s", frame, Append(nil, frame))
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	cases := map[string]struct{ in, text string }{
		"nothing":               {``, "not valid JSON"},
		"not JSON":              {`hello`, "not valid JSON"},
		"an array":              {`[1]`, "type"},
		"a number":              {`7`, "type"},
		"no type":               {`{"s":"chat-1"}`, "member t"},
		"type not a string":     {`{"t":7}`, "/t"},
		"two objects":           {`{"t":"ping"}{"t":"ping"}`, "not valid JSON"},
		"half an object":        {`{"t":"ping","n":`, "not valid JSON"},
		"a member twice":        {`{"t":"ping","n":1,"n":2}`, "not valid JSON"},
		"not UTF-8":             {"{\"t\":\"send\",\"id\":\"\xff\"}", "not valid JSON"},
		"negative generation":   {`{"t":"hello","v":1,"gen":-1}`, "/gen"},
		"huge generation":       {`{"t":"hello","v":1,"gen":1e99}`, "/gen"},
		"version not a number":  {`{"t":"hello","v":"one"}`, "version"},
		"no version":            {`{"t":"hello"}`, "version"},
		"token not a string":    {`{"t":"hello","v":1,"token":{"a":"secret"}}`, "/token"},
		"mode not a string":     {`{"t":"hello","v":1,"mode":7}`, "/mode"},
		"hidden not a boolean":  {`{"t":"view","hidden":"yes"}`, "/hidden"},
		"wait not a number":     {`{"t":"hello","v":1,"wait":"long"}`, "/wait"},
		"take of no number":     {`{"t":"take","gen":"8"}`, "/gen"},
		"take with a bad sub":   {`{"t":"take","gen":8,"subs":[{"s":"x","cur":{"r":[[1,2]]}}]}`, "/cur/r"},
		"run not a number":      {`{"t":"stop","run":"8"}`, "/run"},
		"stop not an object":    {`{"t":"run","stop":"x"}`, "/stop"},
		"park not a boolean":    {`{"t":"bye","park":1}`, "/park"},
		"cursor not an object":  {`{"t":"sub","s":"x","cur":"k.1"}`, "/cur"},
		"cursor run too short":  {`{"t":"sub","s":"x","cur":{"e":"a","o":1,"g":1,"r":[[1,2]]}}`, "/cur/r"},
		"cursor tag over 32":    {`{"t":"sub","s":"x","cur":{"e":"a","o":1,"g":1,"r":[[1,2,4294967296]]}}`, "tag"},
		"cursor offset in text": {`{"t":"sub","s":"x","cur":{"o":"1"}}`, "/cur/o"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeClient([]byte(c.in))
			if holdfast.CodeOf(err) != holdfast.CodeInvalid {
				t.Fatalf("got %v, want code %s", err, holdfast.CodeInvalid)
			}
			if !strings.Contains(holdfast.MessageOf(err), c.text) {
				t.Errorf("text %q does not name %q", holdfast.MessageOf(err), c.text)
			}
			if strings.Contains(holdfast.MessageOf(err), "secret") {
				t.Errorf("text %q shows a value", holdfast.MessageOf(err))
			}
		})
	}
}

func TestDecodeRefusesTooMany(t *testing.T) {
	for _, kind := range []string{`"hello","v":1`, `"take","gen":1`} {
		many := `{"t":` + kind + `,"subs":[` + strings.Repeat(`{"s":"a"},`, MaxSubs) + `{"s":"b"}]}`
		if _, err := DecodeClient([]byte(many)); holdfast.CodeOf(err) != holdfast.CodeTooLarge {
			t.Errorf("%s with %d sessions: %v", kind, MaxSubs+1, err)
		}
	}
	runs := `{"t":"sub","s":"a","cur":{"e":"x","o":1,"g":1,"r":[` + strings.Repeat(`[1,1,1],`, MaxCursorRuns) + `[2,1,1]]}}`
	if _, err := DecodeClient([]byte(runs)); holdfast.CodeOf(err) != holdfast.CodeTooLarge {
		t.Errorf("cursor with %d runs: %v", MaxCursorRuns+1, err)
	}
}

func TestFrags(t *testing.T) {
	var body holdfast.Body
	var end holdfast.Tag
	for _, f := range []holdfast.Fragment{
		{Text: "a"}, {Text: "b"}, {Part: "x", Text: "c"}, {Event: json.RawMessage(`1`)}, {Event: json.RawMessage(`2`)}, {Text: "d"},
	} {
		body, end = body.Append(f), holdfast.ChainTag(end, &f)
	}
	for have := holdfast.FragmentNo(0); have <= 6; have++ {
		from := holdfast.RunCursor{Run: 5, Fragment: have, Tag: body.TagAt(have)}
		frames, to := Frags("s", from, body.Skip(have).Fragments())
		if to.Fragment != 6 || to.Tag != end {
			t.Errorf("from %d: ends at %d with tag %d, want 6 with %d", have, to.Fragment, to.Tag, end)
		}
		for i, f := range frames {
			if f.N != have+f.M {
				t.Errorf("from %d: frame %d covers %d fragments up to %d, but the one before ended at %d", have, i, f.M, f.N, have)
			}
			have = f.N
		}
		have = from.Fragment
	}
}

// The bounds of a page may be any offsets; no entry stands after the highest number that "after" can say.
func TestPageBoundsAreKept(t *testing.T) {
	for name, test := range map[string]struct{ sent, want PageRequest }{
		"before the highest": {PageRequest{Before: ^holdfast.Offset(0)}, PageRequest{Before: ^holdfast.Offset(0)}},
		"after the highest":  {PageRequest{After: ^holdfast.Offset(0)}, PageRequest{After: 1<<63 - 1}},
	} {
		t.Run(name, func(t *testing.T) {
			msg := AppendClient(nil, &test.sent)
			got, err := DecodeClient(msg)
			if err != nil {
				t.Fatalf("%s: %v", msg, err)
			}
			if *got.(*PageRequest) != test.want {
				t.Errorf("%s is read as %+v", msg, got)
			}
		})
	}
}
