package conn

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/policy"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/wire"
)

// long reports whether the tests are to take the time that the figures in the documents were measured with.
func long() bool { return os.Getenv("HOLDFAST_TEST_LONG") != "" }

func (st *stage) rule(text string) {
	rule, err := holdfast.ParseConnectionRule(text)
	st.must(err)
	st.cfg.SetRules(append(st.cfg.Rules(), rule))
}

// login dials, says hello and answers pings, until its connection ends; it returns what the server said.
func (st *stage) login(client string, gen int, act holdfast.Act, welcomed func()) holdfast.CloseCode {
	serve := func(ctx context.Context, c transport.Conn) { Serve(ctx, c, st.cfg) }
	p := pipe.Start(st.ctx, serve, pipe.Options{})
	defer p.Abort()
	hello := wire.Hello{Version: 1, Token: "anna read=*", Client: holdfast.ClientID(client), Gen: holdfast.Generation(gen), Act: act}
	if p.Send(wire.AppendClient(nil, &hello)) != nil {
		return 0
	}
	var code holdfast.CloseCode
	for {
		msg, err := p.Next(st.ctx)
		if err != nil {
			return code
		}
		f, err := wire.DecodeServer(msg)
		st.must(err)
		switch f := f.(type) {
		case *wire.Welcome:
			welcomed()
		case *wire.Ping:
			_ = p.Send(wire.AppendClient(nil, &wire.Pong{N: f.N})) // fails when the connection has ended, which Next then tells
		case *wire.Bye:
			code = f.Code
		}
	}
}

// TestFiftyLoginsAtOnce: however many come at once, as many live as the rule says, at every moment.
func TestFiftyLoginsAtOnce(t *testing.T) {
	for _, on := range []string{"reject", "evict_oldest", "evict_idle", "take_over"} {
		t.Run(on, func(t *testing.T) {
			t.Parallel() // most of it is waiting: refusing so many is slowed down
			rounds := 1
			if long() {
				rounds = 20
			}
			for range rounds {
				fiftyLogins(t, on)
			}
		})
	}
}

func fiftyLogins(t *testing.T, on string) {
	st := newStage(t)
	st.rule("max=3 on=" + on)
	var clients, watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		full := false
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			n := st.cfg.Hub.Count()
			full = full || n == 3
			if n > 3 || full && n < 3 {
				t.Errorf("%d connections live", n)
				return
			}
			select {
			case <-over:
				return
			case <-tick.C:
			}
		}
	})
	var welcomes, refusals atomic.Int32
	settled := make(chan struct{}, 50)
	for i := range 50 {
		clients.Go(func() {
			switch st.login(fmt.Sprint("c", i), 1, holdfast.ActOpen, func() { welcomes.Add(1); settled <- struct{}{} }) {
			case holdfast.CloseElsewhere, holdfast.CloseTooMany:
				refusals.Add(1)
			}
			settled <- struct{}{}
		})
	}
	// Each is welcomed or turned away, and all but three of the welcomed had to go.
	for ends := 0; refusals.Load() < 47; ends++ {
		<-settled
	}
	close(over)
	watch.Wait()
	if n := st.cfg.Hub.Count(); n != 3 {
		t.Errorf("at the end %d connections live", n)
	}
	st.cancel()
	clients.Wait()
	st.done.Wait()
	if on == "reject" && welcomes.Load() != 3 {
		t.Errorf("%d were let in", welcomes.Load())
	}
}

// TestNoPingPong: clients that come back at once on every close, for ten minutes. Those that come back by themselves take
// nobody's place; of those that say each time that it was their user's act, the server lets through fewer and fewer.
func TestNoPingPong(t *testing.T) {
	for _, c := range []struct {
		name  string
		act   holdfast.Act
		first holdfast.Act
		most  uint64
	}{
		{"polite", holdfast.ActNone, holdfast.ActOpen, 5},
		{"rude", holdfast.ActClaim, holdfast.ActOpen, 20},
		{"as if opened anew", holdfast.ActOpen, holdfast.ActOpen, 20},
		{"from before there were acts", holdfast.ActNone, holdfast.ActNone, 0},
	} {
		for _, on := range []string{"evict_oldest", "take_over", "reject", "ask"} {
			t.Run(c.name+" "+on, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { pingPong(t, on, c.first, c.act, c.most) })
			})
		}
	}
}

func pingPong(t *testing.T, on string, first, act holdfast.Act, most uint64) {
	st := newStage(t)
	st.rule("max=1 on=" + on)
	var clients sync.WaitGroup
	var dials atomic.Uint64
	for i := range 6 {
		clients.Go(func() {
			for gen, a := 1, first; st.ctx.Err() == nil; gen, a = gen+1, act {
				dials.Add(1)
				st.login(fmt.Sprint("c", i), gen, a, func() {})
			}
		})
	}
	<-time.After(5 * time.Minute)
	half := st.cfg.Hub.Conflicts()
	<-time.After(5 * time.Minute)
	all := st.cfg.Hub.Conflicts()
	if all.Evicted > most {
		t.Errorf("%d lost their place, want at most %d", all.Evicted, most)
	}
	if late := all.Evicted - half.Evicted; late > 1 {
		t.Errorf("%d lost their place in the second five minutes", late)
	}
	if n := st.cfg.Hub.Count(); n != 1 {
		t.Errorf("%d connections live", n)
	}
	// Refused, and not as fast as they can dial.
	if n := dials.Load(); n > 6*10*60/4 {
		t.Errorf("%d dials in ten minutes", n)
	}
	st.cancel()
	clients.Wait()
	st.done.Wait()
}

// TestAGhostLocksNobodyOut: three windows whose machine went down without a word, and a user who comes with another browser.
func TestAGhostLocksNobodyOut(t *testing.T) {
	for _, on := range []string{"reject", "ask", "read_only", "evict_oldest"} {
		t.Run(on, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				st.rule("max=3 on=" + on)
				for i := range 3 {
					st.do(fmt.Sprint("ghost", i, " dials"))
					st.do(fmt.Sprintf(`ghost%d > {"t":"hello","v":1,"token":"anna read=*","client":"g%d","gen":1,"act":"open","subs":[]}`, i, i))
				}
				// Heard of lately, as far as the server knows.
				<-time.After(1100 * time.Millisecond)
				var clients sync.WaitGroup
				came := time.Now()
				welcome := make(chan time.Duration, 1)
				clients.Go(func() { st.login("new", 1, holdfast.ActOpen, func() { welcome <- time.Since(came) }) })
				if took := <-welcome; took > 2*time.Second {
					t.Errorf("let in after %v", took)
				}
				if c := st.cfg.Hub.Conflicts(); c.Dropped != 3 || c.Evicted+c.Refused+c.Demoted+c.Asked != 0 {
					t.Errorf("got %+v", c)
				}
				for _, p := range st.peers {
					p.Abort()
				}
				st.cancel()
				clients.Wait()
				st.done.Wait()
			})
		})
	}
}

// opening is the hello of a window that its user has just opened, with n sessions.
func opening(client string, gen, n int) string {
	var subs []string
	for i := range n {
		subs = append(subs, fmt.Sprintf(`{"s":"chat-%d","act":"open"}`, i))
	}
	return fmt.Sprintf(`%s > {"t":"hello","v":1,"token":"anna read=*","client":"%[1]s","gen":%d,"act":"open","subs":[%s]}`, client, gen, strings.Join(subs, ","))
}

// hear counts the frames that a client got with the text in them.
func (st *stage) hear(who, text string) (n int) {
	frames, _ := st.drain(who) // what came before an end counts
	for _, f := range frames {
		if strings.Contains(f, text) {
			n++
		}
	}
	return n
}

// TestAPageWithManySessionsIsNoFight: a user who opens a page takes all of its sessions, or is refused them, by one act. So does one
// who then opens more of them, frame by frame.
func TestAPageWithManySessionsIsNoFight(t *testing.T) {
	const n = 100
	for on, code := range map[string]string{"evict_oldest": "", "take_over": "", "reject": "conflict", "ask": "conflict"} {
		t.Run(on, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				defer st.close()
				st.cfg.MaxSubs, st.cfg.Burst = n, n
				st.rule("max=1 on=" + on + " in=session")
				for _, who := range []string{"one", "two"} {
					st.do(who + " dials")
					st.do(opening(who, 1, n/2))
					for i := n / 2; i < n; i++ {
						st.do(fmt.Sprintf(`%s > {"t":"sub","s":"chat-%d","act":"open"}`, who, i))
					}
					synctest.Wait()
				}
				want := `"outcome":"snapshot"`
				if code != "" {
					want = `"outcome":"denied","code":"` + code + `"`
				}
				// At once: no time has passed.
				if got := st.hear("two", want); got != n {
					t.Errorf("%d times %s, want %d", got, want, n)
				}
				if c := st.cfg.Hub.Conflicts(); c.Flapping != 0 || code == "" && c.Evicted != n {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// TestAFightOverOneSessionIsNoticed: windows that take one session from each other are stopped there, and there alone.
func TestAFightOverOneSessionIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.rule("max=1 on=evict_oldest in=session")
		for _, who := range []string{"one", "two"} {
			st.do(who + " dials")
			st.do(opening(who, 1, 0))
		}
		claim := func(i int, s string) {
			st.do(fmt.Sprintf(`%s > {"t":"sub","s":"%s","act":"claim"}`, []string{"one", "two"}[i%2], s))
			synctest.Wait()
		}
		for i := range policy.Switches + 3 { // the first takes it from nobody
			claim(i, "chat-1")
		}
		if c := st.cfg.Hub.Conflicts(); c.Evicted != policy.Switches || c.Flapping != 1 || c.Refused != 1 {
			t.Errorf("%+v", c)
		}
		claim(0, "chat-2")
		claim(1, "chat-2")
		if c := st.cfg.Hub.Conflicts(); c.Evicted != policy.Switches+1 || c.Flapping != 1 {
			t.Errorf("in another session: %+v", c)
		}
	})
}

// answerPings shows that a client lives, until the stage ends.
func answerPings(ctx context.Context, p *pipe.Peer) {
	for {
		msg, err := p.Next(ctx)
		if err != nil {
			return
		}
		if f, err := wire.DecodeServer(msg); err == nil {
			if ping, ok := f.(*wire.Ping); ok {
				_ = p.Send(wire.AppendClient(nil, &wire.Pong{N: ping.N})) // fails when the connection has ended, which Next then tells
			}
		}
	}
}

// TestRefusingAFrameTakesNoLongerThanRefusing: windows that come back together, again and again, are slowed down, and heard again in 5 s
// with whatever number of sessions.
func TestRefusingAFrameTakesNoLongerThanRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t)
		defer st.close()
		st.cfg.MaxSubs = 100
		st.rule("max=1 on=reject in=session")
		st.do("one dials")
		st.do(opening("one", 1, 100))
		synctest.Wait()
		one := st.peers["one"]
		st.done.Go(func() { answerPings(st.ctx, one) })
		windows := []string{"a", "b", "c", "d", "e"}
		for gen := 1; gen <= policy.Refusals/len(windows)+3; gen++ {
			began := time.Now()
			for _, who := range windows {
				st.do(who + " dials")
				st.do(opening(who, gen, 100))
				st.do(who + ` > {"t":"ping","n":7}`)
			}
			for _, who := range windows {
				for st.hear(who, `"t":"pong"`) == 0 && time.Since(began) < time.Minute {
					<-time.After(10 * time.Millisecond)
				}
			}
			slow := gen > policy.Refusals/len(windows)
			if took := time.Since(began); took > policy.LongestWait+100*time.Millisecond || slow && took < time.Second {
				t.Errorf("time %d: heard again after %v", gen, took)
			}
		}
	})
}

// hanging is a store in which a message takes for ever.
type hanging struct{ Log }

func (hanging) Apply(ctx context.Context, _ holdfast.SessionID, _ driver.Op) (driver.Result, error) {
	<-ctx.Done()
	return driver.Result{}, ctx.Err()
}

// TestAGhostIsNoneWhileItsMessageIsHandled: for 2.5 beats, which no message takes where all is well. Then it locks nobody out.
func TestAGhostIsNoneWhileItsMessageIsHandled(t *testing.T) {
	for after, want := range map[time.Duration]string{20 * time.Second: `"code":4507`, 26 * time.Second: `"t":"welcome"`} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStage(t)
				st.cfg.Log = hanging{st.log}
				st.rule("max=1 on=reject")
				st.do("ghost dials")
				st.do(`ghost > {"t":"hello","v":1,"token":"anna read=* send=*","client":"g","gen":1}`)
				st.do(`ghost > {"t":"send","s":"chat-1","id":"m","data":1}`)
				<-time.After(after)
				st.do("anna dials")
				st.do(opening("anna", 1, 0))
				<-time.After(verdict + look)
				synctest.Wait()
				if got := st.hear("anna", want); got != 1 {
					t.Errorf("%d times %s", got, want)
				}
				st.cancel()
				st.close()
			})
		})
	}
}
