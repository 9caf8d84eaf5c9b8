import type { Backend } from "./backend.ts";
import type { Message } from "./page/report.ts";

/** Writes numbered messages into a session at a rate, whatever becomes of those who read. */
export class Writer {
  readonly session: string;
  readonly #backend: Backend;
  #rate: number;
  #written = 0;
  #running: Promise<void> | undefined;
  #stopping: (() => void) | undefined;

  /** The rate is in messages a second. */
  constructor(backend: Backend, session: string, rate: number) {
    this.#backend = backend;
    this.session = session;
    this.#rate = rate;
  }

  /** How many there are: the number of the last. */
  get written(): number {
    return this.#written;
  }

  start(rate = this.#rate): void {
    this.#rate = rate;
    this.#running ??= this.#run();
  }

  /** Resolves once what was begun is written. */
  async stop(): Promise<void> {
    this.#stopping?.();
    await this.#running;
    this.#running = undefined;
  }

  async write(count: number): Promise<void> {
    const t = Date.now();
    const messages: Message[] = Array.from({ length: count }, (_, i) => ({ n: this.#written + i + 1, t }));
    this.#written += count;
    await this.#backend.publish(this.session, messages);
  }

  async #run(): Promise<void> {
    let stopped = false;
    let wake = () => {};
    this.#stopping = () => {
      stopped = true;
      wake();
    };
    const begun = performance.now();
    const already = this.#written;
    while (!stopped) {
      const due = already + Math.floor(((performance.now() - begun) * this.#rate) / 1_000) + 1;
      // What a slow moment has left undone comes together, with the time at which it is really written.
      if (due > this.#written) await this.write(due - this.#written);
      const next = begun + ((this.#written - already) * 1_000) / this.#rate;
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, Math.max(0, next - performance.now()));
      });
    }
  }
}
