import { attempt } from "./attempt.ts";
import type { KeyValue } from "./env/env.ts";

/** How a message is kept: session, id, data, when it was sent, and why it was refused. */
export interface Kept {
  readonly s: string;
  readonly id: string;
  readonly d: unknown;
  readonly a: number;
  readonly e?: readonly [code: string, message: string] | undefined;
}

/** Where unsent messages are kept. */
export interface OutboxStore {
  /** How long they last: as long as the page, as the tab, or as the browser's storage. */
  readonly lasts: "page" | "tab" | "browser";
  /**
   * Calls `adopt`, now or later, with what was kept, in order. Nothing is transmitted before, and what was kept goes first.
   * If it cannot be read, it calls with what there is. It may call again, with what a closed tab has left.
   */
  load(adopt: (kept: readonly Kept[]) => void): void;
  /** Keeps a message: in the place of that with the same id, or after all others. */
  put(kept: Kept): void;
  remove(id: string): void;
  /** The client was closed: nothing is adopted any more. */
  close?(): void;
}

/** Keeps them as one string: for storage that answers at once, and a few messages. */
export function storedOutbox(storage: KeyValue, key: string): OutboxStore {
  const all = new Map<string, Kept>();
  const save = () => storage.set(key, all.size ? JSON.stringify([...all.values()]) : null);
  return {
    get lasts() {
      return storage.lasts ?? "tab";
    },
    load(adopt) {
      for (const kept of parse(storage.get(key))) all.set(kept.id, kept);
      adopt([...all.values()]);
    },
    put(kept) {
      all.set(kept.id, kept);
      save();
    },
    remove(id) {
      if (all.delete(id)) save();
    },
  };
}

/** What somebody else has put there is not for this library, and goes. */
function parse(text: string | null): readonly Kept[] {
  return attempt(() => (JSON.parse(text ?? "[]") as readonly Kept[]).filter(({ s, id }) => s && id)) ?? [];
}
