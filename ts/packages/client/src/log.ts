import { CLOSE_PROTOCOL } from "./connection-state.ts";
import type { Event, State } from "./connection-types.ts";
import { HoldfastError } from "./errors.ts";
import type { LinkParts } from "./link.ts";
import { AGENT, httpUrl } from "./urls.ts";

/** One thing that happened: when, by this machine's clock, what, and figures to it. Never a message or a token. */
export interface LogRecord {
  readonly at: number;
  readonly e: string;
  readonly [figure: string]: unknown;
}

const KEPT = 500;
/** Events that come with every frame: the log would be full of them. */
const FREQUENT = /heard|sent|pong|timer/;
/** The server takes 64 KiB; what stands around the log is less than the rest. */
const MAX_LOG = 60_000;
const TIMEOUT = 10_000;

/** Keeps the last things that happened to the connection, for whoever has to find out why: the option `log` of a client. */
export const keepLog = (parts: LinkParts) => new Log(parts);

export class Log {
  readonly #parts: LinkParts;
  readonly records: LogRecord[] = [];

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  /** @internal The connection took an event, and went from one state to another. */
  took({ type, ...figures }: Event, from: State, to: State): void {
    if (FREQUENT.test(type) && to.name === from.name) return;
    // The application's own words may hold anything.
    const reason = type === "unauthorized" && { reason: "" };
    this.records.push({ at: this.#parts.env.now(), e: type, s: to.name, ...figures, ...reason });
    if (this.records.length > KEPT) this.records.shift();
    if (to !== from && to.name === "ended" && to.code === CLOSE_PROTOCOL) this.report("error").catch(() => {});
  }

  /**
   * Sends the latest part to the server, at most 64 KiB of it. Rejects where the server does not take it. By itself it is
   * sent when the server asks, and when the connection ended because of a fault of this library.
   */
  async report(reason: "user" | "asked" | "error" = "user"): Promise<void> {
    const { env, token } = this.#parts;
    let status = token.value ? await this.#send(reason, token.value) : 401;
    // Where tabs share a connection, it may have been signed in with another token than this tab's. But who asks, asks all tabs.
    if (status === 401 && reason !== "asked") status = await this.#send(reason, await token.fetch(env.now()));
    if (status < 200 || status >= 300)
      throw new HoldfastError("unavailable", `the server answered ${status || "nothing"}`);
  }

  /** Returns the status of the answer, 0 for none. */
  async #send(reason: string, token: string): Promise<number> {
    const { env, url, identity } = this.#parts;
    let log: readonly LogRecord[] = this.records;
    while (JSON.stringify(log).length > MAX_LOG) log = log.slice(log.length >> 3 || 1);
    const body = JSON.stringify({ token, client: identity.id, reason, agent: AGENT, now: env.now(), log });
    const answer = env.fetch(httpUrl(url, "report"), { method: "POST", body, timeout: TIMEOUT });
    return (await answer.catch(() => ({ status: 0 }))).status;
  }
}
