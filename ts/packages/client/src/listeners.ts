import type { Env } from "./env/env.ts";

/** Functions to call when something happens. One function may be given twice; each time has its own end. */
export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>();
  #due = false;

  /** Adds a listener, and returns what removes it. */
  add(listener: (value: T) => void): () => void {
    const own = (value: T) => listener(value);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }

  tell(value: T): void {
    for (const listener of [...this.#all]) listener(value);
  }

  /** Tells once for all that happens now, when it is over. */
  tellSoon(env: Env, value: () => T): void {
    if (this.#due) return;
    this.#due = true;
    env.soon(() => {
      this.#due = false;
      this.tell(value());
    });
  }

  clear(): void {
    this.#all.clear();
  }
}
