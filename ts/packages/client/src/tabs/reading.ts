import type { ClientFrame, SubItem } from "../wire.ts";

/** What a tab reads of a session, whatever connection it comes over. */
export type Wanted = Pick<SubItem, "s" | "last" | "watch">;

/** What a tab reads, read off what it says: a connection that it makes for all tabs begins with that. */
export class Reading {
  readonly #all = new Map<string, Wanted>();

  get all(): readonly Wanted[] {
    return [...this.#all.values()];
  }

  /** These, and nothing that was read before. */
  begin(subs: readonly SubItem[]): void {
    this.#all.clear();
    for (const sub of subs) this.#add(sub);
  }

  said(frame: ClientFrame): void {
    if (frame.t === "sub") this.#add(frame);
    if (frame.t === "unsub") this.#all.delete(frame.s);
  }

  #add({ s, last, watch }: Wanted): void {
    this.#all.set(s, { s, ...(last !== undefined && { last }), ...(watch && { watch }) });
  }
}
