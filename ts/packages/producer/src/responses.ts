import { type Answer, callID, type Dialect, number, toolPart, type Writer } from "./answer.ts";
import { ProviderError } from "./errors.ts";
import { parse } from "./openai.ts";

interface ResponsesEvent {
  readonly type?: string;
  readonly item_id?: string;
  readonly delta?: string;
  readonly item?: { readonly id?: string; readonly type?: string; readonly call_id?: string; readonly name?: string };
  readonly annotation?: { readonly url?: string; readonly title?: string };
  readonly response?: ResponseObject;
  /** Of an event error. */
  readonly code?: string | null;
  readonly message?: string;
}

interface ResponseObject {
  readonly id?: string;
  readonly model?: string;
  readonly error?: { readonly code?: string; readonly message?: string } | null;
  readonly incomplete_details?: { readonly reason?: string } | null;
  readonly usage?: {
    readonly input_tokens?: number;
    readonly output_tokens?: number;
    readonly input_tokens_details?: { readonly cached_tokens?: number } | null;
    readonly output_tokens_details?: { readonly reasoning_tokens?: number } | null;
  } | null;
}

const INCOMPLETE: Readonly<Record<string, Answer["finish"]>> = {
  max_output_tokens: "length",
  content_filter: "content-filter",
};

/** The stream of the Responses API. */
export class Responses implements Dialect {
  /** A response ends with an event that says so. */
  readonly done = false;
  readonly #w: Writer;
  /** The ids of the tool calls, by the id of the item. */
  readonly #calls = new Map<string, string>();

  constructor(writer: Writer) {
    this.#w = writer;
  }

  take(data: string): boolean {
    if (data === "[DONE]") return true;
    const e = parse<ResponsesEvent>(data);
    const w = this.#w;
    switch (e.type) {
      case "response.output_text.delta":
        w.text("", e.delta);
        break;
      case "response.refusal.delta":
        w.text("refusal", e.delta);
        break;
      case "response.reasoning_summary_text.delta":
      case "response.reasoning_text.delta":
        w.text("reasoning", e.delta);
        break;
      case "response.output_item.added":
        if (e.item?.type !== "function_call") break;
        this.#calls.set(e.item.id ?? "", callID(e.item.call_id));
        w.call(callID(e.item.call_id), e.item.name, false);
        break;
      case "response.function_call_arguments.delta": {
        const id = this.#calls.get(e.item_id ?? "");
        if (id) w.text(toolPart(id), e.delta);
        break;
      }
      case "response.output_item.done":
        if (e.item?.type === "function_call") w.ready();
        break;
      case "response.output_text.annotation.added":
        w.source(e.annotation?.url, e.annotation?.title);
        break;
      default:
        return this.#state(e);
    }
    return false;
  }

  /** Takes an event that tells of the response as a whole, or one that says nothing new. */
  #state({ type, response = {}, code, message }: ResponsesEvent): boolean {
    const { answer } = this.#w;
    switch (type) {
      case "error":
        throw ProviderError.ofEvent(code ?? "", message ?? "");
      case "response.failed":
        this.#about(response);
        throw ProviderError.ofEvent(response.error?.code ?? "failed", response.error?.message ?? "");
      case "response.created":
        this.#about(response);
        return false;
      case "response.completed":
        answer.finish = this.#w.tools ? "tool-calls" : "stop";
        break;
      case "response.incomplete":
        answer.finish = INCOMPLETE[response.incomplete_details?.reason ?? ""] ?? "other";
        break;
      default:
        return false;
    }
    this.#about(response);
    this.#w.ready();
    return true;
  }

  #about({ id, model, usage }: ResponseObject): void {
    if (id) this.#w.answer.id = id;
    if (model) this.#w.answer.model = model;
    if (!usage) return;
    const cached = number(usage.input_tokens_details?.cached_tokens);
    const reasoning = number(usage.output_tokens_details?.reasoning_tokens);
    this.#w.usage(number(usage.input_tokens), cached, number(usage.output_tokens), reasoning);
  }
}
