package conn

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/internal/revocation"
	"github.com/holdfast/holdfast/store/memory"
)

// A reading that is denied holds nothing: no seat, no place among the members, nothing of what its user may have. All of that is given
// up once, whatever its client does later.
func TestADeniedReadingHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		st.rule("max=1 on=reject in=session")
		st.cfg.Gate = limits.New(limits.Limits{User: limits.Bounds{Sessions: 3}}, time.Now)
		book := revocation.New(memory.New(memory.Options{}), time.Now)
		st.cfg.Revoke = book.Apply
		do := func(who, line, want string) {
			t.Helper()
			st.do(who + " " + line)
			synctest.Wait()
			if frames, err := st.drain(who); !strings.Contains(strings.Join(frames, ""), want) {
				t.Errorf("%s is told %s (%v), want %s", who, frames, err, want)
			}
		}
		hello := func(who, user, subs, want string) {
			t.Helper()
			st.do(who + " dials")
			do(who, `> {"t":"hello","v":1,"token":"`+user+` read=*","client":"`+who+`","gen":1,"subs":[`+subs+`]}`, want)
		}
		hello("ben", "ben", `{"s":"chat-42","watch":true}`, `"t":"live"`)
		hello("phone", "anna", `{"s":"chat-42"},{"s":"chat-1"},{"s":"chat-2"}`, `"t":"live"`)
		hello("laptop", "anna", `{"s":"chat-42"}`, `"code":"conflict"`)
		do("ben", `> {"t":"ping","n":1}`, `"c":"phone"`)
		if _, err := book.Add(t.Context(), revocation.Rule{User: "anna", Client: "phone", Session: "chat-42"}); err != nil {
			t.Fatal(err)
		}
		for _, c := range st.cfg.Hub.Connections("anna") {
			c.(*Conn).Recheck()
		}
		do("phone", `> {"t":"ping","n":1}`, `"outcome":"denied","code":"forbidden"`)
		st.do("wait 4s") // until others are told that somebody left
		do("ben", `> {"t":"ping","n":2}`, `"left":[{"u":"anna","c":"phone"}]`)
		if members := st.cfg.Rooms.Members("chat-42"); len(members) != 1 {
			t.Errorf("the members are %+v", members)
		}
		for _, c := range st.cfg.Hub.Connections("anna") {
			if d := c.Describe(); d.Client == "phone" && len(d.Sessions) != 2 {
				t.Errorf("it reads %v", d.Sessions)
			}
		}
		do("laptop", `> {"t":"sub","s":"chat-42"}`, `"outcome":"snapshot"`)
		// The seat is the laptop's now, and the phone's to give up no more.
		do("phone", `> {"t":"unsub","s":"chat-42"}`, "")
		do("phone", `> {"t":"sub","s":"chat-42"}`, `"code":"forbidden"`)
		hello("tablet", "anna", `{"s":"chat-42"}`, `"code":"conflict"`)
		hello("tv", "anna", `{"s":"chat-3"}`, `"code":"too_large"`)
		st.close()
		if conns, users, _ := st.cfg.Gate.Counts(); conns != 0 || users != 0 {
			t.Errorf("%d connections and %d users are still counted", conns, users)
		}
	})
}

// What was denied leaves room for other sessions.
func TestADeniedReadingLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		book := revocation.New(memory.New(memory.Options{}), time.Now)
		st.cfg.Revoke = book.Apply
		st.do("anna dials")
		st.do(`anna > {"t":"hello","v":1,"token":"anna read=*","client":"c","gen":1,"subs":[{"s":"chat-1"},{"s":"chat-2"},{"s":"chat-3"}]}`)
		synctest.Wait()
		if _, err := book.Add(t.Context(), revocation.Rule{User: "anna", Session: "chat-1", Actions: []holdfast.Action{holdfast.ActionRead}}); err != nil {
			t.Fatal(err)
		}
		st.cfg.Hub.Connections("anna")[0].(*Conn).Recheck()
		st.do(`anna > {"t":"sub","s":"chat-4"}`)
		st.do(`anna > {"t":"sub","s":"chat-5"}`)
		synctest.Wait()
		frames, err := st.drain("anna")
		if got := strings.Join(frames, ""); !strings.Contains(got, `"s":"chat-4","outcome":"snapshot"`) || !strings.Contains(got, `"s":"chat-5","outcome":"denied","code":"too_large"`) {
			t.Errorf("got %s, %v", got, err)
		}
	})
}
