package ending

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/trace"
)

// Each close code of package holdfast is in the table, with no class that is unknown.
func TestTheTableIsComplete(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../close.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Close") {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.INT {
			return true
		}
		code, err := strconv.ParseUint(lit.Value, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		class, ok := byServer[holdfast.CloseCode(code)]
		if !ok || !slices.Contains(Classes, class) {
			t.Errorf("%s (%d) has no class: say in the table what kind of end it is", spec.Names[0].Name, code)
		}
		return true
	})
	if seen < 14 {
		t.Errorf("found %d close codes, there are more", seen)
	}
}

func TestClass(t *testing.T) {
	cases := []struct {
		end  End
		want Class
	}{
		{End{By: ByServer, Code: holdfast.CloseRestart}, GoingAway},
		{End{By: ByServer, Code: holdfast.CloseSuperseded}, Superseded},
		{End{By: ByServer, Code: 4499}, Policy},
		{End{By: ByClient, Code: 1000}, Normal},
		{End{By: ByClient, Code: CodeNone}, Normal},
		{End{By: ByClient, Code: CodeGoingAway}, GoingAway},
		{End{By: ByClient, Code: CodeProtocol}, ProtocolError},
		{End{By: ByClient, Code: 1011}, ProtocolError},
		{End{By: ByClient, Code: holdfast.CloseProtocol}, ProtocolError},
		{End{By: ByClient, Code: 3000}, Normal},
		{End{By: ByClient, Code: 4000}, Normal},
		{End{By: ByClient, Code: CodeAbnormal}, Network},
		{End{By: ByNetwork, Code: CodeAbnormal}, Network},
		{End{By: ByNetwork, Code: CodeAbnormal, TimedOut: true}, Timeout},
	}
	for _, c := range cases {
		if got := c.end.Class(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.end, got, c.want)
		}
	}
}

// At the default level the log is quiet about what is normal, and about all that strangers do but make the server fail.
func TestLevels(t *testing.T) {
	loud := map[Class][2]bool{ // known, stranger
		Policy: {true, false}, Auth: {true, false}, ProtocolError: {true, false}, Server: {true, true},
	}
	for _, c := range Classes {
		got := [2]bool{c.level(true) >= slog.LevelInfo, c.level(false) >= slog.LevelInfo}
		if got != loud[c] {
			t.Errorf("%s: loud %v, want %v", c, got, loud[c])
		}
	}
}

func TestRecord(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var told []*Record
	b := NewBook(log, time.Now, func(r *Record) { told = append(told, r) }, nil)
	tc, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	b.Ended(&Record{
		End: End{By: ByServer, Code: holdfast.CloseTimeout}, Reason: "silent", Conn: "x1", User: "anna", Client: "c1", Generation: 7,
		Attached: true, Transport: "websocket", Remote: "192.0.2.1:80", Agent: "a", Trace: tc, Age: 1500 * time.Microsecond, In: 12, Out: 34,
		Positions: []Position{{"chat-1", 812}},
	})
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "DEBUG", "msg": "connection ended", "class": "timeout", "by": "server", "code": 4400.0, "name": "timeout",
		"reason": "silent", "conn": "x1", "user": "anna", "client": "c1", "generation": 7.0, "age": 2e6, "bytes_in": 12.0,
		"bytes_out": 34.0, "transport": "websocket", "remote": "192.0.2.1:80", "agent": "a",
		"positions": map[string]any{"chat-1": 812.0}, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(told) != 1 {
		t.Errorf("told of %d records, want 1", len(told))
	}
}

func TestReturns(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	var got []Return
	b := NewBook(slog.New(slog.DiscardHandler), func() time.Time { return now }, nil, func(r *Return) { got = append(got, *r) })
	end := func(conn holdfast.ConnID, code holdfast.CloseCode) {
		b.Ended(&Record{End: End{By: ByServer, Code: code}, Conn: conn, User: "anna", Client: "c1", Attached: true})
	}
	back := func(conn, ghost holdfast.ConnID) { b.Attached(Return{Conn: conn, User: "anna", Client: "c1"}, ghost) }

	back("x1", "") // new
	end("x1", holdfast.CloseTimeout)
	now = now.Add(3 * time.Second)
	back("x2", "")
	back("x3", "x2") // beside it
	end("x2", holdfast.CloseSuperseded)
	back("x4", "") // x3 never ended, as far as is known
	end("x4", holdfast.CloseRestart)
	now = now.Add(memory + time.Second)
	back("x5", "") // too late to be the same visit

	want := []Return{
		{Conn: "x2", Before: "x1", User: "anna", Client: "c1", Away: 3 * time.Second, Class: Timeout},
		{Conn: "x3", Before: "x2", User: "anna", Client: "c1", Class: Superseded},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeparturesAreBounded(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	b := NewBook(slog.New(slog.DiscardHandler), func() time.Time { return now }, nil, nil)
	for i := range maxGone + 100 {
		b.Ended(&Record{End: End{By: ByNetwork}, User: "anna", Client: holdfast.ClientID(strconv.Itoa(i)), Attached: true})
	}
	if len(b.gone) != maxGone || len(b.order) != maxGone {
		t.Errorf("%d and %d are remembered, want %d", len(b.gone), len(b.order), maxGone)
	}
	now = now.Add(memory + time.Second)
	b.Ended(&Record{End: End{By: ByNetwork}, User: "anna", Client: "last", Attached: true})
	if len(b.gone) != 1 || len(b.order) != 1 {
		t.Errorf("%d and %d are remembered after the time, want 1", len(b.gone), len(b.order))
	}
}
