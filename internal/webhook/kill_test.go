package webhook

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
)

// TestKilledAtAnyWrite stops the dispatcher in the middle of its writes, again and again, while the receiver does what it
// likes. Every event must arrive or be a dead letter, under one id, and in the order of its session.
func TestKilledAtAnyWrite(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { killed(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func killed(t *testing.T, chance *rand.Rand) {
	b := newBench(t, func(o *Options) {
		o.Retries = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}
		o.Concurrency, o.MaxBehind, o.Timeout = 4, 12, time.Second
	})
	luck := rand.New(rand.NewPCG(chance.Uint64(), 8)) // the receiver's own: it is asked on other goroutines
	moods := []int{200, 200, 200, 500, 429, 400, hang, refuse}
	b.rec.answer = func(p *post) (int, map[string]string) {
		if p.entry == "poison" {
			return 500, nil
		}
		return moods[luck.IntN(len(moods))], nil
	}
	said := map[holdfast.SessionID][]string{}
	n := 0
	say := func() {
		n++
		s := holdfast.SessionID(fmt.Sprint("s", chance.IntN(15)))
		id := fmt.Sprint(n)
		if chance.IntN(20) == 0 {
			id = "poison"
			if slices.Contains(said[s], id) {
				return
			}
		}
		b.say(fmt.Sprintf("%s/%s", s, id))
		said[s] = append(said[s], id)
	}
	b.start()
	for range 12 {
		b.log.killAfter(1 + chance.IntN(40))
		for range 20 {
			say()
			b.pass(time.Duration(chance.IntN(300)) * time.Millisecond)
		}
		b.log.killAfter(0)
		b.stop()
		b.log.killAfter(-1)
		b.start()
	}
	// What is refused at random may become a dead letter too; from here on only poison is.
	b.rec.change(func() {
		b.rec.answer = func(p *post) (int, map[string]string) {
			if p.entry == "poison" {
				return 500, nil
			}
			return 200, nil
		}
	})
	b.pass(10 * time.Minute)
	b.stop()
	b.check(said)
}

// check compares what was said with what was taken and given up.
func (b *bench) check(said map[holdfast.SessionID][]string) {
	b.Helper()
	dead := map[holdfast.SessionID][]string{}
	for _, l := range b.letters() {
		dead[l.Session] = append(dead[l.Session], l.ID)
	}
	ids := map[string]string{}
	for _, p := range b.rec.posts {
		name := fmt.Sprint(p.session, "/", p.entry)
		if old, ok := ids[name]; ok && old != p.id {
			b.Errorf("%s was sent as %s and %s", name, old, p.id)
		}
		ids[name] = p.id
	}
	for s, want := range said {
		took := b.rec.took(s)
		want = slices.DeleteFunc(slices.Clone(want), func(id string) bool {
			return slices.Contains(dead[s], ids[fmt.Sprint(s, "/", id)]) && !slices.Contains(took, id)
		})
		if !slices.Equal(took, want) {
			b.Errorf("%s: said %v, taken %v, dead letters %v", s, said[s], took, dead[s])
		}
	}
	if st := b.status(); st.Behind != 0 {
		b.Errorf("%+v", st)
	}
}
