// Package fakemodel is a language model's provider that needs no network: it speaks the wire formats of OpenAI (chat
// completions) and of Anthropic (messages), answers every question with the same text at a steady pace, and fails in the
// ways that providers do, when the question asks for it. The examples run on it by default, and tests of the bridges
// always do.
//
// What the last message of a request says decides what comes: with "tool" in it the model calls a tool before it answers,
// with "think" it reasons first, with "long" the answer is long, and with "fail:<how>" it fails, see [Model].
package fakemodel

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Model answers on /v1/chat/completions and on /v1/messages. The ways to fail are cut (the connection ends inside an event),
// error (an event that says so), status (503 before anything else), slow (nothing comes until the caller leaves) and
// garbage (an event that is no JSON).
type Model struct {
	// Word is how long the model takes for a word. 0: no time.
	Word time.Duration
	// Gone is told of callers who left in mid-answer; may be nil.
	Gone chan<- struct{}
}

// question is what is read of a request, in either format.
type question struct {
	Stream   bool `json:"stream"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
}

// last is the role of the last message, and what it says as far as that is text.
func (q *question) last() (role, said string) {
	if len(q.Messages) == 0 {
		return "", ""
	}
	m := q.Messages[len(q.Messages)-1]
	if json.Unmarshal(m.Content, &said) != nil {
		said = string(m.Content) // a list of parts; its text is in there
	}
	return m.Role, said
}

// ServeHTTP implements [http.Handler].
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil || json.Unmarshal(body, &q) != nil || len(q.Messages) == 0 {
		http.Error(w, `{"error":{"type":"invalid_request_error","message":"messages are missing"}}`, http.StatusBadRequest)
		return
	}
	role, said := q.last()
	s := &stream{w: w, r: r, model: m, rc: http.NewResponseController(w)}
	if strings.Contains(said, "fail:status") {
		http.Error(w, `{"error":{"type":"overloaded_error","message":"busy"}}`, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	steps := plan(role, said)
	switch {
	case strings.HasSuffix(r.URL.Path, "/chat/completions"):
		s.openAI(steps)
	case strings.HasSuffix(r.URL.Path, "/messages"):
		s.anthropic(steps)
	default:
		http.NotFound(w, r)
	}
	if r.Context().Err() != nil && m.Gone != nil {
		m.Gone <- struct{}{}
	}
}

// step is a piece of what the model does.
type step struct {
	kind string // think, say, tool or fail
	text string
}

// Text is what the model answers; Long is Text several times over.
const (
	Text = "A session is a log, and every reader is a cursor over it. Whoever was away reads on from where they were: " +
		"nothing is missing, nothing comes twice, not even – as here – the characters that take more than one byte. 👩‍🚀"
	longTimes = 20
)

// Thought is what it thinks before.
const Thought = "They ask about sessions. I should be brief."

// plan is what the model does for a question.
func plan(role, said string) []step {
	var out []step
	if strings.Contains(said, "think") {
		out = append(out, step{"think", Thought})
	}
	// With the tool's result in hand it does not call it again.
	if strings.Contains(said, "tool") && role == "user" {
		return append(out, step{"say", "Let me look."}, step{"tool", `{"city": "Paris", "days": 2}`})
	}
	text := Text
	if strings.Contains(said, "long") {
		text = strings.Repeat(Text+"\n\n", longTimes)
	}
	if _, how, fails := strings.Cut(said, "fail:"); fails {
		half := text[:strings.Index(text, "they were")]
		return append(out, step{"say", half}, step{"fail", how})
	}
	return append(out, step{"say", text})
}

// stream is one answer under way. It belongs to its request's goroutine.
type stream struct {
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	model *Model
	index int // of the block under way
}

// event sends one event; name may be "".
func (s *stream) event(name string, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // what is sent here can be marshalled
	}
	if name != "" {
		fmt.Fprintf(s.w, "event: %s\n", name)
	}
	fmt.Fprintf(s.w, "data: %s\n\n", b)
	_ = s.rc.Flush()
}

// words gives a text to say, word by word, and false if the caller has left.
func (s *stream) words(text string, say func(string)) bool {
	for _, word := range strings.SplitAfter(text, " ") {
		if s.model.Word > 0 {
			select {
			case <-time.After(s.model.Word):
			case <-s.r.Context().Done():
				return false
			}
		}
		say(word)
	}
	return s.r.Context().Err() == nil
}

// fail fails as asked; what it leaves out is that the answer ends.
func (s *stream) fail(how string) {
	switch {
	case strings.HasPrefix(how, "cut"):
		fmt.Fprint(s.w, "data: {\"id\":\"broken o")
		_ = s.rc.Flush()
		panic(http.ErrAbortHandler)
	case strings.HasPrefix(how, "error"):
		s.event("error", map[string]any{"type": "error", "error": object{"type": "overloaded_error", "message": "Overloaded: key sk-secret"}})
	case strings.HasPrefix(how, "slow"):
		<-s.r.Context().Done()
	case strings.HasPrefix(how, "garbage"):
		fmt.Fprint(s.w, "data: <html>not JSON</html>\n\n")
	}
}

type object map[string]any
