import type { Claim, Env, KeyValue } from "./env/env.ts";

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
  /** An id that the application chose is its own care. */
  readonly #chosen: boolean;
  #settled: boolean;

  constructor(env: Env, storage: KeyValue, prefix: string, id?: string) {
    this.#env = env;
    this.#storage = storage;
    this.#prefix = prefix;
    this.#id = id ?? storage.get(`${prefix}client`) ?? this.#another();
    this.#settled = this.#chosen = id !== undefined;
  }

  get id(): string {
    return this.#id;
  }

  /** Settles which id it is; undefined once it is settled. */
  settle(): Promise<void> | undefined {
    if (this.#settled) return undefined;
    this.#settled = true;
    return this.#claim().then((claim) => {
      if (claim === "taken") this.renew();
    });
  }

  /** Takes another id: this one's connection was taken over by a living twin. */
  renew(): void {
    if (this.#chosen) return;
    this.#id = this.#another();
    void this.#claim();
  }

  /** The generation of the next dial. It is above all earlier ones even if the storage was lost. */
  nextGeneration(): number {
    const key = `${this.#prefix}gen`;
    const gen = Math.max(Number(this.#storage.get(key) ?? 0) + 1, this.#env.now());
    this.#storage.set(key, String(gen));
    return gen;
  }

  #another(): string {
    const id = randomName(this.#env);
    this.#storage.set(`${this.#prefix}client`, id);
    return id;
  }

  #claim(): Promise<Claim> {
    return this.#env.claim(this.#prefix + this.#id);
  }
}

/** A name that nobody else has: 16 characters of 36. */
export function randomName(env: Env): string {
  let name = "";
  while (name.length < 16) name += ((env.random() * 36) | 0).toString(36);
  return name;
}
