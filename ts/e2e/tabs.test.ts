import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { buildServer } from "./server.ts";
import { Stage } from "./stage.ts";
import type { StageInPage } from "./stage-page.ts";

let program: string;
let stage: Stage;
let browser: Browser;
let contexts: BrowserContext[] = [];
let sessions = 0;

beforeAll(async () => {
  program = buildServer();
  stage = new Stage(program);
  await stage.start();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterEach(async () => {
  stage.sockets = stage.answers = "pass";
  for (const context of contexts.splice(0)) await context.close();
});

afterAll(async () => {
  await browser?.close();
  await stage?.stop();
});

/** A browser with so many tabs of one user, who is nobody else's. */
async function open(count: number, more = ""): Promise<{ user: string; session: string; pages: Page[] }> {
  const context = await browser.newContext();
  contexts.push(context);
  const session = `room-${++sessions}`;
  const user = `user-${sessions}`;
  const pages: Page[] = [];
  for (let i = 0; i < count; i++) pages.push(await tab(context, `user=${user}&session=${session}${more}`));
  return { user, session, pages };
}

async function tab(context: BrowserContext, query: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${stage.url}?${query}`);
  await live(page);
  return page;
}

const inPage = <T>(page: Page, run: (stage: StageInPage) => T | Promise<T>): Promise<T> =>
  page.evaluate(`(${run.toString()})(globalThis.stage)`) as Promise<T>;
const all = (page: Page) => inPage(page, ({ all }) => all);
const live = (page: Page) => page.waitForFunction("globalThis.stage?.state === 'live'", undefined, { timeout: 15_000 });

async function connected(user: string): Promise<number> {
  return (await stage.connections(user)).length;
}

describe("several tabs of one browser", () => {
  it("have one connection, and all show what is said", async () => {
    const { user, session, pages } = await open(4);
    await expect.poll(() => connected(user)).toBe(1);
    await stage.append(session, "from the backend");
    await inPage(pages[2] as Page, ({ send }) => send("from a tab"));
    for (const page of pages) await expect.poll(() => all(page)).toEqual(["from the backend", "from a tab"]);
    expect(await connected(user)).toBe(1);
  });

  it("go on when the leader is closed in mid-stream", async () => {
    const { user, session, pages } = await open(3);
    const run = await stage.stream(session);
    let said = "";
    for (let i = 0; i < 60; i++) {
      if (i === 20) await pages.shift()?.close();
      if (i === 40) await pages.shift()?.close({ runBeforeUnload: true });
      said += `w${i} `;
      await run.word(`w${i} `);
    }
    await run.end();
    for (const page of pages) await expect.poll(() => all(page), { timeout: 10_000 }).toEqual([said]);
    await expect.poll(() => connected(user)).toBe(1);
  });

  it("hand the lead to the one that is shown", async () => {
    const { user, session, pages } = await open(2);
    const [one, two] = pages as [Page, Page];
    const client = async () => (await stage.connections(user))[0]?.client;
    const before = await client();
    await one.bringToFront();
    await stage.append(session, "a");
    await two.bringToFront();
    await stage.append(session, "b");
    for (const page of pages) await expect.poll(() => all(page)).toEqual(["a", "b"]);
    // Whoever leads is the same client to the server, so that it lets only one of them live.
    expect([await client(), await connected(user)]).toEqual([before, 1]);
  });

  it("of two users share nothing", async () => {
    const { user, session, pages } = await open(1);
    const other = await tab((pages[0] as Page).context(), `user=other-${user}&session=${session}`);
    expect([await connected(user), await connected(`other-${user}`)]).toEqual([1, 1]);
    expect(await inPage(other, ({ client }) => client.stats.user)).toBe(`other-${user}`);
  });

  it("are kept in the back/forward cache, and come back", async () => {
    const { user, session, pages } = await open(2);
    const [one, two] = pages as [Page, Page];
    await one.goto("about:blank");
    await stage.append(session, "meanwhile");
    await expect.poll(() => all(two)).toEqual(["meanwhile"]);
    await one.goBack();
    await live(one);
    await expect.poll(() => all(one)).toEqual(["meanwhile"]);
    await expect.poll(() => connected(user)).toBe(1);
  });
});

/** Twenty readers cost what twenty readers cost, however many of them there are: nobody is sent what another one is sent for. */
describe("twenty tabs of one session, 200 tokens a second", { timeout: 180_000 }, () => {
  const TABS = 20;
  const TOKENS = 600;

  it.each([
    ["with a connection each", "&own", TABS],
    ["that share one", "", 1],
  ])("%s: each shows each token once, and each connection carries it once", async (_, more, connections) => {
    const { user, session, pages } = await open(TABS, more);
    await expect.poll(() => connected(user)).toBe(connections);
    const frags = () => stage.frames.get("frag") ?? 0;
    const before = frags();
    const run = await stage.stream(session);
    const words = Array.from({ length: TOKENS }, (_, i) => `w${i} `);
    const began = Date.now();
    for (const [i, word] of words.entries()) {
      await run.word(word);
      const early = began + 5 * (i + 1) - Date.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    }
    await run.end();
    for (const page of pages) await expect.poll(() => all(page), { timeout: 30_000 }).toEqual([words.join("")]);
    // A reader that lags gets several tokens in one frame, and none gets one twice.
    expect(frags() - before).toBeLessThanOrEqual(connections * TOKENS);
    expect(frags() - before).toBeGreaterThan(connections);
    expect(await connected(user)).toBe(connections);
    for (const page of pages) expect(await inPage(page, ({ states }) => states)).not.toContain("offline");
  });
});

describe("where WebSocket is blocked", () => {
  it.each([
    ["refuse", "pass", "events"],
    ["blackhole", "pass", "events"],
    ["refuse", "hold", "poll"],
    ["blackhole", "hold", "poll"],
  ] as const)(
    "by a proxy that would %s it, and %s answers, it goes over %s within 3 s",
    async (sockets, answers, way) => {
      stage.sockets = sockets;
      stage.answers = answers;
      stage.requests.length = 0;
      const began = Date.now();
      const { session, pages } = await open(1, "&own");
      const [page] = pages as [Page];
      const took = Date.now() - began;
      await inPage(page, ({ send }) => send("over HTTP"));
      await stage.append(session, "back");
      await expect.poll(() => all(page)).toEqual(["over HTTP", "back"]);
      expect(stage.requests).toContain(way);
      expect(stage.requests).toContain("send");
      // The page itself has to be loaded too, on a machine that has other work; test/fallback has the exact times.
      expect(took).toBeLessThan(6_000);
    },
  );

  it("it streams, and finds its way back", { timeout: 60_000 }, async () => {
    stage.sockets = "refuse";
    const { user, session, pages } = await open(1, "&own");
    const [page] = pages as [Page];
    const run = await stage.stream(session);
    let said = "";
    for (let i = 0; i < 20; i++) {
      said += `w${i} `;
      await run.word(`w${i} `);
    }
    await expect.poll(() => all(page)).toEqual([said]);
    stage.sockets = "pass";
    await expect
      .poll(async () => (await stage.connections(user))[0]?.transport, { timeout: 40_000 })
      .toMatch(/ws|websocket/i);
    await live(page);
    await run.word("and more");
    await expect.poll(() => all(page)).toEqual([`${said}and more`]);
    expect(
      await inPage(page, ({ states }) => states.filter((state) => state === "offline").length),
    ).toBeLessThanOrEqual(1);
  });
});
