package llm_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/fakemodel"
	"github.com/holdfast/holdfast/llm"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// nobody lets nobody in: these tests use no sockets of the server.
type nobody struct{}

func (nobody) Verify(context.Context, string) (holdfast.Grant, error) {
	return holdfast.Grant{}, holdfast.Errorf(holdfast.CodeUnauthorized, "nobody is let in")
}

func serve(t *testing.T) *server.Server {
	t.Helper()
	srv, err := server.New(server.Options{Auth: nobody{}, Store: memory.New(memory.Options{}), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- srv.Run(ctx) }() // ends with ctx, received in the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

func TestAnAnswerInASession(t *testing.T) {
	model := httptest.NewServer(&fakemodel.Model{})
	defer model.Close()
	srv := serve(t)
	run, err := srv.Session("chat-1").OpenRun(t.Context(), server.RunOptions{ID: "answer-1"})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := llm.Do(model.Client(), request(t, model.URL, "/v1/messages", "think"), llm.Anthropic, run)
	if err != nil || answer.Finish != "stop" || answer.Usage.Output != 42 {
		t.Fatal(answer, err)
	}
	page, err := srv.Session("chat-1").Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	got := page.Entries[0].Run
	if got.Status != holdfast.RunComplete || got.Body.Text("") != fakemodel.Text || got.Body.Text("reasoning") != fakemodel.Thought {
		t.Errorf("the run is %s and says %q", got.Status, got.Body.Text(""))
	}
	if want := `{"finish":"stop","usage":{"input":11,"output":42},"model":"fake-1","id":"msg_fake"}`; string(got.End) != want {
		t.Errorf("its end is %s", got.End)
	}
}

// Somebody's stop ends the provider's request, and the run as stopped, long before the server would.
func TestAStopCancelsTheProviderAndIsHeeded(t *testing.T) {
	gone := make(chan struct{}, 1)
	model := httptest.NewServer(&fakemodel.Model{Word: time.Millisecond, Gone: gone})
	defer model.Close()
	chat := serve(t).Session("chat-1")
	run, err := chat.OpenRun(t.Context(), server.RunOptions{ID: "answer-1"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { // ends with the run; received below
		_, err := llm.Do(model.Client(), request(t, model.URL, "/v1/chat/completions", "long"), llm.OpenAI, run)
		ended <- err
	}()
	for run.Info().Fragments < 3 {
		if t.Context().Err() != nil {
			t.Fatal("nothing came")
		}
	}
	if _, err := chat.Stop(t.Context(), server.StopRequest{ID: "x", Run: 1}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; holdfast.CodeOf(err) != holdfast.CodeStopped {
		t.Errorf("it ended with %v", err)
	}
	<-gone
	page, err := chat.Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if got := page.Entries[0].Run; got.Status != holdfast.RunStopped || got.Stop.State != holdfast.StopStopped || len(got.End) == 0 {
		t.Errorf("the run is %s, its stop %+v, its end %s", got.Status, got.Stop, got.End)
	}
}

// Whoever ends a run ends the provider's request, and nothing is appended after the end.
func TestAStoppedRunCancelsTheProvider(t *testing.T) {
	gone := make(chan struct{}, 1)
	model := httptest.NewServer(&fakemodel.Model{Word: time.Millisecond, Gone: gone})
	defer model.Close()
	srv := serve(t)
	chat := srv.Session("chat-1")
	run, err := chat.OpenRun(t.Context(), server.RunOptions{ID: "answer-1"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { // ends with the run; received below
		_, err := llm.Do(model.Client(), request(t, model.URL, "/v1/chat/completions", "long"), llm.OpenAI, run)
		ended <- err
	}()
	for run.Info().Fragments < 3 {
		if t.Context().Err() != nil {
			t.Fatal("nothing came")
		}
	}
	other, err := chat.OpenRun(t.Context(), server.RunOptions{ID: "answer-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.End(t.Context(), holdfast.RunStopped, nil); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; holdfast.CodeOf(err) != holdfast.CodeEnded {
		t.Errorf("it ended with %v", err)
	}
	<-gone
	page, err := chat.Read(t.Context(), driver.Query{})
	if err != nil {
		t.Fatal(err)
	}
	got := page.Entries[0].Run
	if got.Status != holdfast.RunStopped || !strings.HasPrefix(strings.Repeat(fakemodel.Text+"\n\n", 20), got.Body.Text("")) {
		t.Errorf("the run is %s and says %q", got.Status, got.Body.Text(""))
	}
}
