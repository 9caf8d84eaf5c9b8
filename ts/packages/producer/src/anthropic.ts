import { type Answer, callID, type Dialect, number, toolPart, type Writer } from "./answer.ts";
import { ProviderError } from "./errors.ts";
import { parse } from "./openai.ts";

interface AnthropicEvent {
  readonly type?: string;
  readonly index?: number;
  readonly message?: {
    readonly id?: string;
    readonly model?: string;
    readonly usage?: {
      readonly input_tokens?: number;
      readonly cache_creation_input_tokens?: number | null;
      readonly cache_read_input_tokens?: number | null;
      readonly output_tokens?: number;
    };
  };
  readonly content_block?: Block;
  readonly delta?: Delta;
  readonly usage?: { readonly output_tokens?: number };
  readonly error?: { readonly type?: string; readonly message?: string };
}

interface Block {
  readonly type?: string;
  readonly id?: string;
  readonly name?: string;
  readonly text?: string;
  readonly thinking?: string;
  readonly data?: string;
  readonly tool_use_id?: string;
  readonly content?: unknown;
}

interface Delta {
  readonly type?: string;
  readonly text?: string;
  readonly thinking?: string;
  readonly partial_json?: string;
  readonly signature?: string;
  readonly citation?: { readonly url?: string; readonly title?: string };
  readonly stop_reason?: string | null;
}

const FINISH: Readonly<Record<string, Answer["finish"]>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  tool_use: "tool-calls",
  refusal: "content-filter",
};

/** The stream of the Messages API. */
export class Anthropic implements Dialect {
  readonly #w: Writer;
  /** The ids of the tool calls, by the index of their block. */
  readonly #calls = new Map<number, string>();

  constructor(writer: Writer) {
    this.#w = writer;
  }

  get done(): boolean {
    return this.#w.answer.finish !== undefined;
  }

  take(data: string): boolean {
    const e = parse<AnthropicEvent>(data);
    const { answer } = this.#w;
    switch (e.type) {
      case "message_start":
        this.#begin(e);
        break;
      case "content_block_start":
        this.#block(number(e.index), e.content_block ?? {});
        break;
      case "content_block_delta":
        this.#delta(number(e.index), e.delta ?? {});
        break;
      case "content_block_stop": {
        const id = this.#calls.get(number(e.index));
        if (id && id === this.#w.tool) this.#w.ready();
        break;
      }
      case "message_delta":
        if (e.usage) answer.usage = { ...(answer.usage ?? { input: 0 }), output: number(e.usage.output_tokens) };
        if (e.delta?.stop_reason) answer.finish = FINISH[e.delta.stop_reason] ?? "other";
        break;
      case "message_stop":
        return true;
      case "error":
        throw ProviderError.ofEvent(e.error?.type ?? "", e.error?.message ?? "");
    }
    return false;
  }

  #begin({ message: { id, model, usage } = {} }: AnthropicEvent): void {
    if (id) this.#w.answer.id = id;
    if (model) this.#w.answer.model = model;
    if (!usage) return;
    const read = number(usage.cache_read_input_tokens);
    // What went into the cache or came from it is not in their input_tokens.
    const input = number(usage.input_tokens) + number(usage.cache_creation_input_tokens) + read;
    this.#w.usage(input, read, number(usage.output_tokens), 0);
  }

  #block(index: number, block: Block): void {
    const w = this.#w;
    switch (block.type) {
      case "text":
        return w.text("", block.text);
      case "thinking":
        return w.text("reasoning", block.thinking);
      case "redacted_thinking":
        return w.event("reasoning", { type: "redacted", data: block.data ?? "" });
      case "tool_use":
      case "server_tool_use":
      case "mcp_tool_use": {
        const id = callID(block.id);
        this.#calls.set(index, id);
        return w.call(id, block.name, block.type !== "tool_use");
      }
    }
    // What a tool of the provider's gave, whatever it is called.
    const id = callID(block.tool_use_id);
    if (id) w.event(toolPart(id), { type: "tool-result", id, result: block.content });
  }

  #delta(index: number, delta: Delta): void {
    const w = this.#w;
    switch (delta.type) {
      case "text_delta":
        return w.text("", delta.text);
      case "thinking_delta":
        return w.text("reasoning", delta.thinking);
      case "signature_delta":
        return w.event("reasoning", { type: "signature", signature: delta.signature ?? "" });
      case "citations_delta":
        return w.source(delta.citation?.url, delta.citation?.title);
      case "input_json_delta": {
        const id = this.#calls.get(index);
        if (id) w.text(toolPart(id), delta.partial_json);
      }
    }
  }
}
