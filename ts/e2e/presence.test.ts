import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Chromium, type ChromiumTab } from "../rig/browser/chromium.ts";
import { buildServer } from "./server.ts";
import { Stage } from "./stage.ts";
import type { StageInPage } from "./stage-page.ts";

/**
 * Who is there, as others see it. Those who watch are in a browser that a driver keeps in front; those who come and go are in
 * one whose pages can be hidden and stopped as on a phone.
 */

const LONG = Boolean(process.env["HOLDFAST_TEST_LONG"]);
/** Thirty times in ten minutes; a few of them where time is short. */
const ROUNDS = LONG ? 30 : 4;
const HIDDEN = 8_000;
const SHOWN = LONG ? 12_000 : 2_000;

let stage: Stage;
let watching: Browser;
let actors: Chromium;
let pages: Page[] = [];
let sessions = 0;

beforeAll(async () => {
  stage = new Stage(buildServer());
  await stage.start();
  watching = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
  actors = await Chromium.start();
});

afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
});

afterAll(async () => {
  await actors?.close();
  await watching?.close();
  await stage?.stop();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const inPage = <T>(page: Page, run: (stage: StageInPage) => T | Promise<T>): Promise<T> =>
  page.evaluate(`(${run.toString()})(globalThis.stage)`) as Promise<T>;

interface Members {
  readonly t: string;
  readonly members?: readonly { readonly u: string; readonly c: string }[];
  readonly left?: readonly { readonly u: string; readonly c: string }[];
}

/** A session of the test's own, with somebody who watches it; `told` is what the server says to them, before our client sees it. */
async function watched() {
  const session = `presence-${++sessions}`;
  const url = (user: string) => `${stage.url}?user=${user}&session=${session}&presence&own`;
  const watcher = await watching.newPage();
  pages.push(watcher);
  const told: Members[] = [];
  watcher.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      const frame = JSON.parse(String(payload)) as Members;
      if (frame.t === "members") told.push(frame);
    }),
  );
  await watcher.goto(url("watcher"));
  await watcher.waitForFunction("globalThis.stage?.state === 'live'", undefined, { timeout: 30_000 });
  return { session, url, watcher, told };
}

const saw = (page: Page, who: string) =>
  inPage(page, ({ seen }) => seen).then((all) =>
    all.filter(({ what }) => what.startsWith(who)).map(({ what, at }) => ({ what: what.slice(who.length + 1), at })),
  );
const words = (page: Page, who: string) => saw(page, who).then((all) => all.map(({ what }) => what));

async function enter(url: string): Promise<ChromiumTab> {
  const tab = await actors.open(url);
  await expect.poll(() => tab.ask<string>("globalThis.stage?.state"), { timeout: 30_000 }).toBe("live");
  return tab;
}

describe("presence", () => {
  it("shows who comes, how far each has read, and who goes", async () => {
    const { session, url, watcher } = await watched();
    const anna = await enter(url("anna"));
    await expect.poll(() => words(watcher, "anna")).toEqual(["here"]);
    await stage.append(session, "news");
    await expect.poll(() => inPage(watcher, ({ members }) => members)).toContain("anna 0/1");
    await anna.ask("stage.read()");
    await expect.poll(() => inPage(watcher, ({ members }) => members)).toContain("anna 1/1");
    expect((await stage.members(session)).map(({ user }) => user).sort()).toEqual(["anna", "watcher"]);
    await anna.close();
    await expect.poll(async () => (await words(watcher, "anna")).at(-1), { timeout: 20_000 }).toBe("left");
    expect((await stage.members(session)).map(({ user }) => user)).toEqual(["watcher"]);
  });

  it(
    `of a page that is ${ROUNDS} times in the background for 8 s, at times without its socket: nobody sees it leave or come`,
    { timeout: ROUNDS * (HIDDEN + SHOWN + 2_000) + 90_000 },
    async () => {
      const { url, watcher, told } = await watched();
      const anna = await enter(url("anna"));
      const other = await actors.open("about:blank");
      for (let i = 0; i < ROUNDS; i++) {
        await other.show();
        // What a phone does to the sockets of what is not seen.
        if (i % 2) stage.cutLatest();
        await pause(HIDDEN);
        await anna.show();
        await pause(SHOWN);
      }
      const seen = await words(watcher, "anna");
      expect(seen.filter((what) => what === "left")).toEqual([]);
      expect(seen[0]).toBe("here");
      expect(seen.at(-1)).toBe("here");
      expect(seen.filter((what) => what === "away").length).toBe(ROUNDS);
      // Nobody left, and she came once, as one and the same.
      expect(told.flatMap(({ left = [] }) => left)).toEqual([]);
      const annas = told.flatMap(({ members = [] }) => members).filter(({ u }) => u === "anna");
      expect(new Set(annas.map(({ c }) => c)).size).toBe(1);
      await anna.close();
      await other.close();
    },
  );

  it("of a page that was stopped is away, or gone, within 60 s", { timeout: 150_000 }, async () => {
    const { url, watcher } = await watched();
    const anna = await enter(url("anna"));
    await expect.poll(() => words(watcher, "anna")).toEqual(["here"]);
    await anna.freeze();
    const frozen = Date.now();
    await expect.poll(async () => (await words(watcher, "anna")).at(-1), { timeout: 90_000 }).not.toBe("here");
    expect(Date.now() - frozen).toBeLessThan(60_000);
    await anna.thaw();
    // The debugger thaws it as a page that nobody sees: it is seen once another one was in front.
    const other = await actors.open("about:blank");
    await other.show();
    await anna.show();
    await expect.poll(() => anna.ask("document.visibilityState")).toBe("visible");
    await expect.poll(async () => (await words(watcher, "anna")).at(-1), { timeout: 30_000 }).toBe("here");
    await anna.close();
    await other.close();
  });
});
