import { CLOSE_SUPERSEDED, deadline, type Effect, type Event, INITIAL, type State, step } from "./connection-state.ts";
import type { Cancel, Env, PageSignal, Pipe } from "./env/env.ts";
import { HoldfastError } from "./errors.ts";
import type { Identity } from "./identity.ts";
import type { ConnectionOwner, ConnectionStats, Link, LinkParts } from "./link.ts";
import type { Token } from "./token.ts";
import { type ClientFrame, decode, encode, type ServerFrame, VERSION, type WelcomeFrame } from "./wire.ts";

/** Wake signals come in bunches: resume, visible, pageshow and focus within milliseconds are one. */
const ONE_WAKE = 50;
const TICK = 1_000;
/** A tick that is later by so much was not late but asleep. */
const JUMP = 3_000;

/** Runs the machine of connection-state.ts: turns its effects into deeds and what happens into events. */
export class Connection implements Link {
  readonly #env: Env;
  readonly #open: Env["open"];
  readonly #url: string;
  readonly #token: Token;
  readonly #identity: Identity;
  readonly #owner: ConnectionOwner;

  #state: State = INITIAL;
  readonly #events: Event[] = [];
  #running = false;
  #cancelTimer: Cancel | undefined;
  /** When the timer is due, and the state that it was set in. */
  #timerAt: number | undefined;
  #timerOf: State["name"] | undefined;

  /** The one socket. An event of any other is not listened to. */
  #pipe: Pipe | undefined;
  #attached = false;
  #helloAt = 0;
  #pings = 0;
  #pingAt = 0;
  /** Counts authorizations, so that the answer to one that was given up is not taken for a later one's. */
  #authorization = 0;

  /** How far the server's clock is before ours, in ms: expiry is told by its clock. */
  #serverAhead = 0;

  #stopSignals: Cancel | undefined;
  #cancelTick: Cancel | undefined;
  #wokeAt = 0;

  #stats = { connection: "", user: "", welcomes: 0, received: 0, sent: 0 };

  constructor({ env, open, url, token, identity, owner }: LinkParts) {
    this.#env = env;
    this.#open = open;
    this.#url = url;
    this.#token = token;
    this.#identity = identity;
    this.#owner = owner;
  }

  get state(): State {
    return this.#state;
  }

  get stats(): ConnectionStats {
    const { dials, rtt } = this.#state.memory;
    return { ...this.#stats, dials, rtt: Math.round(rtt) };
  }

  /** Whether frames can be sent now. */
  get open(): boolean {
    return this.#state.name === "live" || this.#state.name === "doubt";
  }

  connect(): void {
    const { state } = this;
    if (state.name === "ended" && state.code === CLOSE_SUPERSEDED) this.#identity.renew();
    this.dispatch({ type: "connect" });
  }

  disconnect(): void {
    this.dispatch({ type: "disconnect" });
  }

  retry(): void {
    this.dispatch({ type: "retry" });
  }

  suspect(): void {
    this.dispatch({ type: "suspect" });
  }

  close(): void {
    this.disconnect();
  }

  /** Sends a frame, if the connection is open; what must not get lost is sent again after the next welcome. */
  send(frame: ClientFrame): void {
    if (!this.open) return;
    this.#write(frame);
    this.dispatch({ type: "sent" });
  }

  /** Takes one event to its end, and those that its effects cause after it. */
  dispatch(event: Event): void {
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
    const { state, effects } = step(before, event, { now: this.#env.now(), random: this.#env.random() });
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
    if (state.name === before.name) return;
    if (state.name === "idle" || state.name === "ended") this.#listenNoMore();
    else this.#listen();
    this.#owner.changed();
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case "authorize":
        return void this.#authorize(effect.fresh);
      case "dial":
        return this.#dial(effect.n);
      case "hello":
        return this.#hello();
      case "ping":
        this.#pingAt = this.#env.now();
        return this.#write({ t: "ping", n: ++this.#pings });
      case "drop":
        return this.#drop(effect.bye);
    }
  }

  async #authorize(fresh: boolean): Promise<void> {
    const turn = ++this.#authorization;
    const answer = (event: Event) => {
      if (turn === this.#authorization) this.dispatch(event);
    };
    const settling = this.#identity.settle();
    if (!settling && !fresh && this.#token.usable(this.#env.now()) !== undefined) return answer({ type: "authorized" });
    try {
      await settling;
      if (fresh || this.#token.usable(this.#env.now()) === undefined) await this.#token.fetch();
      answer({ type: "authorized" });
    } catch (error) {
      const terminal = error instanceof HoldfastError && error.code === "unauthorized";
      answer({ type: "unauthorized", terminal, reason: error instanceof Error ? error.message : String(error) });
    }
  }

  #dial(n: number): void {
    const cut = this.#url.search(/[?#]|$/);
    const url = `${this.#url.slice(0, cut).replace(/\/+$/, "")}/${n}${this.#url.slice(cut)}`;
    // A pipe that calls back before open() has returned is still nobody's; its calls wait in the queue.
    let mine: Pipe | undefined;
    const current = () => mine === this.#pipe;
    try {
      mine = this.#open(url, {
        opened: () => current() && this.dispatch({ type: "opened" }),
        message: (text) => current() && this.#message(text),
        closed: (code, reason) => current() && this.dispatch({ type: "closed", code, reason }),
      });
      this.#pipe = mine;
    } catch (error) {
      const broken = error instanceof HoldfastError && error.code === "unsupported";
      const reason = error instanceof Error ? error.message : String(error);
      this.dispatch({ type: "closed", code: broken ? 1000 : 1006, reason });
    }
  }

  #hello(): void {
    this.#attached = true;
    this.#helloAt = this.#env.now();
    this.#write({
      t: "hello",
      v: VERSION,
      token: this.#token.value,
      client: this.#identity.id,
      gen: this.#identity.nextGeneration(),
      agent: "holdfast-js/0.1",
      subs: this.#owner.attach(),
    });
  }

  #message(text: string): void {
    this.#stats.received += text.length;
    const frame = decode(text);
    this.dispatch({ type: "heard" });
    if (frame) this.#take(frame);
  }

  #take(frame: ServerFrame): void {
    switch (frame.t) {
      case "welcome":
        return this.#welcome(frame);
      case "ping":
        return this.send({ t: "pong", n: frame.n });
      case "pong":
        if (frame.n !== this.#pings) return;
        return this.dispatch({ type: "pong", rtt: this.#env.now() - this.#pingAt });
      case "bye":
        return this.dispatch({ reason: "", ...frame, type: "closed" });
      case "expiring":
        this.#token.lasts(frame.in, this.#env.now());
        return void this.#refreshToken();
      case "token":
        return this.#tokenTaken(frame.exp);
      default:
        this.#owner.frame(frame);
    }
  }

  #welcome(frame: WelcomeFrame): void {
    const now = this.#env.now();
    this.#stats = { ...this.#stats, connection: frame.conn, user: frame.user, welcomes: this.#stats.welcomes + 1 };
    this.#serverAhead = frame.now - now;
    this.#tokenTaken(frame.exp);
    this.dispatch({ type: "welcomed", beat: frame.beat, rtt: now - this.#helloAt });
    this.#owner.welcomed(frame);
  }

  #tokenTaken(exp: number | undefined): void {
    const now = this.#env.now();
    this.#token.lasts(exp === undefined ? undefined : exp - this.#serverAhead - now, now);
  }

  /** A failure needs no handling: the server ends the connection when the token has expired, and then it is asked again. */
  async #refreshToken(): Promise<void> {
    try {
      this.send({ t: "token", token: await this.#token.fetch() });
    } catch {}
  }

  #write(frame: ClientFrame): void {
    const text = encode(frame);
    this.#stats.sent += text.length;
    try {
      this.#pipe?.send(text);
    } catch {
      // A socket that refuses is closing; its close event or the deadline tells.
    }
  }

  #drop(bye: boolean): void {
    if (bye && this.#attached) this.#write({ t: "bye" });
    const pipe = this.#pipe;
    this.#pipe = undefined;
    pipe?.drop();
    this.#stats.connection = "";
    if (!this.#attached) return;
    this.#attached = false;
    this.#owner.cut();
  }

  #setTimer(): void {
    const { name } = this.#state;
    const at = deadline(this.#state);
    // The deadline of a live connection moves with every frame: the earlier timer is left to find that out.
    const moved = name === this.#timerOf && at !== undefined && this.#timerAt !== undefined && at >= this.#timerAt;
    if (moved) return;
    this.#cancelTimer?.();
    this.#timerOf = name;
    this.#timerAt = at;
    if (at === undefined) return;
    this.#cancelTimer = this.#env.timer(() => this.#timeUp(), Math.max(0, at - this.#env.now()));
  }

  #timeUp(): void {
    this.#timerAt = undefined;
    const at = deadline(this.#state);
    if (at !== undefined && this.#env.now() >= at) this.dispatch({ type: "timer" });
    else this.#setTimer();
  }

  #listen(): void {
    if (this.#stopSignals) return;
    this.#stopSignals = this.#env.signals((signal) => this.#signal(signal));
    this.#tick(this.#env.now());
  }

  #listenNoMore(): void {
    this.#stopSignals?.();
    this.#cancelTick?.();
    this.#stopSignals = this.#cancelTick = undefined;
  }

  #signal(signal: PageSignal): void {
    if (signal === "offline") return this.dispatch({ type: "suspect" });
    const comes = signal !== "hidden" && signal !== "frozen" && signal !== "stored" && signal !== "leaving";
    if (comes) this.#wake();
  }

  #wake(): void {
    const now = this.#env.now();
    if (Math.abs(now - this.#wokeAt) < ONE_WAKE) return;
    this.#wokeAt = now;
    this.dispatch({ type: "wake" });
  }

  /** A laptop that slept fires no event at all; only the clock shows it. A hidden page's timers are merely slow. */
  #tick(last: number): void {
    this.#cancelTick = this.#env.timer(() => {
      const now = this.#env.now();
      if (Math.abs(now - last - TICK) > JUMP && this.#env.visible()) this.#wake();
      this.#tick(now);
    }, TICK);
  }
}
