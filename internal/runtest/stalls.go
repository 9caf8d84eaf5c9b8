package runtest

import "time"

// Stalls returns what tells for how long nothing of this process ran, at most, since then: on a machine that has too much to
// do, that much of a delay is not the server's. It must be called once.
func Stalls() (most func() time.Duration) {
	const every = 10 * time.Millisecond
	stop, result := make(chan struct{}), make(chan time.Duration)
	go func() { // ends with stop
		tick := time.NewTicker(every)
		defer tick.Stop()
		worst, last := time.Duration(0), time.Now()
		for {
			select {
			case <-stop:
				result <- worst
				return
			case <-tick.C:
			}
			now := time.Now()
			worst, last = max(worst, now.Sub(last)-every), now
		}
	}()
	return func() time.Duration { close(stop); return <-result }
}
