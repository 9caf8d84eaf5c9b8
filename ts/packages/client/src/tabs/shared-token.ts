import type { Cancel, Env } from "../env/env.ts";
import type { Siblings } from "../env/siblings.ts";
import { Token } from "../token.ts";
import { claimsOf } from "./user.ts";

/** A token with less time left, in ms, is not worth taking over. */
const MARGIN = 30_000;
/** How long another tab may take to ask; a frozen one would take an hour. */
const PATIENCE = 2_000;

export interface SharedTokenParts {
  readonly env: Pick<Env, "now" | "timer">;
  readonly siblings: Pick<Siblings, "lock">;
  /** The lock's name. */
  readonly name: string;
  /** The tab's own, which asks the application. */
  readonly own: Token;
  /** A token has come. Throws where it is not this tab's user's. */
  came(token: string): void;
}

/** The token of a tab that may lead: the application is asked by one tab at a time, and the others take what it was given. */
export class SharedToken extends Token {
  #heard: string | undefined;
  #turn: Cancel | undefined;

  constructor(parts: SharedTokenParts) {
    const { env, own } = parts;
    // What the tab has already, because it had to look who is signed in, serves once.
    let first = own.usable(env.now()) ? own.value : undefined;
    super(async () => {
      const kept = first;
      first = undefined;
      return kept ?? this.#ask(parts);
    });
  }

  /** Whether one has come, to this tab or another. */
  get known(): boolean {
    return (this.#heard ?? this.value) !== "";
  }

  /** Another tab was given one. */
  hear(token: string): void {
    this.#heard = token;
  }

  /** Whoever takes back one token takes back those before it as well, and after two refusals the connection is ended. */
  override lasts(until?: number): void {
    if (until === 0) this.#heard = undefined;
    super.lasts(until);
  }

  /** Lets the others ask: a lock that is kept in the back/forward cache has the page thrown out of it. */
  end(): void {
    this.#turn?.();
  }

  async #ask(parts: SharedTokenParts): Promise<string> {
    const { env, own, came } = parts;
    const waited = this.#myTurn(parts);
    const turn = this.#turn;
    await waited;
    try {
      const token = this.#fresh(env.now()) ?? (await own.fetch(env.now()));
      came(token);
      return token;
    } finally {
      turn?.();
    }
  }

  /** The one that was heard of, if it is not the one that is to be replaced. */
  #fresh(now: number): string | undefined {
    const token = this.#heard;
    if (!token || token === this.value) return undefined;
    return (claimsOf(token)?.expires ?? Infinity) - now > MARGIN ? token : undefined;
  }

  /** Waits until no other tab asks, or for long enough. */
  #myTurn({ env, siblings, name }: SharedTokenParts): Promise<void> {
    // A question that is asked again, since its answer is long in coming, gives its turn up, or it would wait for itself.
    this.end();
    return new Promise((resolve) => {
      this.#turn = siblings.lock(name, "wait", { got: resolve, lost: () => {} });
      env.timer(resolve, PATIENCE);
    });
  }
}
