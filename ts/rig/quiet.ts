type Release = () => void;

/** How many stages are set up or taken down at a time. */
const HEAVY = 2;
/** A calm moment lasts no longer than this, in ms. */
const CALM = 2_000;

/**
 * Lets many runs share a machine without disturbing one another: most of a run is waiting. What takes much of the machine,
 * as the start of a browser, stays away from the moments that are measured, and those from each other.
 */
export class Quiet {
  #heavy = 0;
  #calm = false;
  readonly #wantCalm: (() => void)[] = [];
  readonly #wantHeavy: (() => void)[] = [];

  /** Runs what takes much of the machine, when nothing is measured. */
  async heavy<T>(run: () => Promise<T>): Promise<T> {
    if (this.#calm || this.#wantCalm.length || this.#heavy >= HEAVY) {
      await new Promise<void>((resolve) => this.#wantHeavy.push(resolve));
    } else this.#heavy++;
    try {
      return await run();
    } finally {
      this.#heavy--;
      this.#next();
    }
  }

  /** Resolves when nothing else goes on, until what it resolves with is called, or for long enough. */
  async calm(): Promise<Release> {
    if (this.#calm || this.#heavy) await new Promise<void>((resolve) => this.#wantCalm.push(resolve));
    else this.#calm = true;
    let over = false;
    const release = () => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      this.#calm = false;
      this.#next();
    };
    const timer = setTimeout(release, CALM);
    return release;
  }

  /** Lets the next one go on; those who measure first, since what they wait for does not wait. */
  #next(): void {
    if (this.#calm) return;
    if (this.#wantCalm.length) {
      if (this.#heavy) return;
      this.#calm = true;
      return this.#wantCalm.shift()?.();
    }
    while (this.#heavy < HEAVY && this.#wantHeavy.length) {
      this.#heavy++;
      this.#wantHeavy.shift()?.();
    }
  }
}

/** All runs of this process share it. */
export const quiet = new Quiet();
