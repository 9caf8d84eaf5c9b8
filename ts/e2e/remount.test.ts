import { type Browser, type BrowserContext, type CDPSession, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RemountInPage } from "./remount-page.tsx";
import { buildServer } from "./server.ts";
import { Stage } from "./stage.ts";

/** How often something is done to a page that shows an answer; more in the long form. */
const DEEDS = process.env["HOLDFAST_TEST_LONG"] ? 200 : 24;
const WORD = 60;

let stage: Stage;
let browser: Browser;

beforeAll(async () => {
  stage = new Stage(buildServer(), "remount-page.tsx");
  await stage.start();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterAll(async () => {
  await browser?.close();
  await stage?.stop();
});

const inPage = <T>(page: Page, run: (stage: RemountInPage) => T): Promise<T> =>
  page.evaluate(`(${run.toString()})(globalThis.stage)`) as Promise<T>;

/** One window of one user, and what people do with it. */
class Window {
  readonly #context: BrowserContext;
  readonly #url: string;
  page!: Page;
  #cdp!: CDPSession;
  readonly wrong: string[] = [];
  longest = 0;
  readonly deeds: Record<string, number> = {};

  constructor(context: BrowserContext, url: string) {
    this.#context = context;
    this.#url = url;
  }

  async open(): Promise<void> {
    this.page = await this.#context.newPage();
    this.#cdp = await this.#context.newCDPSession(this.page);
    await this.page.goto(this.#url);
    await this.page.waitForFunction("globalThis.stage?.text.length > 0");
  }

  /** What this page has shown must be the text so far, and no less than what was shown before. */
  async look(): Promise<void> {
    const { wrong, text } = await inPage(this.page, ({ wrong, text }) => ({ wrong, text }));
    this.wrong.push(...wrong);
    this.longest = Math.max(this.longest, text.length);
  }

  async do(deed: string): Promise<void> {
    this.deeds[deed] = (this.deeds[deed] ?? 0) + 1;
    await this.look();
    if (deed === "close") await this.page.close();
    if (deed === "close") return this.open();
    if (deed === "reload") await this.page.reload();
    if (deed === "remount") await inPage(this.page, ({ remount }) => remount());
    if (deed === "alt-tab") await this.#leave();
    await this.page.waitForFunction(`globalThis.stage?.text.length >= ${this.longest}`, undefined, { timeout: 20_000 });
  }

  /** Another window is in front for a moment, and this one is frozen, as hidden pages are. */
  async #leave(): Promise<void> {
    await this.#cdp.send("Page.setWebLifecycleState", { state: "frozen" });
    await this.page.waitForTimeout(100 + Math.random() * 300);
    await this.#cdp.send("Page.setWebLifecycleState", { state: "active" });
    await this.page.bringToFront();
  }
}

it(`an answer is not touched by what is done to its pages ${DEEDS} times, and no text is doubled`, async () => {
  const context = await browser.newContext();
  const run = await stage.stream("room");
  let words = 0;
  let writing = true;
  const written = (async () => {
    for (; writing; words++) {
      await run.word(`w${words + 1} `);
      await new Promise((resolve) => setTimeout(resolve, WORD));
    }
  })();
  const window = new Window(context, `${stage.url}?user=anna&session=room`);
  await window.open();
  const kinds = ["alt-tab", "reload", "close", "remount"];
  for (let n = 0; n < DEEDS; n++) await window.do(kinds[Math.floor(Math.random() * kinds.length)] ?? "");
  writing = false;
  await written;

  // Nobody but its producer has anything to say about it: it is open, has one fence, and no stop.
  expect(await stage.run("room", 1)).toMatchObject({ status: "open", fence: 1, fragments: words });
  expect(await stage.run("room", 1)).not.toHaveProperty("stop");
  await run.end();
  await window.page.waitForFunction("globalThis.stage?.status === 'complete'");
  await window.look();
  expect(window.wrong).toEqual([]);
  const text = Array.from({ length: words }, (_, i) => `w${i + 1} `).join("");
  expect(await inPage(window.page, ({ text }) => text)).toBe(text);
  expect(await window.page.locator("p").count()).toBe(1);
  console.log(`${DEEDS} deeds during ${words} words: ${JSON.stringify(window.deeds)}`);
}, 1_800_000);
