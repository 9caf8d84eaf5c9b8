import type { PipeEvents } from "../../src/env/env.ts";
import type { ClientFrame, Cursor, ServerFrame, SessionFrame } from "../../src/wire.ts";
import { FakeLog } from "../fake-server.ts";

type Hello = Extract<ClientFrame, { t: "hello" }>;

/** The server's end of one socket. */
export class Conn {
  readonly events: PipeEvents;
  readonly reading = new Map<string, () => void>();
  /** Of a session, the message that was refused for now: until it or a first one comes, none is let in. */
  readonly held = new Map<string, string>();
  hello: Hello | undefined;
  attached = false;
  over = false;
  user = "";
  gen = 0;
  readonly #later: (run: () => void) => void;

  /** `later` runs what has to cross the network. */
  constructor(events: PipeEvents, later: (run: () => void) => void) {
    this.events = events;
    this.#later = later;
  }

  say(frame: ServerFrame): void {
    if (!this.over) this.#later(() => this.events.message(JSON.stringify(frame)));
  }

  end(code: number, reason: string): void {
    if (this.over) return;
    this.say({ t: "bye", code, reason });
    this.gone();
    this.#later(() => this.events.closed(code, reason));
  }

  gone(): void {
    this.over = true;
    for (const stop of this.reading.values()) stop();
    this.reading.clear();
  }
}

export const tokenOf = (user: string, n = 0) => `h.${btoa(JSON.stringify({ sub: user, n }))}.s`;

/** A server of many clients: of each, it lets the highest generation live. */
export class TabServer {
  readonly logs = new Map<string, FakeLog>();
  readonly conns = new Set<Conn>();
  readonly sends: string[] = [];
  readonly pages: number[] = [];
  /** The most that were attached at one time, of one client. */
  attaches = 0;
  refused = 0;
  up = true;
  /** How many messages that it could take are refused for now, and when they may come again, in ms. */
  refusals = 0;
  after = 1_000;
  /** Ends a connection with the code that this gives for its token. */
  refuses: (token: string) => number | undefined = () => undefined;
  readonly #now: () => number;
  #names = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  log(session = "chat"): FakeLog {
    let log = this.logs.get(session);
    if (!log) this.logs.set(session, (log = new FakeLog(session)));
    return log;
  }

  get attached(): Conn[] {
    return [...this.conns].filter((conn) => conn.attached && !conn.over);
  }

  hear(conn: Conn, text: string): void {
    if (conn.over) return;
    const frame = JSON.parse(text) as ClientFrame;
    switch (frame.t) {
      case "hello": {
        conn.hello = frame;
        conn.user = userOf(frame.token);
        const code = this.refuses(frame.token);
        if (code) return conn.end(code, "refused");
        if (frame.mode === "standby") return conn.say({ t: "ready", beat: 10_000, rest: 25_000 });
        return this.#attach(conn, frame);
      }
      case "take":
        return this.#attach(conn, frame);
      case "sub":
        return this.#subscribe(conn, frame.s, frame.last, frame.cur);
      case "unsub":
        conn.reading.get(frame.s)?.();
        return void conn.reading.delete(frame.s);
      case "send": {
        const { s, id, data } = frame;
        if (this.#refuses(conn, frame)) {
          return conn.say({ t: "err", re: "send", s, id, code: "rate_limited", msg: "wait", after: this.after });
        }
        this.sends.push(id);
        const { o, g, dup } = this.log(s).append("message", data, { id, u: conn.user, c: conn.hello?.client ?? "" });
        return conn.say({ t: "ack", s, id, o, g, at: this.#now(), ...(dup && { dup }) });
      }
      case "stop": {
        const { s, id, run = 0 } = frame;
        const c = conn.hello?.client ?? "";
        const { o, g } = this.log(s).stop({ id, u: conn.user, c, state: "requested" }, { run });
        return conn.say({ t: "ack", s, id, o, g, at: this.#now(), state: "requested" });
      }
      case "page": {
        const { s, id, before = 0, limit = 50 } = frame;
        this.pages.push(before);
        return conn.say({ t: "page", id, s, e: this.log(s).epoch, ...this.log(s).page(before, limit) });
      }
      case "signal":
        for (const other of this.attached) {
          if (other === conn || !other.reading.has(frame.s)) continue;
          other.say({ ...frame, u: conn.user, c: conn.hello?.client ?? "" });
        }
        return;
      case "ping":
        return conn.say({ t: "pong", n: frame.n });
      case "token":
        return conn.say({ t: "token" });
      case "bye":
        return conn.gone();
    }
  }

  #refuses({ held }: Conn, { s, id, first }: Extract<ClientFrame, { t: "send" }>): boolean {
    const waits = held.get(s);
    if (waits !== undefined && waits !== id && !first) return true;
    held.delete(s);
    if (!this.refusals) return false;
    this.refusals--;
    held.set(s, id);
    return true;
  }

  #attach(conn: Conn, { gen, subs }: { gen: number; subs: Hello["subs"] }): void {
    const { user } = conn;
    const old = this.attached.find((other) => other.user === user && other.hello?.client === conn.hello?.client);
    if (old && old.gen >= gen) {
      this.refused++;
      return conn.end(4502, "a newer one lives");
    }
    conn.gen = gen;
    conn.attached = true;
    this.attaches++;
    old?.end(4502, "a newer one lives");
    conn.say({
      t: "welcome",
      conn: `x${++this.#names}`,
      user,
      now: this.#now(),
      beat: 10_000,
      rest: 25_000,
      max: 1_000,
    });
    for (const { s, last, cur } of subs) this.#subscribe(conn, s, last, cur);
  }

  #subscribe(conn: Conn, s: string, last: number | undefined, cur: Cursor | undefined): void {
    conn.reading.get(s)?.();
    const log = this.log(s);
    for (const frame of log.answer(last, cur)) conn.say(frame);
    const on = (frame: SessionFrame) => conn.say(frame);
    log.onFrame.add(on);
    conn.reading.set(s, () => log.onFrame.delete(on));
  }
}

const userOf = (token: string) => (JSON.parse(atob(token.split(".")[1] ?? "")) as { sub: string }).sub;
