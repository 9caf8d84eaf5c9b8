import type { Env } from "../env/env.ts";
import { isFresh } from "./election.ts";
import type { Lease } from "./messages.ts";

/** How long a leader that does not answer is passed over, in ms. */
const MUTE = 10_000;

/** The other tabs that lead, or say so: there may be two for a moment. */
export class Roster {
  readonly #env: Env;
  readonly #leases = new Map<string, Lease>();
  readonly #mute = new Map<string, number>();
  /** Since when there has been nobody. */
  vacant: number;
  resigned = false;

  constructor(env: Env) {
    this.#env = env;
    this.vacant = env.now();
  }

  set(lease: Lease): void {
    this.#leases.set(lease.tab, lease);
    this.resigned = false;
    // Whom it replaced has no more to say.
    if (lease.welcome) this.forget(lease.epoch);
  }

  of(tab: string): Lease | undefined {
    return this.#leases.get(tab);
  }

  gone(tab: string): void {
    this.resigned = this.#leases.delete(tab) && !this.best;
    if (!this.best) this.vacant = this.#env.now();
  }

  /** Those whose generation is below this one do not live any more. */
  forget(below: number): void {
    for (const [tab, { epoch }] of [...this.#leases]) if (epoch < below) this.#leases.delete(tab);
  }

  /** It says that it leads, and does not hear. There is no use in waiting for another one, if there is none. */
  mute(tab: string): void {
    this.#mute.set(tab, this.#env.now() + MUTE);
    if (!this.best) this.vacant = 0;
  }

  /** Whom to follow: one that is connected. */
  get best(): Lease | undefined {
    return this.#first(({ welcome }) => !!welcome);
  }

  /** Whom to leave in office: one that somebody looks at, though it may be on its way to be connected yet. */
  get incumbent(): Lease | undefined {
    return this.#first(({ visible, at }) => visible && isFresh(at, this.#env.now()));
  }

  /** The best of those that hear: by what matters, and of equals the highest. */
  #first(matters: (lease: Lease) => boolean): Lease | undefined {
    const now = this.#env.now();
    return [...this.#leases.values()]
      .filter(({ tab }) => now >= (this.#mute.get(tab) ?? 0))
      .sort((a, b) => Number(matters(b)) - Number(matters(a)) || b.epoch - a.epoch)[0];
  }
}
