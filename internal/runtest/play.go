package runtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast/holdfast"
)

// Play lets three producers, up to two people who press Stop and a reader do what they like with one run, for some twenty
// units of time; the lease should be ten, the grace of a stop five. They crash, are stopped in their tracks and go on later,
// take over, and end what they write, all at random. It returns when all have left, and what was asked and told.
func Play(ctx context.Context, seed uint64, unit time.Duration, api *API) *History {
	h := &History{}
	var all sync.WaitGroup
	play := func(who int, part func(*player)) {
		p := &player{ctx: ctx, api: api, h: h, who: who, unit: unit, rand: rand.New(rand.NewPCG(seed, uint64(who)))}
		all.Go(func() { part(p) })
	}
	for who := range 3 {
		play(who, (*player).produce)
	}
	for who := range int(seed % 3) {
		play(10+who, (*player).press)
	}
	play(20, (*player).read)
	all.Wait()
	return h
}

// player is one of those who meet at the run.
type player struct {
	ctx  context.Context
	api  *API
	h    *History
	who  int
	unit time.Duration
	rand *rand.Rand
}

// pause waits for up to so many units of time.
func (p *player) pause(units int) {
	select {
	case <-time.After(time.Duration(p.rand.Int64N(int64(p.unit)*int64(units) + 1))):
	case <-p.ctx.Done():
	}
}

// ask asks until there is an answer, a few times.
func (p *player) ask(a Ask) Told {
	for tries := 0; ; tries++ {
		told := p.h.call(p.who, a, func() Told { return p.api.do(p.ctx, p.who, a) })
		if !told.Lost || tries == 4 || p.ctx.Err() != nil {
			return told
		}
		p.pause(1)
	}
}

// produce writes to the run, as its first producer or a later one, until it is done, has enough or is told to leave.
func (p *player) produce() {
	p.pause(8)
	at := p.ask(Ask{Kind: Open, TakeOver: p.rand.IntN(2) == 0})
	if at.Lost {
		return
	}
	n := at.Fragments
	for range 2 + p.rand.IntN(5) {
		p.pause(2)
		if p.rand.IntN(6) == 0 {
			p.pause(24) // stopped in its tracks, perhaps for longer than the lease
		}
		count := p.rand.IntN(4)
		told := p.ask(Ask{Kind: Append, Fence: at.Fence, After: n, Count: count})
		switch {
		case told.Lost:
			return
		case told.Code == "":
			n = max(n, told.Fragments)
		case told.Code == holdfast.CodeStopped && p.rand.IntN(3) > 0:
			p.ask(Ask{Kind: End, Fence: at.Fence, Status: holdfast.RunStopped})
			return
		case p.rand.IntN(2) == 0: // or it goes on in vain, as a zombie does
			return
		}
	}
	ends := []holdfast.RunStatus{holdfast.RunComplete, holdfast.RunFailed, holdfast.RunStopped, ""}
	if status := ends[p.rand.IntN(len(ends))]; status != "" { // or it crashes
		p.ask(Ask{Kind: End, Fence: at.Fence, Status: status})
	}
}

// press asks for a stop of the answer, and perhaps again.
func (p *player) press() {
	p.pause(16)
	for range 1 + p.rand.IntN(2) {
		p.ask(Ask{Kind: Stop})
		p.pause(8)
	}
}

// read looks at the run now and then.
func (p *player) read() {
	for range 6 {
		p.pause(5)
		if p.api.Run() != 0 {
			p.ask(Ask{Kind: Read})
		}
	}
}
