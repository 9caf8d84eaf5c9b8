package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/runtest"
)

// asProducer makes the test's binary a producer of one run; see produce.
const asProducer = "HOLDFAST_TEST_PRODUCER"

// produce opens a run by its id, or takes it over, and appends a word every few milliseconds: argument 1 is the session's
// address, 2 the token, 3 "true" to take over, 4 up to which word. Then it ends the run as complete. It says what it was
// told, a line for each: the number of words that are acknowledged, or a code, with which it leaves.
func produce(args []string) {
	base, token, takeOver := args[1], args[2], args[3] == "true"
	words, _ := strconv.Atoi(args[4]) // the test's own number
	ask := func(path string, in any) (out struct {
		Run       holdfast.Offset `json:"run"`
		Fence     int             `json:"fence"`
		Fragments int             `json:"fragments"`
		Code      holdfast.Code   `json:"code"`
	}) {
		for {
			body, _ := json.Marshal(in) // of maps and numbers
			req, err := http.NewRequest(http.MethodPost, base+path, bytes.NewReader(body))
			if err != nil {
				panic(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				continue
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode >= 500 {
				continue
			}
			var code struct {
				Code holdfast.Code `json:"code"`
			}
			if res.StatusCode >= 300 {
				_ = json.Unmarshal(text, &code) // without a code it is an empty one, which the test finds
				fmt.Println("refused", code.Code)
				os.Exit(0)
			}
			_ = json.Unmarshal(text, &out)
			return out
		}
	}
	run := ask("/runs", map[string]any{"id": "a", "takeOver": takeOver})
	path := fmt.Sprintf("/runs/%d", run.Run)
	for n := run.Fragments; n < words; n++ {
		word := []map[string]string{{"text": runtest.Word(n + 1)}}
		ask(path+"/fragments", map[string]any{"fence": run.Fence, "after": n, "fragments": word})
		fmt.Println(n + 1)
		<-time.After(2 * time.Millisecond) // the model takes its time
	}
	ask(path+"/end", map[string]any{"fence": run.Fence, "status": holdfast.RunComplete})
	fmt.Println("complete")
}

// producer is such a process.
type producer struct {
	cmd *exec.Cmd
	// said has the lines that it has said; it is closed when the process has ended.
	said chan string
}

func (p *process) produce(session string, takeOver bool, words int) *producer {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], p.url("/v1/sessions/"+session), p.token(auth.Claims{Backend: true}), strconv.FormatBool(takeOver), strconv.Itoa(words))
	cmd.Env = append(os.Environ(), asProducer+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	x := &producer{cmd: cmd, said: make(chan string, words+4)}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		defer close(x.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			x.said <- lines.Text()
		}
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	return x
}

// until waits for a line.
func (x *producer) until(t *testing.T, want string) {
	t.Helper()
	last := ""
	for line := range x.said {
		if line == want {
			return
		}
		last = line
	}
	t.Errorf("the producer ended without saying %q; it said %q last", want, last)
}

// last waits for the end of the process, and returns what it said last.
func (x *producer) last() (line string) {
	for said := range x.said {
		line = said
	}
	return line
}

func (x *producer) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := x.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
}

// producerKills is how often a producer is killed, and how many at a time.
func producerKills() (all, together int) {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 50, 10
	}
	return 4, 4
}

const (
	killLease = 5 * time.Second
	killWords = 300
)

// fates are the runs of one round: of one the producer is killed, of one it is killed and another takes over, and of one it
// is stopped in its tracks, and goes on when another has taken over.
type fates struct {
	p       *process
	round   int
	words   int // where it happens
	readers map[string][]*client.Session
}

func (f *fates) session(what string) string { return fmt.Sprintf("%s-%d", what, f.round) }

// seen waits until all readers have seen the run of a session end, and returns how.
func (f *fates) seen(t *testing.T, session string) *holdfast.Run {
	t.Helper()
	var first *holdfast.Run
	for i, s := range f.readers[session] {
		var run *holdfast.Run
		await(t, func() bool { run = runAt(s, 1); return run != nil && run.Status.Ended() })
		if first == nil {
			first = run
		}
		if run.Status != first.Status || run.Body.Text("") != first.Body.Text("") {
			t.Errorf("%s: reader %d sees %s and %q, another one %s and %q", session, i, run.Status, run.Body.Text(""), first.Status, first.Body.Text(""))
		}
	}
	return first
}

// killed returns how long it took until everybody knew.
func (f *fates) killed(t *testing.T) time.Duration {
	s := f.session("killed")
	x := f.p.produce(s, false, killWords)
	x.until(t, strconv.Itoa(f.words))
	x.signal(t, syscall.SIGKILL)
	at := time.Now()
	run := f.seen(t, s)
	late := time.Since(at)
	got := run.Body.Text("")
	if run.Status != holdfast.RunInterrupted || !strings.HasPrefix(got, runtest.Text(f.words)) || !strings.HasPrefix(runtest.Text(killWords), got) {
		t.Errorf("%s: the run is %s, after %d words: %q", s, run.Status, f.words, got)
	}
	return late
}

func (f *fates) takenOver(t *testing.T) {
	s := f.session("taken")
	x := f.p.produce(s, false, killWords)
	x.until(t, strconv.Itoa(f.words))
	x.signal(t, syscall.SIGKILL)
	f.p.produce(s, true, killWords).until(t, "complete")
	f.whole(t, s)
}

func (f *fates) zombie(t *testing.T) {
	s := f.session("zombie")
	x := f.p.produce(s, false, killWords)
	x.until(t, strconv.Itoa(f.words))
	x.signal(t, syscall.SIGSTOP)
	second := f.p.produce(s, true, killWords)
	<-second.said // it has appended a word, wherever the first had come to
	x.signal(t, syscall.SIGCONT)
	if line := x.last(); line != "refused fenced" {
		t.Errorf("%s: the producer that came back said %q last", s, line)
	}
	second.until(t, "complete")
	f.whole(t, s)
}

// whole checks that everybody has every word once.
func (f *fates) whole(t *testing.T, s string) {
	t.Helper()
	if run := f.seen(t, s); run.Status != holdfast.RunComplete || run.Body.Text("") != runtest.Text(killWords) {
		t.Errorf("%s: the run is %s, with %q", s, run.Status, run.Body.Text(""))
	}
}

// TestClause7_KilledProducers kills producers with kill -9 at random words. Every reader knows within the lease and a second;
// after a take-over the text is what was there and what is new; and one that was only asleep is fenced.
func TestClause7_KilledProducers(t *testing.T) {
	p := startProcess(t, "--lease", killLease.String())
	all, together := producerKills()
	var latest time.Duration
	stalls := runtest.Stalls()
	for first := 0; first < all; first += together {
		var lot []*fates
		var sessions []string
		for i := range together {
			f := &fates{p: p, round: first + i, words: 5 + (first+i)*37%100}
			lot = append(lot, f)
			sessions = append(sessions, f.session("killed"), f.session("taken"), f.session("zombie"))
		}
		readers, stop := p.watch(sessions)
		var mu sync.Mutex
		var busy sync.WaitGroup
		for _, f := range lot {
			f.readers = readers
			busy.Go(func() { f.takenOver(t) })
			busy.Go(func() { f.zombie(t) })
			busy.Go(func() {
				late := f.killed(t)
				mu.Lock()
				defer mu.Unlock()
				latest = max(latest, late)
			})
		}
		busy.Wait()
		stop()
	}
	// The machine's own stalls hold up the server as they do this test.
	stalled := stalls()
	if latest > killLease+time.Second+stalled {
		t.Errorf("of one that was killed not everybody knew before %s", latest)
	}
	t.Logf("%d producers killed, %d taken over, %d fenced; the last reader knew after %s, with a lease of %s; the machine held this test up for %s",
		all, all, all, latest, killLease, stalled)
}
