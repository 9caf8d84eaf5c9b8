/** Functions to call when something happens. One function may be given twice; each time has its own end. */
export class Listeners<T> {
  readonly #all = new Map<object, (value: T) => void>();

  /** Adds a listener, and returns what removes it. */
  add(listener: (value: T) => void): () => void {
    const key = {};
    this.#all.set(key, listener);
    return () => void this.#all.delete(key);
  }

  tell(value: T): void {
    for (const listener of [...this.#all.values()]) listener(value);
  }

  get size(): number {
    return this.#all.size;
  }

  clear(): void {
    this.#all.clear();
  }
}
