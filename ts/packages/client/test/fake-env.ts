import type { Cancel, Claim, Env, FetchAnswer, FetchRequest, PageSignal, Pipe, PipeEvents } from "../src/env/env.ts";
import { memoryStorage } from "../src/env/memory-storage.ts";

/** One socket as the client opened it; the test plays the other side. */
export class FakePipe implements Pipe {
  readonly url: string;
  readonly events: PipeEvents;
  readonly sent: string[] = [];
  greeted = false;
  dropped = false;
  ended = false;
  /** Called with each message that the client sends. */
  onSend: (text: string) => void = () => {};

  constructor(url: string, events: PipeEvents) {
    this.url = url;
    this.events = events;
  }

  send(text: string): void {
    this.sent.push(text);
    this.onSend(text);
  }

  drop(): void {
    this.dropped = true;
  }

  get living(): boolean {
    return !this.dropped && !this.ended;
  }

  /** The socket ends, as with a reset. */
  end(code = 1006, reason = ""): void {
    this.ended = true;
    this.events.closed(code, reason);
  }
}

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** A world whose clock moves when told to. */
export class FakeEnv implements Env {
  clock = 1_790_000_000_000;
  looking = true;
  /** What random() gives. */
  chance = () => 0.5;
  claims: (name: string) => Claim = () => "held";
  /** What becomes of a dial; by default the test opens it by hand. */
  onDial: (pipe: FakePipe) => void = () => {};
  readonly pipes: FakePipe[] = [];
  /** What an HTTP request is answered with; a rejection is a network that fails. */
  onFetch: (url: string, request: FetchRequest) => FetchAnswer | Promise<FetchAnswer> = () => {
    throw new TypeError("no network");
  };
  readonly fetches: { readonly url: string; readonly request: FetchRequest }[] = [];
  mobile = false;
  /** Whether a hello can go with the dial. */
  greets = true;
  readonly storage = memoryStorage();
  readonly #timers = new Set<Timer>();
  readonly #soon: (() => void)[] = [];
  readonly #signals = new Set<(signal: PageSignal) => void>();
  #seed = 1;

  now = () => this.clock;
  visible = () => this.looking;
  claim = (name: string) => Promise.resolve(this.claims(name));
  soon = (run: () => void) => void this.#soon.push(run);

  random(): number {
    return this.chance();
  }

  /** Makes random() a repeatable sequence. */
  seed(seed: number): void {
    this.#seed = seed;
    this.chance = () => {
      this.#seed = (this.#seed * 16_807) % 2_147_483_647;
      return this.#seed / 2_147_483_647;
    };
  }

  /** Answers after the timeout at the latest, by this clock. */
  async fetch(url: string, request: FetchRequest): Promise<FetchAnswer> {
    this.fetches.push({ url, request });
    return new Promise((resolve, reject) => {
      const cancel = this.timer(() => reject(new DOMException("too late", "TimeoutError")), request.timeout);
      const done = Promise.resolve().then(() => this.onFetch(url, request));
      void done.then(resolve, reject).finally(cancel);
    });
  }

  timer(run: () => void, ms: number): Cancel {
    const timer = { at: this.clock + Math.max(0, ms), run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  open(url: string, events: PipeEvents, hello?: string): Pipe {
    const pipe = new FakePipe(url, events);
    this.pipes.push(pipe);
    this.onDial(pipe);
    if (!this.greets || hello === undefined) return pipe;
    pipe.greeted = true;
    pipe.send(hello);
    return pipe;
  }

  signals(on: (signal: PageSignal) => void): Cancel {
    this.#signals.add(on);
    return () => void this.#signals.delete(on);
  }

  signal(signal: PageSignal): void {
    for (const on of this.#signals) on(signal);
  }

  get listening(): boolean {
    return this.#signals.size > 0;
  }

  get timers(): number {
    return this.#timers.size;
  }

  get pipe(): FakePipe {
    const pipe = this.pipes.at(-1);
    if (!pipe) throw new Error("nothing was dialed");
    return pipe;
  }

  /** Lets all that is under way at this moment come to its end. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 20; quiet++) {
      await Promise.resolve();
      while (this.#soon.length) {
        this.#soon.shift()?.();
        quiet = 0;
      }
    }
  }

  /** Moves the clock, stopping at each timer on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.clock + ms;
    await this.settle();
    for (;;) {
      const next = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#timers.delete(next);
      this.clock = Math.max(this.clock, next.at);
      next.run();
      await this.settle();
    }
    this.clock = end;
  }

  /** The machine slept: time has passed and no timer has run. */
  sleep(ms: number): void {
    this.clock += ms;
  }
}
