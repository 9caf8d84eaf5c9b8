import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./server.ts";
import { Stage } from "./stage.ts";
import type { StageInPage } from "./stage-page.ts";

/** Windows of one user in a real browser, before a real server, with and without rules on them. */

const LONG = Boolean(process.env["HOLDFAST_TEST_LONG"]);
const MINUTES = 60_000;
/** How long nothing is to happen, and how long is waited for something that is not to happen. */
const QUIET = LONG ? 10 * MINUTES : 15_000;
const CALM = LONG ? 8_000 : 3_000;

let stage: Stage;
let browser: Browser;
let contexts: BrowserContext[] = [];
let users = 0;

beforeAll(async () => {
  stage = new Stage(buildServer());
  await stage.start();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

afterAll(async () => {
  await browser?.close();
  await stage?.stop();
});

const inPage = <T>(page: Page, run: (stage: StageInPage) => T | Promise<T>): Promise<T> =>
  page.evaluate(`(${run.toString()})(globalThis.stage)`) as Promise<T>;
const all = (page: Page) => inPage(page, ({ all }) => all);
const calm = () => new Promise((resolve) => setTimeout(resolve, CALM));

/** A user of the test's own, whose windows have these rules. */
class Person {
  readonly user = `person-${++users}`;
  readonly windows: Page[] = [];
  readonly #rule: string;

  constructor(rule = "") {
    this.#rule = rule;
  }

  /** One more window, with a connection of its own unless told otherwise; each is a browser of its own. */
  async open(more = "&own"): Promise<Page> {
    const context = await browser.newContext();
    contexts.push(context);
    const page = await context.newPage();
    await this.show(page, more);
    return page;
  }

  async show(page: Page, more = "&own"): Promise<void> {
    this.windows.push(page);
    await page.goto(
      `${stage.url}?user=${this.user}&session=of-${this.user}&rule=${encodeURIComponent(this.#rule)}${more}`,
    );
    await page.waitForFunction("['live', 'ended'].includes(globalThis.stage?.state)", undefined, { timeout: 30_000 });
  }

  async connected(): Promise<number> {
    return (await stage.connections(this.user)).length;
  }

  states(): Promise<string[]> {
    return Promise.all(this.windows.map((page) => inPage(page, ({ state }) => state)));
  }

  modes(): Promise<string[]> {
    return Promise.all(this.windows.map((page) => inPage(page, ({ mode }) => mode)));
  }

  /** For a while nobody dials: how many dials one takes is for a slow machine to say, but there is no more of them. */
  async rests(): Promise<void> {
    const before = await this.figures();
    await calm();
    expect(await this.figures()).toEqual(before);
  }

  /** How often all windows together were let in, and how often they dialed. */
  async figures(): Promise<{ welcomes: number; dials: number }> {
    const all = await Promise.all(this.windows.map((page) => inPage(page, ({ client }) => client.stats)));
    const sum = (of: (s: (typeof all)[number]) => number) => all.reduce((n, s) => n + of(s), 0);
    return { welcomes: sum((s) => s.welcomes), dials: sum((s) => s.dials) };
  }
}

describe("two windows of one user", { timeout: QUIET + 2 * MINUTES }, () => {
  it.each([
    ["with a connection each", "&own", 2],
    ["as tabs that share one", "", 1],
  ])("%s stay as they are: no close, no reconnect", async (_, more, connections) => {
    const anna = new Person();
    const one = await anna.open(more);
    await anna.show(await one.context().newPage(), more);
    await new Promise((resolve) => setTimeout(resolve, QUIET));
    expect(await anna.states()).toEqual(["live", "live"]);
    expect(await anna.connected()).toBe(connections);
    if (more) expect((await anna.figures()).welcomes).toBe(2);
    for (const page of anna.windows) {
      const states = await inPage(page, ({ states }) => states);
      expect(states.filter((state) => state === "offline" || state === "ended")).toEqual([]);
    }
  });

  it("show one conversation, token for token, and one goes on when the other is closed", async () => {
    const anna = new Person();
    const [laptop, phone] = [await anna.open(), await anna.open()];
    await inPage(phone, ({ send }) => send("typed on the phone"));
    await expect.poll(() => all(laptop), { timeout: 5_000 }).toEqual(["typed on the phone"]);
    const run = await stage.stream(`of-${anna.user}`);
    let said = "";
    let late: Page | undefined;
    for (let i = 0; i < 30; i++) {
      if (i === 10) late = await anna.open();
      if (i === 20) await phone.close();
      said += `w${i} `;
      await run.word(`w${i} `);
    }
    await run.end();
    for (const page of [laptop, late as Page]) {
      await expect.poll(() => all(page), { timeout: 10_000 }).toEqual(["typed on the phone", said]);
    }
  });

  it("in two sessions see nothing of each other's", async () => {
    const [anna, ben] = [new Person(), new Person()];
    const [a, b] = [await anna.open(), await ben.open()];
    await stage.append(`of-${anna.user}`, "for a");
    await stage.append(`of-${ben.user}`, "for b");
    await expect.poll(() => all(a)).toEqual(["for a"]);
    await expect.poll(() => all(b)).toEqual(["for b"]);
  });

  it("know of each other, if they want to", async () => {
    const anna = new Person();
    const laptop = await anna.open("&own&windows=Laptop");
    const phone = await anna.open("&own&windows=Phone");
    await expect.poll(() => inPage(laptop, ({ others }) => others)).toEqual(["Phone"]);
    await expect.poll(() => inPage(phone, ({ others }) => others)).toEqual(["Laptop"]);
    await phone.close({ runBeforeUnload: true });
    await expect.poll(() => inPage(laptop, ({ others }) => others), { timeout: 40_000 }).toEqual([]);
    expect(await inPage(laptop, ({ mode }) => mode)).toBe("full");
  });
});

describe("a limit", { timeout: 2 * MINUTES + CALM }, () => {
  it("refuses the one too many, which says so and does not come back; a half-open one is not in the way", async () => {
    const anna = new Person("max=5 on=reject");
    for (let i = 0; i < 6; i++) await anna.open();
    const sixth = anna.windows[5] as Page;
    await calm();
    expect(await anna.states()).toEqual(["live", "live", "live", "live", "live", "ended"]);
    expect(await inPage(sixth, ({ client }) => client.status.code)).toBe(4507);
    expect(await inPage(sixth, ({ mode }) => mode)).toBe("limit");
    await anna.rests();
    expect((await anna.figures()).welcomes).toBe(5);
    await sixth.close();
    await anna.windows[4]?.close();
    anna.windows.splice(4);
    await expect.poll(() => anna.connected(), { timeout: 40_000 }).toBe(4);
    // The fifth's line goes dead without a word. Nobody has noticed when the next one comes.
    await anna.open();
    stage.blackholeLatest();
    const dead = anna.windows.pop() as Page;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const next = await anna.open();
    expect(await inPage(next, ({ state }) => state)).toBe("live");
    await dead.close();
    expect(await anna.states()).toEqual(["live", "live", "live", "live", "live"]);
  });

  it.each([2, 3, 6])(
    "of one, exclusive, among %d windows: the newest has it, and each click is one switch",
    async (n) => {
      const anna = new Person("max=1 on=evict_oldest");
      for (let i = 0; i < n; i++) await anna.open();
      await calm();
      const only = (at: number) => Array.from({ length: n }, (_, i) => (i === at ? "live" : "ended"));
      expect(await anna.states()).toEqual(only(n - 1));
      expect(await inPage(anna.windows[0] as Page, ({ client }) => client.status.code)).toBe(4506);
      expect(await inPage(anna.windows[0] as Page, ({ mode }) => mode)).toBe("elsewhere");
      let { welcomes } = await anna.figures();
      expect(welcomes).toBe(n);
      // Opening n windows turned n - 1 out already: a person may go on a little before it is taken for flapping.
      for (let click = 0, at = 0; click < 8 - n; click++, at = (at + 1) % n) {
        await inPage(anna.windows[at] as Page, ({ claim }) => claim());
        await expect.poll(() => anna.states(), { timeout: 30_000 }).toEqual(only(at));
        await anna.rests();
        expect(await anna.states()).toEqual(only(at));
        expect((await anna.figures()).welcomes).toBe(++welcomes);
      }
      expect(await anna.connected()).toBe(1);
    },
  );

  it("may choose the idle one, or take over from the one in use", async () => {
    const anna = new Person("max=2 on=evict_idle");
    for (let i = 0; i < 2; i++) await anna.open();
    await inPage(anna.windows[0] as Page, ({ send }) => send("at work here"));
    await anna.open();
    await expect.poll(() => anna.states()).toEqual(["live", "ended", "live"]);
    const ben = new Person("max=2 on=take_over");
    for (let i = 0; i < 2; i++) await ben.open();
    await inPage(ben.windows[0] as Page, ({ send }) => send("at work here"));
    await ben.open();
    await expect.poll(() => ben.states()).toEqual(["ended", "live", "live"]);
  });

  it("that asks cuts nobody off before the user has answered", async () => {
    const anna = new Person("max=1 on=ask");
    for (let i = 0; i < 3; i++) await anna.open();
    expect(await anna.states()).toEqual(["live", "ended", "ended"]);
    expect(await anna.modes()).toEqual(["full", "ask", "ask"]);
    await inPage(anna.windows[2] as Page, ({ claim }) => claim());
    await expect.poll(() => anna.states()).toEqual(["ended", "ended", "live"]);
    await anna.rests();
    expect((await anna.figures()).welcomes).toBe(2);
  });

  it("of writers lets the others read, and a click changes places without a reconnect", async () => {
    const anna = new Person("max=1 on=read_only");
    for (let i = 0; i < 3; i++) await anna.open();
    const [one, two] = anna.windows as [Page, Page];
    expect(await anna.modes()).toEqual(["full", "read_only", "read_only"]);
    expect(await inPage(two, ({ send }) => send("no").catch((e: { code: string }) => e.code))).toBe("forbidden");
    await inPage(two, ({ claim }) => claim());
    await expect.poll(() => anna.modes()).toEqual(["read_only", "full", "read_only"]);
    await inPage(two, ({ send }) => send("yes"));
    for (const page of anna.windows) await expect.poll(() => all(page)).toEqual(["yes"]);
    expect(await inPage(one, ({ send }) => send("no").catch((e: { code: string }) => e.code))).toBe("forbidden");
    expect((await anna.figures()).welcomes).toBe(3);
  });

  it("of devices lets each have its own", async () => {
    const anna = new Person("max=1 on=evict_oldest per=device");
    const laptop = await anna.open("&own&windows");
    await anna.show(await laptop.context().newPage(), "&own&windows");
    await anna.open("&own&windows");
    await expect.poll(() => anna.states()).toEqual(["ended", "live", "live"]);
  });

  it("counts the tabs that share a connection as one", async () => {
    const anna = new Person("max=1 on=evict_oldest");
    const one = await anna.open("");
    for (let i = 0; i < 2; i++) await anna.show(await one.context().newPage(), "");
    await calm();
    expect(await anna.states()).toEqual(["live", "live", "live"]);
    const phone = await anna.open();
    await expect.poll(() => anna.states()).toEqual(["ended", "ended", "ended", "live"]);
    await inPage(anna.windows[1] as Page, ({ claim }) => claim());
    await expect.poll(() => anna.states(), { timeout: 10_000 }).toEqual(["live", "live", "live", "ended"]);
    expect(await inPage(phone, ({ mode }) => mode)).toBe("elsewhere");
  });
});
