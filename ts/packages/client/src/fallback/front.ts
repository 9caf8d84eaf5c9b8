import type { Cancel, Pipe, PipeEvents } from "../env/env.ts";
import { HttpPipe, type Mode } from "./http-pipe.ts";
import type { Plan, Switch } from "./switch.ts";

/** How long a WebSocket may take to open; how long if an earlier dial has waited already. */
const PATIENCE = 1_500;
const LITTLE_PATIENCE = 300;
/** When the server is asked whether it is there, so that the answer has come when patience ends. */
const ASK_AT = 1_000;
const ASK_TIMEOUT = 2_500;
/** By when the last way is to be tried, and how long the one before it gets at least and at most. */
const LAST_CALL = 2_800;
const LEAST = 1_000;
const MOST = 2_000;
const LOOK_TIMEOUT = 4_000;
/** Signals that things may have changed ask for a look, but not sooner than this after the last one. */
const LOOKS_APART = 15_000;

/** The pipe that the machine above is given: it becomes one of a WebSocket or of HTTP, and is not changed after that. */
export class Front implements Pipe {
  readonly #switch: Switch;
  readonly #base: string;
  readonly #n: string;
  readonly #tail: string;
  readonly #on: PipeEvents;
  readonly #plan: Plan;
  readonly #began: number;

  #over = false;
  #socket: Pipe | undefined;
  #http: HttpPipe | undefined;
  /** Of the WebSocket: how often it was tried; whether it opened, and has said something. */
  #tries = 0;
  #opened = false;
  #heard = false;
  /** Whether the server has answered that it is there. */
  #there = false;
  #asking = false;
  #late = false;
  #failed: readonly [code: number, reason: string] | undefined;
  readonly #timers: Cancel[] = [];

  #looking: Cancel | undefined;
  #look: Pipe | undefined;
  #lookedAt = 0;

  constructor(sw: Switch, url: string, on: PipeEvents) {
    const [, base = url, n = "", tail = ""] = /^([^?#]*)\/([^/?#]*)(.*)$/.exec(url) ?? [];
    this.#switch = sw;
    this.#base = base;
    this.#n = n;
    this.#tail = tail;
    this.#on = on;
    this.#plan = sw.plan(base);
    this.#began = sw.env.now();
    this.#start();
  }

  get single(): boolean {
    return this.#http !== undefined;
  }

  send(text: string): void {
    if (this.#http) return this.#http.send(this.#fenced(text));
    this.#socket?.send(this.#fenced(text));
  }

  drop(): void {
    const { mode } = this.#http ?? { mode: "websocket" as const };
    if (this.#opened && !this.#http && !this.#heard) this.#switch.mute();
    if (!this.#over && !this.#opened && !this.#http?.heard) {
      this.#switch.gaveUp(mode, this.#began, this.#plan.since);
    }
    this.#end();
  }

  #start(): void {
    const { mode, sure, hurry } = this.#plan;
    // open() has to return before anything is told.
    if (mode !== "websocket") return this.#switch.env.soon(() => (sure ? this.#goHttp(mode) : this.#ask()));
    this.#open();
    this.#after(hurry ? 0 : ASK_AT, () => this.#opened || this.#ask());
    this.#after(hurry ? LITTLE_PATIENCE : PATIENCE, () => {
      this.#late = true;
      this.#decide();
    });
  }

  #after(ms: number, run: () => void): void {
    this.#timers.push(this.#switch.env.timer(run, ms));
  }

  #open(): void {
    const path = this.#tries++ ? `${this.#n}0${this.#tries}` : this.#n;
    let mine: Pipe | undefined;
    const current = () => mine === this.#socket && !this.#over;
    mine = this.#switch.env.open(`${this.#base}/${path}${this.#tail}`, {
      opened: () => {
        if (!current()) return;
        this.#opened = true;
        this.#calm();
        this.#on.opened();
      },
      message: (text) => {
        if (!current()) return;
        if (!this.#heard) this.#switch.works(this.#base, "websocket");
        this.#heard = true;
        this.#on.message(text);
      },
      closed: (code, reason) => current() && this.#closed(code, reason),
    });
    this.#socket = mine;
  }

  #closed(code: number, reason: string): void {
    this.#socket = undefined;
    if (this.#opened) {
      if (!this.#heard) this.#switch.mute();
      this.#end();
      return this.#on.closed(code, reason);
    }
    this.#failed = [code, reason];
    if (this.#there) this.#decide();
    else this.#ask();
  }

  /** Only where the server answers over HTTP is it WebSocket's fault. Elsewhere nothing would be won. */
  #ask(): void {
    const { env } = this.#switch;
    if (this.#asking || this.#over) return;
    this.#asking = true;
    const url = `${this.#base.replace(/^ws/, "http")}/ready${this.#tail}`;
    env.fetch(url, { method: "GET", timeout: ASK_TIMEOUT }).then(
      ({ status, after }) => this.#answered(status, after),
      () => this.#answered(0),
    );
  }

  #answered(status: number, after?: number): void {
    if (this.#over || this.#opened) return;
    this.#asking = false;
    this.#there = status >= 200 && status < 300;
    if (this.#there) return this.#decide();
    if (this.#plan.mode === "websocket" && !this.#failed) return;
    if (after !== undefined) {
      const reason = "the server is not ready";
      return this.#on.message(JSON.stringify({ t: "bye", code: 1013, reason, after, spread: after }));
    }
    this.#end();
    this.#on.closed(...(this.#failed ?? ([1006, "the server does not answer"] as const)));
  }

  #decide(): void {
    if (this.#over || this.#opened || this.#http || !this.#there) return;
    const { mode } = this.#plan;
    if (mode === "websocket" && this.#failed && this.#tries < 2 && !this.#late) {
      // A server that has just been restarted refuses one moment and answers the next.
      this.#failed = undefined;
      return this.#open();
    }
    if (mode !== "websocket" || this.#failed || this.#late) this.#goHttp("events");
  }

  #goHttp(mode: Mode): void {
    if (this.#over) return;
    this.#calm();
    // One that is connecting would hold up every later one to this host.
    this.#socket?.drop();
    this.#socket = undefined;
    const { env, stream } = this.#switch;
    const base = this.#base.replace(/^ws/, "http");
    const patience = Math.min(MOST, Math.max(LEAST, LAST_CALL - (env.now() - this.#plan.since)));
    const parts = {
      env,
      stream,
      address: (kind: string) => `${base}${kind === "send" ? "" : `/${this.#n}`}/${kind}${this.#tail}`,
      generation: () => this.#switch.renew(this),
      works: (how: Mode) => this.#works(how),
      refused: () => this.#switch.forget(this.#base),
    };
    this.#http = new HttpPipe(parts, this.#on, mode, patience);
    this.#on.opened();
  }

  #works(mode: Mode): void {
    this.#switch.works(this.#base, mode);
    if (this.#looking) return;
    const { env } = this.#switch;
    this.#lookedAt = env.now();
    const stop = env.signals((signal) => {
      const news = signal === "visible" || signal === "restored" || signal === "online" || signal === "network";
      if (news && env.now() - this.#lookedAt >= LOOKS_APART) this.#lookForSocket();
    });
    this.#looking = stop;
    this.#lookLater();
  }

  #lookLater(): void {
    const { env } = this.#switch;
    this.#after(this.#switch.nextLook(), () => {
      if (env.visible()) this.#lookForSocket();
      this.#lookLater();
    });
  }

  /**
   * Tries a WebSocket beside the living pipe. That it opens is not enough, since there are proxies that open one and
   * deliver nothing: the server has to answer a hello, one that stands by and so replaces nothing.
   */
  #lookForSocket(): void {
    const hello = this.#http?.hello;
    if (this.#over || this.#look || !hello) return;
    const { env } = this.#switch;
    const now = env.now();
    this.#lookedAt = now;
    let look: Pipe | undefined;
    const done = (works: boolean) => {
      if (!look || look !== this.#look) return;
      this.#look = undefined;
      look.drop();
      if (!works || this.#over) return;
      this.#switch.restored(this.#base);
      this.#http?.moveOn("WebSocket works again");
    };
    look = env.open(`${this.#base}/${this.#n}0${now % 1_000_000}${this.#tail}`, {
      opened: () => look?.send(JSON.stringify({ ...hello, mode: "standby", subs: [] })),
      message: (text) => done(text.startsWith('{"t":"ready"')),
      closed: () => done(false),
    });
    this.#look = look;
    this.#after(LOOK_TIMEOUT, () => done(false));
  }

  /** Every hello that attaches goes by here, whatever carries it: what went over HTTP has used up generations. */
  #fenced(text: string): string {
    if (!/^\{"t":"(hello|take)"/.test(text)) return text;
    const frame = JSON.parse(text) as { mode?: string; gen: number };
    if (frame.mode === "standby") return text;
    return JSON.stringify({ ...frame, gen: this.#switch.claim(this, frame.gen) });
  }

  #calm(): void {
    for (const cancel of this.#timers.splice(0)) cancel();
  }

  #end(): void {
    this.#over = true;
    this.#calm();
    this.#looking?.();
    this.#look?.drop();
    this.#socket?.drop();
    this.#http?.drop();
    this.#look = this.#socket = undefined;
  }
}
