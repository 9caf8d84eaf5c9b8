import {
  CLOSE_EXPIRED,
  CLOSE_SUPERSEDED,
  CLOSE_UNAUTHORIZED,
  deadline,
  INITIAL,
  sockets,
  step,
} from "./connection-state.ts";
import type { Effect, Event, State } from "./connection-types.ts";
import type { Cancel, Env, FetchAnswer, Pipe } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import type { ConnectionStats, Link, LinkParts } from "./link.ts";
import { watchPage } from "./page.ts";
import { AGENT, below, httpUrl } from "./urls.ts";
import {
  type Act,
  type ClientFrame,
  decode,
  encode,
  type ServerFrame,
  VERSION,
  type WelcomeFrame,
  type WindowsFrame,
} from "./wire.ts";

const GATE_TIMEOUT = 1_000;
/** Events that come with every frame: the log would be full of them. */
const FREQUENT = /heard|sent|pong|timer/;
/** A connection that lives so long, and is up to date, is a good one. */
const STABLE = 5_000;

/** Runs the machine of connection-state.ts: turns its effects into deeds and what happens into events. */
export class Connection implements Link {
  readonly #parts: LinkParts;
  readonly #env: Env;

  #state: State = INITIAL;
  readonly #events: Event[] = [];
  #running = false;
  #cancelTimer: Cancel | undefined;

  /** The sockets by the number of their dial. An event of any other is not listened to. */
  readonly #pipes = new Map<number, Pipe>();
  /** The latest that is open, though there may be no token for it yet. */
  #opened = 0;
  /** The last time there was no token. */
  #tokenless = false;
  /** The one that was told what to subscribe to. */
  #attached: number | undefined;
  /** The one whose hello went with the dial. */
  #early = 0;
  #toldHidden = false;
  #helloAt = 0;
  #pings = 0;
  #pingAt = 0;
  /** Counts the questions, so that an answer that was not waited for is not taken for a later one's. */
  #gate = 0;
  #liveAt = 0;
  #stopWatching: Cancel | undefined;

  /** How far the server's clock is before ours, in ms: expiry is told by its clock. */
  #serverAhead = 0;
  /** What the user has done to have it connect, until that is answered. */
  #act: Act | undefined;

  #stats = { connection: "", user: "", welcomes: 0, received: 0, sent: 0 };
  #windows: WindowsFrame | undefined;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#env = parts.env;
  }

  get state(): State {
    return this.#state;
  }

  get stats(): ConnectionStats {
    const { dials, rtt } = this.#state.memory;
    return { ...this.#stats, dials, rtt: Math.round(rtt), windows: this.#windows };
  }

  get open(): boolean {
    return this.#state.name === "live" || this.#state.name === "doubt";
  }

  connect(act?: Act): void {
    const { state } = this;
    // One that reads only changes places without a new connection.
    if (this.open) return act === "claim" ? this.send({ t: "claim" }) : undefined;
    this.#act = act;
    if (state.name === "ended" && state.code === CLOSE_SUPERSEDED) this.#parts.identity.renew();
    this.#dispatch({ type: "connect" });
  }

  disconnect(): void {
    this.#dispatch({ type: "disconnect" });
  }

  retry(): void {
    this.#dispatch({ type: "retry" });
  }

  suspect(): void {
    this.#dispatch({ type: "suspect" });
  }

  close(): void {
    this.disconnect();
  }

  send(frame: ClientFrame): void {
    const { state } = this;
    if (state.name === "live" || state.name === "doubt") this.#write(state.n, frame);
  }

  /** Takes one event to its end, and those that its effects cause after it. */
  #dispatch(event: Event): void {
    this.#events.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#events.shift(); next; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#running = false;
    }
    this.#setTimer();
  }

  #step(event: Event): void {
    const before = this.#state;
    const now = this.#env.now();
    const { state, effects } = step(before, event, { now, random: this.#env.random() });
    this.#state = state;
    const { type, ...figures } = event;
    if (!FREQUENT.test(type) || state.name !== before.name) {
      // The application's own words may hold anything.
      const reason = type === "unauthorized" && { reason: "" };
      this.#parts.log.add({ at: now, e: type, s: state.name, ...figures, ...reason });
    }
    for (const effect of effects) this.#perform(effect);
    const hidden = state.memory.hiddenAt > 0;
    // A hello that went with the dial may be out of date when the socket opens.
    if (this.#attached && hidden !== this.#toldHidden && state.name !== "dialing") {
      this.#toldHidden = hidden;
      this.#write(this.#attached, { t: "view", hidden });
    }
    // Another wait has another end; while the gate is asked, it is due.
    if (state.name === "waiting" && !state.asking) this.#parts.owner.changed();
    if (state.name === before.name) return;
    if (state.name === "idle" || state.name === "ended") {
      this.#stopWatching?.();
      this.#stopWatching = undefined;
    } else
      this.#stopWatching ??= watchPage(
        this.#env,
        (event) => this.#dispatch(event),
        () => this.#tick(),
      );
    this.#parts.owner.changed();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return void this.#dial(effect.n);
      case "hello":
        return this.#hello(effect.n, effect.standby);
      case "take":
        return this.#write(effect.n, this.#attach(effect.n, { t: "take" } as const));
      case "ping":
        this.#pingAt = this.#env.now();
        return this.#write(effect.n, { t: "ping", n: ++this.#pings });
      case "gate":
        return void this.#askGate();
      case "drop":
        return this.#drop(effect.n, effect.bye);
    }
  }

  async #askGate(): Promise<void> {
    const turn = ++this.#gate;
    const { status, after } = await this.#env
      .fetch(httpUrl(this.#parts.url, "ready"), { method: "GET", timeout: GATE_TIMEOUT })
      .catch((): Partial<FetchAnswer> => ({}));
    const { state } = this;
    // An open socket is not slow, its token is.
    if (turn !== this.#gate || (state.name === "dialing" && state.n === this.#opened)) return;
    this.#dispatch({ type: "gate", ok: status !== undefined && status >= 200 && status < 300, after });
  }

  /** Opens a socket, and sees to a token meanwhile; but first to the token, where it could not be had the last time. */
  async #dial(n: number): Promise<void> {
    const authorizing = this.#authorize();
    const open = this.#tokenless ? undefined : this.#open(n);
    try {
      await authorizing;
      this.#tokenless = false;
      (open ?? this.#open(n))();
    } catch (error) {
      this.#tokenless = true;
      const terminal = error instanceof HoldfastError && error.code === "unauthorized";
      this.#dispatch({ type: "unauthorized", n, terminal, dialed: open !== undefined, reason: messageOf(error) });
    }
  }

  /** Opens the socket of a dial that is still wanted. Returns what is to be called once there is a token, too. */
  #open(n: number): () => void {
    if (!sockets(this.#state).includes(n)) return () => {};
    let [authorized, opened, told] = [false, false, false];
    // A pipe that calls back before open() has returned is still nobody's; its calls wait in the queue.
    let mine: Pipe | undefined;
    const current = () => mine !== undefined && mine === this.#pipes.get(n);
    const proceed = () => {
      // Where hello went with the dial there was a token, and welcome may be right behind the open socket.
      if (told || !opened || !(authorized || mine?.greeted)) return;
      told = true;
      this.#dispatch({ type: "opened", n, single: mine?.single === true });
    };
    const closed = (code: number, reason: string) => this.#closed({ type: "closed", n, code, reason });
    try {
      const hello = this.#earlyHello(n);
      const events = {
        opened: () => {
          if (!current()) return;
          this.#opened = n;
          opened = true;
          proceed();
        },
        message: (text: string) => current() && this.#message(n, text),
        closed: (code: number, reason: string) => current() && closed(code, reason),
      };
      mine = this.#parts.open(below(this.#parts.url, n), events, hello);
      this.#pipes.set(n, mine);
      if (mine.greeted) this.#early = n;
      else if (hello) this.#leave();
    } catch (error) {
      const broken = error instanceof HoldfastError && error.code === "unsupported";
      closed(broken ? 1000 : 1006, messageOf(error));
    }
    return () => {
      authorized = true;
      proceed();
    };
  }

  #closed(event: Extract<Event, { type: "closed" }>): void {
    if (event.code === CLOSE_EXPIRED || event.code === CLOSE_UNAUTHORIZED) this.#parts.token.spoil();
    this.#dispatch(event);
  }

  async #authorize(): Promise<void> {
    const { identity, token } = this.#parts;
    await identity.settle();
    const now = this.#env.now();
    if (token.usable(now) === undefined) await token.fetch(now);
  }

  get #me() {
    const { token, identity } = this.#parts;
    return {
      t: "hello",
      v: VERSION,
      token: token.value,
      client: identity.id,
      agent: AGENT,
      ...this.#parts.place,
    } as const;
  }

  /** The hello of a dial that takes over without standing by, if all is there for it. */
  #earlyHello(n: number): string | undefined {
    const { state } = this;
    const { token, identity } = this.#parts;
    const due = state.name === "dialing" && !identity.settle() && token.usable(this.#env.now()) !== undefined;
    return due ? encode(this.#attach(n, this.#me)) : undefined;
  }

  #hello(n: number, standby: boolean): void {
    if (n === this.#early) return;
    if (!standby) return this.#write(n, this.#attach(n, this.#me));
    this.#write(n, { ...this.#me, gen: this.#parts.identity.nextGeneration(), mode: "standby", subs: [] });
  }

  #attach<F extends object>(n: number, frame: F) {
    const { identity, owner } = this.#parts;
    this.#attached = n;
    this.#helloAt = this.#env.now();
    const hidden = (this.#toldHidden = this.#state.memory.hiddenAt > 0);
    const act = this.#act;
    this.#windows = undefined;
    return {
      ...frame,
      gen: identity.nextGeneration(),
      ...(hidden && { hidden }),
      ...(act && { act }),
      subs: owner.attach(),
    };
  }

  #message(n: number, text: string): void {
    this.#stats.received += text.length;
    const frame = decode(text);
    this.#dispatch({ type: "heard", n });
    if (frame) this.#take(n, frame);
  }

  #take(n: number, frame: ServerFrame): void {
    switch (frame.t) {
      case "welcome":
        return this.#welcome(n, frame);
      case "ready":
        return this.#dispatch({ type: "ready", n });
      case "ping":
        return this.#write(n, { t: "pong", n: frame.n });
      case "pong":
        if (frame.n !== this.#pings) return;
        return this.#dispatch({ type: "pong", n, rtt: this.#env.now() - this.#pingAt });
      case "bye":
        return this.#closed({ reason: "", ...frame, type: "closed", n });
      case "expiring":
        this.#parts.token.lasts(frame.in, this.#env.now());
        return void this.#refreshToken();
      case "token":
        return this.#tokenTaken(frame.exp);
      default:
        if (n !== this.#attached) return;
        if (frame.t !== "windows" || frame.s) return this.#parts.owner.frame(frame);
        this.#windows = frame;
        this.#parts.owner.changed();
    }
  }

  #welcome(n: number, frame: WelcomeFrame): void {
    if (n !== this.#attached) return;
    const now = this.#env.now();
    const { conn: connection, user, beat, rest = beat, exp } = frame;
    this.#stats = { ...this.#stats, connection, user, welcomes: this.#stats.welcomes + 1 };
    this.#liveAt = now;
    this.#act = undefined;
    this.#serverAhead = frame.now - now;
    this.#tokenTaken(exp);
    // A dial is more than a round trip.
    const rtt = (n === this.#early && this.#state.memory.rtt) || now - this.#helloAt;
    this.#dispatch({ type: "welcomed", n, beat, rest, rtt });
    this.#parts.owner.welcomed(frame);
  }

  #tokenTaken(exp: number | undefined): void {
    const now = this.#env.now();
    this.#parts.token.lasts(exp === undefined ? undefined : exp - this.#serverAhead - now, now);
  }

  /** A failure needs no handling: the server ends the connection when the token has expired, and then it is asked again. */
  async #refreshToken(): Promise<void> {
    try {
      this.send({ t: "token", token: await this.#parts.token.fetch(this.#env.now()) });
    } catch {}
  }

  #write(n: number, frame: ClientFrame): void {
    const text = encode(frame);
    this.#stats.sent += text.length;
    try {
      this.#pipes.get(n)?.send(text);
    } catch {
      // A socket that refuses is closing; its close event or the deadline tells.
    }
    this.#dispatch({ type: "sent" });
  }

  #drop(n: number, bye: "" | "leave" | "park"): void {
    const attached = n === this.#attached;
    if (bye && attached) this.#write(n, bye === "park" ? { t: "bye", park: true } : { t: "bye" });
    const pipe = this.#pipes.get(n);
    this.#pipes.delete(n);
    pipe?.drop();
    if (attached) this.#leave();
  }

  #leave(): void {
    this.#attached = undefined;
    this.#stats.connection = "";
    this.#parts.owner.cut();
  }

  #tick(): void {
    const { state } = this;
    if (state.name !== "live" || state.stable || this.#env.now() - this.#liveAt < STABLE) return;
    if (this.#parts.owner.upToDate()) this.#dispatch({ type: "stable" });
  }

  #setTimer(): void {
    this.#cancelTimer?.();
    const at = deadline(this.#state);
    const run = () => this.#dispatch({ type: "timer" });
    this.#cancelTimer = at === undefined ? undefined : this.#env.timer(run, Math.max(0, at - this.#env.now()));
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
