/** Gives the token that a connection signs in with. Throw a HoldfastError "unauthorized" where only signing in helps. */
export type TokenSource = string | (() => string | Promise<string>);

/** A token with less time left, in ms, is replaced before it is used. */
const MARGIN = 30_000;

/** The token in use, and when it has to be replaced. */
export class Token {
  readonly #source: TokenSource;
  #value: string | undefined;
  /** By this machine's clock. */
  #expires = Number.POSITIVE_INFINITY;
  #pending: Promise<string> | undefined;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  /** The latest token, whether or not it still serves; "" before the first. */
  get value(): string {
    return this.#value ?? "";
  }

  /** The token, if there is one that may still be used. */
  usable(now: number): string | undefined {
    return now < this.#expires - MARGIN ? this.#value : undefined;
  }

  /** The server has said how long the token lasts; undefined means for ever. */
  lasts(ms: number | undefined, now: number): void {
    this.#expires = ms === undefined ? Number.POSITIVE_INFINITY : now + ms;
  }

  /** Asks the application for another one. Those who ask at the same time get the same. */
  fetch(): Promise<string> {
    const source = this.#source;
    const pending = Promise.resolve()
      .then(() => (typeof source === "string" ? source : source()))
      .then((value) => {
        if (this.#pending === pending) {
          this.#value = value;
          this.#expires = Number.POSITIVE_INFINITY;
        }
        return value;
      });
    this.#pending = pending;
    return pending;
  }
}
