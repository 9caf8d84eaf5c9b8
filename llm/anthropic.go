package llm

import "encoding/json"

// anthropic reads the stream of the Messages API.
type anthropic struct {
	w *writer
	// calls are the ids of the tool calls, by the index of their block.
	calls map[int]string
}

func newAnthropic(w *writer) dialect { return &anthropic{w: w, calls: map[int]string{}} }

type anthropicEvent struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		ID    string          `json:"id"`
		Model string          `json:"model"`
		Usage *anthropicUsage `json:"usage"`
	} `json:"message"`
	Block anthropicBlock `json:"content_block"`
	Delta anthropicDelta `json:"delta"`
	Usage *struct {
		Output int `json:"output_tokens"`
	} `json:"usage"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

type anthropicUsage struct {
	Input      int `json:"input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	Output     int `json:"output_tokens"`
}

type anthropicBlock struct {
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	Data     string          `json:"data"`
	ToolID   string          `json:"tool_use_id"`
	Content  json.RawMessage `json:"content"`
}

type anthropicDelta struct {
	Type      string `json:"type"`
	Text      string `json:"text"`
	Thinking  string `json:"thinking"`
	JSON      string `json:"partial_json"`
	Signature string `json:"signature"`
	Citation  struct {
		URL   string `json:"url"`
		Title string `json:"title"`
	} `json:"citation"`
	Stop string `json:"stop_reason"`
}

func (d *anthropic) take(ev sseEvent) (over bool, err error) {
	var e anthropicEvent
	if err := json.Unmarshal(ev.data, &e); err != nil {
		return false, &Error{Code: CodeInvalid, Err: err}
	}
	switch e.Type {
	case "message_start":
		d.w.answer.ID, d.w.answer.Model = e.Message.ID, e.Message.Model
		if u := e.Message.Usage; u != nil {
			// What went into the cache or came from it is not in their input_tokens.
			*d.w.usage() = Usage{Input: u.Input + u.CacheWrite + u.CacheRead, Cached: u.CacheRead, Output: u.Output}
		}
	case "content_block_start":
		d.begin(e.Index, &e.Block)
	case "content_block_delta":
		d.delta(e.Index, &e.Delta)
	case "content_block_stop":
		if d.calls[e.Index] != "" && d.calls[e.Index] == d.w.tool {
			d.w.ready()
		}
	case "message_delta":
		if e.Usage != nil {
			d.w.usage().Output = e.Usage.Output
		}
		if e.Delta.Stop != "" {
			d.w.answer.Finish = anthropicFinish(e.Delta.Stop)
		}
	case "message_stop":
		return true, nil
	case "error":
		return false, eventError(e.Error.Type, e.Error.Message)
	}
	return false, nil
}

func (d *anthropic) begin(index int, b *anthropicBlock) {
	switch {
	case b.Type == "text":
		d.w.text(partAnswer, b.Text)
	case b.Type == "thinking":
		d.w.text(partReasoning, b.Thinking)
	case b.Type == "redacted_thinking":
		d.w.event(partReasoning, event{Type: "redacted", Data: b.Data})
	case b.Type == "tool_use", b.Type == "server_tool_use", b.Type == "mcp_tool_use":
		id := callID(b.ID)
		d.calls[index] = id
		d.w.call(id, b.Name, b.Type != "tool_use")
	case b.ToolID != "": // what a tool of the provider's gave, whatever it is called
		id := callID(b.ToolID)
		d.w.event(toolPart(id), event{Type: "tool-result", ID: id, Result: b.Content})
	}
}

func (d *anthropic) delta(index int, x *anthropicDelta) {
	switch x.Type {
	case "text_delta":
		d.w.text(partAnswer, x.Text)
	case "thinking_delta":
		d.w.text(partReasoning, x.Thinking)
	case "signature_delta":
		d.w.event(partReasoning, event{Type: "signature", Signature: x.Signature})
	case "citations_delta":
		d.w.source(x.Citation.URL, x.Citation.Title)
	case "input_json_delta":
		if id := d.calls[index]; id != "" {
			d.w.text(toolPart(id), x.JSON)
		}
	}
}

// done reports whether the answer is whole where the stream ends without message_stop.
func (d *anthropic) done() bool { return d.w.answer.Finish != "" }

func anthropicFinish(reason string) string {
	switch reason {
	case "end_turn", "stop_sequence":
		return finishStop
	case "max_tokens", "model_context_window_exceeded":
		return finishLength
	case "tool_use":
		return finishTools
	case "refusal":
		return finishFilter
	}
	return finishOther
}
