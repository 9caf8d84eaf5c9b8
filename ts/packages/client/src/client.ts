import { Connection } from "./connection.ts";
import { CLOSE_PROTOCOL } from "./connection-state.ts";
import { browserEnv } from "./env/browser.ts";
import type { Cancel, Carrier, Env, KeyValue } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import { Identity } from "./identity.ts";
import { Listeners } from "./listeners.ts";
import type { ConnectionStats, Link, LinkFactory, LinkParts, OwnedFrame } from "./link.ts";
import { Log, type LogRecord } from "./log.ts";
import { Outbox } from "./outbox.ts";
import { type OutboxStore, storedOutbox } from "./outbox-store.ts";
import { sendReport } from "./report.ts";
import type { SessionCache } from "./session-cache.ts";
import { Session, type SessionOptions } from "./session.ts";
import { Token, type TokenSource } from "./token.ts";
import { type Act, MAX_SUBS, type WelcomeFrame, type WindowsFrame } from "./wire.ts";

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
  /** Where the recent parts of sessions are kept, to be shown at once after a reload. Default: nowhere. */
  readonly cache?: SessionCache;
  /**
   * What the user's other windows are shown of this one, and whether it is to be told of them: `name`, and `device`, which is
   * the same in all windows of a device. See thisDevice and placeOf.
   */
  readonly place?: LinkParts["place"];
  /** What carries the frames, as fallback() of @holdfast/client/fallback. Default: WebSocket. */
  readonly carrier?: Carrier;
  /** What keeps the connection, as tabs() of @holdfast/client/tabs. Default: one connection for this tab alone. */
  readonly link?: LinkFactory;
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
  readonly #env: Env;
  readonly #identity: Identity;
  readonly #link: Link;
  readonly #parts: LinkParts;
  readonly #cache: SessionCache | undefined;
  #stopSignals: Cancel | undefined;
  readonly #outbox: Outbox;
  readonly #sessions = new Map<string, { readonly session: Session; holders: number }>();
  readonly #listeners = new Listeners<Status>();
  #max = DEFAULT_MAX;
  #status: Status;
  #notifying = false;
  #closed = false;

  constructor(options: ClientOptions) {
    const env = options.env ?? browserEnv();
    const storage = options.storage ?? env.storage;
    const { place = {} } = options;
    const prefix = `holdfast:${options.url}:`;
    this.#env = env;
    this.#identity = new Identity(env, storage, prefix, options.clientId);
    const token = new Token(options.token);
    const { outbox = () => storedOutbox(storage, `${prefix}outbox`) } = options;
    this.#outbox = new Outbox(env, typeof outbox === "function" ? outbox(env) : outbox, {
      transmit: (frame) => this.#link.send(frame),
      changed: (session) => this.#sessions.get(session)?.session.changed(),
      overdue: () => this.#link.suspect(),
      rtt: () => this.#link.stats.rtt,
    });
    const open = options.carrier?.(env) ?? ((url, events, hello) => env.open(url, events, hello));
    const make: LinkFactory = options.link ?? ((parts) => new Connection(parts));
    let asked = new Set<Session>();
    const owner = {
      attach: () => {
        const all = [...this.#sessions.values()].map(({ session }) => session);
        asked = new Set(all);
        return all.map((session) => session.ask());
      },
      welcomed: ({ max }: WelcomeFrame) => {
        this.#max = max;
        // Those that were opened while the answer was on its way.
        for (const { session } of this.#sessions.values())
          if (!asked.has(session)) this.#link.send({ t: "sub", ...session.ask() });
        this.#outbox.resend();
      },
      frame: (frame: OwnedFrame) => this.#take(frame),
      cut: () => {
        for (const { session } of this.#sessions.values()) session.cut();
      },
      changed: () => this.#statusChanged(),
      held: (id: string) => this.#sessions.get(id)?.session.held,
      upToDate: () => this.#upToDate(),
    };
    this.#parts = { env, open, url: options.url, token, identity: this.#identity, log: new Log(), owner, place };
    this.#link = make(this.#parts);
    this.#outbox.load();
    this.#cache = options.cache;
    this.#status = { state: "idle", since: env.now() };
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
    return this.#link.stats;
  }

  /** How long an unsent message is kept: as long as the page, the tab, or the browser's storage. */
  get keeps(): OutboxStore["lasts"] {
    return this.#outbox.lasts;
  }

  /** The last things that happened to the connection, for whoever has to find out why. No messages, no tokens. */
  get log(): readonly LogRecord[] {
    return this.#parts.log.records;
  }

  /** Calls `listener` after the status has changed. Returns what ends it. */
  onStatus(listener: (status: Status) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Connects, and from then on comes back by itself. See claim for what else it may be given. */
  connect(act: Act = "open"): void {
    this.#mustBeOpen();
    // A page that is hidden may never run again.
    if (this.#cache)
      this.#stopSignals ??= this.#env.signals((signal) => /hidd|froz|stor|leav/.test(signal) && this.#save());
    this.#link.connect(act);
  }

  /** Says goodbye and stays away until connect(). Sessions keep what they hold. */
  disconnect(): void {
    this.#link.disconnect();
  }

  /**
   * Sends the log to the server, for whoever has to find out why; at most 64 KiB of it. Rejects where the server does not
   * take it. By itself it is sent when the server asks, and when the connection ended because of a fault of this library.
   */
  async report(reason: "user" | "asked" | "error" = "user"): Promise<void> {
    await sendReport(this.#parts, reason);
  }

  /** Makes the next attempt now; with a connection, makes sure that it lives. */
  retryNow(): void {
    this.#link.retry();
  }

  /** Ends everything. What is unsent stays in the storage, for the next client of this tab. */
  close(): void {
    this.#closed = true;
    this.#stopSignals?.();
    this.#link.close();
    for (const { session } of this.#sessions.values()) session.end();
    this.#sessions.clear();
    this.#outbox.close();
    this.#listeners.clear();
  }

  /** Reads a session. For an id that is being read already it is the same object, and each has to close it. */
  session(id: string, options: SessionOptions = {}): Session {
    this.#mustBeOpen();
    const held = this.#sessions.get(id);
    if (held) {
      held.holders++;
      return held.session;
    }
    if (this.#sessions.size >= MAX_SUBS) {
      throw new HoldfastError("invalid", `a connection reads at most ${MAX_SUBS} sessions; close some`);
    }
    const session = this.#open(id, options);
    this.#sessions.set(id, { session, holders: 1 });
    if (this.#link.open) this.#link.send({ t: "sub", ...session.ask() });
    return session;
  }

  #save(): void {
    for (const { session } of this.#sessions.values()) session.save();
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new HoldfastError("closed", "this client was closed; make another one");
  }

  #open(id: string, options: SessionOptions): Session {
    const link = this.#link;
    return new Session(
      {
        env: this.#env,
        cache: this.#cache,
        get open() {
          return link.open;
        },
        write: (frame) => link.send(frame),
        send: (session, data) => this.#outbox.add(this.#identity.id, session, data, this.#max),
        outbox: (session) => this.#outbox.of(session),
        applied: (session, added, have) => {
          for (const entry of added) if (entry.id) this.#outbox.seen(entry.id, entry.offset, entry.at);
          this.#outbox.shown(session, have);
        },
        phaseChanged: () => this.#statusChanged(),
        closed: (session) => this.#closeSession(session),
      },
      id,
      options,
    );
  }

  #closeSession(session: Session): void {
    const held = this.#sessions.get(session.id);
    if (held?.session !== session || --held.holders > 0) return;
    this.#sessions.delete(session.id);
    session.end();
    this.#link.send({ t: "unsub", s: session.id });
    this.#statusChanged();
  }

  #take(frame: OwnedFrame): void {
    const session = "s" in frame && frame.s ? this.#sessions.get(frame.s)?.session : undefined;
    switch (frame.t) {
      case "ack":
        this.#outbox.acked(frame);
        // Where nobody reads the session, or nobody may, no entry will come to take the message's place.
        return this.#outbox.shown(frame.s, !session || session.status === "denied" ? frame.o : session.have);
      case "err":
        return frame.re === "send" ? this.#outbox.refused(frame) : session?.refused(frame);
      case "page":
        return session?.takePage(frame);
      case "signal":
        return session?.takeSignal(frame);
      case "windows":
      case "members":
        return session?.takeOthers(frame);
      case "report":
        return void this.report("asked").catch(() => {});
      default:
        return session?.take(frame);
    }
  }

  #statusChanged(): void {
    const { windows } = this.#link.stats;
    const next = { ...this.#currentStatus(), windows };
    const now = this.#status;
    const same =
      next.state === now.state &&
      next.retryAt === now.retryAt &&
      next.reason === now.reason &&
      next.code === now.code &&
      // From the tab that has the connection comes another object each time.
      JSON.stringify(windows) === JSON.stringify(now.windows);
    if (same) return;
    this.#status = { ...next, since: next.state === now.state ? now.since : this.#env.now() };
    if (next.code === CLOSE_PROTOCOL) this.report("error").catch(() => {});
    if (this.#notifying) return;
    this.#notifying = true;
    this.#env.soon(() => {
      this.#notifying = false;
      this.#listeners.tell(this.#status);
    });
  }

  #currentStatus(): Omit<Status, "since"> {
    const { state } = this.#link;
    switch (state.name) {
      case "idle":
      case "asleep":
        return { state: state.name };
      case "waiting":
        return { state: "offline", retryAt: state.until, reason: state.reason };
      case "ended":
        return { state: "ended", reason: state.reason, code: state.code };
      case "live":
      case "doubt":
        return { state: this.#upToDate() ? "live" : "catching-up" };
      default:
        return { state: "connecting" };
    }
  }

  #upToDate(): boolean {
    for (const { session } of this.#sessions.values()) {
      if (session.status !== "live" && session.status !== "denied") return false;
    }
    return true;
  }
}
