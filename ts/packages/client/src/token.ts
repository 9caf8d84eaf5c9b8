/** Gives the token that a connection signs in with. Throw a HoldfastError "unauthorized" where only signing in helps. */
export type TokenSource = string | (() => string | Promise<string>);

/** A token with less time left, in ms, is replaced before it is used. */
const MARGIN = 30_000;

/** After so many ms an answer that has not come is not waited for any more. */
const PATIENCE = 10_000;

/** The token in use, and when it has to be replaced. */
export class Token {
  readonly #source: TokenSource;
  #value: string | undefined;
  /** By this machine's clock. */
  #expires = Number.POSITIVE_INFINITY;
  #pending: Promise<string> | undefined;
  #askedAt = 0;

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

  /** The server does not take it. */
  spoil(): void {
    this.#expires = 0;
  }

  /**
   * Asks the application for another one. Those who ask at the same time get the same; one that is long in coming is asked
   * for again, and whichever comes last counts.
   */
  fetch(now: number): Promise<string> {
    if (this.#pending && Math.abs(now - this.#askedAt) < PATIENCE) return this.#pending;
    const source = this.#source;
    this.#askedAt = now;
    const pending = Promise.resolve()
      .then(() => (typeof source === "string" ? source : source()))
      .then((value) => {
        this.#value = value;
        this.#expires = Number.POSITIVE_INFINITY;
        return value;
      })
      .finally(() => {
        if (this.#pending === pending) this.#pending = undefined;
      });
    this.#pending = pending;
    return pending;
  }
}
