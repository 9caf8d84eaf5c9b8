package llm

import "encoding/json"

// Answer is what is known of an answer besides its contents, and what readers get with the end of its run.
type Answer struct {
	// Finish is why the model stopped: stop, length, tool-calls, content-filter or other.
	Finish string `json:"finish,omitempty"`
	// Usage is nil where the provider said nothing of it.
	Usage *Usage `json:"usage,omitempty"`
	Model string `json:"model,omitempty"`
	// ID is the provider's name of the answer.
	ID string `json:"id,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	// Input is what was read, Cached how much of it came from the provider's cache.
	Input  int `json:"input"`
	Cached int `json:"cached,omitempty"`
	// Output is what was written, Reasoning how much of it was thinking, where the provider tells.
	Output    int `json:"output"`
	Reasoning int `json:"reasoning,omitempty"`
}

// The names of parts.
const (
	partAnswer    = ""
	partReasoning = "reasoning"
	partRefusal   = "refusal"
	partSource    = "source"
)

// The values of Answer.Finish.
const (
	finishStop   = "stop"
	finishLength = "length"
	finishTools  = "tool-calls"
	finishFilter = "content-filter"
	finishOther  = "other"
)

// event is an event of a run, as the package's comment lists them.
type event struct {
	Type      string          `json:"type"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Provider  bool            `json:"provider,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     string          `json:"error,omitempty"`
	URL       string          `json:"url,omitempty"`
	Title     string          `json:"title,omitempty"`
	Signature string          `json:"signature,omitempty"`
	Data      string          `json:"data,omitempty"`
}

// writer turns what a provider says into what stands in a run. It belongs to the goroutine that reads the provider.
type writer struct {
	out interface {
		text(part, s string)
		event(part string, e json.RawMessage)
	}
	answer Answer
	// tool is the call whose arguments are coming, "" for none.
	tool string
	// tools counts calls.
	tools int
}

func (w *writer) text(part, s string) {
	if s != "" {
		w.out.text(part, s)
	}
}

func (w *writer) event(part string, e event) {
	b, err := json.Marshal(e)
	if err != nil {
		return // cannot be: the result is JSON that was read before, and nothing else in an event can fail
	}
	w.out.event(part, b)
}

// call begins a tool call. The one before it has its arguments by now.
func (w *writer) call(id, name string, provider bool) {
	w.ready()
	w.tool = id
	w.tools++
	w.event(toolPart(id), event{Type: "tool-call", ID: id, Name: name, Provider: provider})
}

// ready says that the arguments of the call under way are complete.
func (w *writer) ready() {
	if w.tool != "" {
		w.event(toolPart(w.tool), event{Type: "tool-ready", ID: w.tool})
		w.tool = ""
	}
}

func (w *writer) source(url, title string) {
	if url != "" {
		w.event(partSource, event{Type: "source", URL: url, Title: title})
	}
}

// toolPart names the part of a call.
func toolPart(id string) string { return "tool:" + id }

// callID makes of a provider's id one that can be part of a part's name: at most 200 characters, all of them visible ASCII.
func callID(id string) string {
	out := make([]byte, 0, min(len(id), 200))
	for i := 0; i < len(id) && len(out) < 200; i++ {
		if id[i] >= ' ' && id[i] <= '~' {
			out = append(out, id[i])
		}
	}
	return string(out)
}

// usage returns the answer's usage, to be filled in.
func (w *writer) usage() *Usage {
	if w.answer.Usage == nil {
		w.answer.Usage = &Usage{}
	}
	return w.answer.Usage
}
