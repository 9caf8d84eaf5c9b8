package conn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/quota"
	"github.com/holdfast/holdfast/wire"
)

// cursorOver names as many runs of a session as there are messages in it; none of them is one.
func cursorOver(epoch holdfast.Epoch, runs int) *holdfast.Cursor {
	c := holdfast.Cursor{Position: holdfast.Position{Epoch: epoch, Offset: holdfast.Offset(runs)}}
	for i := range runs {
		c = c.With(holdfast.RunCursor{Run: holdfast.Offset(i + 1)})
	}
	return &c
}

// However many runs a hello names, no more than a bounded number of them is looked at; every session is answered.
func TestHelloNamesManyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.cfg.MaxSubs = 100
		hello := &wire.Hello{Version: 1, Token: "anna read=*", Client: "c", Gen: 1}
		for i := range 100 {
			hello.Subs = append(hello.Subs, wire.Sub{Session: holdfast.SessionID(fmt.Sprint("chat-", i)), Cursor: cursorOver("other", 256)})
		}
		st.do("anna dials")
		if err := st.peers["anna"].Send(wire.AppendClient(nil, hello)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		frames, err := st.drain("anna")
		if err != nil {
			t.Fatal(err)
		}
		lost, snapshots := 0, 0
		for _, f := range frames {
			if strings.Contains(f, `"outcome":"lost"`) {
				lost++
			}
			if strings.Contains(f, `"outcome":"snapshot"`) {
				snapshots++
			}
		}
		if lost != maxRuns/256 || snapshots != 100-maxRuns/256 {
			t.Errorf("%d cursors were looked at and %d not, want %d and %d", lost, snapshots, maxRuns/256, 100-maxRuns/256)
		}
	})
}

// A subscription that names many runs counts for many frames, though never for more than may come at once.
func TestSubscriptionsCostByTheirRuns(t *testing.T) {
	for _, tc := range []struct{ runs, want int }{{0, 1}, {15, 1}, {16, 2}, {256, 17}} {
		if got := cost(&wire.Sub{Cursor: cursorOver("e", tc.runs)}); got != tc.want {
			t.Errorf("%d runs cost %d, want %d", tc.runs, got, tc.want)
		}
	}
	if got := cost(&wire.Sub{}) + cost(&wire.Send{}); got != 2 {
		t.Errorf("a sub without a cursor and a send cost %d", got)
	}
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.cfg.Rate, st.cfg.Burst = 1, 10
		st.cfg.Asides = quota.New(1, 10, time.Now)
		st.do("anna dials")
		st.do(greeting)
		sub := wire.AppendClient(nil, &wire.Sub{Session: "chat-1", Cursor: cursorOver("e", 256)})
		for range 2 {
			if err := st.peers["anna"].Send(sub); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		frames, err := st.drain("anna")
		if text := strings.Join(frames, "\n"); err != nil || strings.Count(text, `"outcome"`) != 1 || strings.Count(text, string(holdfast.CodeRateLimited)) != 1 {
			t.Errorf("%v: %s", err, text)
		}
		if c := st.cfg.Hub.Connections("anna")[0].(*Conn); c.limit.Limit() != rate.Limit(1) {
			t.Errorf("the limit is %v", c.limit.Limit())
		}
	})
}
