import type { Env } from "@holdfast/client";

/** How long a page that is being reloaded may hold on to its name before the name counts as another tab's, in ms. */
const PATIENCE = 400;

/** Which tabs live, by Web Locks: a page holds the lock of its name, and the browser frees it however the page ends. */
export class Living {
  readonly #locks: LockManager;
  readonly #prefix: string;
  readonly #closed = new AbortController();

  constructor(locks: LockManager, prefix: string) {
    this.#locks = locks;
    this.#prefix = prefix;
  }

  /** Holds a name until close, or the end of the page; false if another page has it and does not end. */
  claim(tab: string, env: Pick<Env, "timer">): Promise<boolean> {
    return new Promise((resolve) => {
      const giveUp = new AbortController();
      const cancel = env.timer(() => giveUp.abort(), PATIENCE);
      const hold = () => {
        cancel();
        resolve(true);
        return new Promise<void>((release) => {
          if (this.#closed.signal.aborted) release();
          this.#closed.signal.addEventListener("abort", () => release());
        });
      };
      this.#locks.request(this.#prefix + tab, { signal: giveUp.signal }, hold).catch(() => resolve(false));
    });
  }

  /** Those whose name nobody has at the moment. */
  async dead(tabs: Iterable<string>): Promise<readonly string[]> {
    const dead: string[] = [];
    for (const tab of tabs) await this.ifDead(tab, () => dead.push(tab));
    return dead;
  }

  /** Runs something if nobody has the name, and keeps it from being taken meanwhile. */
  async ifDead(tab: string, run: () => unknown): Promise<void> {
    await this.#locks.request(this.#prefix + tab, { ifAvailable: true }, (lock) => (lock ? run() : undefined));
  }

  close(): void {
    this.#closed.abort();
  }
}

/** The locks of this browser; undefined where there are none, such as on a page without https. */
export function webLocks(): LockManager | undefined {
  return globalThis.navigator?.locks;
}
