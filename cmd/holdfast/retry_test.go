package main

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/runtest"
)

// serverKills is how often the server is killed in the middle of runs, and after how many words each time.
func serverKills() (kills, words int) {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 20, 100
	}
	return 3, 60
}

// TestClause4_ProducersThatRetry kills the server with kill -9 while producers, which repeat what was not acknowledged, write
// to it. Each run has every word once, for every reader; and one whose producer is gone is not open for ever.
func TestClause4_ProducersThatRetry(t *testing.T) {
	kills, every := serverKills()
	words := (kills + 1) * every
	p := startProcess(t, "--lease", "2s")
	sessions := []string{"left", "a", "b", "c", "d"}
	readers, stop := p.watch(sessions)
	defer stop()
	left := p.produce("left", false, words)
	left.until(t, "3")
	left.signal(t, syscall.SIGKILL)
	var all []*producer
	for _, s := range sessions[1:] {
		all = append(all, p.produce(s, false, words))
	}
	for n := range kills {
		all[n%len(all)].until(t, strconv.Itoa((n+1)*every))
		p.kill()
		p.start()
	}
	for _, x := range all {
		x.until(t, "complete")
	}
	for _, wake := range p.wake {
		wake()
	}
	for _, s := range sessions {
		want, status := runtest.Text(words), holdfast.RunComplete
		if s == "left" {
			want, status = runtest.Text(3), holdfast.RunInterrupted
		}
		for i, reader := range readers[s] {
			var run *holdfast.Run
			await(t, func() bool { run = runAt(reader, 1); return run != nil && run.Status.Ended() })
			text := run.Body.Text("")
			if s == "left" && len(text) > len(want) {
				text = text[:len(want)] // a word more may have gone out before it was killed
			}
			if run.Status != status || text != want {
				t.Errorf("%s: reader %d sees a run that is %s with %d bytes, want %s with %d", s, i, run.Status, len(text), status, len(want))
			}
		}
	}
	t.Logf("%d kills under %d producers: %d words each, every one once", kills, len(all), words)
}
