import type { Tab } from "./browser/browser.ts";
import { ChromiumTab } from "./browser/chromium.ts";
import type { Report } from "./page/report.ts";
import { sleep, until } from "./tools.ts";

/** How long to wait for what never came to any client, in ms. */
export const CAP = 80_000;

/** One tab with a client's page in it. */
export class Visit {
  readonly tab: Tab;

  constructor(tab: Tab) {
    this.tab = tab;
  }

  /** What only Chromium can do. */
  get chromium(): ChromiumTab {
    if (this.tab instanceof ChromiumTab) return this.tab;
    throw new Error("this needs Chromium");
  }

  report(): Promise<Report> {
    return this.tab.ask("rig.report()");
  }

  call<T = void>(name: string, ...args: readonly unknown[]): Promise<T> {
    return this.tab.ask(`rig.call(${[name, ...args].map((arg) => JSON.stringify(arg)).join(", ")})`);
  }

  /** When the page first got a message that was written at `since` or later; undefined if it did not within the cap. */
  async firstAfter(since: number, cap = CAP): Promise<number | undefined> {
    const end = performance.now() + cap;
    while (performance.now() < end) {
      const at = await this.tab.ask<number | undefined>(`rig.first(${since})`).catch(() => undefined);
      if (typeof at === "number") return at;
      await sleep(50);
    }
    return undefined;
  }

  /** When the page heard a signal of the browser, at `since` or later. */
  async signal(name: string, since: number): Promise<number> {
    let at: number | undefined;
    const ask = async () => {
      at = await this.tab.ask<number | undefined>(`rig.signal("${name}", ${since})`).catch(() => undefined);
      return typeof at === "number";
    };
    await until(10_000, ask, `the signal ${name}`);
    return at ?? 0;
  }

  /** Waits until the page has the n-th message of a session. */
  async reaches(session: string, n: number, cap = 10_000): Promise<boolean> {
    const ask = async () => (await this.tab.ask<number>(`rig.highest("${session}")`).catch(() => 0)) >= n;
    return until(cap, ask).then(
      () => true,
      () => false,
    );
  }

  async status(): Promise<string> {
    const { statuses } = await this.report();
    return statuses.at(-1)?.state ?? "";
  }

  /** Waits until our client says that it is in a state. */
  async becomes(state: string, cap = 20_000): Promise<void> {
    await until(cap, async () => (await this.status().catch(() => "")) === state, `the status ${state}`);
  }
}
