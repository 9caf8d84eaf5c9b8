import type { Backend } from "./backend.ts";
import type { Browser, Tab } from "./browser/browser.ts";
import { Chromium, type ChromiumOptions } from "./browser/chromium.ts";
import { Firefox } from "./browser/firefox.ts";
import { PEERS } from "./peers/index.ts";
import type { ClientName, OursConfig, PageConfig } from "./page/report.ts";
import { Pages } from "./pages.ts";
import { Proxy } from "./proxy.ts";
import { quiet } from "./quiet.ts";
import { Holdfast } from "./server.ts";
import { sleep } from "./tools.ts";
import { CAP, Visit } from "./visit.ts";
import { Writer } from "./writer.ts";

/** What a case needs before it begins. */
export interface Setup {
  readonly browser?: "chromium" | "firefox";
  readonly features?: ChromiumOptions;
  /** More flags of holdfast serve. */
  readonly flags?: readonly string[];
  readonly sessions?: readonly string[];
  /** Messages a second in each session; 20 if not given, and 0 for none. */
  readonly rate?: number;
  readonly deaf?: readonly string[];
  readonly ours?: OursConfig;
  /** How long the connection has lived when the case begins, in ms; 7000, so that it counts as a stable one. */
  readonly warm?: number;
  /** How long the application's tokens last, in s. */
  readonly tokenLife?: number;
}

export const USER = "anna";

/** A wait of at least so many ms ends in a calm moment, since something is measured after it; how long before its end. */
const LONG = 3_000;
const LEAD = 500;
/** A browser that has shown a page is at work for a while still, in ms. */
const SETTLING = 1_000;

/** One run of a case: a server, a line to it, a browser with the client's page, and what may be done to them. */
export class Stage {
  readonly client: ClientName;
  readonly backend: Backend;
  readonly proxy: Proxy;
  readonly pages: Pages;
  readonly browser: Browser;
  readonly writers: readonly Writer[];
  /** What was found to be wrong, besides a late figure. */
  readonly faults: string[] = [];
  /** What a reader of the figures should know. */
  readonly notes: string[] = [];
  readonly #setup: Setup;
  /** The pages that must show everything at the end, the first one first. */
  readonly visits: Visit[] = [];
  #other: Tab | undefined;
  #event = 0;
  #calm: (() => void) | undefined;

  private constructor(client: ClientName, setup: Setup, backend: Backend, pages: Pages, browser: Browser) {
    this.client = client;
    this.backend = backend;
    this.pages = pages;
    this.browser = browser;
    this.#setup = setup;
    this.proxy = new Proxy(backend.port);
    const sessions = setup.sessions ?? ["rig"];
    this.writers = sessions.map((session) => new Writer(backend, session, setup.rate ?? 20));
  }

  static async open(client: ClientName, setup: Setup): Promise<Stage> {
    const stage = await quiet.heavy(() => Stage.#set(client, setup));
    await stage.wait(Math.max(0, (setup.warm ?? 7_000) - SETTLING));
    return stage;
  }

  static async #set(client: ClientName, setup: Setup): Promise<Stage> {
    const backend =
      client === "ours" ? await Holdfast.start(setup.flags ? { flags: setup.flags } : {}) : await PEERS[client]();
    const pages = await Pages.start();
    const browser = setup.browser === "firefox" ? await Firefox.start() : await Chromium.start(setup.features);
    const stage = new Stage(client, setup, backend, pages, browser);
    try {
      await stage.#begin();
    } catch (error) {
      await stage.#strike();
      throw error;
    }
    return stage;
  }

  async close(): Promise<void> {
    this.#calm?.();
    await quiet.heavy(() => this.#strike());
  }

  async #strike(): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.stop()));
    await this.browser.close();
    this.proxy.close();
    await Promise.all([this.backend.stop(), this.pages.stop()]);
  }

  // ---- who is there

  get page(): Visit {
    const [first] = this.visits;
    if (!first) throw new Error("the page is not open");
    return first;
  }

  get writer(): Writer {
    const [first] = this.writers;
    if (!first) throw new Error("nobody writes");
    return first;
  }

  get holdfast(): Holdfast {
    if (this.backend instanceof Holdfast) return this.backend;
    throw new Error("this case is about our server");
  }

  get chromium(): Chromium {
    if (this.browser instanceof Chromium) return this.browser;
    throw new Error("this needs Chromium");
  }

  /** The moment from which the figure counts. */
  get event(): number {
    return this.#event;
  }

  get config(): PageConfig {
    const { sessions = ["rig"], deaf, ours } = this.#setup;
    const host = `127.0.0.1:${this.proxy.port}`;
    const more = { ...(deaf && { deaf }), ...(ours && { ours }) };
    return { client: this.client, host, path: this.backend.path, sessions, ...more };
  }

  /** Opens the page in another tab, in front of the others. */
  async visit(config: PageConfig = this.config): Promise<Visit> {
    const visit = new Visit(await this.browser.open(this.pages.url(config)));
    this.visits.push(visit);
    return visit;
  }

  /** Closes a page; nothing is expected of it any more. */
  async leaves(visit: Visit): Promise<void> {
    this.visits.splice(this.visits.indexOf(visit), 1);
    await visit.tab.close();
  }

  // ---- what a person does

  async wait(ms: number): Promise<void> {
    // What looks again and again waits for little in between.
    if (ms < LONG) return sleep(ms);
    this.#calm?.();
    const end = performance.now() + ms;
    await sleep(ms - LEAD);
    this.#calm = await quiet.calm();
    await sleep(Math.max(0, end - performance.now()));
  }

  /** Another tab comes in front of the page. */
  async hide(visit = this.page): Promise<void> {
    const asked = Date.now();
    this.#other ??= await this.browser.open("about:blank");
    await this.#other.show();
    await visit.signal("hidden", asked - 5).catch(() => this.note("the page did not hear that it was hidden"));
  }

  /** The page comes to the front; resolves with when it learnt of that. */
  async show(visit = this.page): Promise<number> {
    return this.#when("visible", () => visit.tab.show(), visit);
  }

  async send(text: string): Promise<number> {
    const at = Date.now();
    await this.page.call("send", this.writer.session, text);
    return at;
  }

  // ---- what a browser does

  /** Hides the page and freezes it: none is frozen that somebody looks at. */
  async freeze(visit = this.page): Promise<void> {
    await this.hide(visit);
    await visit.chromium.freeze();
  }

  /** Thaws the page and shows it; resolves with when the page learnt of the first. */
  async thaw(): Promise<number> {
    const { page } = this;
    return this.#when("resume", () => Promise.all([page.chromium.thaw(), page.tab.show()]));
  }

  /** Thaws a page that stays hidden. */
  async thawHidden(visit: Visit): Promise<number> {
    return this.#when("resume", () => visit.chromium.thaw(), visit);
  }

  /** Goes to a page of another site. */
  async leave(): Promise<void> {
    await this.page.tab.navigate(this.pages.elsewhere);
  }

  /** Comes back by the back button; resolves with when the page was shown. It must have been kept. */
  async comeBack(): Promise<number> {
    const asked = Date.now();
    await this.page.tab.back();
    const { events } = await this.page.report();
    const shown = events.findLast(({ name, at }) => name.startsWith("pageshow") && at >= asked - 5);
    const kept = shown?.name === "pageshow:persisted";
    const ask = "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons?.reasons ?? [])";
    const reasons = kept ? "" : await this.page.tab.ask<string>(ask);
    this.expect(kept, `the page was kept in the back/forward cache ${reasons}`.trim());
    return shown?.at ?? asked;
  }

  async offline(): Promise<void> {
    await this.page.chromium.offline(true);
  }

  async online(): Promise<number> {
    return this.#when("online", () => this.page.chromium.offline(false));
  }

  // ---- what a machine does

  suspend(): void {
    this.browser.suspend();
  }

  /** Resolves with when it happened. No event tells the page. */
  resume(): number {
    const at = Date.now();
    this.browser.resume();
    return at;
  }

  // ---- what is measured

  /** How long after an event the page showed a message that was written after it; Infinity for never. */
  async back(event: number, visit = this.page): Promise<number> {
    this.#event = event;
    const at = await visit.firstAfter(event, CAP);
    this.#calm?.();
    return at === undefined ? Infinity : at - event;
  }

  /** Sets the moment from which the figure, and the dials, count. */
  from(event: number): number {
    this.#event = event;
    return event;
  }

  expect(ok: boolean, what: string): void {
    if (!ok) this.faults.push(`not: ${what}`);
  }

  note(text: string): void {
    this.notes.push(text);
  }

  async #begin(): Promise<void> {
    const { tokenLife } = this.#setup;
    await this.proxy.listen();
    if (this.backend instanceof Holdfast) {
      const holdfast = this.backend;
      this.pages.desk.mint = () => holdfast.token(USER, tokenLife);
    }
    const first = await this.visit();
    if (this.client === "ours") await first.becomes("live");
    if (this.#setup.rate !== 0) {
      for (const writer of this.writers) writer.start();
      await first.firstAfter(Date.now(), 20_000);
    }
    await sleep(Math.min(SETTLING, this.#setup.warm ?? SETTLING));
  }

  async #when(signal: string, act: () => Promise<unknown>, visit = this.page): Promise<number> {
    const asked = Date.now();
    await act();
    return visit.signal(signal, asked - 5);
  }
}
