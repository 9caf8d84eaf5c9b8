package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/auth"
	"github.com/holdfast/holdfast/internal/ending"
	"github.com/holdfast/holdfast/internal/faults"
	"github.com/holdfast/holdfast/wire"
)

// soakLength is for how long the guests of the soak come and go: HOLDFAST_TEST_SOAK, or what the form of the test says.
func soakLength(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("HOLDFAST_TEST_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("HOLDFAST_TEST_SOAK: %v", err)
		}
		return d
	}
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 30 * time.Minute
	}
	return 8 * time.Second
}

const (
	soakSeats = 36
	soakRooms = 6
	soakBeat  = 2 * time.Second
	soakBurst = 50
	// soakLong is how long the soak must last for what takes long to be tried, and for sessions to be forgotten, too.
	soakLong = time.Minute
	// soakMemory is for how long the server remembers who left (package ending), and soakLeft what one of them costs, about.
	soakMemory, soakLeft = 15 * time.Minute, 200
)

// soak is a server in a process of its own, and all who trouble it.
type soak struct {
	// Static.
	t      *testing.T
	p      *process
	book   *soakBook
	config string
	token  string
	length time.Duration
	// metrics and debug are the addresses of the process's side doors; thin is a line of 1 kB a second to it.
	metrics, debug string
	thin           *faults.Proxy
	seats          []*seat
	// side asks at the side doors and leaves no socket behind; aside is for the guests' requests.
	side, aside *http.Client
	serial      atomic.Int64

	// guests are the goroutines of all sockets.
	guests sync.WaitGroup
	// policy is held by who depends on the rule that the server has: rule, "" for none.
	policy sync.RWMutex
	rule   holdfast.Conflict
}

func newSoak(t *testing.T, length time.Duration, seed uint64) *soak {
	t.Helper()
	config := write(t, filepath.Join(t.TempDir(), "config.yaml"), soakConfig(""))
	s := &soak{t: t, config: config, length: length, metrics: freeAddr(t), debug: freeAddr(t)}
	s.p = newProcess(t, "--config", config, "--log-level", "debug", "--log-format", "json", "--metrics-addr", s.metrics,
		"--debug-addr", s.debug, "--beat", soakBeat.String(), "--rest", (2 * soakBeat).String(), "--hello-timeout", "5s",
		"--write-timeout", "15s", "--burst", strconv.Itoa(soakBurst), "--lease", "5s", "--stop-grace", "1s", "--journal", "2000")
	s.book = newSoakBook(seed, &s.p.out)
	s.p.to = s.book
	s.p.start()
	s.token = s.p.token(auth.Claims{Backend: true})
	s.side = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	s.aside = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.thin = faults.New(l, s.p.addr)
	t.Cleanup(func() { _ = s.thin.Close() })
	s.thin.Throttle(1000)
	for n := range soakSeats {
		s.seats = append(s.seats, &seat{s: s, n: n, rng: rand.New(rand.NewPCG(seed, uint64(n)))})
	}
	return s
}

// soakConfig is a configuration file with a rule on connections.
func soakConfig(on holdfast.Conflict) string {
	switch on {
	case "":
		return "rate-per-user: 200\n"
	case inSession:
		on = holdfast.ConflictEvictOldest + " in=session"
	}
	return fmt.Sprintf("rate-per-user: 200\nconnections: [\"max=1 on=%s\"]\n", on)
}

// room is a session that guests read, and whose answers go on.
func room(i int) holdfast.SessionID { return holdfast.SessionID(fmt.Sprintf("room-%d", i)) }

// backend makes a call of the application's.
func (s *soak) backend(method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.p.call(ctx, method, path, s.token, in, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// TestSoak lets clients come, live and end in every way there is, at random, while answers stream, rules change under them and
// honest readers look on. In the end nothing of them is left in the server, and each end stands in the log once, as what it was.
func TestSoak(t *testing.T) {
	length, seed := soakLength(t), rand.Uint64()
	if text := os.Getenv("HOLDFAST_TEST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_TEST_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("HOLDFAST_TEST_SEED=%d chooses the same lives", seed)
	s := newSoak(t, length, seed)
	// The warm-up: everybody lives at least once, so that what is made once is made, and pools are as full as they get.
	s.during(min(length/10, time.Minute))
	base := s.settle(nil)
	s.during(length)
	end := s.settle(&base)
	s.compare(base, end)
	s.drain()
	s.guests.Wait()
	s.book.check(t)
}

// during has everybody live for a time, and once at the least. When it returns all are gone, and no run is open.
func (s *soak) during(length time.Duration) {
	s.t.Helper()
	until := time.Now().Add(length)
	talk, hush := context.WithCancel(context.Background())
	var living, talking sync.WaitGroup
	defer func() {
		living.Wait()
		hush()
		talking.Wait()
	}()
	for i := range soakRooms {
		talking.Go(func() { s.chat(talk, i) })
	}
	for _, x := range s.seats {
		living.Go(func() { x.live(until) })
	}
	if length > 0 {
		living.Go(func() { s.govern(until) })
	}
	for first := true; first || time.Until(until) > 10*time.Second; first = false {
		s.witnessed(min(max(time.Until(until), 3*time.Second), 30*time.Second))
	}
	living.Wait()
	hush()
	talking.Wait()
	await(s.t, func() bool {
		var open struct {
			Runs []any `json:"runs"`
		}
		if err := s.backend(http.MethodGet, "/v1/runs", nil, &open); err != nil {
			s.t.Fatal(err)
		}
		return len(open.Runs) == 0
	})
}

// live lives one life after another. The first is dealt, so that all are lived.
func (x *seat) live(until time.Time) {
	lives := slices.DeleteFunc(slices.Clone(soakLives), func(l life) bool { return l.lasts > 10*time.Second && x.s.length < soakLong })
	l := lives[x.n%len(lives)]
	for {
		if err := l.live(x, l.name); err != nil {
			x.s.t.Errorf("seat %d, who %s: %v", x.n, l.name, err)
		}
		left := time.Until(until)
		lives = slices.DeleteFunc(lives, func(l life) bool { return l.lasts > left })
		if len(lives) == 0 {
			return
		}
		l = lives[x.rng.IntN(len(lives))]
	}
}

// chat writes answers into a room, one after another, until ctx ends: some complete, some fail, and of some the producer dies.
func (s *soak) chat(ctx context.Context, i int) {
	rng := rand.New(rand.NewPCG(s.book.seed, uint64(1000+i)))
	for ctx.Err() == nil {
		if err := s.answer(ctx, rng, "/v1/sessions/"+string(room(i))); err != nil && !lapsed(err) {
			s.t.Errorf("room %d: %v", i, err)
			return
		}
	}
}

func (s *soak) answer(ctx context.Context, rng *rand.Rand, session string) error {
	n := s.serial.Add(1)
	var run struct {
		Run   holdfast.Offset `json:"run"`
		Fence uint64          `json:"fence"`
	}
	if err := s.backend(http.MethodPost, session+"/entries", map[string]any{"id": fmt.Sprintf("q%d", n), "data": n}, nil); err != nil {
		return err
	}
	if err := s.backend(http.MethodPost, session+"/runs", map[string]any{"id": fmt.Sprintf("a%d", n)}, &run); err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	path := fmt.Sprintf("%s/runs/%d", session, run.Run)
	for k := range 20 + rng.IntN(60) {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if ctx.Err() != nil {
			break
		}
		fragment := map[string]string{"text": strings.Repeat("word ", 20)}
		in := map[string]any{"fence": run.Fence, "after": k, "fragments": []any{fragment}}
		if err := s.backend(http.MethodPost, path+"/fragments", in, nil); err != nil {
			return err
		}
	}
	status := holdfast.RunComplete
	switch {
	case ctx.Err() == nil && rng.IntN(6) == 0:
		return nil // its lease lapses
	case rng.IntN(6) == 0:
		status = holdfast.RunFailed
	}
	return s.backend(http.MethodPost, path+"/end", map[string]any{"fence": run.Fence, "status": status}, nil)
}

// lapsed reports whether a run's lease has lapsed under its producer, who was held up: it may be a busy machine.
func lapsed(err error) bool { return strings.Contains(err.Error(), `"code":"run_ended"`) }

// govern changes the rules on connections while the server runs, and now and then asks for what cannot be.
func (s *soak) govern(until time.Time) {
	rng := rand.New(rand.NewPCG(s.book.seed, 2000))
	every := max(s.length/100, time.Second)
	for time.Until(until) > every {
		<-time.After(every)
		next := holdfast.Conflict("")
		switch n := rng.IntN(len(tokenRules) + 4); {
		case n < len(tokenRules):
			next = tokenRules[n].On
		case n == len(tokenRules):
			next = inSession
		}
		if err := s.decree(next, rng.IntN(4) == 0); err != nil {
			s.t.Error(err)
		}
	}
	if err := s.decree("", false); err != nil {
		s.t.Error(err)
	}
}

// decree has the server take a rule; wrong ones it must not take.
func (s *soak) decree(next holdfast.Conflict, wrong bool) error {
	s.policy.Lock()
	defer s.policy.Unlock()
	text := soakConfig(next)
	if wrong {
		text = soakConfig("sunday")
	}
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		return err
	}
	s.book.mu.Lock()
	taken, refused := s.book.taken, s.book.refused
	s.book.mu.Unlock()
	if err := s.p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	if wrong {
		return s.book.until("a refusal of wrong settings", func() bool { return s.book.refused == refused+1 && s.book.taken == taken })
	}
	s.rule = next
	return s.book.until("a reload", func() bool { return s.book.taken == taken+1 && s.book.refused == refused })
}

// drain leaves some of every standing behind, and tells the server to stop: all of them end because it goes away, and it ends well.
func (s *soak) drain() {
	s.t.Helper()
	x := s.seats[0]
	must := func(g *guest, err error) *guest {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
		return g
	}
	const name = "is there at the end"
	parked := []*guest{must(s.seats[1].come(thin, s.seats[1].loaded(), name+", slow", ending.GoingAway))}
	for _, y := range s.seats[2:8] {
		parked = append(parked, must(y.enter(name, ending.GoingAway)))
	}
	frozen := must(s.seats[8].enter(name+", frozen", ending.GoingAway))
	frozen.quiet.Store(true)
	frozen.deafen()
	h := x.hello()
	h.Mode, h.Subs = wire.ModeStandby, nil
	parked = append(parked, frozen, must(x.come(broad, h, name+", in standby", ending.GoingAway)),
		must(s.seats[9].dial(broad, name+", a stranger", ending.GoingAway)))
	s.p.terminate()
	for _, g := range parked {
		if err := g.finish(); err != nil {
			s.t.Error(err)
		}
	}
}

// soakFigures are what the server holds when nobody is there.
type soakFigures struct {
	goroutines, sockets, files int
	// heap is what is in use after the garbage was collected, in bytes; objects is how many.
	heap, objects int
	at            time.Time
}

func (f soakFigures) String() string {
	return fmt.Sprintf("%10d %8d %8d %10.2f %10d", f.goroutines, f.sockets, f.files, float64(f.heap)/(1<<20), f.objects)
}

// The tolerances. Goroutines: those of the engine's compactions come and go. Files are the engine's tables, which it keeps open: more
// log is more of them. The heap: the indices and the filters of these; and see compare.
const (
	moreGoroutines = 4
	moreFiles      = 100
	moreHeap       = 8 << 20
)

// settle waits until nobody is there any more, and nothing changes for a second; or until that is not more than at the base.
func (s *soak) settle(base *soakFigures) (f soakFigures) {
	s.t.Helper()
	deadline := time.After(90 * time.Second)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	still, last := 0, soakFigures{}
	for still < 5 {
		web.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		m := s.measure()
		f = soakFigures{goroutines: m.get("go_goroutines"), at: time.Now()}
		f.sockets, f.files = s.descriptors()
		quiet := m.get("holdfast_connections") == 0 && m.get("holdfast_readings") == 0 && m.get("holdfast_revocations") == 0 &&
			(s.length < soakLong || m.get("holdfast_sessions") == 0)
		back := base == nil || f.goroutines <= base.goroutines+moreGoroutines && f.sockets <= base.sockets
		if quiet && back && f.sockets == last.sockets && f.goroutines == last.goroutines {
			still++
		} else {
			still = 0
		}
		last = f
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Errorf("after 90 s it is not quiet:\n%v\n%s", f, s.ask(s.debug, "/debug/pprof/goroutine?debug=1"))
			still = 5
		}
	}
	// More than once, since pools let go of what they hold with the second only.
	for range 3 {
		s.ask(s.debug, "/debug/pprof/heap?gc=1")
	}
	m := s.measure()
	f.heap, f.objects = m.get("go_memstats_heap_alloc_bytes"), m.get("go_memstats_heap_objects")
	s.compareEnds(m)
	return f
}

// compareEnds holds the ends that the server counts against those that are in the log.
func (s *soak) compareEnds(m soakMetrics) {
	s.t.Helper()
	logged := s.book.classes()
	for _, class := range ending.Classes {
		if n := m.sum("holdfast_connection_ends_total{", fmt.Sprintf("class=%q", class)); n != logged[class] {
			s.t.Errorf("%d ends of class %s are counted, and %d are in the log", n, class, logged[class])
		}
	}
}

// compare says whether the server is back at the base line.
func (s *soak) compare(base, end soakFigures) {
	s.t.Helper()
	s.t.Logf("%-9s %10s %8s %8s %10s %10s\n%-9s %v\n%-9s %v", "", "goroutines", "sockets", "files", "heap, MiB", "objects", "base line", base,
		"end", end)
	if end.goroutines > base.goroutines+moreGoroutines {
		s.t.Errorf("%d goroutines, %d at the base line:\n%s", end.goroutines, base.goroutines, s.ask(s.debug, "/debug/pprof/goroutine?debug=1"))
	}
	if end.sockets > base.sockets || end.files > base.files+moreFiles {
		s.t.Errorf("%d sockets and %d files are open, %d and %d at the base line", end.sockets, end.files, base.sockets, base.files)
	}
	// Who left is remembered for a while, for those who come back: that is no leak, and in the short form most of it.
	left := 0
	for _, n := range s.book.classes() {
		left += n
	}
	left = int(float64(left) * min(1, float64(soakMemory)/float64(max(end.at.Sub(base.at), 1))))
	if most := base.heap + moreHeap + left*soakLeft; end.heap > most {
		s.t.Errorf("the heap has %d bytes, %d at the base line; at most %d are explained:\n%s", end.heap, base.heap, most,
			s.ask(s.debug, "/debug/pprof/heap?debug=1"))
	}
}

// descriptors counts the process's open sockets, and all else that it has open. Where the system does not say, both are 0.
func (s *soak) descriptors() (sockets, files int) {
	dir := fmt.Sprintf("/proc/%d/fd", s.p.cmd.Process.Pid)
	all, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0
	}
	for _, fd := range all {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		switch {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			sockets++
		default:
			files++
		}
	}
	return sockets, files
}

// ask reads a page of a side door.
func (s *soak) ask(addr, path string) string {
	s.t.Helper()
	res, err := s.side.Get("http://" + addr + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// soakMetrics are the lines of /metrics.
type soakMetrics []string

func (s *soak) measure() soakMetrics { return strings.Split(s.ask(s.metrics, "/metrics"), "\n") }

// get is the value of a metric without labels; -1 if there is none.
func (m soakMetrics) get(name string) int {
	for _, line := range m {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return int(f)
			}
		}
	}
	return -1
}

// sum adds up the metrics that begin so and have a label.
func (m soakMetrics) sum(prefix, label string) (n int) {
	for _, line := range m {
		if strings.HasPrefix(line, prefix) && strings.Contains(line, label) {
			f, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err == nil {
				n += int(f)
			}
		}
	}
	return n
}
