import type { UIMessageChunk } from "ai";
import { type LogRun, type LogSegment, messageIdOf } from "./log.ts";

type Json = Readonly<Record<string, unknown>>;

/** What a chunk ends. */
const LAST = new Set(["finish", "abort", "error"]);

const FINISH = new Set(["stop", "length", "content-filter", "tool-calls", "error", "other"]);

/**
 * Restores the chunks of a run, as it grows: what `pipeUIMessageStream` of @holdfast/producer has written gives the same
 * chunks, but for neighbouring deltas, which are joined; the answers of `pipeOpenAI`, `pipeAnthropic` and of the Go package
 * llm, and runs that hold nothing but text, give chunks that say the same.
 */
export class RunDecoder {
  #messageId = "";
  /** The position in the run: segments done with, and how much of the next one's text. */
  #segment = 0;
  #characters = 0;
  #out: UIMessageChunk[] = [];
  #started = false;
  #last = false;
  #ended = false;

  /** The ids of the texts that are open, by their parts; see UIEncoder of @holdfast/producer for the rule. */
  readonly #text = new Map<string, string>();
  readonly #reasoning = new Map<string, string>();
  /** The tools whose arguments are coming, with what has come. */
  readonly #tools = new Map<string, { name: string; text: string }>();
  /** A text that no chunk opened, as in a run of nothing but text. */
  #own: { readonly kind: "text" | "reasoning"; readonly part: string; readonly id: string } | undefined;
  #count = 0;
  #long = "";

  /** Whether the run has ended and all of it was read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The chunks since the last call. Undefined if this is not the run that was read before. */
  read(run: LogRun): UIMessageChunk[] | undefined {
    // Before the first segment a run has no message that its stream could have named.
    if (!this.#started) this.#messageId = messageIdOf(run);
    else if (!this.#fits(run)) return undefined;
    for (; this.#segment < run.body.length; this.#segment++) {
      const segment = run.body[this.#segment] as LogSegment;
      this.#start(segment);
      if (segment.text === undefined) {
        this.#event(segment.part, segment.event);
        continue;
      }
      this.#delta(segment.part, segment.text.slice(this.#characters));
      this.#characters = segment.text.length;
      // The last text may still grow.
      if (this.#segment === run.body.length - 1) break;
      this.#characters = 0;
    }
    if (run.status !== "open" && !this.#ended) this.#end(run);
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #fits(run: LogRun): boolean {
    if (messageIdOf(run) !== this.#messageId) return false;
    if (run.body.length < this.#segment) return false;
    return this.#characters === 0 || (run.body[this.#segment]?.text?.length ?? -1) >= this.#characters;
  }

  #put(chunk: Json): void {
    this.#out.push(chunk as UIMessageChunk);
  }

  #start(first: LogSegment | undefined): void {
    if (this.#started) return;
    this.#started = true;
    const isStart = first?.part === "ui" && (first.event as Json | null)?.["type"] === "start";
    if (!isStart) this.#put({ type: "start", messageId: this.#messageId });
  }

  #delta(part: string, text: string): void {
    if (!text) return;
    if (part === "ui") {
      this.#long += text;
      return;
    }
    const textId = this.#text.get(part);
    if (textId !== undefined) return this.#put({ type: "text-delta", id: textId, delta: text });
    const reasoningId = this.#reasoning.get(part);
    if (reasoningId !== undefined) return this.#put({ type: "reasoning-delta", id: reasoningId, delta: text });
    if (part.startsWith("tool:")) {
      const toolCallId = part.slice("tool:".length);
      const tool = this.#tools.get(toolCallId);
      if (!tool) return;
      tool.text += text;
      return this.#put({ type: "tool-input-delta", toolCallId, inputTextDelta: text });
    }
    this.#ownDelta(part, text);
  }

  /** Text that no chunk has opened. What stands in other parts than these is the application's own. */
  #ownDelta(part: string, text: string): void {
    if (part !== "" && part !== "refusal" && part !== "reasoning") return;
    if (this.#own?.part !== part) {
      this.#closeOwn();
      const kind = part === "reasoning" ? "reasoning" : "text";
      this.#own = { kind, part, id: `${kind}-${++this.#count}` };
      this.#put({ type: `${kind}-start`, id: this.#own.id });
    }
    this.#put({ type: `${this.#own.kind}-delta`, id: this.#own.id, delta: text });
  }

  #closeOwn(providerMetadata?: Json): void {
    if (!this.#own) return;
    const { kind, id } = this.#own;
    this.#put({ type: `${kind}-end`, id, ...(providerMetadata && { providerMetadata }) });
    this.#own = undefined;
  }

  #event(part: string, event: unknown): void {
    const e = (typeof event === "object" && event !== null ? event : {}) as Json;
    if (part !== "ui") return this.#answerEvent(part, e, event);
    if (e["type"] !== "$long") return this.#chunk(e);
    const long = JSON.parse(this.#long) as Json;
    this.#long = "";
    this.#chunk(long);
  }

  /** A chunk as the AI SDK has made it. */
  #chunk(c: Json): void {
    const type = c["type"] as string;
    const id = c["id"] as string;
    const toolCallId = c["toolCallId"] as string;
    switch (type) {
      case "start":
        return this.#put({ ...c, messageId: this.#messageId });
      case "text-start":
        if (plain(id)) this.#text.set(this.#text.has("") ? `text:${id}` : "", id);
        break;
      case "reasoning-start":
        if (plain(id)) this.#reasoning.set(this.#reasoning.has("reasoning") ? `reasoning:${id}` : "reasoning", id);
        break;
      case "text-end":
        close(this.#text, id);
        break;
      case "reasoning-end":
        close(this.#reasoning, id);
        break;
      case "tool-input-start":
        this.#tools.set(toolCallId, { name: c["toolName"] as string, text: "" });
        break;
      case "tool-input-available": {
        const { $input, ...rest } = c;
        const spelled = this.#tools.get(toolCallId)?.text ?? "";
        if (!$input) break;
        return this.#put({ ...rest, input: $input === "text" ? spelled : JSON.parse(spelled) });
      }
      case "reset-step":
        for (const open of [this.#text, this.#reasoning, this.#tools]) open.clear();
        break;
    }
    this.#last ||= LAST.has(type);
    this.#put(c);
  }

  /** An event of an answer that was piped from a provider, or one of the application's own. */
  #answerEvent(part: string, e: Json, event: unknown): void {
    const { type, id: toolCallId } = e;
    switch (type) {
      case "signature":
        return this.#closeOwn({ anthropic: { signature: e["signature"] } });
      case "tool-call":
      case "tool-ready":
      case "tool-result":
        if (typeof toolCallId !== "string") break;
        this.#closeOwn();
        return this.#toolEvent(type, toolCallId, e);
      case "source":
        return this.#put({ type: "source-url", sourceId: `source-${++this.#count}`, url: e["url"], title: e["title"] });
      case "redacted": {
        const id = `reasoning-${++this.#count}`;
        this.#closeOwn();
        this.#put({ type: "reasoning-start", id });
        return this.#put({
          type: "reasoning-end",
          id,
          providerMetadata: { anthropic: { redactedData: e["data"] } },
        });
      }
    }
    this.#put({ type: "data-event", data: { part, event } });
  }

  #toolEvent(type: "tool-call" | "tool-ready" | "tool-result", toolCallId: string, e: Json): void {
    const known = this.#tools.get(toolCallId);
    if (type === "tool-call") {
      const toolName = typeof e["name"] === "string" ? e["name"] : "unknown";
      this.#tools.set(toolCallId, { name: toolName, text: "" });
      const providerExecuted = e["provider"] === true && { providerExecuted: true };
      return this.#put({ type: "tool-input-start", toolCallId, toolName, ...providerExecuted });
    }
    if (!known) return;
    if (type === "tool-result") {
      if (typeof e["error"] === "string")
        return this.#put({ type: "tool-output-error", toolCallId, errorText: e["error"] });
      return this.#put({ type: "tool-output-available", toolCallId, output: e["result"] ?? null });
    }
    const call = { toolCallId, toolName: known.name };
    try {
      const input: unknown = known.text ? JSON.parse(known.text) : {};
      this.#put({ type: "tool-input-available", ...call, input });
    } catch {
      this.#put({
        type: "tool-input-error",
        ...call,
        input: known.text,
        errorText: "The tool's arguments are not JSON.",
      });
    }
  }

  #end(run: LogRun): void {
    this.#ended = true;
    this.#start(undefined);
    this.#closeOwn();
    if (this.#last) return;
    // Nobody has closed these: the run was ended by somebody else than who wrote it.
    for (const id of this.#text.values()) this.#put({ type: "text-end", id });
    for (const id of this.#reasoning.values()) this.#put({ type: "reasoning-end", id });
    const end = run.end as { finish?: unknown; error?: { message?: unknown } } | null | undefined;
    const said = end?.error?.message;
    switch (run.status) {
      case "stopped":
        return this.#put({ type: "abort" });
      case "failed":
        return this.#put({ type: "error", errorText: typeof said === "string" ? said : "The answer failed." });
      case "interrupted":
        return this.#put({ type: "error", errorText: "The answer was interrupted: whoever wrote it is gone." });
    }
    const reason = typeof end?.finish === "string" && FINISH.has(end.finish) && { finishReason: end.finish };
    this.#put({ type: "finish", ...reason });
  }
}

/** Whether an id can be part of a part's name as it is. */
function plain(id: string): boolean {
  return /^[ -~]{0,200}$/.test(id);
}

function close(open: Map<string, string>, id: string): void {
  for (const [part, other] of open) if (other === id) open.delete(part);
}
