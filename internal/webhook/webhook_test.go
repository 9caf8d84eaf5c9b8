package webhook

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/store/driver"
)

func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// same compares what a session's receiver took.
func (b *bench) same(s holdfast.SessionID, want ...string) {
	b.Helper()
	if d := cmp.Diff(want, b.rec.took(s)); d != "" {
		b.Errorf("%s (-want +got):\n%s", s, d)
	}
}

func TestAnEventIsAsTheStandardsSay(t *testing.T) {
	other := "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	inBubble(t, func(o *Options) {
		o.Source = "https://chat.example"
		o.Endpoints[0].Secrets = append(o.Endpoints[0].Secrets, mustSecret(t, other))
	}, func(b *bench) {
		b.rec.answer = func(*post) (int, map[string]string) {
			if len(b.rec.posts) == 0 {
				return 503, map[string]string{"Retry-After": "2"}
			}
			return 200, nil
		}
		b.say("chat-1/m1")
		b.pass(time.Minute)
		b.run("chat-1", "r1", holdfast.RunInterrupted)
		if n := b.rec.count(); n != 3 {
			b.Fatalf("%d requests", n)
		}
		first, again, end := b.rec.posts[0], b.rec.posts[1], b.rec.posts[2]
		if first.id != again.id || string(first.body) != string(again.body) || first.id == end.id || strings.Contains(first.id, ".") {
			b.Errorf("ids %q, %q and %q", first.id, again.id, end.id)
		}
		if first.header.Get("webhook-timestamp") == again.header.Get("webhook-timestamp") {
			b.Error("a repetition has the time of the first attempt")
		}
		for _, p := range b.rec.posts {
			for _, secret := range []string{someSecret, other} {
				judge, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					b.Fatal(err)
				}
				if err := judge.VerifyIgnoringTimestamp(p.body, p.header); err != nil {
					b.Error(err)
				}
				if judge.VerifyIgnoringTimestamp(append(p.body[:len(p.body):len(p.body)], ' '), p.header) == nil {
					b.Error("a changed body verifies")
				}
			}
		}
		var got map[string]any
		if err := json.Unmarshal(end.body, &got); err != nil {
			b.Fatal(err)
		}
		want := map[string]any{"specversion": "1.0", "id": end.id, "source": "https://chat.example", "type": "holdfast.run.ended",
			"subject": "chat-1", "time": end.at.UTC().Format("2006-01-02T15:04:05.000Z"), "datacontenttype": "application/json",
			"data": map[string]any{"id": "r1", "data": nil}}
		if d := cmp.Diff(want, got); d != "" {
			b.Error(d)
		}
		if ct := end.header.Get("Content-Type"); ct != "application/cloudevents+json; charset=utf-8" {
			b.Errorf("Content-Type %q", ct)
		}
	})
}

func TestWhatAnEndpointGets(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Endpoint)
		want   []string
	}{
		"the default": {func(*Endpoint) {}, []string{"m1", "r1", "r2"}},
		"all":         {func(e *Endpoint) { e.Events = Types() }, []string{"m1", "requested", "r1", "stopped", "r2", "too_late", "joined", "away", "back", "left"}},
		"members":     {func(e *Endpoint) { e.Events = []Type{MemberLeft, MemberJoined} }, []string{"joined", "left"}},
		"who is away": {func(e *Endpoint) { e.Events = []Type{MemberAway, MemberBack} }, []string{"away", "back"}},
		"ends":        {func(e *Endpoint) { e.Events = []Type{RunEnded} }, []string{"r1", "r2"}},
		"messages":    {func(e *Endpoint) { e.Events = []Type{MessageCreated} }, []string{"m1"}},
		"stops":       {func(e *Endpoint) { e.Events = []Type{StopRequested, StopSettled} }, []string{"requested", "stopped", "too_late"}},
		"their ends":  {func(e *Endpoint) { e.Events = []Type{StopSettled} }, []string{"stopped", "too_late"}},
		"sessions":    {func(e *Endpoint) { e.Sessions = []string{"x", "chat-*"} }, []string{"m1", "r1", "r2"}},
		"not of this": {func(e *Endpoint) { e.Sessions = []string{"chat"} }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(o *Options) { c.change(&o.Endpoints[0]) }, func(b *bench) {
				b.say("chat-1/m1")
				b.stops("chat-1")
				b.members("chat-1")
				b.same("chat-1", c.want...)
				b.pass(flushEvery)
				if st := b.status(); st.Behind != 0 || st.Place == "" {
					b.Errorf("%+v", st)
				}
			})
		})
	}
}

// The trace of the request that wrote an entry goes with the event, also when it is sent again, from a dead letter too; where there is
// none, none is made up.
func TestTraces(t *testing.T) {
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	inBubble(t, func(o *Options) { o.Retries = []time.Duration{time.Second} }, func(b *bench) {
		b.rec.answer = always(500)
		ctx := b.ctx
		b.ctx = driver.WithTrace(ctx, traceparent)
		b.say("a/1")
		b.ctx = driver.WithTrace(ctx, "nonsense")
		b.say("b/1")
		b.ctx = ctx
		b.say("c/1")
		b.pass(time.Minute)
		b.rec.change(func() { b.rec.answer = ok })
		if n, err := b.d.ReplayLetters(b.Context(), "default", nil); n != 3 || err != nil {
			b.Fatalf("%d, %v", n, err)
		}
		b.pass(time.Minute)
		count := map[holdfast.SessionID]int{}
		for _, p := range b.rec.posts {
			want := ""
			if count[p.session]++; p.session == "a" {
				want = traceparent
			}
			var ev map[string]any
			if err := json.Unmarshal(p.body, &ev); err != nil {
				b.Fatal(err)
			}
			got, there := ev["traceparent"]
			if p.header.Get("traceparent") != want || there != (want != "") || there && got != want {
				b.Errorf("%s: header %q, in the event %v, want %q", p.session, p.header.Get("traceparent"), got, want)
			}
		}
		if d := cmp.Diff(map[holdfast.SessionID]int{"a": 3, "b": 3, "c": 3}, count); d != "" {
			b.Error(d)
		}
		if text := b.out.String(); !strings.Contains(text, "trace_id=4bf92f3577b34da6a3ce929d0e0e4736") {
			b.Errorf("who looks for the trace does not find it in the log: %s", text)
		}
	})
}

// A new endpoint does not get what was before it; one that was away gets what it missed.
func TestWhereAnEndpointBegins(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		b.say("a/0")
		b.say("a/1")
		b.stop()
		b.say("a/2")
		b.start()
		b.same("a", "0", "1", "2")
		if n := b.rec.count(); n != 3 {
			b.Errorf("after a stop in peace %d requests were made for 3 events", n)
		}
		b.opts.Endpoints[0].Name = "new"
		b.stop()
		before := b.rec.count()
		b.pass(time.Second)
		b.start()
		b.say("a/3")
		b.same("a", "0", "1", "2", "3")
		if n := b.rec.count() - before; n != 1 {
			b.Errorf("the new endpoint got %d events", n)
		}
	})
}

// A poisoned event holds up nobody else, its own session not for ever, and can be sent again.
func TestAPoisonedEvent(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		poisoned := true
		b.rec.answer = func(p *post) (int, map[string]string) {
			if p.entry == "bad" && poisoned {
				return 500, nil
			}
			return 200, nil
		}
		b.say("a/1", "a/bad", "a/2", "b/1")
		b.run("a", "3", holdfast.RunComplete)
		b.same("a", "1")
		b.same("b", "1")
		for n := range 40 {
			b.pass(time.Hour)
			b.say(fmt.Sprintf("b/%d", n+2))
			if got := len(b.rec.took("b")); got != n+2 {
				b.Fatalf("another session has %d events of %d", got, n+2)
			}
		}
		b.same("a", "1", "2", "3")
		all := b.letters()
		if len(all) != 1 || all[0].Session != "a" || all[0].Attempts != 7 || !strings.Contains(all[0].Error, "500") || all[0].Again {
			b.Fatalf("%+v", all)
		}
		tries := 0
		for _, p := range b.rec.posts {
			if p.entry == "bad" {
				tries++
				if p.id != all[0].ID || string(p.body) != all[0].Event {
					b.Errorf("the letter %+v is not what was sent: %s %s", all[0], p.id, p.body)
				}
			}
		}
		if tries != 7 {
			b.Errorf("it was tried %d times", tries)
		}
		b.replayLetters(all[0].ID)
		if again := b.letters(); len(again) != 1 || again[0].Attempts != 8 || again[0].Again {
			b.Errorf("after another refusal %+v", again)
		}
		b.stop() // letters survive a restart
		b.start()
		b.rec.change(func() { poisoned = false })
		b.replayLetters()
		b.same("a", "1", "2", "3", "bad")
		if left := b.letters(); len(left) != 0 {
			b.Errorf("%d letters are left", len(left))
		}
	})
}

func (b *bench) replayLetters(ids ...string) {
	b.Helper()
	if n, err := b.d.ReplayLetters(b.Context(), "default", ids); err != nil || n != 1 {
		b.Errorf("%d, %v", n, err)
	}
	b.pass(time.Second)
}

func TestLettersEnd(t *testing.T) {
	inBubble(t, func(o *Options) { o.Retries = []time.Duration{time.Second} }, func(b *bench) {
		b.rec.change(func() { b.rec.answer = always(400) })
		b.say("a/1", "a/2", "a/3")
		b.pass(time.Minute)
		all := b.letters()
		if len(all) != 3 || all[0].ID >= all[1].ID || all[1].ID >= all[2].ID {
			b.Fatalf("%+v", all)
		}
		page, err := b.d.Letters(b.Context(), "default", all[0].ID, 1)
		if err != nil || len(page) != 1 || page[0] != all[1] {
			b.Errorf("%+v, %v", page, err)
		}
		if err := b.d.DropLetter(b.Context(), "default", all[0].ID); err != nil {
			b.Error(err)
		}
		_, err = b.d.ReplayLetters(b.Context(), "default", []string{all[0].ID})
		for _, err := range []error{err, b.d.DropLetter(b.Context(), "default", all[0].ID), b.d.Enable(b.Context(), "none")} {
			if holdfast.CodeOf(err) != holdfast.CodeNotFound {
				b.Error(err)
			}
		}
		if len(b.letters()) != 2 {
			b.Error("none was dropped")
		}
		b.pass(31 * 24 * time.Hour)
		if len(b.letters()) != 0 || !strings.Contains(b.out.String(), "letters=2") {
			b.Error("they are kept for ever")
		}
	})
}

func TestAnswersThatAreNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header map[string]string
		wait   time.Duration // at least
		most   time.Duration
	}{
		"a redirect is not followed": {302, map[string]string{"Location": "https://elsewhere.example/"}, 0, 5 * time.Second},
		"no answer in time":          {hang, nil, 15 * time.Second, 20 * time.Second},
		"too many":                   {429, map[string]string{"Retry-After": "90"}, 90 * time.Second, 90 * time.Second},
		"busy until a date": {503, map[string]string{"Retry-After": time.Date(2000, 1, 1, 0, 2, 0, 0, time.UTC).Format("Mon, 02 Jan 2006 15:04:05 GMT")},
			119 * time.Second, 2 * time.Minute},
		"nonsense as a time": {503, map[string]string{"Retry-After": "soon"}, 0, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(b *bench) {
				b.rec.answer = func(p *post) (int, map[string]string) {
					if len(b.rec.posts) == 0 {
						return c.status, c.header
					}
					return 204, nil
				}
				b.say("a/1")
				b.pass(5 * time.Minute)
				b.same("a", "1")
				if n := b.rec.count(); n != 2 {
					b.Fatalf("%d requests", n)
				}
				if got := b.rec.posts[1].at.Sub(b.rec.posts[0].at); got < c.wait || got > c.most {
					b.Errorf("it waited %v, want %v to %v", got, c.wait, c.most)
				}
			})
		})
	}
}

// Hanging on some sessions' events must not keep the others from going on.
func TestAReceiverThatHangsOnSome(t *testing.T) {
	inBubble(t, func(o *Options) { o.Concurrency = 4 }, func(b *bench) {
		b.rec.answer = func(p *post) (int, map[string]string) {
			if strings.HasPrefix(string(p.session), "bad") {
				return hang, nil
			}
			return 200, nil
		}
		for n := range 20 {
			b.say(fmt.Sprintf("bad%d/1", n))
		}
		b.pass(5 * time.Minute)
		for n := range 20 {
			b.say(fmt.Sprintf("good/%d", n))
			b.pass(time.Second)
			if got := len(b.rec.took("good")); got != n+1 {
				b.Fatalf("%d of %d", got, n+1)
			}
			b.pass(3 * time.Second)
		}
	})
}

// An attempt that a command or the server's stop breaks off is none.
func TestStoppingInTheMiddle(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		b.rec.change(func() { b.rec.answer = always(hang) })
		b.say("a/1")
		for what, do := range map[string]func(){
			"command": func() {
				if err := b.d.Enable(b.Context(), "default"); err != nil {
					b.Error(err)
				}
			},
			"stop": b.stop,
		} {
			do()
			if what == "stop" {
				b.start()
			}
			left, err := b.log.Consumers(b.Context(), "webhook/", "", 10)
			if err != nil || len(left) != 1 || !strings.HasSuffix(left[0].Name, "/place") {
				b.Errorf("after a %s it counts as a failure: %v, %v", what, left, err)
			}
		}
		b.stop()
		b.rec.change(func() { b.rec.answer = ok })
		b.start()
		b.pass(time.Second)
		b.same("a", "1")
	})
}

func TestGoneDisablesForGood(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		gone := true
		b.rec.answer = func(*post) (int, map[string]string) {
			if gone {
				return 410, nil
			}
			return 200, nil
		}
		b.say("a/1")
		b.say("a/2", "b/1")
		b.pass(100 * time.Hour)
		b.stop()
		b.start()
		b.pass(time.Hour)
		if n := b.rec.count(); n != 1 {
			b.Errorf("%d requests", n)
		}
		if st := b.status(); !strings.Contains(st.Disabled, "410") || strings.Count(b.out.String(), "is disabled") != 2 {
			b.Errorf("%+v\n%s", st, b.out.String())
		}
		b.rec.change(func() { gone = false })
		if err := b.d.Enable(b.Context(), "default"); err != nil {
			b.Fatal(err)
		}
		b.pass(time.Second)
		b.same("a", "1", "2")
		b.same("b", "1")
		b.stop()
		b.start()
		if st := b.status(); st.Disabled != "" {
			b.Errorf("%+v", st)
		}
	})
}

// A receiver that is down for hours costs what the bound says, misses nothing, and has everything soon after it is back.
func TestDownForHours(t *testing.T) {
	inBubble(t, func(o *Options) { o.MaxBehind = 50 }, func(b *bench) {
		down := true
		b.rec.answer = func(*post) (int, map[string]string) {
			if down {
				return refuse, nil
			}
			return 200, nil
		}
		for hour := range 6 {
			for n := range 200 {
				b.say(fmt.Sprintf("s%d/%d", n, hour))
			}
			b.pass(time.Hour)
			if st := b.status(); st.Behind > 50+2*16 || !st.Failing {
				b.Fatalf("%+v", st)
			}
		}
		b.rec.change(func() { down = false })
		b.pass(time.Minute)
		for n := range 200 {
			b.same(holdfast.SessionID(fmt.Sprint("s", n)), "0", "1", "2", "3", "4", "5")
		}
		b.pass(time.Second)
		if st := b.status(); st.Behind != 0 || st.Failing || len(b.letters()) != 0 {
			b.Errorf("%+v", st)
		}
		if lines := strings.Count(b.out.String(), "\n"); lines > 10 {
			b.Errorf("the log has %d lines", lines)
		}
		left, err := b.log.Consumers(b.Context(), "webhook/", "", 1000)
		if err != nil || len(left) != 1 {
			b.Errorf("what is stored in the end: %v, %v", left, err)
		}
	})
}

func TestReplayFromThePast(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		b.say("a/1", "b/1")
		b.pass(time.Minute)
		noon := time.Now()
		b.say("a/2")
		items, err := b.log.Feed(b.Context(), "", 10)
		if err != nil {
			b.Fatal(err)
		}
		sent := func(do func() error) (ids []string) {
			before := b.rec.count()
			if err := do(); err != nil {
				b.Fatal(err)
			}
			b.pass(time.Second)
			for _, p := range b.rec.posts[before:] {
				ids = append(ids, string(p.session)+p.entry)
			}
			slices.Sort(ids)
			return ids
		}
		replay := func(after string, since time.Time) func() error {
			return func() error { return b.d.Replay(b.Context(), "default", after, since) }
		}
		for name, c := range map[string]struct {
			got, want []string
		}{
			"all":          {sent(replay("", time.Time{})), []string{"a1", "a2", "b1"}},
			"after":        {sent(replay(items[0].Cursor, time.Time{})), []string{"a2", "b1"}},
			"since":        {sent(replay("", noon)), []string{"a2"}},
			"what is next": {sent(func() error { b.say("c/1"); return nil }), []string{"c1"}},
			"after a restart": {sent(func() error {
				b.stop()
				b.start()
				return nil
			}), nil},
		} {
			if d := cmp.Diff(c.want, c.got); d != "" {
				b.Errorf("%s (-want +got):\n%s", name, d)
			}
		}
		if err := b.d.Replay(b.Context(), "default", "x", time.Time{}); holdfast.CodeOf(err) != holdfast.CodeInvalid {
			b.Error(err)
		}
	})
}

// A replay breaks off what hangs, and lanes of before mean nothing after it.
func TestReplayUnderFire(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		bad := true
		b.rec.answer = func(p *post) (int, map[string]string) {
			if !bad {
				return 200, nil
			}
			if p.session == "a" {
				return hang, nil
			}
			return 500, nil
		}
		b.say("a/1", "a/2", "b/1")
		b.rec.change(func() { bad = false })
		before := time.Now()
		if err := b.d.Replay(b.Context(), "default", "", time.Time{}); err != nil {
			b.Fatal(err)
		}
		if took := time.Since(before); took > time.Second {
			b.Errorf("it took %v", took)
		}
		b.pass(time.Second)
		b.same("a", "1", "2")
		b.same("b", "1")
		left, err := b.log.Consumers(b.Context(), "webhook/", "", 1000)
		if err != nil || len(left) != 1 {
			b.Errorf("what is stored in the end: %v, %v", left, err)
		}
	})
}

func TestWhatTheFeedHasDropped(t *testing.T) {
	inBubble(t, nil, func(b *bench) {
		b.rec.change(func() { b.rec.answer = always(refuse) })
		b.say("a/1")
		b.pass(time.Minute)
		b.stop()
		b.say("b/1")
		if err := b.log.TrimFeed(b.Context(), time.Now().Add(time.Second)); err != nil {
			b.Fatal(err)
		}
		b.start()
		b.rec.change(func() { b.rec.answer = ok })
		b.pass(time.Minute)
		b.say("a/2", "b/2")
		b.pass(time.Minute)
		b.same("a", "2")
		b.same("b", "2")
		if !strings.Contains(b.out.String(), "were dropped by the feed's retention") {
			b.Error("nobody is told")
		}
	})
}

func TestBadEndpoints(t *testing.T) {
	good := func() Endpoint {
		return Endpoint{URL: "https://a.example/x", Secrets: []Secret{mustSecret(t, someSecret)}}
	}
	for name, c := range map[string]struct {
		change func(*Endpoint)
		text   string
	}{
		"name":   {func(e *Endpoint) { e.Name = "A b" }, "name"},
		"scheme": {func(e *Endpoint) { e.URL = "ftp://a.example" }, "http"},
		"user":   {func(e *Endpoint) { e.URL = "https://u:secret@a.example" }, "without a user"},
		"secret": {func(e *Endpoint) { e.Secrets = nil }, "no secret"},
		"events": {func(e *Endpoint) { e.Events = []Type{"holdfast.message.sent"} }, "holdfast.message.created"},
	} {
		end := good()
		c.change(&end)
		_, err := New(Options{Endpoints: []Endpoint{end}})
		if holdfast.CodeOf(err) != holdfast.CodeInvalid || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{Endpoints: []Endpoint{good(), good()}}); err == nil {
		t.Error("two of one name")
	}
	for _, bad := range []string{"", "x", "whsec_", "whsec_AAAA", "whsec_*", strings.TrimPrefix(someSecret, "whsec_")} {
		if _, err := ParseSecret(bad); err == nil {
			t.Errorf("%q is taken for a secret", bad)
		}
	}
	if all, err := ParseSecrets("\n" + someSecret + "\n\n" + someSecret + "\n"); err != nil || len(all) != 2 || fmt.Sprint(all) != "[whsec_… whsec_…]" {
		t.Errorf("%v, %v", all, err)
	}
}
