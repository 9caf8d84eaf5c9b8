package conn

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/trace"
	"github.com/holdfast/holdfast/transport"
)

// Every connection leaves exactly one record, and its class says what happened.
func TestEveryEndHasItsRecord(t *testing.T) {
	hello := `anna > {"t":"hello","v":1,"token":"anna read=* for=1h","client":"c","gen":1,"subs":[{"s":"chat-1"}]}`
	cases := map[string]struct {
		story []string
		then  func(*stage)
		want  ending.End
		class ending.Class
	}{
		"it says goodbye":    {[]string{hello, `anna > {"t":"bye"}`}, nil, ending.End{By: ending.ByClient, Code: holdfast.CloseNormal}, ending.Normal},
		"its page sleeps":    {[]string{hello, `anna > {"t":"bye","park":true}`}, nil, ending.End{By: ending.ByClient, Code: holdfast.CloseNormal}, ending.Normal},
		"its page is closed": {[]string{hello}, func(st *stage) { st.peers["anna"].Close(1001, "") }, ending.End{By: ending.ByClient, Code: 1001}, ending.GoingAway},
		"the line breaks":    {[]string{hello, "anna vanishes"}, nil, ending.End{By: ending.ByNetwork, Code: 1006}, ending.Network},
		"it falls silent":    {[]string{hello, "wait 26s"}, nil, ending.End{By: ending.ByServer, Code: holdfast.CloseTimeout}, ending.Timeout},
		"no hello comes":     {[]string{"wait 12s"}, nil, ending.End{By: ending.ByServer, Code: holdfast.CloseTimeout}, ending.Timeout},
		"its token is forged": {[]string{`anna > {"t":"hello","v":1,"token":"forged","client":"c","gen":1}`}, nil,
			ending.End{By: ending.ByServer, Code: holdfast.CloseUnauthorized}, ending.Auth},
		"it breaks the protocol": {[]string{hello, `anna > {"t":"take"}`}, nil,
			ending.End{By: ending.ByServer, Code: holdfast.CloseProtocol}, ending.ProtocolError},
		"a later one of its kind comes": {[]string{hello, "late dials",
			`late > {"t":"hello","v":1,"token":"anna read=*","client":"c","gen":2}`}, nil,
			ending.End{By: ending.ByServer, Code: holdfast.CloseSuperseded}, ending.Superseded},
		"it is sent away": {[]string{hello}, func(st *stage) { st.cfg.Hub.Connections("anna")[0].End(holdfast.CloseKicked, "") },
			ending.End{By: ending.ByServer, Code: holdfast.CloseKicked}, ending.Policy},
		"the server stops": {[]string{hello}, func(st *stage) { st.cfg.Lanes[0].Leave(0) },
			ending.End{By: ending.ByServer, Code: holdfast.CloseRestart}, ending.GoingAway},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				var got []*ending.Record
				st.cfg.Ends = ending.NewBook(slog.New(slog.DiscardHandler), time.Now, func(r *ending.Record) { got = append(got, r) }, nil)
				st.do("anna dials")
				for _, line := range c.story {
					st.do(line)
					synctest.Wait()
				}
				if c.then != nil {
					c.then(st)
				}
				// The peer answers no goodbye by itself; the server gives it up.
				st.do("wait 6s")
				synctest.Wait()
				if len(got) != 1 {
					t.Fatalf("%d records, want 1", len(got))
				}
				if diff := cmp.Diff(c.want, got[0].End); diff != "" || got[0].Class() != c.class {
					t.Errorf("class %s, want %s %s", got[0].Class(), c.class, diff)
				}
			})
		})
	}
}

// A record says what the connection was and how far it had come.
func TestRecordSaysHowFarItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		var got []*ending.Record
		var back []*ending.Return
		st.cfg.Ends = ending.NewBook(slog.New(slog.DiscardHandler), time.Now, func(r *ending.Record) { got = append(got, r) },
			func(r *ending.Return) { back = append(back, r) })
		tc, _ := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		st.dial("anna", transport.Info{Trace: tc})
		hello := `{"t":"hello","v":1,"token":"anna read=*","client":"c","gen":1,"agent":"x","subs":[{"s":"chat-1"}]}`
		for _, line := range []string{
			"backend message chat-1 1", "anna > " + hello, "backend message chat-1 2", "wait 3s", "anna vanishes", "wait 2s",
			"late dials", `late > {"t":"hello","v":1,"token":"anna read=*","client":"c","gen":2}`,
		} {
			st.do(line)
			synctest.Wait()
		}
		if len(got) != 1 || len(back) != 1 {
			t.Fatalf("%d records and %d returns, want one each", len(got), len(back))
		}
		r := got[0]
		if len(r.Positions) != 1 || r.Positions[0] != (ending.Position{Session: "chat-1", Offset: 2}) {
			t.Errorf("it had come to %v, want chat-1 at 2", r.Positions)
		}
		if r.Age != 3*time.Second || r.In != int64(len(hello)) || r.Out < 100 || r.User != "anna" || r.Client != "c" || r.Generation != 1 ||
			r.Agent != "x" || !r.Attached || r.Trace != tc {
			t.Errorf("the record is %+v", r)
		}
		if b := back[0]; b.Away != 2*time.Second || b.Before != r.Conn || b.Class != ending.Network {
			t.Errorf("the return is %+v", b)
		}
	})
}
