import { Token } from "../token.ts";
import { claimsOf } from "./user.ts";

/** A token with less time left, in ms, is not worth taking over. */
const MARGIN = 30_000;

/** The token of a tab that may lead: the application is asked by one tab at a time, and the others take what it was given. */
export class SharedToken extends Token {
  #heard: string | undefined;

  /** `alone` runs what asks the application, while no other tab does. */
  constructor(own: Token, now: () => number, alone: (fetch: () => Promise<string>) => Promise<string>) {
    // What the tab has already, because it had to look who is signed in, serves once.
    let first = own.usable(now());
    super(() => {
      const value = first;
      first = undefined;
      return value ?? alone(() => own.fetch(now()));
    });
  }

  /** Another tab was given one. */
  hear(token: string): void {
    this.#heard = token;
  }

  /** The one that was heard of, if it is not the one that is to be replaced. */
  fresh(now: number): string | undefined {
    const token = this.#heard;
    if (token === undefined || token === this.value) return undefined;
    return (claimsOf(token)?.expires ?? Number.POSITIVE_INFINITY) - now > MARGIN ? token : undefined;
  }
}
