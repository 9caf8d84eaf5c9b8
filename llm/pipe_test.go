package llm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/fakemodel"
	"github.com/holdfast/holdfast/llm"
)

// say is the event of a chat completion that says s.
func say(s string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", s)
}

const done = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"

// answer runs the piping of what is written to in, and tells how it ended.
func answer(t *testing.T, ctx context.Context, r *record) (in *io.PipeWriter, ended chan error) {
	t.Helper()
	out, in := io.Pipe()
	ended = make(chan error, 1)
	res := &http.Response{StatusCode: http.StatusOK, Body: out}
	go func() { // ends with the stream, the run or ctx; received by the test
		_, err := llm.Pipe(ctx, res, llm.OpenAI, r)
		ended <- err
	}()
	return in, ended
}

func TestPiecesThatWaitAreJoinedAndKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t)
		r.gate = make(chan struct{})
		in, ended := answer(t, t.Context(), r)
		_, _ = io.WriteString(in, say("a"))
		synctest.Wait() // "a" is being appended
		_, _ = io.WriteString(in, say("b")+say("c"))
		_, _ = io.WriteString(in, `data: {"choices":[{"delta":{"reasoning":"hm"}}]}`+"\n\n"+say("d")+say("e")+done)
		_ = in.Close()
		synctest.Wait()
		close(r.gate)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range r.fragments {
			got = append(got, f.Part+"|"+f.Text)
		}
		if s := strings.Join(got, " "); s != "|a |bc reasoning|hm |de" {
			t.Errorf("appended %q", s)
		}
	})
}

func TestASlowStoreHoldsUpTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t)
		r.gate = make(chan struct{})
		in, ended := answer(t, t.Context(), r)
		const pieces, size = 64, 64 << 10
		sent := make(chan int, 1)
		go func() { // ends when all is taken; received below
			n := 0
			for ; n < pieces; n++ {
				if _, err := io.WriteString(in, say(strings.Repeat("é", size/2))); err != nil {
					break
				}
			}
			_, _ = io.WriteString(in, done)
			_ = in.Close()
			sent <- n
		}()
		synctest.Wait()
		select {
		case n := <-sent:
			t.Fatalf("all %d pieces were taken while nothing could be appended", n)
		default:
		}
		close(r.gate)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		<-sent
		if got := len(r.body().Text("")); got != pieces*size {
			t.Errorf("the run has %d bytes, want %d", got, pieces*size)
		}
		for _, f := range r.fragments {
			if len(f.Text) > 64<<10 {
				t.Fatalf("a fragment of %d bytes", len(f.Text))
			}
		}
	})
}

func TestARunThatEndsEndsTheRequest(t *testing.T) {
	for _, how := range []string{"long", "fail:slow", "long fail:slow"} {
		t.Run(how, func(t *testing.T) {
			gone := make(chan struct{}, 1)
			model := httptest.NewServer(&fakemodel.Model{Word: time.Millisecond, Gone: gone})
			defer model.Close()
			r := newRecord(t)
			r.begun = make(chan struct{}, 10_000)
			ended := make(chan error, 1)
			go func() { // ends with the run; received below
				_, err := llm.Do(model.Client(), request(t, model.URL, "/v1/messages", how), llm.Anthropic, r)
				ended <- err
			}()
			<-r.begun
			stopped := holdfast.Errorf(holdfast.CodeEnded, "the run has ended: stopped")
			r.cancel(stopped)
			if err := <-ended; !errors.Is(err, stopped) {
				t.Errorf("it ended with %v", err)
			}
			<-gone
			if r.status != "" {
				t.Errorf("a run that had ended was ended again, as %s", r.status)
			}
		})
	}
}

func request(t *testing.T, url, path, text string) *http.Request {
	t.Helper()
	body := fmt.Sprintf(`{"stream":true,"messages":[{"role":"user","content":%q}]}`, text)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestAContextThatEndsLeavesTheRunOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRecord(t)
		in, ended := answer(t, ctx, r)
		_, _ = io.WriteString(in, say("half"))
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if r.status != "" || r.body().Text("") != "half" {
			t.Errorf("the run has %q and is %q, want it open with what was said", r.body().Text(""), r.status)
		}
	})
}

func TestASilentProviderKeepsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t)
		in, ended := answer(t, t.Context(), r)
		_, _ = io.WriteString(in, say("let me think"))
		<-time.After(time.Minute)
		_, _ = io.WriteString(in, done)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if r.beats < 3 {
			t.Errorf("%d beats in a minute", r.beats)
		}
	})
}

func TestAWriteThatFailsEndsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord(t)
		full := holdfast.Errorf(holdfast.CodeTooLarge, "the run is full")
		r.refuse = func(n int) error {
			if n > 1 {
				return full
			}
			return nil
		}
		in, ended := answer(t, t.Context(), r)
		_, _ = io.WriteString(in, say("a"))
		synctest.Wait()
		_, _ = io.WriteString(in, say("b"))
		synctest.Wait()
		_, _ = io.WriteString(in, say("c"))
		if err := <-ended; !errors.Is(err, full) {
			t.Errorf("it ended with %v", err)
		}
		if r.status != holdfast.RunFailed || r.body().Text("") != "a" {
			t.Errorf("the run has %q and is %q", r.body().Text(""), r.status)
		}
	})
}

func TestProvidersThatDoNotAnswer(t *testing.T) {
	model := httptest.NewServer(&fakemodel.Model{})
	defer model.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":{"message":"Incorrect API key provided: sk-secret"}}`, http.StatusUnauthorized)
	}))
	defer refusing.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	cases := map[string]struct {
		url, text string
		code      llm.Code
	}{
		"busy":       {model.URL, "fail:status", llm.CodeUnavailable},
		"a bad key":  {refusing.URL, "hi", llm.CodeRefused},
		"not there":  {gone.URL, "hi", llm.CodeUnavailable},
		"cut":        {model.URL, "fail:cut", llm.CodeCut},
		"an error":   {model.URL, "fail:error", llm.CodeBusy},
		"no JSON":    {model.URL, "fail:garbage", llm.CodeInvalid},
		"no message": {model.URL, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRecord(t)
			_, err := llm.Do(http.DefaultClient, request(t, c.url, "/v1/chat/completions", c.text), llm.OpenAI, r)
			var failed *llm.Error
			if c.code == "" {
				if err != nil || r.status != holdfast.RunComplete {
					t.Errorf("the run is %q: %v", r.status, err)
				}
				return
			}
			if !errors.As(err, &failed) || failed.Code != c.code {
				t.Fatalf("failed with %v, want %s", err, c.code)
			}
			if r.status != holdfast.RunFailed || !strings.Contains(string(r.end), string(c.code)) {
				t.Errorf("the run is %q: %s", r.status, r.end)
			}
			if strings.Contains(string(r.end), "secret") {
				t.Errorf("readers get what the provider said: %s", r.end)
			}
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAnEventWithoutEndIsRefused(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("data: "), neverEnding('x'))
	r := newRecord(t)
	_, err := llm.PipeReader(t.Context(), endless, llm.OpenAI, r)
	var failed *llm.Error
	if !errors.As(err, &failed) || failed.Code != llm.CodeInvalid || r.status != holdfast.RunFailed {
		t.Errorf("the run is %q: %v", r.status, err)
	}
}

// neverEnding is a stream of one byte.
type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// Both formats say the same, and so do their runs.
func TestBothFormatsGiveOneRun(t *testing.T) {
	model := httptest.NewServer(&fakemodel.Model{})
	defer model.Close()
	for _, text := range []string{"hi", "think", "think and use a tool", "long"} {
		a, b := newRecord(t), newRecord(t)
		if _, err := llm.Do(model.Client(), request(t, model.URL, "/v1/chat/completions", text), llm.OpenAI, a); err != nil {
			t.Fatal(err)
		}
		if _, err := llm.Do(model.Client(), request(t, model.URL, "/v1/messages", text), llm.Anthropic, b); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"", "reasoning"} {
			if x, y := a.body().Text(part), b.body().Text(part); x != y {
				t.Errorf("%s: part %q is %q and %q", text, part, x, y)
			}
		}
		if x, y := a.body().Text("tool:call_1"), b.body().Text("tool:toolu_1"); x != y || strings.Contains(text, "tool") != (x != "") {
			t.Errorf("%s: the tool gets %q and %q", text, x, y)
		}
	}
}
