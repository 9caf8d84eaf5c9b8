import type { OwnedFrame } from "../link.ts";
import type { ClientFrame } from "../wire.ts";

/** How long an answer may take, in ms, before the question is repeated. */
const PATIENCE = 1_000;

/** What a tab has asked of its leader and was not answered yet. All of it may be said twice. */
export class Unsettled {
  readonly #all = new Map<string, { readonly frame: ClientFrame; readonly at: number }>();

  asked(frame: ClientFrame, now: number): void {
    const key = keyOf(frame);
    if (key !== undefined) this.#all.set(key, { frame, at: now });
  }

  answered(frame: OwnedFrame): void {
    this.#all.delete(keyOf(frame) ?? "");
  }

  clear(): void {
    this.#all.clear();
  }

  /** What it is time to repeat, in the order in which it was asked first. */
  due(now: number): readonly ClientFrame[] {
    const late = [...this.#all].filter(([, { at }]) => now - at >= PATIENCE);
    for (const [key, { frame }] of late) this.#all.set(key, { frame, at: now });
    return late.map(([, { frame }]) => frame);
  }
}

/** What a question and its answer have in common; undefined for what is not answered. The ids of messages and commands differ. */
function keyOf(frame: ClientFrame | OwnedFrame): string | undefined {
  const asked = frame.t === "err" ? frame.re : frame.t;
  switch (asked) {
    case "entry":
    case "run":
      return undefined;
    case "sub":
    case "page":
      return `${asked} ${"s" in frame && frame.s} ${"id" in frame && frame.id}`;
  }
  return "id" in frame ? frame.id : undefined;
}
