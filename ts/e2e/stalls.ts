const GRAIN = 20;

/**
 * How long this process was kept from working by whatever else the machine does. What is promised within a time is late by as
 * much for reasons that are not its own.
 */
export class Stalls {
  readonly #late: { readonly at: number; readonly ms: number }[] = [];
  #last = Date.now();
  readonly #timer = setInterval(() => this.#tick(), GRAIN);

  #tick(): void {
    const now = Date.now();
    const ms = now - this.#last - GRAIN;
    if (ms > 0) this.#late.push({ at: now, ms });
    this.#last = now;
  }

  /** Of the time between two moments, in Unix ms. */
  between(from: number, to: number): number {
    const within = this.#late.filter(({ at }) => at > from && at <= to + GRAIN);
    return within.reduce((sum, { ms }) => sum + ms, 0);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
