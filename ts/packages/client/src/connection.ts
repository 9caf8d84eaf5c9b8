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
import { Deferred } from "./deferred.ts";
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
  #stopWatching: Cancel | undefined;

  /** The sockets by the number of their dial. An event of any other is not listened to. */
  readonly #pipes = new Map<number, Pipe>();
  /** The latest that is open, though there may be no token for it yet. */
  #openedLast = 0;
  /** The last time there was no token. */
  #tokenless = false;
  /** The one that was told what to subscribe to; 0 while there is none. */
  #attached = 0;
  #toldHidden = false;
  #helloAt = 0;
  #pings = 0;
  #pingAt = 0;
  /** Counts the questions, so that an answer that was not waited for is not taken for a later one's. */
  #gate = 0;
  #liveAt = 0;

  /** How far the server's clock is before ours, in ms: expiry is told by its clock. */
  #serverAhead = 0;

  /** What the user has done to have it connect, until that is answered. */
  #act: Act | undefined;
  #windows: WindowsFrame | undefined;

  readonly #stats = { connection: "", user: "", welcomes: 0, received: 0, sent: 0 };

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#env = parts.env;
  }

  get state(): State {
    return this.#state;
  }

  get stats(): ConnectionStats {
    const { dials, rtt } = this.#state;
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

  send(frame: ClientFrame): void {
    if (this.open) this.#write(this.#state.n, frame);
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
    this.#cancelTimer?.();
    const at = deadline(this.#state);
    const run = () => this.#dispatch({ type: "timer" });
    this.#cancelTimer = at === undefined ? undefined : this.#env.timer(run, Math.max(0, at - this.#env.now()));
  }

  #step(event: Event): void {
    const before = this.#state;
    const now = this.#env.now();
    const { state, effects } = step(before, event, { now, random: this.#env.random() });
    this.#state = state;
    this.#parts.log?.took(event, before, state);
    for (const effect of effects) this.#perform(effect);
    // A hello that went with the dial may be out of date when the socket opens.
    const hidden = this.#hidden;
    if (this.#attached && hidden !== this.#toldHidden && state.name !== "dialing") {
      this.#toldHidden = hidden;
      this.#write(this.#attached, { t: "view", hidden });
    }
    const moved = state.name !== before.name;
    if (moved) this.#watch(state.name !== "idle" && state.name !== "ended");
    // Another wait has another end; while the gate is asked, it is due.
    if (moved || (state.name === "waiting" && !state.asking)) this.#parts.owner.changed();
  }

  #watch(wanted: boolean): void {
    const dispatch = (event: Event) => this.#dispatch(event);
    if (wanted) this.#stopWatching ??= watchPage(this.#env, dispatch, () => this.#tick());
    else {
      this.#stopWatching?.();
      this.#stopWatching = undefined;
    }
  }

  #tick(): void {
    const { state } = this;
    if (state.name !== "live" || state.stable || this.#env.now() - this.#liveAt < STABLE) return;
    if (this.#parts.owner.upToDate()) this.#dispatch({ type: "stable" });
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
    const { status = 0, after } = await this.#env
      .fetch(httpUrl(this.#parts.url, "ready"), { method: "GET", timeout: GATE_TIMEOUT })
      .catch((): Partial<FetchAnswer> => ({}));
    const { state } = this;
    // An open socket is not slow, its token is.
    if (turn !== this.#gate || (state.name === "dialing" && state.n === this.#openedLast)) return;
    this.#dispatch({ type: "gate", ok: status >= 200 && status < 300, after });
  }

  /** Opens a socket, and sees to a token meanwhile; but first to the token, where it could not be had the last time. */
  async #dial(n: number): Promise<void> {
    const authorized = this.#authorize();
    const dialed = !this.#tokenless;
    try {
      if (!dialed) await authorized;
      const opened = this.#open(n);
      await authorized;
      this.#tokenless = false;
      await opened;
    } catch (error) {
      this.#tokenless = true;
      const terminal = error instanceof HoldfastError && error.code === "unauthorized";
      return this.#dispatch({ type: "unauthorized", n, terminal, dialed, reason: messageOf(error) });
    }
    this.#opened(n);
  }

  #opened(n: number): void {
    this.#dispatch({ type: "opened", n, single: this.#pipes.get(n)?.single === true });
  }

  async #authorize(): Promise<void> {
    const { identity, token } = this.#parts;
    await identity.settle();
    const now = this.#env.now();
    if (!token.usable(now)) await token.fetch(now);
  }

  /** Opens the socket of a dial, if that is still wanted; resolves when it is open. */
  #open(n: number): Promise<void> {
    const { promise, resolve } = new Deferred<void>();
    if (!sockets(this.#state).includes(n)) return promise;
    let pipe: Pipe | undefined;
    // A pipe that calls back before open() has returned is still nobody's.
    const mine = () => pipe && pipe === this.#pipes.get(n);
    const closed = (code: number, reason: string) => this.#closed({ type: "closed", n, code, reason });
    try {
      const hello = this.#earlyHello(n);
      const events = {
        opened: () => {
          if (!mine()) return;
          this.#openedLast = n;
          // Where hello went with the dial there was a token, and welcome may be right behind the open socket.
          if (pipe?.greeted) this.#opened(n);
          else resolve();
        },
        message: (text: string) => mine() && this.#message(n, text),
        closed: (code: number, reason: string) => mine() && closed(code, reason),
      };
      pipe = this.#parts.open(below(this.#parts.url, n), events, hello);
      this.#pipes.set(n, pipe);
      if (hello && !pipe.greeted) this.#leave();
    } catch (error) {
      // Where there is no WebSocket at all, there will be none.
      closed(error instanceof ReferenceError ? 1000 : 1006, messageOf(error));
    }
    return promise;
  }

  #closed(event: Extract<Event, { type: "closed" }>): void {
    if (event.code === CLOSE_EXPIRED || event.code === CLOSE_UNAUTHORIZED) this.#parts.token.lasts(0);
    this.#dispatch(event);
  }

  get #me() {
    const { token, identity, place } = this.#parts;
    return { t: "hello", v: VERSION, token: token.value, client: identity.id, agent: AGENT, ...place } as const;
  }

  get #hidden(): boolean {
    return this.#state.hiddenAt > 0;
  }

  /** The hello of a dial that takes over without standing by, if all is there for it. */
  #earlyHello(n: number): string | undefined {
    const due = this.#state.name === "dialing" && this.#parts.token.usable(this.#env.now());
    return due ? encode(this.#attach(n, this.#me)) : undefined;
  }

  #hello(n: number, standby: boolean): void {
    if (this.#pipes.get(n)?.greeted) return;
    const gen = standby && this.#parts.identity.nextGeneration();
    this.#write(n, gen ? { ...this.#me, gen, mode: "standby", subs: [] } : this.#attach(n, this.#me));
  }

  #attach<F extends object>(n: number, frame: F) {
    const { identity, owner } = this.#parts;
    const hidden = this.#hidden;
    this.#attached = n;
    this.#helloAt = this.#env.now();
    this.#toldHidden = hidden;
    this.#windows = undefined;
    const [gen, act] = [identity.nextGeneration(), this.#act];
    return { ...frame, gen, hidden: hidden || undefined, act, subs: owner.attach() };
  }

  #message(n: number, text: string): void {
    this.#stats.received += text.length;
    const frame = decode(text);
    this.#dispatch({ type: "heard", n });
    if (frame) this.#take(n, frame);
  }

  #take(n: number, frame: ServerFrame): void {
    const { token, owner } = this.#parts;
    const now = this.#env.now();
    switch (frame.t) {
      case "welcome":
        return this.#welcome(n, frame, now);
      case "ready":
        return this.#dispatch({ type: "ready", n });
      case "ping":
        return this.#write(n, { t: "pong", n: frame.n });
      case "pong":
        if (frame.n === this.#pings) this.#dispatch({ type: "pong", n, rtt: now - this.#pingAt });
        return;
      case "bye":
        return this.#closed({ reason: "", ...frame, type: "closed", n });
      case "move":
        return this.#dispatch({ type: "move", n, spread: frame.spread });
      case "expiring":
        token.lasts(now + frame.in);
        // A failure needs no handling: the server ends the connection when the token has expired, and then it is asked again.
        token.fetch(now).then(
          (token) => this.send({ t: "token", token }),
          () => {},
        );
        return;
      case "token":
        return this.#tokenLasts(frame.exp);
      default:
        if (n !== this.#attached) return;
        if (frame.t !== "windows" || frame.s) return owner.frame(frame);
        this.#windows = frame;
        owner.changed();
    }
  }

  #welcome(n: number, frame: WelcomeFrame, now: number): void {
    if (n !== this.#attached) return;
    const { conn: connection, user, beat, rest = beat } = frame;
    Object.assign(this.#stats, { connection, user });
    this.#stats.welcomes++;
    this.#liveAt = now;
    this.#act = undefined;
    this.#serverAhead = frame.now - now;
    this.#tokenLasts(frame.exp);
    // A dial is more than a round trip.
    const known = this.#pipes.get(n)?.greeted && this.#state.rtt;
    this.#dispatch({ type: "welcomed", n, beat, rest, rtt: known || now - this.#helloAt });
    this.#parts.owner.welcomed(frame);
  }

  /** Until `exp` by the server's clock, or for ever. */
  #tokenLasts(exp: number | undefined): void {
    this.#parts.token.lasts(exp && exp - this.#serverAhead);
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
    if (bye && attached) this.#write(n, { t: "bye", park: bye === "park" || undefined });
    const pipe = this.#pipes.get(n);
    this.#pipes.delete(n);
    pipe?.drop();
    if (attached) this.#leave();
  }

  #leave(): void {
    this.#attached = 0;
    this.#stats.connection = "";
    this.#parts.owner.cut();
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
