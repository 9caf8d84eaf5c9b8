package fakemodel

import "fmt"

// chunk is an event of a chat completion.
func chunk(delta object, finish any) object {
	return object{
		"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1790000000, "model": "fake-1",
		"choices": []object{{"index": 0, "delta": delta, "finish_reason": finish}},
	}
}

func (s *stream) openAI(steps []step) {
	s.event("", chunk(object{"role": "assistant", "content": ""}, nil))
	finish := "stop"
	for _, st := range steps {
		stays := true
		switch st.kind {
		case "think":
			stays = s.words(st.text, func(w string) { s.event("", chunk(object{"reasoning_content": w}, nil)) })
		case "say":
			stays = s.words(st.text, func(w string) { s.event("", chunk(object{"content": w}, nil)) })
		case "tool":
			finish = "tool_calls"
			s.event("", chunk(call(object{"name": "weather", "arguments": ""}, "call_1"), nil))
			stays = s.words(st.text, func(w string) { s.event("", chunk(call(object{"arguments": w}, ""), nil)) })
		case "fail":
			s.fail(st.text)
			return
		}
		if !stays {
			return
		}
	}
	s.event("", chunk(object{}, finish))
	s.event("", object{"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1790000000, "model": "fake-1",
		"choices": []object{}, "usage": object{"prompt_tokens": 11, "completion_tokens": 42, "total_tokens": 53}})
	fmt.Fprint(s.w, "data: [DONE]\n\n")
}

func call(function object, id string) object {
	c := object{"index": 0, "function": function}
	if id != "" {
		c["id"], c["type"] = id, "function"
	}
	return object{"tool_calls": []object{c}}
}

func (s *stream) anthropic(steps []step) {
	s.event("message_start", object{"type": "message_start", "message": object{"id": "msg_fake", "type": "message",
		"role": "assistant", "content": []object{}, "model": "fake-1", "usage": object{"input_tokens": 11, "output_tokens": 1}}})
	s.event("ping", object{"type": "ping"})
	finish := "end_turn"
	for _, st := range steps {
		stays := true
		switch st.kind {
		case "think":
			stays = s.block(object{"type": "thinking", "thinking": ""}, st.text, func(w string) object {
				return object{"type": "thinking_delta", "thinking": w}
			})
		case "say":
			stays = s.block(object{"type": "text", "text": ""}, st.text, func(w string) object {
				return object{"type": "text_delta", "text": w}
			})
		case "tool":
			finish = "tool_use"
			block := object{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": object{}}
			stays = s.block(block, st.text, func(w string) object {
				return object{"type": "input_json_delta", "partial_json": w}
			})
		case "fail":
			s.fail(st.text)
			return
		}
		if !stays {
			return
		}
	}
	s.event("message_delta", object{"type": "message_delta", "delta": object{"stop_reason": finish},
		"usage": object{"output_tokens": 42}})
	s.event("message_stop", object{"type": "message_stop"})
}

// block sends a block of an Anthropic message.
func (s *stream) block(start object, text string, delta func(string) object) bool {
	i := s.index
	s.index++
	s.event("content_block_start", object{"type": "content_block_start", "index": i, "content_block": start})
	if !s.words(text, func(w string) {
		s.event("content_block_delta", object{"type": "content_block_delta", "index": i, "delta": delta(w)})
	}) {
		return false
	}
	s.event("content_block_stop", object{"type": "content_block_stop", "index": i})
	return true
}
