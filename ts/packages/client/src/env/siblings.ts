import type { Cancel, KeyValue } from "./env.ts";

/** What the tabs of one browser, at one origin, have between them. */
export interface Siblings {
  /** Whether all of it is there. */
  readonly usable: boolean;
  /** Seen by all tabs, and kept longer than any. */
  readonly storage: KeyValue;
  /** Opens a channel: what is posted on it, all others of its name hear, in the order posted, and the poster does not. */
  channel(name: string, on: (message: unknown) => void): Channel;
  /**
   * Waits for a lock, tries whether it is free, or takes it from whoever has it. `got` once it is held, `lost` if it was not
   * free, or is taken away. The cancel gives it back, or stops waiting; so does the end of the page.
   */
  lock(name: string, how: LockMode, on: LockEvents): Cancel;
}

export type LockMode = "wait" | "try" | "steal";

export interface Channel {
  post(message: unknown): void;
  close(): void;
}

export interface LockEvents {
  got(): void;
  lost(): void;
}

const PROBE = "holdfast";

export function browserSiblings(): Siblings {
  return {
    get usable() {
      const written = attempt(() => {
        localStorage.setItem(PROBE, PROBE);
        return localStorage.getItem(PROBE);
      });
      return written === PROBE && !!globalThis.navigator?.locks && !!globalThis.BroadcastChannel;
    },
    storage: { get: (key) => attempt(() => localStorage.getItem(key)), set: write },
    channel(name, on) {
      const channel = new BroadcastChannel(name);
      channel.onmessage = ({ data }: MessageEvent<unknown>) => on(data);
      return { post: (message) => channel.postMessage(message), close: () => channel.close() };
    },
    lock,
  };
}

/** It throws where it is forbidden or full: then nothing is kept, and every tab is its own. */
function attempt<T>(run: () => T): T | null {
  try {
    return run();
  } catch {
    return null;
  }
}

function write(key: string, value: string | null): void {
  attempt(() => (value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value)));
}

function lock(name: string, how: LockMode, { got, lost }: LockEvents): Cancel {
  let over = false;
  let release = () => {};
  const giveUp = new AbortController();
  const held = (lock: Lock | null) => {
    if (over || !lock) return void (over || lost());
    got();
    return new Promise<void>((resolve) => {
      release = resolve;
    });
  };
  const kinds = { wait: { signal: giveUp.signal }, try: { ifAvailable: true }, steal: { steal: true } };
  navigator.locks.request(name, kinds[how], held).catch(() => over || lost());
  return () => {
    over = true;
    giveUp.abort();
    release();
  };
}
