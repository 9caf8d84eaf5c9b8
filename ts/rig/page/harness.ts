import type { Dial, Message, PageConfig, Report } from "./report.ts";

/** What a client's page does for the rig, besides receiving. */
export interface Harnessed {
  /** Sends a message of the user. */
  send?: (session: string, text: string) => void;
  unsent?(): number;
  outcomes?(): Record<string, string>;
  client?(): string;
  sends?: { text: string; at: number; done?: number }[];
  /** More that a case may call by name. */
  [more: string]: unknown;
}

/** The clock that no case shifts; it goes on while the page is frozen. */
const { timeOrigin } = performance;
export const clock = () => timeOrigin + performance.now();

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };

/** Writes down what happens in the page. It is set up before the client, so that it sees all of it. */
export class Harness {
  readonly config: PageConfig;
  readonly #report: Mutable<Omit<Report, "unsent" | "sends" | "outcomes" | "client">> = {
    records: [],
    dials: [],
    fetches: [],
    events: [],
    errors: [],
    renders: [],
    statuses: [],
  };
  #client: Harnessed = {};
  #shift = 0;

  constructor(config: PageConfig) {
    this.config = config;
    this.#watchErrors();
    this.#watchSignals(config.deaf ?? []);
    this.#watchSockets();
    this.#watchFetch();
    this.#watchClock();
    this.#watchTabs(config.ours?.noChannel ?? false);
  }

  runs(client: Harnessed): void {
    this.#client = client;
  }

  /** A message came to the application. */
  got(session: string, { n, t }: Message): void {
    this.#report.records.push([session, n, t, clock()]);
  }

  rendered(added: number): void {
    this.#report.renders.push([clock(), added]);
  }

  fault(text: string): void {
    this.#report.errors.push(text);
  }

  status(state: string): void {
    const last = this.#report.statuses.at(-1);
    if (last?.state !== state) this.#report.statuses.push({ state, at: clock() });
  }

  now(): number {
    return clock();
  }

  report(): Report {
    const { unsent, sends, outcomes, client } = this.#client;
    return {
      ...this.#report,
      unsent: unsent?.() ?? 0,
      sends: sends ?? [],
      outcomes: outcomes?.() ?? {},
      client: client?.() ?? "",
    };
  }

  /** When the first message came that was written at `since` or later. */
  first(since: number): number | undefined {
    return this.#report.records.find(([, , t]) => t >= since)?.[3];
  }

  /** The longest that the application got nothing between two moments, in ms. */
  gap(since: number, end: number): number {
    const times = [since, ...this.#report.records.map(([, , , at]) => at).filter((at) => at > since && at < end), end];
    return Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? at)));
  }

  /** When a signal was heard last, at `since` or later. */
  signal(name: string, since: number): number | undefined {
    return this.#report.events.findLast((event) => event.name === name && event.at >= since)?.at;
  }

  highest(session: string): number {
    return this.#report.records.reduce((high, [s, n]) => (s === session ? Math.max(high, n) : high), 0);
  }

  /** Sets the page's wall clock forward or back. */
  shiftClock(ms: number): void {
    this.#shift += ms;
  }

  call(name: string, ...args: readonly unknown[]): unknown {
    const run = this.#client[name];
    if (typeof run !== "function") throw new Error(`this page has no ${name}`);
    return (run as (...args: readonly unknown[]) => unknown)(...args);
  }

  #watchErrors(): void {
    addEventListener("error", ({ message }) => this.#report.errors.push(message));
    addEventListener("unhandledrejection", ({ reason }) => this.#report.errors.push(`unhandled: ${String(reason)}`));
  }

  #watchSignals(deaf: readonly string[]): void {
    const note = (event: Event) => {
      const shown = event.type === "visibilitychange" ? document.visibilityState : event.type;
      const persisted = event instanceof PageTransitionEvent && event.persisted;
      const name = persisted ? `${shown}:persisted` : shown;
      this.#report.events.push({ name, at: clock() });
      if (deaf.includes(event.type)) event.stopImmediatePropagation();
    };
    for (const name of ["visibilitychange", "freeze", "resume"]) document.addEventListener(name, note, true);
    for (const name of ["pagehide", "pageshow", "focus", "blur", "online", "offline"]) {
      addEventListener(name, note, true);
    }
  }

  #watchSockets(): void {
    const { dials } = this.#report;
    globalThis.WebSocket = class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        const dial: Dial = { url: String(url), at: clock() };
        dials.push(dial);
        this.addEventListener("open", () => {
          dial.opened = clock();
        });
        this.addEventListener("close", ({ code }) => {
          dial.closed = clock();
          dial.code = code;
        });
      }
    };
  }

  /** Counts takings by force, and makes the page deaf to other tabs if it is to be. */
  #watchTabs(deaf: boolean): void {
    const { events } = this.#report;
    const request = LockManager.prototype.request;
    LockManager.prototype.request = function (this: LockManager, ...args: Parameters<typeof request>) {
      const [, options] = args as unknown as [string, LockOptions | undefined];
      if (options?.steal) events.push({ name: "steal", at: clock() });
      return Reflect.apply(request, this, args) as ReturnType<typeof request>;
    } as typeof request;
    if (!deaf) return;
    globalThis.BroadcastChannel = class extends BroadcastChannel {
      override addEventListener(): void {}
      override set onmessage(_: null) {}
    };
  }

  #watchFetch(): void {
    const original = globalThis.fetch.bind(globalThis);
    globalThis.fetch = (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      this.#report.fetches.push({ url, at: clock() });
      return original(input, init);
    };
  }

  #watchClock(): void {
    const original = Date.now.bind(Date);
    Date.now = () => original() + this.#shift;
  }
}
