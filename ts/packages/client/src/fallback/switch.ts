import type { Env } from "../env/env.ts";
import type { Stream } from "../env/stream.ts";
import type { Mode } from "./http-pipe.ts";

/** How long what worked is taken for granted, in ms. */
const REMEMBERED = 600_000;
/** How long the lesson of a dial that was given up holds. */
const LESSON = 5_000;
/** A dial that was given up sooner teaches nothing. */
const TRIED = 900;
/** So many WebSockets in a row that opened and said nothing are a proxy that swallows frames. */
const MUTE = 2;
/** The pauses between looking whether WebSocket works again. */
const FIRST_LOOK = 15_000;
const LAST_LOOK = 300_000;

/** What to begin a dial with. */
export interface Plan {
  readonly mode: "websocket" | Mode;
  /** Whether the server has to be seen to be there before HTTP is taken. */
  readonly sure: boolean;
  /** Since when it has been tried in vain. */
  readonly since: number;
  /** Whether an earlier dial waited for WebSocket already. */
  readonly hurry: boolean;
}

/** What is known about the ways to one server, over all dials of one client. */
export class Switch {
  readonly env: Env;
  readonly stream: Stream;
  /** Pauses double from look to look, until WebSocket has carried something. */
  #pause = FIRST_LOOK;
  #mute = 0;
  #lesson: { readonly mode: Plan["mode"]; readonly since: number; readonly until: number } | undefined;

  /** The pipe that said hello last, and the highest generation that any has said. */
  #holder: object | undefined;
  #generation = 0;

  constructor(env: Env, stream: Stream) {
    this.env = env;
    this.stream = stream;
  }

  plan(base: string): Plan {
    const now = this.env.now();
    const [mode, until] = (this.env.storage.get(key(base)) ?? "").split(" ");
    const lesson = this.#lesson && now < this.#lesson.until ? this.#lesson : undefined;
    if ((mode === "events" || mode === "poll") && now < Number(until)) {
      const deeper = lesson?.mode === "poll" ? "poll" : mode;
      return { mode: deeper, sure: true, since: now, hurry: false };
    }
    const { mode: next = "websocket", since = now } = lesson ?? {};
    if (next !== "websocket") return { mode: next, sure: true, since, hurry: true };
    return { mode: this.#mute >= MUTE ? "events" : next, sure: false, since, hurry: lesson !== undefined };
  }

  works(base: string, mode: Plan["mode"]): void {
    this.#lesson = undefined;
    const kept = mode === "websocket" ? null : `${mode} ${this.env.now() + REMEMBERED}`;
    if (mode !== "websocket" || this.env.storage.get(key(base)) !== null) this.env.storage.set(key(base), kept);
    if (mode !== "websocket") return;
    this.#pause = FIRST_LOOK;
    this.#mute = 0;
  }

  forget(base: string): void {
    this.env.storage.set(key(base), null);
  }

  /** A WebSocket opened, and ended without having said anything. */
  mute(): void {
    this.#mute++;
  }

  /**
   * A dial was given up by the machine above while it tried `mode`, which has its own clock: the next one need not wait as
   * long for the same.
   */
  gaveUp(mode: Plan["mode"], began: number, since: number): void {
    const now = this.env.now();
    if (now - began < TRIED) return;
    const next = mode === "websocket" ? mode : "poll";
    this.#lesson = { mode: next, since: Math.max(since, now - LESSON), until: now + LESSON };
  }

  /** How long to wait until the next look at WebSocket. */
  nextLook(): number {
    const pause = this.#pause;
    this.#pause = Math.min(LAST_LOOK, pause * 2);
    return pause;
  }

  /** WebSocket has been seen to work: the dial after this begins with it, and nothing held against it counts. */
  restored(base: string): void {
    this.forget(base);
    this.#mute = 0;
    this.#lesson = undefined;
  }

  /** A hello that is about to be said by `pipe`, with a generation that is above all before it. */
  claim(pipe: object, generation: number): number {
    this.#holder = pipe;
    this.#generation = Math.max(generation, this.#generation + 1);
    return this.#generation;
  }

  /** One generation more for the pipe that said hello last; none for any other. */
  renew(pipe: object): number | undefined {
    return this.#holder === pipe ? this.claim(pipe, this.env.now()) : undefined;
  }
}

const key = (base: string) => `holdfast:${base}:carriage`;
