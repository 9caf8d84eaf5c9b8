import type { Env, KeyValue } from "./env/env.ts";

/**
 * Which client this is: an id that is this tab's, also after a reload, and a generation that grows with each dial.
 *
 * A duplicated tab begins with a copy of the other's storage, and so with its id. Two connections of one client are
 * never both alive, so the two would cut each other off for ever: the copy has to notice and take an id of its own.
 */
export class Identity {
  readonly #env: Env;
  readonly #storage: KeyValue;
  readonly #prefix: string;
  #id: string;
  #claimed: Promise<void> | undefined;

  constructor(env: Env, storage: KeyValue, prefix: string, id?: string) {
    this.#env = env;
    this.#storage = storage;
    this.#prefix = prefix;
    this.#id = id ?? storage.get(`${prefix}client`) ?? this.#renew();
    // An id that the application chose is its own care.
    if (id !== undefined) this.#claimed = Promise.resolve();
  }

  get id(): string {
    return this.#id;
  }

  /** Settles which id it is; undefined once it is settled. */
  settle(): Promise<void> | undefined {
    if (this.#claimed) return undefined;
    this.#claimed = this.#env.claim(this.#prefix + this.#id).then((claim) => {
      if (claim !== "taken") return;
      this.#renew();
      void this.#env.claim(this.#prefix + this.#id);
    });
    return this.#claimed;
  }

  /** Takes another id: this one's connection was taken over by a living twin. */
  renew(): void {
    this.#renew();
    void this.#env.claim(this.#prefix + this.#id);
  }

  /** The generation of the next dial. It is above all earlier ones even if the storage was lost. */
  nextGeneration(): number {
    const key = `${this.#prefix}gen`;
    const gen = Math.max(Number(this.#storage.get(key) ?? 0) + 1, this.#env.now());
    this.#storage.set(key, String(gen));
    return gen;
  }

  #renew(): string {
    this.#id = randomName(this.#env);
    this.#storage.set(`${this.#prefix}client`, this.#id);
    return this.#id;
  }
}

/** A name that nobody else has: 16 characters of 36. */
export function randomName(env: Env): string {
  let name = "";
  while (name.length < 16) name += Math.floor(env.random() * 36).toString(36);
  return name;
}
