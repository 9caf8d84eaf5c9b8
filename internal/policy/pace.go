package policy

import "time"

// The figures of [Pace].
const (
	// Switches is how many times in a row the windows of one user may take a place from each other, and SwitchEvery how long
	// it takes until one more may. People do not click as fast.
	Switches    = 8
	SwitchEvery = 5 * time.Second
	// FirstPause and LongestPause are how long nobody is turned out for a user whose windows flap; each time twice as long as
	// the time before. It is forgotten after Forgive without another.
	FirstPause, LongestPause = 10 * time.Second, 5 * time.Minute
	Forgive                  = 10 * time.Minute
	// Refusals is how many connections of one user may be refused in a row before refusing slows down to one each
	// RefuseEvery. Nobody is kept waiting for longer than LongestWait.
	Refusals    = 20
	RefuseEvery = 3 * time.Second
	LongestWait = 5 * time.Second
)

// Pace is how often the connections of one user have turned each other out of one place, or been refused it. The zero value is that of
// a place of which nothing is known.
type Pace struct {
	switches, refusals bucket
	// flapping is until when nobody is turned out, and pause how long that was. denied is when somebody last was not.
	flapping time.Time
	pause    time.Duration
	denied   time.Time
}

// Switch says whether an act of the user may turn somebody out now. flaps is true the first time that it may not: something is
// wrong with the user's clients.
func (p *Pace) Switch(now time.Time) (ok, flaps bool) {
	if now.Sub(p.denied) > Forgive {
		p.pause = 0
	}
	if now.Before(p.flapping) {
		p.denied = now
		return false, false
	}
	if !p.flapping.IsZero() {
		// The pause is over: one, and then as slowly as before.
		p.flapping = time.Time{}
		p.switches = bucket{used: Switches - 1, at: now}
	}
	if p.switches.take(now, Switches, SwitchEvery) {
		return true, false
	}
	p.denied = now
	p.pause = min(max(2*p.pause, FirstPause), LongestPause)
	p.flapping = now.Add(p.pause)
	return false, true
}

// Refuse says for how long a connection that is refused is to wait for its answer.
func (p *Pace) Refuse(now time.Time) time.Duration {
	if p.refusals.take(now, Refusals, RefuseEvery) {
		return 0
	}
	p.refusals.used++
	over := p.refusals.used - Refusals
	return min(time.Duration(over*float64(RefuseEvery)), LongestWait)
}

// Settled reports whether there is nothing left to remember.
func (p *Pace) Settled(now time.Time) bool {
	return now.Sub(p.denied) > Forgive && now.Sub(p.switches.at) > Switches*SwitchEvery && now.Sub(p.refusals.at) > (Refusals+10)*RefuseEvery
}

// bucket is a token bucket that counts what is used.
type bucket struct {
	used float64
	at   time.Time
}

func (b *bucket) take(now time.Time, size float64, every time.Duration) bool {
	b.used = min(max(b.used-float64(now.Sub(b.at))/float64(every), 0), size+float64(LongestWait)/float64(every))
	b.at = now
	if b.used+1 > size {
		return false
	}
	b.used++
	return true
}
