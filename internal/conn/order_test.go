package conn

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/internal/limits"
	"github.com/holdfast/holdfast/store/memory"
)

const (
	writer    = `anna > {"t":"hello","v":1,"token":"anna send=chat-*","client":"c1","gen":1,"subs":[]}`
	acked     = `"t":"ack"`
	tooMany   = `"msg":"too many frames`
	outOfTurn = `"msg":"a message before it was refused`
)

// A limit that lets one message in and refuses the one before it would change their order.
func TestMessagesKeepTheirOrderUnderALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.cfg.Gate = limits.New(limits.Limits{User: limits.Bounds{Frames: 0.25}}, time.Now) // one at once, then one in 4 s
		expect := func(s, id, want string) {
			t.Helper()
			st.do(fmt.Sprintf(`anna > {"t":"send","s":%q,"id":%q,"data":1}`, s, id))
			synctest.Wait()
			frames, err := st.drain("anna")
			if got := strings.Join(frames, " "); err != nil || !strings.Contains(got, want) || !strings.Contains(got, fmt.Sprintf(`"id":%q`, id)) {
				t.Errorf("%s in %s: got %s (%v), want %s", id, s, got, err, want)
			}
		}
		st.do("anna dials")
		st.do(writer)
		synctest.Wait()
		_, _ = st.drain("anna")
		expect("chat-1", "m1", acked)
		expect("chat-1", "m2", tooMany)
		<-time.After(4 * time.Second)
		expect("chat-1", "m3", outOfTurn) // there is room for it, but it is not its turn
		expect("chat-1", "m2", acked)
		expect("chat-1", "m3", tooMany)
		<-time.After(4 * time.Second)
		expect("chat-1", "m4", outOfTurn)
		expect("chat-2", "n1", acked) // another session has another order
		expect("chat-1", "m4", outOfTurn)
		<-time.After(holdTime) // m3 was discarded
		expect("chat-1", "m4", acked)
		expect("chat-1", "m5", tooMany)
		<-time.After(4 * time.Second)
		expect("chat-1", "m6", outOfTurn)
		// Its client says that nothing before it waits any more.
		st.do(`anna > {"t":"send","s":"chat-1","id":"m7","first":true,"data":1}`)
		synctest.Wait()
		if frames, err := st.drain("anna"); err != nil || !strings.Contains(strings.Join(frames, " "), acked) {
			t.Errorf("the first of what is left: got %s (%v)", frames, err)
		}
	})
}

// What is out of turn is refused without end by no server.
func TestMessagesOutOfTurnAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.cfg.Gate = limits.New(limits.Limits{User: limits.Bounds{Frames: 0.25}}, time.Now)
		st.do("anna dials")
		st.do(writer)
		for i := range 10*st.cfg.Burst + 20 {
			st.do(fmt.Sprintf(`anna > {"t":"send","s":"chat-1","id":"m%d","data":1}`, i))
		}
		synctest.Wait()
		frames, _ := st.drain("anna")
		if last := frames[len(frames)-1]; !strings.Contains(last, `"t":"bye"`) {
			t.Errorf("the last frame is %s", last)
		}
	})
}

// Who waits as told, and then comes again with what was refused and all behind it, may do that for as long as it takes.
func TestComingAgainAsToldIsNotTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		closed := memory.New(memory.Options{})
		st.must(closed.Close())
		st.cfg.Log = closed
		st.do("anna dials")
		st.do(writer)
		const behind = 10
		for round := range 11 * st.cfg.Burst / behind {
			for i := range 1 + behind {
				st.do(fmt.Sprintf(`anna > {"t":"send","s":"chat-1","id":"m%d","data":1}`, i))
			}
			synctest.Wait()
			st.do("wait 1s")
			if frames, _ := st.drain("anna"); strings.Contains(frames[len(frames)-1], `"t":"bye"`) {
				t.Fatalf("round %d: %s", round, frames[len(frames)-1])
			}
		}
	})
}
