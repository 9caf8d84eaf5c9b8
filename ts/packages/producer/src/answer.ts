import type { Fragment } from "./run.ts";

/** What is known of an answer besides its contents, and what readers get with the end of its run. */
export interface Answer {
  /** Why the model stopped. */
  finish?: "stop" | "length" | "tool-calls" | "content-filter" | "other";
  /** Tokens; absent where the provider said nothing of them. */
  usage?: Usage;
  model?: string;
  /** The provider's name of the answer. */
  id?: string;
}

export interface Usage {
  /** What was read, and how much of it came from the provider's cache. */
  input: number;
  cached?: number;
  /** What was written, and how much of it was thinking, where the provider tells. */
  output: number;
  reasoning?: number;
}

/** An event in a run that a provider's answer was piped into. */
export type AnswerEvent =
  | { readonly type: "tool-call"; readonly id: string; readonly name?: string; readonly provider?: true }
  | { readonly type: "tool-ready"; readonly id: string }
  | { readonly type: "tool-result"; readonly id: string; readonly result?: unknown; readonly error?: string }
  | { readonly type: "source"; readonly url: string; readonly title?: string }
  | { readonly type: "signature"; readonly signature: string }
  | { readonly type: "redacted"; readonly data: string };

/** A format that providers stream in. */
export interface Dialect {
  /** Applies an event; true after the last one. Throws a ProviderError. */
  take(data: string): boolean;
  /** Whether the answer is whole, should the stream have ended here. */
  readonly done: boolean;
}

/** Turns what a provider says into what stands in a run. The same as the Go package llm, and tested on the same data. */
export class Writer {
  readonly answer: Answer = {};
  /** What is to be appended. */
  out: Fragment[] = [];
  tools = 0;
  /** The call whose arguments are coming. */
  #tool = "";

  get tool(): string {
    return this.#tool;
  }

  text(part: string, text: unknown): void {
    if (typeof text === "string" && text) this.out.push({ part, text });
  }

  event(part: string, event: AnswerEvent): void {
    this.out.push({ part, event });
  }

  /** Begins a tool call. The one before it has its arguments by now. */
  call(id: string, name: unknown, provider: boolean): void {
    this.ready();
    this.#tool = id;
    this.tools++;
    const named = typeof name === "string" && name ? { name } : {};
    this.event(toolPart(id), { type: "tool-call", id, ...named, ...(provider && { provider: true as const }) });
  }

  /** The arguments of the call under way are complete. */
  ready(): void {
    if (this.#tool) this.event(toolPart(this.#tool), { type: "tool-ready", id: this.#tool });
    this.#tool = "";
  }

  source(url: unknown, title: unknown): void {
    if (typeof url !== "string" || !url) return;
    this.event("source", { type: "source", url, ...(typeof title === "string" && title && { title }) });
  }

  usage(input: number, cached: number, output: number, reasoning: number): void {
    this.answer.usage = { input, ...(cached && { cached }), output, ...(reasoning && { reasoning }) };
  }
}

/** The name of the part that holds a call's arguments. */
export function toolPart(id: string): string {
  return `tool:${id}`;
}

/** Makes of a provider's id one that can be part of a part's name: at most 200 characters, all of them visible ASCII. */
export function callID(id: unknown): string {
  return typeof id === "string" ? id.replace(/[^ -~]/gu, "").slice(0, 200) : "";
}

export function number(value: unknown): number {
  return typeof value === "number" ? value : 0;
}
