import { callID, toolPart } from "./answer.ts";
import { chunksOf, interruptible, type Target } from "./pipe.ts";
import type { Fragment } from "./run.ts";

/** A chunk of the AI SDK's UI message stream. Only the members that matter here are looked at. */
export interface UIChunk {
  readonly type: string;
}

/** The part that holds what is neither text nor a tool's arguments: the chunks themselves, as events. */
const UI = "ui";

/** A larger event goes as text, since a fragment has a limit; in characters. */
const MAX_EVENT = 15_000;

/**
 * Turns UI chunks into fragments, so that what stands in the run is the text of the answer (part "") and of the reasoning,
 * the arguments of tools (parts "tool:<id>"), and the rest as events; and so that the chunks can be restored from it. What
 * part a delta goes to follows from the chunks before it, by the same rule at both ends:
 *
 * - The first open text goes to "" and others to "text:<id>", likewise with reasoning; closing one sets its part free.
 * - A delta with anything else in it than its text is an event, and so is one whose id cannot be part of a part's name.
 * - A tool's input that its arguments spell out is left out, and `$input` says how to read it: as json or text.
 * - An event that is too large is text of the part "ui", ended by the event {"type":"$long"}.
 */
export class UIEncoder {
  readonly #text = new Map<string, string>();
  readonly #reasoning = new Map<string, string>();
  readonly #tools = new Map<string, string>();

  encode(chunk: UIChunk): Fragment[] {
    const c = chunk as UIChunk & Readonly<Record<string, unknown>>;
    switch (c.type) {
      case "text-start":
        return this.#open(this.#text, "", "text:", c);
      case "reasoning-start":
        return this.#open(this.#reasoning, "reasoning", "reasoning:", c);
      case "text-delta":
        return this.#delta(this.#text.get(c["id"] as string), c, "id", "delta");
      case "reasoning-delta":
        return this.#delta(this.#reasoning.get(c["id"] as string), c, "id", "delta");
      case "text-end":
        this.#text.delete(c["id"] as string);
        return event(c);
      case "reasoning-end":
        this.#reasoning.delete(c["id"] as string);
        return event(c);
      case "tool-input-start":
        if (plain(c["toolCallId"])) this.#tools.set(c["toolCallId"] as string, "");
        return event(c);
      case "tool-input-delta":
        return this.#toolDelta(c);
      case "tool-input-available":
        return event(this.#toolInput(c));
      case "reset-step":
        for (const open of [this.#text, this.#reasoning, this.#tools]) open.clear();
        return event(c);
    }
    return event(c);
  }

  #open(open: Map<string, string>, first: string, others: string, c: UIChunk & Readonly<Record<string, unknown>>) {
    const id = c["id"];
    if (plain(id)) open.set(id, [...open.values()].includes(first) ? others + id : first);
    return event(c);
  }

  #delta(part: string | undefined, c: UIChunk & Readonly<Record<string, unknown>>, ...names: string[]): Fragment[] {
    const text = c[names.at(-1) ?? ""];
    const known = Object.keys(c).every((name) => name === "type" || names.includes(name) || c[name] === undefined);
    if (part === undefined || typeof text !== "string" || !known) return event(c);
    return text ? [{ part, text }] : [];
  }

  #toolDelta(c: UIChunk & Readonly<Record<string, unknown>>): Fragment[] {
    const id = c["toolCallId"] as string;
    const before = this.#tools.get(id);
    const part = before === undefined ? undefined : toolPart(id);
    const out = this.#delta(part, c, "toolCallId", "inputTextDelta");
    if (out[0]?.text !== undefined) this.#tools.set(id, before + out[0].text);
    return out;
  }

  #toolInput(c: UIChunk & Readonly<Record<string, unknown>>): UIChunk {
    const spelled = this.#tools.get(c["toolCallId"] as string);
    if (!spelled || !("input" in c)) return c;
    const { input, ...rest } = c;
    if (input === spelled) return { ...rest, $input: "text" } as UIChunk;
    try {
      // As JSON has it: what was lost between the two is lost in an event too.
      if (JSON.stringify(JSON.parse(spelled)) === JSON.stringify(input)) return { ...rest, $input: "json" } as UIChunk;
    } catch {
      // Arguments that are no JSON spell nothing out.
    }
    return c;
  }
}

function event(chunk: UIChunk): Fragment[] {
  const json = JSON.stringify(chunk);
  if (json.length <= MAX_EVENT) return [{ part: UI, event: chunk }];
  return [
    { part: UI, text: json },
    { part: UI, event: { type: "$long" } },
  ];
}

/** Whether an id can be part of a part's name as it is. */
function plain(id: unknown): id is string {
  return typeof id === "string" && callID(id) === id;
}

/**
 * Pipes the AI SDK's UI message stream (`streamText(...).toUIMessageStream()`, or what createUIMessageStream makes) into a
 * run and ends it: as complete, as failed after an error, as stopped after an abort. The transport of @holdfast/ai-sdk
 * restores the same chunks from it. Give `run.signal` to streamText as its abortSignal. Rejects where the run is over before
 * the stream is, and with the stream's own error.
 */
export async function pipeUIMessageStream(stream: ReadableStream<UIChunk>, run: Target): Promise<void> {
  const encoder = new UIEncoder();
  let finish: unknown;
  let failed: string | undefined;
  let aborted = false;
  try {
    for await (const chunk of interruptible(chunksOf(stream), run.signal)) {
      const { type, finishReason, errorText } = chunk as UIChunk & { finishReason?: unknown; errorText?: string };
      if (type === "finish") finish = finishReason;
      if (type === "error") failed = errorText ?? "";
      if (type === "abort") aborted = true;
      await run.write(encoder.encode(chunk));
    }
    await run.flush();
  } catch (error) {
    run.signal.throwIfAborted();
    await run.end("failed", { error: { code: "provider_error", message: "The answer could not be made." } });
    throw error;
  }
  const data = finish === undefined ? {} : { finish };
  if (failed !== undefined) return run.end("failed", { ...data, error: { code: "provider_error", message: failed } });
  return run.end(aborted ? "stopped" : "complete", data);
}
