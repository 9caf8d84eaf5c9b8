package clientlog

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
)

const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"

func body(log string) string {
	return `{"token":"` + token + `","client":"c-7f","reason":"asked","agent":"web/1","now":1790000000000,"later":{},"log":[` + log + `]}`
}

func TestParse(t *testing.T) {
	got, tok, err := Parse([]byte(body(`{"at":1789999999000.5,"e":"dial","gen":7},{"at":1,"e":"x","deep":[{"y":null}]}`)))
	if err != nil || tok != token {
		t.Fatal(tok, err)
	}
	want := Report{Client: "c-7f", Reason: Asked, Agent: "web/1", Sent: time.UnixMilli(1790000000000), Records: []Record{
		{time.UnixMicro(1789999999000500), "dial", []byte(`{"at":1789999999000.5,"e":"dial","gen":7}`)},
		{time.UnixMilli(1), "x", []byte(`{"at":1,"e":"x","deep":[{"y":null}]}`)},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheAgentIsCutAtACharacter(t *testing.T) {
	long := strings.Replace(body(""), "web/1", strings.Repeat("x", maxAgent-1)+"é", 1)
	r, _, err := Parse([]byte(long))
	if err != nil || r.Agent != strings.Repeat("x", maxAgent-1) {
		t.Errorf("%q, %v", r.Agent, err)
	}
}

func TestParseRefuses(t *testing.T) {
	one := `{"at":1,"e":"x"}`
	for name, tc := range map[string]struct {
		in   string
		code holdfast.Code
	}{
		"nothing":                {"", holdfast.CodeInvalid},
		"not JSON":               {"log", holdfast.CodeInvalid},
		"an array":               {"[]", holdfast.CodeInvalid},
		"two objects":            {body(one) + body(one), holdfast.CodeInvalid},
		"no client":              {`{"reason":"user","log":[]}`, holdfast.CodeInvalid},
		"bad client":             {`{"client":"a b","reason":"user","log":[]}`, holdfast.CodeInvalid},
		"no reason":              {`{"client":"c","log":[]}`, holdfast.CodeInvalid},
		"unknown reason":         {`{"client":"c","reason":"fun","log":[]}`, holdfast.CodeInvalid},
		"log is no list":         {`{"client":"c","reason":"user","log":{}}`, holdfast.CodeInvalid},
		"record is no object":    {body(`7`), holdfast.CodeInvalid},
		"record without a time":  {body(`{"e":"x"}`), holdfast.CodeInvalid},
		"record without a name":  {body(`{"at":1}`), holdfast.CodeInvalid},
		"time in words":          {body(`{"at":"now","e":"x"}`), holdfast.CodeInvalid},
		"name too long":          {body(`{"at":1,"e":"` + strings.Repeat("x", 65) + `"}`), holdfast.CodeInvalid},
		"member twice":           {body(`{"at":1,"e":"x","e":"y"}`), holdfast.CodeInvalid},
		"too many records":       {body(strings.TrimSuffix(strings.Repeat(one+",", MaxRecords+1), ",")), holdfast.CodeTooLarge},
		"too large":              {body(`{"at":1,"e":"x","text":"` + strings.Repeat("x", MaxBody) + `"}`), holdfast.CodeTooLarge},
		"nested without measure": {body(strings.Repeat("[", 60_000)), holdfast.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Parse([]byte(tc.in))
			if holdfast.CodeOf(err) != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
			if strings.Contains(fmt.Sprint(err), "eyJ") {
				t.Errorf("%v shows the token", err)
			}
		})
	}
	if _, _, err := Parse([]byte(body(strings.TrimSuffix(strings.Repeat(one+",", MaxRecords), ",")))); err != nil {
		t.Errorf("as many records as may be: %v", err)
	}
}

// Whatever a client puts into its log, no credential comes out of it.
func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		`{"at":1,"e":"x","token":"abc"}`:                             `{"at":1,"e":"x","token":"[removed]"}`,
		`{"at":1,"e":"x","Authorization":{"a":[1,2]},"b":2}`:         `{"at":1,"e":"x","Authorization":"[removed]","b":2}`,
		`{"at":1,"e":"x","refreshToken":null,"apiKey":7}`:            `{"at":1,"e":"x","refreshToken":"[removed]","apiKey":"[removed]"}`,
		`{"at":1,"e":"x","why":"refused ` + token + ` as old"}`:      `{"at":1,"e":"x","why":"refused [removed] as old"}`,
		`{"at":1,"e":"x","url":"?t=eyJhbGciOi.eyJzdWIi.sig&b"}`:      `{"at":1,"e":"x","url":"?t=[removed]&b"}`,
		`{"at":1,"e":"x","h":["bearer  xyz","fine"]}`:                `{"at":1,"e":"x","h":["[removed]","fine"]}`,
		`{"at":1,"e":"x","` + token + `":1}`:                         `{"at":1,"e":"x","[removed]":1}`,
		"{\n \"at\": 1,\n \"e\":\"x\", \"text\" : \"a\\nb\\u2028\"}": `{"at":1,"e":"x","text":"a\nb` + "\u2028" + `"}`,
	} {
		r, _, err := Parse([]byte(body(in)))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := string(r.Records[0].Data); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	r, _, err := Parse([]byte(body(`{"at":1,"e":"dial","token":"abc"},{"at":2,"e":"close"}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.User, r.Received = "anna", r.Sent.Add(2*time.Second)
	for level, lines := range map[slog.Level]int{slog.LevelInfo: 1, slog.LevelDebug: 3} {
		var b bytes.Buffer
		Write(t.Context(), slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})), &r)
		text := b.String()
		if n := strings.Count(text, "\n"); n != lines {
			t.Errorf("%v: %d lines, want %d:\n%s", level, n, lines, text)
		}
		for _, want := range []string{"user=anna", "client=c-7f", "reason=asked", "records=2", "behind=2s", "last=close"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: %s is not in\n%s", level, want, text)
			}
		}
		if strings.Contains(text, "abc") || strings.Contains(text, "eyJ") {
			t.Errorf("%v: a token is in\n%s", level, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(body(`{"at":1e300,"e":"x","token":{"a":"` + token + `"}}`)))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, _, err := Parse(in)
		if err != nil {
			return
		}
		for _, rec := range r.Records {
			if bytes.Contains(rec.Data, []byte(token)) || bytes.IndexByte(rec.Data, '\n') >= 0 {
				t.Fatalf("%s", rec.Data)
			}
		}
	})
}
