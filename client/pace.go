package client

import (
	"math"
	"time"
)

// How fast to come back. The numbers are those of every client; some are there for browsers' sake.
const (
	// budget is how many failed dials a browser forgives within a window.
	budget = 8
	window = 2 * time.Minute
	// eager: after so many failures the gate is asked before each dial.
	eager = 4
	// A gate that says no may be wrong, where a proxy stands before it: so long after the last failed dial it is not believed.
	// The pause is a quarter of the outage, within these limits; where the budget is spent, it is the longest.
	soon   = 2500 * time.Millisecond
	rarely = 30 * time.Second
	// mercy is the most that a server is spared, firstPause the first pause, which doubles with each failure.
	mercy      = time.Minute
	firstPause = 250 * time.Millisecond
	// redialPause: a slow dial is given up for the gate's sake at most so often, lest a slow network have none that comes
	// through.
	redialPause = 3 * time.Second
	wakeWindow  = 10 * time.Second
	// atOnce: a dial that fails sooner has met a radio that sleeps, if the machine was woken just before; it is slow even in
	// that.
	atOnce = 150 * time.Millisecond
	// headstart is what a client that was stopped waits before it dials beside a connection that hardly lives: where it was
	// cut, that is known by then, and where it lives, its pong comes before anything of the second's.
	headstart = 20 * time.Millisecond

	maxDialTimeout = 10 * time.Second
)

// rungs are the pauses that bridge the time until a radio is awake.
var rungs = [...]time.Duration{
	30 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

func (m memo) recent(now instant) []instant {
	var recent []instant
	for _, t := range m.failed {
		if (now - t).Abs() < window {
			recent = append(recent, t)
		}
	}
	return recent
}

// spent reports whether no dial may be made that could fail.
func (m memo) spent(now instant) bool { return len(m.recent(now)) >= budget }

// spend remembers a dial that has failed, or was given up before it was open: browsers count both.
func (m memo) spend(now instant) memo {
	m.failed, m.slammed = append(m.recent(now), now), false
	return m
}

// settle forgets the outage, and some of the failures: the connection has proved itself.
func (m memo) settle() memo {
	m.attempts, m.outageAt, m.approvedAt = 0, 0, 0
	m.failed = m.failed[min(2, len(m.failed)):]
	return m
}

// awake begins anew with small pauses, but not with a new budget: somebody looks, or something happened.
func (m memo) awake(now instant, hidden bool) memo {
	m.attempts, m.rung, m.wakeUntil = 0, 0, now+wakeWindow
	switch {
	case !hidden:
		m.hiddenAt = 0
	case m.hiddenAt == 0:
		m.hiddenAt = now
	}
	return m
}

// needsGate reports whether to ask the gate before the next dial.
func (m memo) needsGate(now instant) bool { return m.spent(now) || m.attempts >= eager }

// trust is for how long a gate's no is still to be believed.
func (m memo) trust(now instant) time.Duration {
	var last instant
	if len(m.failed) > 0 {
		last = m.failed[len(m.failed)-1]
	}
	pause := min(rarely, max(soon, m.outage(now)/4))
	if m.spent(now) {
		pause = rarely
	}
	return max(0, pause-(now-last).Abs())
}

// outage is for how long there has been no connection.
func (m memo) outage(now instant) time.Duration {
	if m.outageAt == 0 {
		return 0
	}
	return now - m.outageAt
}

// penance is until when a dial that the gate approves has to wait all the same, 0 if it need not. A server that accepts
// connections and ends them is spared more each time. A gate that had said yes before, and never no since, is wrong about
// dials: then the budget counts, but to wait until there is one again would cost more than the browser's delay. And a wake has
// one dial at once: somebody looks.
func (m memo) penance(now instant) instant {
	var last instant
	if len(m.failed) > 0 {
		last = m.failed[len(m.failed)-1]
	}
	pause := time.Duration(0)
	if m.slammed {
		pause = time.Duration(min(float64(mercy), doubled(2*firstPause, m.attempts)))
	}
	if m.spent(now) && (now-m.approvedAt).Abs() < window {
		pause = max(pause, window/budget)
	}
	woken := now < m.wakeUntil && last < m.wakeUntil-wakeWindow
	if woken || (now-last).Abs() >= pause {
		return 0
	}
	return last + pause
}

// mayRedial reports whether a slow dial is given up for a gate that says yes. One that has just said no tells of a line that
// has healed: what was dialed before is lost.
func (m memo) mayRedial(now instant) bool {
	return m.approvedAt == 0 || !m.spent(now) && float64((now-m.redialAt).Abs()) >= doubled(redialPause, m.attempts)
}

// dialTimeout is how long a dial may take. In a browser it blocks all others, so it is short while the user waits; it grows
// for slow networks.
func (m memo) dialTimeout(now instant) time.Duration {
	first := 4 * time.Second
	if now < m.wakeUntil {
		first = 1500 * time.Millisecond
	}
	return time.Duration(min(float64(maxDialTimeout), float64(first)*math.Pow(1.6, float64(m.attempts))))
}

// hedge is when a pong is late: a little more than it takes.
func (m memo) hedge() time.Duration {
	return min(400*time.Millisecond, max(60*time.Millisecond, m.rtt*3/2+30*time.Millisecond))
}

// verdict is when a connection that does not answer is given up. A radio that wakes takes a second.
func (m memo) verdict() time.Duration {
	return min(2*time.Second, max(time.Second, 2*m.rtt+200*time.Millisecond))
}

// ladder is the pause after a dial that failed at once just after a wake; 0 for a failure like others.
func (m memo) ladder(since instant, at moment) time.Duration {
	if at.now >= m.wakeUntil || at.now-since >= atOnce || m.rung >= len(rungs) {
		return 0
	}
	return share(rungs[m.rung], 0.5+at.chance/2)
}

// backoff is random between nothing and a cap that grows with the outage, so that clients which lost one server do not come
// back together; the sooner the outage is over, the sooner the user should be back.
func (m memo) backoff(at moment) time.Duration {
	age := m.outage(at.now)
	first, most := firstPause, 20*time.Second
	switch {
	case m.hiddenAt != 0:
		first, most = 2*time.Second, time.Minute
	case age < 2*time.Minute:
		most = 2500 * time.Millisecond
	case age < 5*time.Minute:
		most = 8 * time.Second
	}
	return time.Duration(at.chance * min(float64(most), doubled(first, m.attempts)))
}

// smoothed takes a sample of the round trip in. One that takes long tells of a busy machine as often as of a long line; one
// that takes less tells the truth, and counts at once.
func smoothed(rtt, sample time.Duration) time.Duration {
	if rtt == 0 {
		return sample
	}
	return min(sample, rtt+(sample-rtt)/8)
}

// doubled is a float, because it soon is more than a duration holds.
func doubled(d time.Duration, times int) float64 { return float64(d) * math.Pow(2, float64(times)) }

func share(d time.Duration, part float64) time.Duration { return time.Duration(float64(d) * part) }
