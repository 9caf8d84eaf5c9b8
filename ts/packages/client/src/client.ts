import { Connection } from "./connection.ts";
import { browserEnv } from "./env/browser.ts";
import type { Carrier, Env, KeyValue } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import { Identity } from "./identity.ts";
import { Listeners } from "./listeners.ts";
import type { ConnectionOwner, ConnectionStats, Link, LinkFactory, LinkParts, OwnedFrame } from "./link.ts";
import type { Log } from "./log.ts";
import { Outbox } from "./outbox.ts";
import { type OutboxStore, storedOutbox } from "./outbox-store.ts";
import { Session, type SessionOptions } from "./session.ts";
import { Token, type TokenSource } from "./token.ts";
import { type Act, MAX_SUBS, type SubItem, type WindowsFrame } from "./wire.ts";

export interface ClientOptions {
  /** Where the server is, such as wss://example.com/v1/ws; the number of the dial is added to the path. */
  readonly url: string;
  /**
   * The token to sign in with, or a function that gets one; it is called before the first connection, before a token
   * expires and after one was refused. A rejection with a HoldfastError "unauthorized" ends the connection for good, any
   * other is taken for a passing failure.
   */
  readonly token: TokenSource;
  /**
   * This device or tab, stable over reloads: 1 to 64 of letters, digits and . _ ~ : @ -. Of two connections with the same
   * id only the newer lives. Default: random, kept with the tab, and another one in a duplicated tab.
   */
  readonly clientId?: string;
  /** Where unsent messages and the client id are kept. Default: sessionStorage, or memory where there is none. */
  readonly storage?: KeyValue;
  /** Where unsent messages are kept instead, as with durableOutbox() of @holdfast/outbox. */
  readonly outbox?: OutboxStore | ((env: Env) => OutboxStore);
  /** Where the recent parts of sessions are kept, to be shown at once after a reload, as cached(). Default: nowhere. */
  readonly cache?: (env: Env, session: Session) => void;
  /**
   * What the user's other windows are shown of this one, and whether it is to be told of them: `name`, and `device`, which is
   * the same in all windows of a device. See thisDevice and placeOf.
   */
  readonly place?: LinkParts["place"];
  /** What carries the frames, as fallback() of @holdfast/client/fallback. Default: WebSocket. */
  readonly carrier?: Carrier;
  /** What keeps the connection, as tabs() of @holdfast/client/tabs. Default: one connection for this tab alone. */
  readonly link?: LinkFactory;
  /** What keeps a log of the connection, and sends it to the server when that asks for it: keepLog. Default: nothing. */
  readonly log?: (parts: LinkParts) => Log;
  /** The outside world, for tests and for places that are no browser. */
  readonly env?: Env;
}

/** What to tell the user about the connection. */
export interface Status {
  /**
   * - idle: not asked to connect.
   * - connecting: an attempt is under way.
   * - live: connected, and all sessions are up to date.
   * - catching-up: connected, and what was missed is coming.
   * - offline: waiting until retryAt for the next attempt; it never gives up.
   * - asleep: hidden for so long that it let go on purpose; it comes back when it is shown.
   * - ended: the server said to stay away. Only connect() tries again.
   */
  readonly state: "idle" | "connecting" | "live" | "catching-up" | "offline" | "asleep" | "ended";
  /** Since when, and when the next attempt comes, in Unix milliseconds of this machine. */
  readonly since: number;
  readonly retryAt?: number;
  /** Why, with offline and ended, for people; code is the close code, with ended. */
  readonly reason?: string;
  readonly code?: number;
  /** How this window stands beside the user's others, as the server tells it; see placeOf. */
  readonly windows?: WindowsFrame | undefined;
}

/** The largest data of a send until the server has said what it takes, in bytes. */
const DEFAULT_MAX = 256 * 1024;

/** One connection to a server, over which any number of sessions live. Making one does nothing yet: call connect(). */
export class Client {
  /** @internal */
  readonly env: Env;
  /** @internal */
  readonly link: Link;
  /** @internal */
  readonly outbox: Outbox;
  /** @internal */
  readonly sessions = new Map<string, Session>();
  /** @internal */
  max = DEFAULT_MAX;
  /** What the option `log` has made. */
  readonly log: Log | undefined;

  readonly #options: ClientOptions;
  readonly #identity: Identity;
  readonly #listeners = new Listeners<Status>();
  #status: Status;
  #closed = false;

  constructor(options: ClientOptions) {
    const {
      url,
      env = browserEnv(),
      storage = env.storage,
      carrier,
      link = (it) => new Connection(it),
      place,
    } = options;
    const prefix = `holdfast:${url}:`;
    const { outbox = storedOutbox(storage, `${prefix}outbox`) } = options;
    const open = carrier?.(env) ?? env.open.bind(env);
    const identity = new Identity(env, storage, prefix, options.clientId);
    const parts = {
      env,
      open,
      url,
      token: new Token(options.token),
      identity,
      log: undefined,
      owner: this.#owner(),
      place,
    };
    this.#options = options;
    this.env = env;
    this.#identity = identity;
    this.log = options.log?.(parts);
    this.link = link({ ...parts, log: this.log });
    this.outbox = new Outbox(this, typeof outbox === "function" ? outbox(env) : outbox);
    this.#status = { state: "idle", since: env.now() };
    this.outbox.load();
  }

  /** This device or tab, as other readers see it in entries. A duplicated tab gets another one when it connects. */
  get clientId(): string {
    return this.#identity.id;
  }

  /** The same object until something changes. */
  get status(): Status {
    return this.#status;
  }

  get stats(): ConnectionStats {
    return this.link.stats;
  }

  /** How long an unsent message is kept: as long as the page, the tab, or the browser's storage. */
  get keeps(): OutboxStore["lasts"] {
    return this.outbox.lasts;
  }

  /** Calls `listener` after the status has changed. Returns what ends it. */
  onStatus(listener: (status: Status) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Connects, and from then on comes back by itself. See claim for what else it may be given. */
  connect(act: Act = "open"): void {
    this.#mustBeOpen();
    this.link.connect(act);
  }

  /** Says goodbye and stays away until connect(). Sessions keep what they hold. */
  disconnect(): void {
    this.link.disconnect();
  }

  /** Makes the next attempt now; with a connection, makes sure that it lives. Where there is to be none, only connect() helps. */
  retryNow(): void {
    this.link.retry();
  }

  /** Ends everything. What is unsent stays in the storage, for the next client of this tab. */
  close(): void {
    this.#closed = true;
    this.link.disconnect();
    for (const session of this.sessions.values()) session.end();
    this.sessions.clear();
    this.outbox.close();
    // After those who listen were told of it.
    this.env.soon(() => this.#listeners.clear());
  }

  /** Reads a session. For an id that is being read already it is the same object, and each has to close it. */
  session(id: string, options: SessionOptions = {}): Session {
    this.#mustBeOpen();
    const { sessions } = this;
    const session = sessions.get(id) ?? new Session(this, id, options);
    if (session.holders++) return session;
    if (sessions.size >= MAX_SUBS) throw new HoldfastError("invalid", `more than ${MAX_SUBS} sessions`);
    sessions.set(id, session);
    this.#options.cache?.(this.env, session);
    session.resume();
    return session;
  }

  /** @internal The state of the link or of a session has changed. */
  changed(): void {
    const before = this.#status;
    const next = { since: before.since, ...this.#currentStatus(), windows: this.stats.windows };
    if (JSON.stringify(next) === JSON.stringify(before)) return;
    if (next.state !== before.state) next.since = this.env.now();
    this.#status = next;
    this.#listeners.tellSoon(this.env, () => this.#status);
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new HoldfastError("closed", "closed");
  }

  #owner(): ConnectionOwner {
    const { sessions } = this;
    let asked: readonly SubItem[] = [];
    return {
      attach: () => (asked = [...sessions.values()].map((session) => session.ask())),
      welcomed: ({ max }) => {
        this.max = max;
        // Those that were closed while the answer was on its way.
        for (const { s } of asked) if (!sessions.has(s)) this.link.send({ t: "unsub", s });
        // Those that were opened while the answer was on its way.
        for (const session of sessions.values()) if (!session.held.asked) session.resume();
        this.outbox.resend();
      },
      frame: (frame) => this.#take(frame),
      cut: () => {
        for (const session of sessions.values()) session.cut();
      },
      changed: () => this.changed(),
      held: (id) => sessions.get(id)?.held,
      upToDate: () => this.#upToDate(),
    };
  }

  #take(frame: OwnedFrame): void {
    const s = ("s" in frame && frame.s) || "";
    const session = this.sessions.get(s);
    switch (frame.t) {
      case "ack": {
        const { id, o: offset } = frame;
        this.outbox.arrived(id, { ...frame, offset });
        // Where nobody reads the session, or nobody may, no entry will come to take the message's place.
        const { phase, have } = session?.held ?? { phase: "denied", have: 0 };
        return this.outbox.shown(s, phase === "denied" ? offset : have);
      }
      case "page":
        return this.outbox.arrived(frame.id, { offset: 0, at: 0, page: frame });
      case "err":
        if (frame.re !== "sub") return this.outbox.refused(frame);
        if (frame.after) return void this.env.timer(() => this.sessions.get(s)?.resume(), frame.after);
        return session?.take({ t: "sub", s, outcome: "denied", code: frame.code, msg: frame.msg });
      case "signal":
        return session?.takeSignal(frame);
      case "windows":
      case "members":
        return session?.takeOthers(frame);
      case "report":
        return void this.log?.report("asked").catch(() => {});
      default:
        return session?.take(frame);
    }
  }

  #currentStatus(): Omit<Status, "since"> {
    const { state } = this.link;
    switch (state.name) {
      case "waiting":
        return { state: "offline", retryAt: state.until, reason: state.reason };
      case "ended":
        return { state: "ended", reason: state.reason, code: state.code };
      case "live":
      case "doubt":
        return { state: this.#upToDate() ? "live" : "catching-up" };
      case "dialing":
      case "attaching":
        return { state: "connecting" };
    }
    return { state: state.name };
  }

  #upToDate(): boolean {
    return [...this.sessions.values()].every(({ status }) => status === "live" || status === "denied");
  }
}
