import { type Answer, callID, type Dialect, number, toolPart, type Writer } from "./answer.ts";
import { ProviderError } from "./errors.ts";
import { Responses } from "./responses.ts";

interface Chunk {
  /** Only in streams of responses. */
  readonly type?: string;
  readonly id?: string;
  readonly model?: string;
  readonly choices?: readonly Choice[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
    readonly completion_tokens_details?: { readonly reasoning_tokens?: number } | null;
  } | null;
  readonly error?: { readonly type?: string; readonly message?: string } | null;
}

interface Choice {
  readonly index?: number;
  readonly finish_reason?: string | null;
  readonly delta?: {
    readonly content?: string | null;
    /** Thinking has no name that all providers share. */
    readonly reasoning?: string | null;
    readonly reasoning_content?: string | null;
    readonly refusal?: string | null;
    readonly tool_calls?: readonly ToolCall[] | null;
    readonly annotations?: readonly { readonly url_citation?: { readonly url?: string; readonly title?: string } }[];
  };
}

interface ToolCall {
  readonly index?: number;
  readonly id?: string;
  readonly function?: { readonly name?: string; readonly arguments?: string };
}

const FINISH: Readonly<Record<string, Answer["finish"]>> = {
  stop: "stop",
  length: "length",
  tool_calls: "tool-calls",
  function_call: "tool-calls",
  content_filter: "content-filter",
};

/** Chat completions; hands over to Responses if the stream turns out to be of that kind. */
export class OpenAI implements Dialect {
  readonly #w: Writer;
  #responses: Responses | undefined;
  /** The ids of the tool calls, by the provider's index. */
  readonly #calls = new Map<number, string>();

  constructor(writer: Writer) {
    this.#w = writer;
  }

  get done(): boolean {
    return !this.#responses && this.#w.answer.finish !== undefined;
  }

  take(data: string): boolean {
    if (this.#responses) return this.#responses.take(data);
    if (data === "[DONE]") return true;
    const chunk = parse<Chunk>(data);
    if (chunk.error) throw ProviderError.ofEvent(chunk.error.type ?? "", chunk.error.message ?? "");
    if (chunk.type && !chunk.choices) {
      this.#responses = new Responses(this.#w);
      return this.#responses.take(data);
    }
    this.#chunk(chunk);
    return false;
  }

  #chunk({ id, model, usage, choices }: Chunk): void {
    const { answer } = this.#w;
    if (id) answer.id = id;
    if (model) answer.model = model;
    if (usage) {
      const cached = number(usage.prompt_tokens_details?.cached_tokens);
      const reasoning = number(usage.completion_tokens_details?.reasoning_tokens);
      this.#w.usage(number(usage.prompt_tokens), cached, number(usage.completion_tokens), reasoning);
    }
    // Of several answers to one request a run holds the first.
    for (const choice of choices ?? []) if (!choice.index) this.#choice(choice);
  }

  #choice({ delta = {}, finish_reason }: Choice): void {
    const w = this.#w;
    // Some send both, with the same text.
    w.text("reasoning", delta.reasoning || delta.reasoning_content);
    w.text("", delta.content);
    w.text("refusal", delta.refusal);
    for (const call of delta.tool_calls ?? []) this.#toolCall(call);
    for (const { url_citation } of delta.annotations ?? []) w.source(url_citation?.url, url_citation?.title);
    if (!finish_reason) return;
    w.ready();
    w.answer.finish = FINISH[finish_reason] ?? "other";
  }

  /** A new call has a name, and mostly an id; some providers give all of them one index. */
  #toolCall(call: ToolCall): void {
    const index = number(call.index);
    const given = callID(call.id);
    let id = this.#calls.get(index);
    if (id === undefined || (given && given !== id)) {
      id = given || `call-${this.#w.tools + 1}`;
      this.#calls.set(index, id);
      this.#w.call(id, call.function?.name, false);
    }
    this.#w.text(toolPart(id), call.function?.arguments);
  }
}

/** Reads an event's data, which must be a JSON object. */
export function parse<T extends object>(data: string): T {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === "object" && value !== null) return value as T;
  } catch (cause) {
    throw new ProviderError("provider_invalid", "an event is not JSON", { cause });
  }
  throw new ProviderError("provider_invalid", "an event is not a JSON object");
}
