import type { Cancel } from "../env/env.ts";
import type { LockMode, Siblings } from "../env/siblings.ts";

/**
 * The lock of whoever leads. It tells the others of a leader's end at once, and serves for nothing else: a frozen page
 * keeps it, so to have it is not to lead, and to lead one need not have it.
 */
export class Seat {
  readonly #siblings: Siblings;
  readonly #name: string;
  readonly #got: () => void;
  #cancel: Cancel | undefined;
  #waiting = false;
  /** Whether this tab holds it. */
  granted = false;

  constructor(siblings: Siblings, name: string, got: () => void) {
    this.#siblings = siblings;
    this.#name = name;
    this.#got = got;
  }

  /** Waits for it, or does not wait any more. */
  queue(want: boolean): void {
    if (this.granted) return;
    // A try that is under way is left alone: on a busy machine it may take longer than until the next look.
    if (!want && this.#waiting) this.release();
    if (!want || this.#cancel) return;
    this.#waiting = true;
    this.#cancel = this.#request("wait");
  }

  /** Has it if nobody has it. */
  try(): void {
    if (!this.granted) this.#cancel ??= this.#request("try");
  }

  /** Has it at once, whoever had it. */
  take(): void {
    if (this.granted) return;
    this.release();
    this.#cancel = this.#request("steal");
  }

  release(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.granted = this.#waiting = false;
  }

  #request(how: LockMode): Cancel {
    let over = false;
    const cancel = this.#siblings.lock(this.#name, how, {
      got: () => {
        if (over) return;
        this.granted = true;
        this.#got();
      },
      lost: () => {
        if (over) return;
        this.granted = this.#waiting = false;
        this.#cancel = undefined;
      },
    });
    return () => {
      over = true;
      cancel();
    };
  }
}
