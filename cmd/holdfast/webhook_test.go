package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/client"
	"github.com/holdfast/holdfast/internal/auth"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hookReceiver is a backend that gets webhooks: it fails, hangs, answers 500 and 429, and is restarted, each event being
// taken in the end, except for poisoned ones.
type hookReceiver struct {
	t      *testing.T
	addr   string
	verify *standardwebhooks.Webhook

	// Guarded by mu.
	mu       sync.Mutex
	web      *http.Server
	serving  sync.WaitGroup
	healed   bool
	failures map[string]int
	taken    map[string][]string // names of events by session, in the order in which they were first taken
	ids      map[string]string   // by name
	poison   map[string]bool     // ids that were never taken
	repeats  int
}

func newHookReceiver(t *testing.T) *hookReceiver {
	t.Helper()
	verify, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &hookReceiver{t: t, addr: freeAddr(t), verify: verify, failures: map[string]int{}, taken: map[string][]string{},
		ids: map[string]string{}, poison: map[string]bool{}}
	r.start()
	t.Cleanup(r.stop)
	return r
}

// start begins to listen, on the same port each time.
func (r *hookReceiver) start() {
	var l net.Listener
	await(r.t, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", r.addr)
		return err == nil
	})
	web := &http.Server{Handler: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.web = web
	r.serving.Go(func() {
		if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			r.t.Error(err)
		}
	})
}

// stop cuts every connection.
func (r *hookReceiver) stop() {
	r.mu.Lock()
	web := r.web
	r.mu.Unlock()
	_ = web.Close()
	r.serving.Wait()
}

func (r *hookReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the server was killed in the middle
	}
	if err := r.verify.Verify(body, req.Header); err != nil {
		r.t.Errorf("%v: %s", err, body)
	}
	var e struct {
		ID, Type, Subject string
		Data              struct {
			Session string
			Ended   int64
			Entry   struct {
				ID, User string
				Data     struct {
					N      int
					Poison bool
				}
				Run struct{ Status string }
			}
		}
	}
	if err := json.Unmarshal(body, &e); err != nil || e.ID != req.Header.Get("webhook-id") || e.Subject != e.Data.Session {
		r.t.Errorf("%v: %s", err, body)
	}
	name := fmt.Sprintf("m%d", e.Data.Entry.Data.N)
	if e.Data.Ended != 0 {
		name = e.Data.Entry.ID + " " + e.Data.Entry.Run.Status
	}
	r.answer(w, req, e.Subject, name, e.ID, e.Data.Entry.Data.Poison)
}

// answer takes the event or fails in one of many ways.
func (r *hookReceiver) answer(w http.ResponseWriter, req *http.Request, session, name, id string, poison bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.ids[session+name]; ok && old != id {
		r.t.Errorf("%s %s came as %s and as %s", session, name, old, id)
	}
	r.ids[session+name] = id
	if poison && !r.healed {
		r.poison[id] = true
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if r.failures[id] < 2 && !r.healed {
		r.failures[id]++
		switch rand.IntN(20) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
			return
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		case 2:
			r.mu.Unlock()
			<-req.Context().Done() // hangs until the server gives up, or the receiver is stopped
			r.mu.Lock()
			return
		}
	}
	if slices.Contains(r.taken[session], name) {
		r.repeats++
		return
	}
	r.taken[session] = append(r.taken[session], name)
}

// took returns what was taken of a session: messages and ends.
func (r *hookReceiver) took(session string) (messages, ends []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.taken[session] {
		if strings.HasPrefix(name, "m") {
			messages = append(messages, name)
		} else {
			ends = append(ends, name)
		}
	}
	return messages, ends
}

func (r *hookReceiver) poisoned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.poison)
}

// talk sends messages to a session as a user, and opens and ends runs as the backend, until ctx ends. It returns what was
// acknowledged, in order.
func talk(ctx context.Context, p *process, c *client.Client, session string) (messages, ends, poison []string) {
	w := &writer{p: p, token: p.token(auth.Claims{Backend: true}), session: session}
	for n := 0; ctx.Err() == nil; n++ {
		bad := n == 5
		data := fmt.Sprintf(`{"n":%d,"poison":%v}`, n, bad)
		if _, err := c.Send(ctx, holdfast.SessionID(session), "", json.RawMessage(data)); err != nil {
			if ctx.Err() == nil {
				p.t.Errorf("%s: %v", session, err)
			}
			return messages, ends, poison
		}
		if name := fmt.Sprintf("m%d", n); bad {
			poison = append(poison, name)
		} else {
			messages = append(messages, name)
		}
		if n%4 != 0 {
			continue
		}
		var run struct {
			Run   holdfast.Offset `json:"run"`
			Fence uint64          `json:"fence"`
		}
		id := fmt.Sprintf("run%d", n)
		if !w.insist(ctx, "/runs", map[string]any{"id": id}, &run) {
			return messages, ends, poison
		}
		if n%8 == 0 {
			ends = append(ends, id+" interrupted") // its producer is never heard of again
			continue
		}
		if !w.insist(ctx, fmt.Sprintf("/runs/%d/end", run.Run), map[string]any{"fence": run.Fence, "status": "complete"}, nil) {
			return messages, ends, poison
		}
		ends = append(ends, id+" complete")
	}
	return messages, ends, poison
}

// talker is a client that sends to one session.
type talker struct{ messages, ends, poison []string }

func startTalkers(t *testing.T, p *process, sessions int) (all []*talker, stop func()) {
	t.Helper()
	token := p.token(auth.Claims{User: "anna", Read: []string{"*"}, Send: []string{"*"}})
	c, err := client.New(client.Options{URL: p.url(""), ClientID: "c", Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	p.wake = append(p.wake, c.Wake)
	ctx, cancel := context.WithCancel(t.Context())
	talking, stopTalking := context.WithCancel(t.Context())
	var running, sending sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for i := range sessions {
		all = append(all, &talker{})
		sending.Go(func() {
			all[i].messages, all[i].ends, all[i].poison = talk(talking, p, c, fmt.Sprintf("s%d", i))
		})
	}
	return all, func() {
		stopTalking()
		sending.Wait()
		cancel()
		running.Wait()
	}
}

// TestWebhooksSurviveKills kills the server and the receiver again and again. Every event of which anybody knows arrives, in
// the order of its session and under one id; the poisoned ones become dead letters and arrive when they are sent again.
func TestWebhooksSurviveKills(t *testing.T) {
	r := newHookReceiver(t)
	secret := filepath.Join(t.TempDir(), "webhook.secret")
	if err := os.WriteFile(secret, []byte(hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "--webhook-url", "http://"+r.addr+"/hook", "--webhook-secret-file", secret, "--webhook-timeout", "300ms",
		"--webhook-retries", "50ms,100ms,200ms,400ms,800ms", "--lease", "1s")
	const sessions = 6
	all, stop := startTalkers(t, p, sessions)
	for round := range killRounds() {
		<-time.After(300*time.Millisecond + rand.N(500*time.Millisecond))
		p.kill()
		p.start()
		<-time.After(rand.N(300 * time.Millisecond))
		r.stop()
		<-time.After(rand.N(500 * time.Millisecond))
		r.start()
		t.Logf("round %d", round+1)
	}
	for _, wake := range p.wake {
		// So many failed dials have spent a client's budget; it would be back by itself in two minutes.
		wake()
	}
	// However slow the machine was: each session has come to its poisoned message.
	await(t, func() bool { return r.poisoned() == sessions })
	stop()
	total := 0
	for i, talker := range all {
		total += p.checkHooks(r, fmt.Sprintf("s%d", i), talker)
	}
	t.Logf("%d events arrived; %d came again", total, r.repeats)
	p.checkLetters(r, sessions)
}

// arrived says whether all that was acknowledged has come, in order. What was sent and not acknowledged may have come too.
func arrived(got, want []string) bool {
	return len(got) >= len(want) && slices.Equal(got[:len(want)], want)
}

func (p *process) checkHooks(r *hookReceiver, session string, w *talker) int {
	p.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	await(p.t, func() bool {
		messages, ends := r.took(session)
		missing := slices.ContainsFunc(w.ends, func(e string) bool { return !slices.Contains(ends, e) })
		return arrived(messages, w.messages) && !missing || time.Now().After(deadline)
	})
	messages, ends := r.took(session)
	if !arrived(messages, w.messages) {
		p.t.Errorf("%s: sent %v, arrived %v", session, w.messages, messages)
	}
	for _, e := range w.ends {
		if !slices.Contains(ends, e) {
			p.t.Errorf("%s: %s did not arrive; %v did", session, e, ends)
		}
	}
	return len(messages) + len(ends)
}

// checkLetters looks for the poisoned events among the dead letters, and sends them again.
func (p *process) checkLetters(r *hookReceiver, sessions int) {
	p.t.Helper()
	token := filepath.Join(p.t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(p.token(auth.Claims{Backend: true})), 0o600); err != nil {
		p.t.Fatal(err)
	}
	tool := func(args ...string) string {
		out, err := program(p.t, append([]string{"webhook", "--url", p.url(""), "--token-file", token}, args...)...).CombinedOutput()
		if err != nil {
			p.t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	letters := func() (ids []string) {
		for line := range strings.Lines(tool("letters", "default")) {
			var l struct{ ID string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				p.t.Fatalf("%v in %q", err, line)
			}
			ids = append(ids, l.ID)
		}
		slices.Sort(ids)
		return ids
	}
	want := []string{}
	for id := range r.poison {
		want = append(want, id)
	}
	slices.Sort(want)
	if got := letters(); !slices.Equal(got, want) || len(got) != sessions {
		p.t.Errorf("dead letters %v, poisoned %v", got, want)
	}
	r.mu.Lock()
	r.healed = true
	r.mu.Unlock()
	tool("replay", "default", "--all")
	await(p.t, func() bool { return len(letters()) == 0 })
	for i := range sessions {
		if messages, _ := r.took(fmt.Sprintf("s%d", i)); !slices.Contains(messages, "m5") {
			p.t.Errorf("s%d: the poisoned message did not arrive when it was sent again: %v", i, messages)
		}
	}
	if out := tool("ls"); !strings.Contains(out, "default  active") {
		p.t.Errorf("the endpoint stands so:\n%s", out)
	}
}
