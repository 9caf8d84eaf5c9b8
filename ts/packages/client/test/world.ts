import { deadline, INITIAL, step } from "../src/connection-state.ts";
import type { Effect, Event, State } from "../src/connection-types.ts";

/** One socket as the world has it, whatever the machine believes. */
interface Socket {
  readonly n: number;
  readonly dialedAt: number;
  open: boolean;
  attached: boolean;
  /** It carries nothing any more, and nobody is told. */
  dead: boolean;
}

interface Scheduled {
  readonly at: number;
  readonly run: () => void;
}

/**
 * A world around the machine, with a clock of its own: a server that is there or not, a network that carries or swallows,
 * sockets that die in silence, a gate, tokens. It knows nothing of how the machine decides, and checks what must never be.
 */
export class World {
  now = 1_790_000_000_000;
  state: State = INITIAL;
  random: () => number = () => 0.5;

  /** up: it answers; refusing: it refuses at once; silent: what is sent to it vanishes. */
  server: "up" | "refusing" | "silent" = "up";
  gate: "as the server" | "broken" | "open" = "as the server";
  token: "there" | "late" | "missing" | "refused" = "there";
  rtt = 100;

  readonly sockets = new Map<number, Socket>();
  readonly log: string[] = [];
  readonly faults: string[] = [];
  /** When dials failed, and when the machine proved itself. */
  readonly failed: number[] = [];
  readonly stable: number[] = [];
  liveAt = 0;
  #scheduled: Scheduled[] = [];
  #timer: Scheduled | undefined;
  #blessed = false;
  #tokenless = false;
  /** The dials of which one half, token or socket, is there. */
  readonly #authorized = new Set<number>();
  /** The clock was set back; until the page notices, all deadlines are far away. */
  #setBack = false;

  take(event: Event): void {
    const before = this.state;
    if (event.type === "wake") this.#setBack = false;
    if (event.type === "stable" && before.name === "live") this.stable.push(this.now);
    this.#blessed = event.type === "gate" && event.ok;
    const { state, effects } = step(before, event, { now: this.now, random: this.random() });
    this.state = state;
    this.log.push(
      `${this.now % 10_000_000} ${event.type} ${"n" in event ? event.n : ""} -> ${state.name} ${said(effects)}`,
    );
    for (const effect of effects) this.#do(effect);
    if (state.name === "live" && before.name !== "live") {
      this.liveAt = this.now;
      this.#at(6_000, () => {
        if (this.state.name !== "live" || this.state.stable) return;
        this.take({ type: "stable" });
      });
    }
    this.#check();
    this.#setTimer();
  }

  /** Lets time pass, and all that is due happen. */
  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = [...this.#scheduled, ...(this.#timer ? [this.#timer] : [])].filter(({ at }) => at <= end);
      const next = due.sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#scheduled = this.#scheduled.filter((other) => other !== next);
      if (this.#timer === next) this.#timer = undefined;
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }

  /** The machine slept: time passed, and nothing ran. What the sockets had to say comes late. */
  sleep(ms: number): void {
    this.now += ms;
    if (ms < 0) this.#setBack = true;
  }

  /** All sockets die without a word. */
  zombify(): void {
    for (const socket of this.sockets.values()) socket.dead = true;
  }

  /** All open sockets end, and say so. */
  reset(code = 1006, after?: number): void {
    for (const { n, open } of [...this.sockets.values()]) {
      if (open)
        this.take({ type: "closed", n, code, reason: "", ...(after !== undefined && { after, spread: 1_000 }) });
    }
  }

  /** The longest time without a dial that fails is over at this moment: how many failed within the window. */
  failedWithin(ms: number): number {
    return this.failed.filter((t) => Math.abs(this.now - t) < ms).length;
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "dial":
        return this.#dial(effect.n);
      case "hello":
      case "take":
        return this.#greet(effect);
      case "ping":
        return this.#answer(effect.n, () => this.take({ type: "pong", n: effect.n, rtt: this.rtt }));
      case "gate":
        return this.#askGate();
      case "drop": {
        const socket = this.sockets.get(effect.n);
        // It may have been waiting for its token.
        if (!socket) return;
        if (!socket.open) this.failed.push(this.now);
        return void this.sockets.delete(effect.n);
      }
    }
  }

  #dial(n: number): void {
    const forgiven = 2 * this.stable.filter((t) => Math.abs(this.now - t) < 240_000).length;
    // A timer may be early by a part of a millisecond, which is not waited for again.
    const rare = Math.abs(this.now - (this.failed.at(-1) ?? 0)) >= 29_999;
    if (this.failedWithin(120_000) >= 8 + forgiven && !this.#blessed && !rare) {
      this.faults.push(`dial ${n} beyond the budget`);
    }
    const { token } = this;
    const dialed = !this.#tokenless;
    const refused = token === "missing" || token === "refused";
    if (dialed) this.#connect(n);
    this.#at(token === "late" ? 2_000 : 50, () => {
      this.#tokenless = refused;
      if (refused) this.take({ type: "unauthorized", n, terminal: token === "refused", dialed, reason: "no token" });
      else if (dialed) this.#proceed(n);
      else if ("n" in this.state && this.state.n === n) this.#connect(n);
    });
    if (dialed) return;
    this.#authorized.add(n);
  }

  /** The socket is open, or the token is there: it takes both. */
  #proceed(n: number): void {
    if (this.#authorized.has(n)) this.take({ type: "opened", n, single: false });
    this.#authorized.add(n);
  }

  #connect(n: number): void {
    const socket: Socket = { n, dialedAt: this.now, open: false, attached: false, dead: false };
    this.sockets.set(n, socket);
    if (this.server === "refusing") return this.#at(5, () => this.#close(n));
    if (this.server === "silent") return;
    this.#at(3 * this.rtt, () => {
      if (this.sockets.get(n) !== socket || socket.dead) return;
      if (this.server !== "up") return this.#close(n);
      socket.open = true;
      this.#proceed(n);
    });
  }

  #close(n: number): void {
    if (this.sockets.has(n)) this.take({ type: "closed", n, code: 1006, reason: "" });
  }

  #greet(effect: Extract<Effect, { type: "hello" | "take" }>): void {
    const { n } = effect;
    const socket = this.sockets.get(n);
    if (!socket?.open) return void this.faults.push(`${effect.type} on ${n}, which is not open`);
    const standby = effect.type === "hello" && effect.standby;
    if (!standby) socket.attached = true;
    const welcome = { type: "welcomed", n, beat: 10_000, rest: 25_000, rtt: this.rtt } as const;
    this.#answer(n, () => this.take(standby ? { type: "ready", n } : welcome));
  }

  /** What comes back over the socket one round trip later, if it still carries anything. Stale words may come, too. */
  #answer(n: number, run: () => void): void {
    const socket = this.sockets.get(n);
    if (socket && !socket.dead && this.server !== "silent") this.#at(this.rtt, () => socket.dead || run());
  }

  #askGate(): void {
    const { server, gate } = this;
    if (server === "silent" && gate !== "open") return this.#at(1_000, () => this.take({ type: "gate", ok: false }));
    const ok = gate === "open" || (server === "up" && gate !== "broken");
    this.#at(server === "up" ? this.rtt : 5, () => this.take({ type: "gate", ok }));
  }

  #at(ms: number, run: () => void): void {
    this.#scheduled.push({ at: this.now + ms, run });
  }

  #setTimer(): void {
    const at = deadline(this.state);
    this.#timer = undefined;
    if (at === undefined) return;
    const run = () => {
      if ((deadline(this.state) ?? Number.NaN) <= this.now) this.take({ type: "timer" });
      else this.#setTimer();
    };
    this.#timer = { at: Math.max(at, this.now), run };
  }

  #check(): void {
    const all = [...this.sockets.values()];
    const { name } = this.state;
    if (all.filter((s) => s.attached).length > 1) this.faults.push("two attached sockets");
    if (all.filter((s) => !s.open).length > 1) this.faults.push("two connecting sockets");
    if (all.length > (name === "doubt" ? 2 : 1)) this.faults.push(`${all.length} sockets while ${name}`);
    const needs = name === "dialing" || name === "attaching" || name === "live" || name === "doubt";
    // A dial may be waiting for its token, before there is a socket.
    if (needs && name !== "dialing" && all.length === 0) this.faults.push(`no socket while ${name}`);
    if (!needs && all.length > 0) this.faults.push(`a socket while ${name}`);
    const due = deadline(this.state);
    const mayLast = name === "idle" || name === "asleep" || name === "ended";
    if (mayLast !== (due === undefined)) this.faults.push(`no deadline while ${name}`);
    if (due !== undefined && !this.#setBack && !(due - this.now <= 121_000))
      this.faults.push(`a deadline in ${due - this.now} ms while ${name}`);
  }
}

/** The effects as the golden file has them. */
export function said(effects: readonly Effect[]): string {
  return effects
    .map((effect) => {
      const { type, ...rest } = effect;
      const words = Object.entries(rest).map(([key, value]) =>
        value === true ? key : value === false ? "" : `${value}`,
      );
      return [type, ...words].filter((word) => word !== "").join(" ");
    })
    .join(", ");
}
