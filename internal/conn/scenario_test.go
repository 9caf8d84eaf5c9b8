package conn

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/attendance"
	"github.com/holdfast/holdfast/internal/hub"
	"github.com/holdfast/holdfast/internal/quota"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
	"github.com/holdfast/holdfast/transport"
	"github.com/holdfast/holdfast/transport/pipe"
	"github.com/holdfast/holdfast/wire"
)

var update = flag.Bool("update", false, "write the answers in testdata anew; commit them only if you understand them")

// The stories in testdata whose names begin with a clause of the contract are its tests.

func TestClause1_OffsetsOnlyGrow(t *testing.T)           { playAll(t, "clause1_*") }
func TestClause3_OneOrder(t *testing.T)                  { playAll(t, "clause3_*") }
func TestClause4_RepeatedSendIsWrittenOnce(t *testing.T) { playAll(t, "clause4_*") }
func TestClause6_AResumeIsAlwaysAnswered(t *testing.T)   { playAll(t, "clause6_*") }
func TestClause8_StopIsAFact(t *testing.T)               { playAll(t, "clause8_*") }
func TestClause9_ADisconnectIsNothing(t *testing.T)      { playAll(t, "clause9_*") }
func TestClause10_AGhostIsReplacedAlone(t *testing.T)    { playAll(t, "clause10_*") }
func TestClause11_SlowIsNotKicked(t *testing.T)          { playAll(t, "clause11_*") }

// TestScenarios plays the other stories.
func TestScenarios(t *testing.T) { playAll(t, "[^c]*") }

// playAll plays the stories whose names match. Each is a text: commands, a line of dashes, and what every client then
// receives. Time is simulated; what differs from run to run is shown as E (epoch), G (tag), C (connection) and T (time).
func playAll(t *testing.T, pattern string) {
	files, err := filepath.Glob("testdata/" + pattern + ".txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(text)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// play runs the commands of a story and returns it with the answers that came.
func play(t *testing.T, text string) string {
	st := newStage(t)
	defer st.close()
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		var commands []string
		for _, line := range strings.Split(block, "\n") {
			if line == "----" {
				break
			}
			commands = append(commands, line)
			if line != "" && line[0] != '#' {
				st.do(line)
				synctest.Wait()
			}
		}
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(strings.Join(commands, "\n") + "\n")
		if answers := st.answers(); answers != "" {
			out.WriteString("----\n" + answers)
		}
	}
	return out.String()
}

// stage is a node with memory for a store and pipes for sockets.
type stage struct {
	t       *testing.T
	log     *memory.Driver
	cfg     *Config
	cancel  context.CancelFunc
	ctx     context.Context
	done    sync.WaitGroup
	peers   map[string]*pipe.Peer
	order   []string
	cursors map[string]*holdfast.Cursor
	runs    map[string]holdfast.RunInfo
}

// tokens grants what it says in the token: "anna read=chat-* send=chat-* for=1h".
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (holdfast.Grant, error) {
	words := strings.Fields(token)
	if len(words) == 0 || words[0] == "forged" {
		return holdfast.Grant{}, holdfast.Errorf(holdfast.CodeUnauthorized, "the token's signature is not valid")
	}
	g := holdfast.Grant{User: holdfast.UserID(words[0])}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "read":
			g.Read = append(g.Read, value)
		case "send":
			g.Send = append(g.Send, value)
		case "stop":
			g.Stop = append(g.Stop, value)
		case "for":
			d, err := time.ParseDuration(value)
			if err != nil {
				return g, err
			}
			g.Expires = time.Now().Add(d)
		}
	}
	return g, nil
}

func newStage(t *testing.T) *stage {
	st := &stage{t: t, log: memory.New(memory.Options{}), peers: map[string]*pipe.Peer{}, cursors: map[string]*holdfast.Cursor{},
		runs: map[string]holdfast.RunInfo{}}
	st.ctx, st.cancel = context.WithCancel(t.Context())
	lane := NewLane(0)
	h := hub.New([]hub.Lane{lane})
	st.log.Watch(func(ch driver.Change) { h.Publish(&ch) })
	st.cfg = &Config{
		Log: st.log, Auth: tokens{}, Hub: h, Rooms: attendance.New(readersOf(h), time.Now), Lanes: []*Lane{lane}, Logger: slog.New(slog.DiscardHandler),
		HelloTimeout: 10 * time.Second, Beat: 10 * time.Second, Rest: 25 * time.Second, WriteTimeout: time.Minute, MaxData: 1000, MaxControl: 64 << 10,
		MaxSubs: 3, Rate: 50, Burst: 20, Asides: quota.New(50, 20, time.Now), Last: 50, Jitter: func(time.Duration) time.Duration { return 0 }, Now: time.Now,
	}
	st.done.Go(func() { lane.Run(st.ctx) })
	return st
}

func readersOf(h *hub.Hub) func(holdfast.SessionID) []attendance.Reading {
	return func(s holdfast.SessionID) (all []attendance.Reading) {
		for _, r := range h.Readers(s) {
			all = append(all, r.(*sub))
		}
		return all
	}
}

func (st *stage) close() {
	for _, p := range st.peers {
		p.Abort()
	}
	synctest.Wait()
	st.cancel()
	st.done.Wait()
}

// do carries out one command. The first word is a client's name, or backend, or wait.
func (st *stage) do(line string) {
	who, what, _ := strings.Cut(line, " ")
	switch who {
	case "backend":
		st.backend(what)
	case "rule": // on connections, for those that come from now on
		rule, err := holdfast.ParseConnectionRule(what)
		st.must(err)
		st.cfg.SetRules(append(st.cfg.Rules(), rule))
	case "server": // lets go D: the store is another one's, what that writes is shown here still, and clients go one after the other
		d, err := time.ParseDuration(strings.TrimPrefix(what, "lets go "))
		st.must(err)
		st.letGo(d)
	case "wait":
		d, err := time.ParseDuration(what)
		st.must(err)
		for end := time.Now().Add(d); time.Now().Before(end); {
			<-time.After(min(time.Second, time.Until(end)))
			st.cfg.Rooms.Tick()
		}
		st.cfg.Hub.Sweep(time.Now())
	default:
		st.client(who, what)
	}
}

func (st *stage) letGo(within time.Duration) {
	closed := memory.New(memory.Options{})
	st.must(closed.Close())
	st.cfg.Log = closed
	lane := st.cfg.Lanes[0]
	lane.Leaving()
	st.done.Go(func() { lane.SeeOff(st.ctx, within, time.Second) })
}

func (st *stage) must(err error) {
	if err != nil {
		st.t.Helper()
		st.t.Fatal(err)
	}
}

var cursorOf = regexp.MustCompile(`\$\{(\S+) ([^}]+)\}`)

func (st *stage) client(who, what string) {
	switch {
	case what == "dials":
		st.dial(who, transport.Info{})
	case what == "dials to listen": // the server cannot hear it after its hello
		st.dial(who, transport.Info{Transport: "events", Reach: transport.Down})
	case what == "makes a request": // of several frames
		st.dial(who, transport.Info{Transport: "send", Reach: transport.Once})
	case what == "vanishes":
		st.peers[who].Abort()
	case strings.HasPrefix(what, "takes "):
		n, err := strconv.Atoi(strings.Fields(what)[1])
		st.must(err)
		st.peers[who].SetBuffer(n)
	case strings.HasPrefix(what, "> "):
		// ${name session} stands for the cursor that the client of that name has come to.
		frame := cursorOf.ReplaceAllStringFunc(what[2:], func(m string) string {
			parts := cursorOf.FindStringSubmatch(m)
			return string(wire.AppendCursor(nil, st.cursors[parts[1]+" "+parts[2]]))
		})
		_ = st.peers[who].Send([]byte(frame)) // fails when the connection has ended, which the story then shows
	default:
		st.t.Fatalf("%s cannot %q", who, what)
	}
}

func (st *stage) dial(who string, info transport.Info) {
	serve := func(ctx context.Context, c transport.Conn) { Serve(ctx, c, st.cfg) }
	st.peers[who] = pipe.Start(st.ctx, serve, pipe.Options{Info: info})
	st.order = append(st.order, who)
}

// backend does one write: "message S DATA", "state S KEY DATA", "run S ID [MESSAGE]", "settle S ID STOP", "text S ID WORD...", "end S ID STATUS",
// "trim S OFFSET", "delete S", "flood S N".
func (st *stage) backend(what string) {
	word := strings.SplitN(what, " ", 4)
	s := holdfast.SessionID(word[1])
	key := word[1] + " " + append(word, "", "")[2]
	var op driver.Op
	switch word[0] {
	case "message":
		op = driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: json.RawMessage(strings.Join(word[2:], " "))}}}
	case "state":
		op = driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindState, Key: word[2], Data: json.RawMessage(word[3])}}}
	case "run":
		message := uint64(0)
		if len(word) == 4 {
			var err error
			message, err = strconv.ParseUint(word[3], 10, 64)
			st.must(err)
		}
		op = driver.OpenRunOp{Entry: driver.NewEntry{Kind: holdfast.KindRun, ID: word[2]}, Answers: holdfast.Offset(message)}
	case "settle":
		op = driver.SettleStop{Run: st.runs[key].Run, ID: word[3]}
	case "ask":
		var ask driver.OpenRequest
		st.must(json.Unmarshal([]byte(strings.Join(word[2:], " ")), &ask))
		op = ask
	case "answer":
		var settle driver.SettleRequest
		st.must(json.Unmarshal([]byte(strings.Join(word[2:], " ")), &settle))
		op = settle
	case "turns": // turns S POLICY [LIMIT]
		rules := driver.TurnRules{Policy: holdfast.TurnPolicy(word[2])}
		if len(word) == 4 {
			var err error
			rules.Limit, err = strconv.Atoi(word[3])
			st.must(err)
		}
		op = driver.SetTurns{Rules: rules}
	case "done", "lapse": // done S OFFSET
		o, err := strconv.ParseUint(word[2], 10, 64)
		st.must(err)
		op = driver.EndTurn{Message: holdfast.Offset(o), Lapsed: word[0] == "lapse"}
	case "text":
		r := st.runs[key]
		for _, w := range strings.Fields(word[3]) {
			st.apply(s, key, driver.AppendFragments{Run: r.Run, Fence: r.Fence, After: driver.AnyFragment, Fragments: []holdfast.Fragment{{Text: w + " "}}})
			synctest.Wait()
		}
		return
	case "end":
		r := st.runs[key]
		op = driver.EndRun{Run: r.Run, Fence: r.Fence, Status: holdfast.RunStatus(word[3])}
	case "trim":
		o, err := strconv.ParseUint(word[2], 10, 64)
		st.must(err)
		op = driver.Trim{Before: holdfast.Offset(o)}
	case "delete":
		st.must(st.log.Delete(st.ctx, s))
		return
	case "flood":
		n, err := strconv.Atoi(word[2])
		st.must(err)
		for i := range n {
			st.apply(s, key, driver.Append{Entries: []driver.NewEntry{{Kind: holdfast.KindMessage, Data: json.RawMessage(strconv.Itoa(i))}}})
		}
		return
	default:
		st.t.Fatalf("the backend cannot %q", what)
	}
	st.apply(s, key, op)
}

func (st *stage) apply(s holdfast.SessionID, key string, op driver.Op) {
	res, err := st.log.Apply(st.ctx, s, op)
	st.must(err)
	if res.Run.Run != 0 {
		st.runs[key] = res.Run
	}
}

var volatile = []struct {
	find *regexp.Regexp
	show string
}{
	{regexp.MustCompile(`"g":\d+`), `"g":G`}, {regexp.MustCompile(`"e":"[a-z2-7]+"`), `"e":E`},
	{regexp.MustCompile(`"conn":"[a-z2-7]+"`), `"conn":C`}, {regexp.MustCompile(`"(at|now|exp|by|since)":946\d+`), `"$1":T`},
}

// answers returns what all clients have received since the last time, those that dialed first standing first. An ack may
// come before or after the entry that it is for; here it stands after. Frames of two sessions may come in either order, as
// a lane does not wait for the answers to other sessions; here those of one session stand together.
func (st *stage) answers() string {
	var out strings.Builder
	for _, who := range st.order {
		var lines, acks []string
		for {
			line, ended := st.answer(who)
			if line == "" {
				break
			}
			if strings.HasPrefix(line, who+` < {"t":"ack"`) {
				acks = append(acks, line)
			} else {
				lines = append(lines, line)
			}
			if ended {
				st.order = without(st.order, who)
				break
			}
		}
		groupBySession(lines)
		for _, line := range append(lines, acks...) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// answer returns the next line of who, "" if there is none now, and whether it is the last one.
func (st *stage) answer(who string) (line string, ended bool) {
	soon, cancel := context.WithTimeout(st.ctx, time.Nanosecond)
	defer cancel()
	msg, err := st.peers[who].Next(soon)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", false
	}
	if err != nil {
		return fmt.Sprintf("%s ended: %v\n", who, err), true
	}
	st.track(who, msg)
	text := string(msg)
	for _, v := range volatile {
		text = v.find.ReplaceAllString(text, v.show)
	}
	return fmt.Sprintf("%s < %s\n", who, text), false
}

var ofSession = regexp.MustCompile(`^\S+ < \{"t":"\w+","s":"([^"]*)"`)

// groupBySession sorts every row of lines that are of sessions by session, and leaves the order within a session.
func groupBySession(lines []string) {
	session := func(line string) string {
		if m := ofSession.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		return ""
	}
	for from := 0; from < len(lines); from++ {
		to := from
		for to < len(lines) && session(lines[to]) != "" {
			to++
		}
		slices.SortStableFunc(lines[from:to], func(a, b string) int { return strings.Compare(session(a), session(b)) })
		from = to
	}
}

func without(list []string, s string) []string {
	var out []string
	for _, x := range list {
		if x != s {
			out = append(out, x)
		}
	}
	return out
}

// track follows a client's cursor by the rules of package wire.
func (st *stage) track(who string, msg []byte) {
	f, err := wire.DecodeServer(msg)
	st.must(err)
	set := func(s holdfast.SessionID, fn func(holdfast.Cursor) holdfast.Cursor) {
		var c holdfast.Cursor
		if at := st.cursors[who+" "+string(s)]; at != nil {
			c = *at
		}
		c = fn(c)
		st.cursors[who+" "+string(s)] = &c
	}
	switch f := f.(type) {
	case *wire.SubAnswer:
		set(f.Session, func(c holdfast.Cursor) holdfast.Cursor {
			if f.Outcome == holdfast.Snapshot || f.Outcome == holdfast.Lost {
				c = holdfast.Cursor{Position: holdfast.Position{Offset: f.From - 1}}
			}
			c.Epoch = f.Epoch
			return c
		})
	case *wire.EntryFrame:
		set(f.Session, func(c holdfast.Cursor) holdfast.Cursor {
			if f.Epoch != "" {
				c.Epoch = f.Epoch
			}
			if f.Entry.Offset > c.Offset {
				c.Offset, c.Tag = f.Entry.Offset, f.Entry.Tag
			}
			if r := f.Entry.Run; r != nil && r.Status == holdfast.RunOpen {
				c = c.With(holdfast.RunCursor{Run: f.Entry.Offset, Fragment: r.Fragments, Tag: r.Tag})
			}
			return c
		})
	case *wire.FragFrame:
		set(f.Session, func(c holdfast.Cursor) holdfast.Cursor {
			return c.With(holdfast.RunCursor{Run: f.Run, Fragment: f.N, Tag: f.Tag})
		})
	case *wire.EndFrame:
		set(f.Session, func(c holdfast.Cursor) holdfast.Cursor { return c.Without(f.Run) })
	}
}
