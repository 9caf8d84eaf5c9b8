package llm

import "encoding/json"

// responses reads the stream of the Responses API.
type responses struct {
	w *writer
	// calls are the ids of the tool calls, by the id of the item.
	calls map[string]string
}

func newResponses(w *writer) *responses { return &responses{w: w, calls: map[string]string{}} }

type responsesEvent struct {
	Type       string        `json:"type"`
	ItemID     string        `json:"item_id"`
	Delta      string        `json:"delta"`
	Item       responsesItem `json:"item"`
	Annotation struct {
		Type  string `json:"type"`
		URL   string `json:"url"`
		Title string `json:"title"`
	} `json:"annotation"`
	Response responsesResponse `json:"response"`
	// Of an event error.
	Code    string `json:"code"`
	Message string `json:"message"`
}

type responsesItem struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	CallID string `json:"call_id"`
	Name   string `json:"name"`
}

type responsesResponse struct {
	ID    string `json:"id"`
	Model string `json:"model"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Incomplete *struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
	Usage *struct {
		Input        int `json:"input_tokens"`
		Output       int `json:"output_tokens"`
		InputDetails struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		OutputDetails struct {
			Reasoning int `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	} `json:"usage"`
}

func (d *responses) take(ev sseEvent) (over bool, err error) {
	if string(ev.data) == "[DONE]" {
		return true, nil
	}
	var e responsesEvent
	if err := json.Unmarshal(ev.data, &e); err != nil {
		return false, &Error{Code: CodeInvalid, Err: err}
	}
	switch e.Type {
	case "response.created", "response.completed", "response.incomplete", "response.failed", "error":
		return d.state(&e)
	case "response.output_text.delta":
		d.w.text(partAnswer, e.Delta)
	case "response.refusal.delta":
		d.w.text(partRefusal, e.Delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		d.w.text(partReasoning, e.Delta)
	case "response.output_item.added":
		if e.Item.Type == "function_call" {
			id := callID(e.Item.CallID)
			d.calls[e.Item.ID] = id
			d.w.call(id, e.Item.Name, false)
		}
	case "response.function_call_arguments.delta":
		if id := d.calls[e.ItemID]; id != "" {
			d.w.text(toolPart(id), e.Delta)
		}
	case "response.output_item.done":
		if e.Item.Type == "function_call" {
			d.w.ready()
		}
	case "response.output_text.annotation.added":
		d.w.source(e.Annotation.URL, e.Annotation.Title)
	}
	return false, nil
}

// done is false: a response ends with an event that says so.
func (d *responses) done() bool { return false }

// state takes an event that tells of the response as a whole.
func (d *responses) state(e *responsesEvent) (over bool, err error) {
	a, r := &d.w.answer, &e.Response
	if r.ID != "" {
		a.ID, a.Model = r.ID, r.Model
	}
	if u := r.Usage; u != nil {
		*d.w.usage() = Usage{u.Input, u.InputDetails.Cached, u.Output, u.OutputDetails.Reasoning}
	}
	switch e.Type {
	case "error":
		return false, eventError(e.Code, e.Message)
	case "response.failed":
		if r.Error == nil {
			return false, eventError("failed", "")
		}
		return false, eventError(r.Error.Code, r.Error.Message)
	case "response.completed":
		a.Finish = finishStop
		if d.w.tools > 0 {
			a.Finish = finishTools
		}
	case "response.incomplete":
		a.Finish = finishOther
		if r.Incomplete != nil {
			a.Finish = responsesFinish(r.Incomplete.Reason)
		}
	}
	if e.Type == "response.created" {
		return false, nil
	}
	d.w.ready()
	return true, nil
}

func responsesFinish(reason string) string {
	switch reason {
	case "max_output_tokens":
		return finishLength
	case "content_filter":
		return finishFilter
	}
	return finishOther
}
