/** Gives the token that a connection signs in with. Throw a HoldfastError "unauthorized" where only signing in helps. */
export type TokenSource = string | (() => string | Promise<string>);

/** A token with less time left, in ms, is replaced before it is used. */
const MARGIN = 30_000;

/** After so many ms an answer that has not come is not waited for any more. */
const PATIENCE = 10_000;

/** The token in use, and when it has to be replaced. */
export class Token {
  readonly #source: TokenSource;
  /** The latest token, whether or not it still serves; "" before the first. */
  value = "";
  /** By this machine's clock. */
  #expires = 0;
  #pending: Promise<string> | undefined;
  #askedAt = 0;

  constructor(source: TokenSource) {
    this.#source = source;
  }

  /** Whether there is one that may still be used. */
  usable(now: number): boolean {
    return now < this.#expires - MARGIN;
  }

  /** The server has said until when the token lasts; 0 means that it does not take it. */
  lasts(until = Infinity): void {
    this.#expires = until;
  }

  /**
   * Asks the application for another one. Those who ask at the same time get the same; one that is long in coming is asked
   * for again, and whichever comes last counts.
   */
  fetch(now: number): Promise<string> {
    if (this.#pending && Math.abs(now - this.#askedAt) < PATIENCE) return this.#pending;
    this.#askedAt = now;
    const pending = this.#ask().finally(() => {
      if (this.#pending === pending) this.#pending = undefined;
    });
    this.#pending = pending;
    return pending;
  }

  async #ask(): Promise<string> {
    const source = this.#source;
    const value = await (typeof source === "string" ? source : source());
    this.value = value;
    this.lasts();
    return value;
  }
}
