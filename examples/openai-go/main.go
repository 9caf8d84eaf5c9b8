// Command openai-go is a chat in a terminal: one program that serves Holdfast, answers what is asked with an
// OpenAI-compatible model, and shows the answer as any other reader of the session would see it.
//
// It keeps nothing on disk, so that it can be tried anywhere; a real one would open its store with store/pebble.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast/holdfast"
	"github.com/holdfast/holdfast/internal/fakemodel"
	"github.com/holdfast/holdfast/llm"
	"github.com/holdfast/holdfast/server"
	"github.com/holdfast/holdfast/store/driver"
	"github.com/holdfast/holdfast/store/memory"
)

// chat is the session that is talked in.
const chat = holdfast.SessionID("chat-1")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv, os.Stdin, os.Stdout); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run talks until there are no more questions, or ctx ends.
func run(ctx context.Context, env func(string) string, in io.Reader, out io.Writer) error {
	m, err := modelFrom(env)
	if err != nil {
		return err
	}
	defer m.close()
	srv, err := server.New(server.Options{Auth: nobody{}, Store: memory.New(memory.Options{})})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }() // ends with ctx, received below
	fmt.Fprint(out, "Ask something; an empty line ends it.\n> ")
	for lines := bufio.NewScanner(in); lines.Scan() && lines.Text() != "" && err == nil; {
		if err = ask(ctx, srv, m, lines.Text(), out); err == nil {
			fmt.Fprint(out, "\n> ")
		}
	}
	cancel()
	return errors.Join(err, <-ended, srv.Close())
}

// ask writes a question into the session and answers it.
func ask(ctx context.Context, srv *server.Server, m *model, text string, out io.Writer) error {
	data, err := json.Marshal(message{"user", text})
	if err != nil {
		return err
	}
	asked, err := srv.Session(chat).Append(ctx, "", data)
	if err != nil {
		return err
	}
	// The id makes a program that crashes and starts again go on with this run, rather than answer twice.
	id := fmt.Sprintf("answer-%d", asked.Offset)
	about := fmt.Appendf(nil, `{"answers":%d}`, asked.Offset)
	run, err := srv.Session(chat).OpenRun(ctx, server.RunOptions{ID: id, Data: about})
	if err != nil {
		return err
	}
	req, err := m.request(ctx, srv)
	if err != nil {
		return err
	}
	shown := make(chan error, 1)
	go func() { shown <- show(ctx, srv, run.Info().Run, out) }() // ends with the run or ctx, received below
	// Everything between the provider's event stream and the session is in this call.
	_, err = llm.Do(http.DefaultClient, req, llm.OpenAI, run)
	var failed *llm.Error
	if errors.As(err, &failed) {
		err = nil // readers were told, in the end of the run
	}
	return errors.Join(err, <-shown)
}

// show prints a run as it grows. A page in a browser does the same over its connection, and goes on where it was when that
// was cut.
func show(ctx context.Context, srv *server.Server, at holdfast.Offset, out io.Writer) error {
	printed := 0
	for {
		page, err := srv.Session(chat).Read(ctx, driver.Query{After: at - 1, Limit: 1})
		if err != nil {
			return err
		}
		r := page.Entries[0].Run
		text := r.Body.Text("")
		fmt.Fprint(out, text[printed:])
		printed = len(text)
		if r.Status.Ended() {
			fmt.Fprintf(out, "\n[%s %s]", r.Status, r.End)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// message is what the session's messages hold, and what the model takes.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// model is an OpenAI-compatible provider.
type model struct {
	url, name, key string
	close          func()
}

// modelFrom takes the provider of the environment, or one that needs no network.
func modelFrom(env func(string) string) (*model, error) {
	if url := env("OPENAI_BASE_URL"); url != "" {
		return &model{url, env("OPENAI_MODEL"), env("OPENAI_API_KEY"), func() {}}, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	fake := &http.Server{Handler: &fakemodel.Model{Word: 30 * time.Millisecond}, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- fake.Serve(l) }() // ends with Close, received by close
	return &model{"http://" + l.Addr().String() + "/v1", "fake-1", "", func() {
		_ = fake.Close()
		<-ended
	}}, nil
}

// request asks for an answer to all that was said so far: the session is the conversation, and needs no copy elsewhere.
func (m *model) request(ctx context.Context, srv *server.Server) (*http.Request, error) {
	page, err := srv.Session(chat).Read(ctx, driver.Query{})
	if err != nil {
		return nil, err
	}
	var said []message
	for _, e := range page.Entries {
		var q message
		switch {
		case e.Kind == holdfast.KindRun && e.Run.Status.Ended():
			said = append(said, message{"assistant", e.Run.Body.Text("")})
		case e.Kind == holdfast.KindMessage && json.Unmarshal(e.Data, &q) == nil:
			said = append(said, q)
		}
	}
	body, err := json.Marshal(map[string]any{
		"model": m.name, "messages": said, "stream": true, "stream_options": map[string]bool{"include_usage": true},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if m.key != "" {
		req.Header.Set("Authorization", "Bearer "+m.key)
	}
	return req, nil
}

// nobody lets nobody in: this program serves no sockets. One that serves pages gives server.NewJWT.
type nobody struct{}

func (nobody) Verify(context.Context, string) (holdfast.Grant, error) {
	return holdfast.Grant{}, holdfast.Errorf(holdfast.CodeUnauthorized, "nobody is let in")
}
