package conn

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/wire"
)

// The table of which frames may come when, once more and by hand.
func TestAdmitted(t *testing.T) {
	table := []struct {
		frame wire.ClientFrame
		at    []standing
	}{
		{&wire.Hello{}, []standing{stranger}},
		{&wire.Take{}, []standing{standby}},
		{&wire.TokenRefresh{}, []standing{standby, attached, aside}},
		{&wire.Bye{}, []standing{standby, attached, aside}},
		{&wire.Unknown{}, []standing{standby, attached, aside}},
		{&wire.Ping{}, []standing{standby, attached}},
		{&wire.Pong{}, []standing{standby, attached}},
		{&wire.PageRequest{}, []standing{attached, aside}},
		{&wire.Send{}, []standing{attached, aside}},
		{&wire.Stop{}, []standing{attached, aside}},
		{&wire.Answer{}, []standing{attached, aside}},
		{&wire.Queue{}, []standing{attached, aside}},
		{&wire.Signal{}, []standing{attached, aside}},
		{&wire.Sub{}, []standing{attached}},
		{&wire.Unsub{}, []standing{attached}},
		{&wire.View{}, []standing{attached}},
	}
	for _, row := range table {
		var got []standing
		for s := stranger; s <= aside; s++ {
			if admitted(row.frame).has(s) {
				got = append(got, s)
			} else if outOfPlace(row.frame, s) == "" {
				t.Errorf("%T at %d is refused without a word", row.frame, s)
			}
		}
		if diff := cmp.Diff(row.at, got); diff != "" {
			t.Errorf("%T: %s", row.frame, diff)
		}
	}
}

// otherCarriage frames each message in its own way, which is still JSON.
type otherCarriage struct{ transport.Conn }

func (c otherCarriage) AppendMessage(dst, msg []byte) []byte {
	return c.Conn.AppendMessage(dst, append([]byte("  "), msg...))
}

func (c otherCarriage) Info() transport.Info { return transport.Info{Transport: "other"} }

// Connections of different carriages stand at the same place in one session and on one lane: what was framed for one is not
// given to another.
func TestCarriagesAreNotMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		names := []string{"a", "b", "c", "d", "e", "f"}
		for i, who := range names {
			st.do(who + " dials")
			if i%2 == 1 {
				c, peer := pipe.New(pipe.Options{})
				st.peers[who].Abort()
				st.peers[who] = peer
				st.done.Go(func() { Serve(st.ctx, otherCarriage{c}, st.cfg) })
			}
			st.do(who + ` > {"t":"hello","v":1,"token":"` + who + ` read=*","client":"c","gen":1,"subs":[{"s":"chat-1"}]}`)
			synctest.Wait()
			if _, err := st.drain(who); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			st.do("backend message chat-1 1")
			synctest.Wait()
			for i, who := range names {
				frames, err := st.drain(who)
				if err != nil || len(frames) != 1 {
					t.Fatalf("%s got %q, %v", who, frames, err)
				}
				if other := frames[0][0] == ' '; other != (i%2 == 1) {
					t.Errorf("%s got %q, framed for another carriage", who, frames[0])
				}
			}
		}
	})
}
