package llm

import (
	"encoding/json"
	"strconv"
)

// openAI reads chat completions, and hands over to responses if the stream turns out to be of that kind.
type openAI struct {
	w         *writer
	responses *responses
	// calls are the ids of the tool calls, by the provider's index.
	calls map[int]string
}

func newOpenAI(w *writer) dialect { return &openAI{w: w, calls: map[int]string{}} }

type chatChunk struct {
	// Type is there in streams of responses only.
	Type    string       `json:"type"`
	ID      string       `json:"id"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage"`
	Error   *struct {
		Message string `json:"message"`
		Type    string `json:"type"`
		Code    any    `json:"code"`
	} `json:"error"`
}

type chatChoice struct {
	Index  int       `json:"index"`
	Delta  chatDelta `json:"delta"`
	Finish string    `json:"finish_reason"`
}

type chatDelta struct {
	Content string `json:"content"`
	// Thinking has no name that all providers share.
	Reasoning        string           `json:"reasoning"`
	ReasoningContent string           `json:"reasoning_content"`
	Refusal          string           `json:"refusal"`
	ToolCalls        []chatToolCall   `json:"tool_calls"`
	Annotations      []chatAnnotation `json:"annotations"`
}

type chatToolCall struct {
	Index    int    `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

type chatAnnotation struct {
	Type        string `json:"type"`
	URLCitation struct {
		URL   string `json:"url"`
		Title string `json:"title"`
	} `json:"url_citation"`
}

type chatUsage struct {
	Prompt        int `json:"prompt_tokens"`
	Completion    int `json:"completion_tokens"`
	PromptDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func (d *openAI) take(ev sseEvent) (over bool, err error) {
	if d.responses != nil {
		return d.responses.take(ev)
	}
	if string(ev.data) == "[DONE]" {
		return true, nil
	}
	var c chatChunk
	if err := json.Unmarshal(ev.data, &c); err != nil {
		return false, &Error{Code: CodeInvalid, Err: err}
	}
	switch {
	case c.Error != nil:
		return false, eventError(c.Error.Type, c.Error.Message)
	case c.Type != "" && c.Choices == nil:
		d.responses = newResponses(d.w)
		return d.responses.take(ev)
	}
	d.chunk(&c)
	return false, nil
}

func (d *openAI) chunk(c *chatChunk) {
	a := &d.w.answer
	if c.ID != "" {
		a.ID = c.ID
	}
	if c.Model != "" {
		a.Model = c.Model
	}
	if c.Usage != nil {
		*d.w.usage() = Usage{c.Usage.Prompt, c.Usage.PromptDetails.Cached, c.Usage.Completion, c.Usage.CompletionDetails.Reasoning}
	}
	for i := range c.Choices {
		// Of several answers to one request a run holds the first.
		if c.Choices[i].Index == 0 {
			d.choice(&c.Choices[i])
		}
	}
}

func (d *openAI) choice(c *chatChoice) {
	w := d.w
	w.text(partReasoning, c.Delta.Reasoning)
	if c.Delta.Reasoning == "" { // some send both, with the same text
		w.text(partReasoning, c.Delta.ReasoningContent)
	}
	w.text(partAnswer, c.Delta.Content)
	w.text(partRefusal, c.Delta.Refusal)
	for i := range c.Delta.ToolCalls {
		d.toolCall(&c.Delta.ToolCalls[i])
	}
	for _, n := range c.Delta.Annotations {
		w.source(n.URLCitation.URL, n.URLCitation.Title)
	}
	if c.Finish != "" {
		w.ready()
		w.answer.Finish = chatFinish(c.Finish)
	}
}

// toolCall takes a piece of a call. A new call has a name, and mostly an id; some providers give all of them one index.
func (d *openAI) toolCall(c *chatToolCall) {
	id, known := d.calls[c.Index]
	given := callID(c.ID)
	if !known || given != "" && given != id {
		if id = given; id == "" {
			id = "call-" + strconv.Itoa(d.w.tools+1)
		}
		d.calls[c.Index] = id
		d.w.call(id, c.Function.Name, false)
	}
	d.w.text(toolPart(id), c.Function.Arguments)
}

// done reports whether the answer is whole where the stream ends without [DONE].
func (d *openAI) done() bool {
	return d.responses == nil && d.w.answer.Finish != ""
}

func chatFinish(reason string) string {
	switch reason {
	case "stop":
		return finishStop
	case "length":
		return finishLength
	case "tool_calls", "function_call":
		return finishTools
	case "content_filter":
		return finishFilter
	}
	return finishOther
}
