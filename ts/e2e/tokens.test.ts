import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, type ExpectStatic, it } from "vitest";
import { buildServer } from "./server.ts";
import { Stage } from "./stage.ts";
import { Stalls } from "./stalls.ts";
import type { StageInPage } from "./stage-page.ts";

/**
 * Tokens that are no good any more, in a page before the real server: it is told which end that is within a second, gets
 * nothing after it, and leaves it at that. Each test has a server of its own, which counts for it alone.
 */

/** How soon, and for how long nothing more is to happen, in ms. */
const PROMPT = 1_000;
const CALM = 3_000;
/** By how much clocks may differ, and how long an expired token still serves, in s: what docs/guarantees.md says. */
const LEEWAY = 30;
const GRACE = 10;

const UNAUTHORIZED = 4501;
const EXPIRED = 4401;

let program: string;
let browser: Browser;
let stalls: Stalls;
const stages: Stage[] = [];

beforeAll(async () => {
  program = buildServer();
  stalls = new Stalls();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterAll(async () => {
  stalls?.stop();
  await browser?.close();
  for (const stage of stages) await stage.stop();
});

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** How long something took, in ms, without what the machine took for others. */
const took = (from = 0, to = Infinity) => to - from - stalls.between(from, to);
const seconds = () => Math.floor(Date.now() / 1000);

/** A token of anna's that was issued a minute ago. */
const claims = (more: object = {}) => ({
  sub: "anna",
  iat: seconds() - 60,
  exp: seconds() + 3600,
  hf: { read: ["*"], send: ["*"] },
  ...more,
});

interface Frame {
  readonly t: string;
  readonly s?: string;
  readonly code?: number | string;
  readonly outcome?: string;
}

/** A server and a page, and what goes over the wire between them. */
class Scene {
  readonly stage: Stage;
  readonly page: Page;
  /** When the page asked for a token. */
  readonly asked: number[];
  /** What came and went, socket by socket. */
  readonly sockets: { readonly received: Frame[]; readonly sent: Frame[] }[] = [];

  private constructor(stage: Stage, page: Page, asked: number[]) {
    this.stage = stage;
    this.page = page;
    this.asked = asked;
  }

  /** Opens the page; `token` gives the n-th token that it asks for, from 0 on. */
  static async open(
    token: (stage: Stage, n: number) => string | undefined | Promise<string | undefined>,
  ): Promise<Scene> {
    const stage = new Stage(program);
    stages.push(stage);
    await stage.start();
    const asked: number[] = [];
    stage.desk = async () => token(stage, asked.push(Date.now()) - 1);
    const scene = new Scene(stage, await (await browser.newContext()).newPage(), asked);
    scene.page.on("websocket", (socket) => {
      const frames = { received: [] as Frame[], sent: [] as Frame[] };
      scene.sockets.push(frames);
      socket.on("framereceived", ({ payload }) => void frames.received.push(JSON.parse(String(payload)) as Frame));
      socket.on("framesent", ({ payload }) => void frames.sent.push(JSON.parse(String(payload)) as Frame));
    });
    await scene.page.goto(`${stage.url}?user=anna&session=chat&own`);
    return scene;
  }

  ask<T>(run: (stage: StageInPage) => T | Promise<T>): Promise<T> {
    return this.page.evaluate(`(${run.toString()})(globalThis.stage)`) as Promise<T>;
  }

  async becomes(state: "live" | "ended"): Promise<void> {
    await this.page.waitForFunction(`globalThis.stage?.state === '${state}'`, undefined, { timeout: 30_000 });
  }

  /** Writes to the session until it is told to stop. */
  flood(): () => Promise<void> {
    let on = true;
    const written = (async () => {
      for (let i = 0; on; i++) await this.stage.append("chat", i);
    })();
    // What goes wrong is told to who stops it.
    written.catch(() => {});
    return () => {
      on = false;
      return written;
    };
  }

  /** All that the page could have done again and again: dials, requests instead, tokens that it asked for. */
  async tried(): Promise<object> {
    const { stage, asked } = this;
    const living = (await stage.connections("anna")).length;
    return {
      ended: await stage.ended(),
      living,
      dials: stage.dials,
      requests: stage.requests.length,
      asked: asked.length,
    };
  }

  /** Waits until each dial but the living ones has ended as the server sees it, and then for a while. */
  async rests(living: number, expect: ExpectStatic): Promise<void> {
    await expect.poll(() => this.stage.ended(), { timeout: 15_000 }).toBe(this.stage.dials - living);
    const before = await this.tried();
    await pause(CALM);
    expect(await this.tried()).toEqual(before);
  }
}

/** What is of the log. */
const isData = ({ t }: Frame) => ["entry", "run", "frag", "end", "page", "signal"].includes(t);

describe.concurrent("a token", { timeout: 60_000 }, () => {
  it("that has expired, and that no other one replaces", async ({ expect }) => {
    // It serves for 4 s, and for as long as an expired one does.
    let exp = 0;
    const scene = await Scene.open((stage, n) => {
      if (n) return undefined;
      exp = seconds() + 4 - LEEWAY;
      return stage.sign(claims({ exp }));
    });
    await scene.becomes("live");
    await scene.stage.append("chat", "before");
    await scene.becomes("ended");
    const statuses = await scene.ask(({ statuses }) => statuses);
    const ended = statuses.at(-1);
    const left = statuses[statuses.map(({ state }) => state).lastIndexOf("live") + 1];
    expect(ended?.code).toBe(UNAUTHORIZED);
    expect(took(left?.at, ended?.at)).toBeLessThan(PROMPT);
    // The server looks once a second.
    expect(took((exp + LEEWAY + GRACE) * 1000, ended?.at)).toBeLessThan(1_000 + PROMPT);
    expect(scene.sockets[0]?.received.at(-1)).toMatchObject({ t: "bye", code: EXPIRED });
    await scene.stage.append("chat", "after");
    await scene.rests(0, expect);
    expect(scene.sockets.slice(1).flatMap(({ received }) => received)).toEqual([]);
    expect(await scene.ask(({ all }) => all)).toEqual(["before"]);
    // Asked for at first, when it was about to expire, and when it had.
    expect(scene.asked.length).toBe(3);
    expect(scene.stage.dials).toBeLessThanOrEqual(2);
  });

  it("that was revoked", async ({ expect }) => {
    const scene = await Scene.open((stage) => stage.sign(claims({ jti: "t1" })));
    await scene.becomes("live");
    const stop = scene.flood();
    await scene.page.waitForFunction("globalThis.stage.all.length > 5");
    const began = Date.now();
    await scene.stage.revoke({ user: "anna", reason: "left" });
    await scene.becomes("ended");
    const ended = await scene.ask(({ statuses }) => statuses.at(-1));
    expect(ended?.code).toBe(UNAUTHORIZED);
    expect(took(began, ended?.at)).toBeLessThan(PROMPT);
    const shown = await scene.ask(({ all }) => all.length);
    await scene.rests(0, expect);
    await stop();
    expect(await scene.ask(({ all }) => all.length)).toBe(shown);
    // Nothing comes after the goodbye, and with the fresh token that is tried, which is of before as well, nothing but that.
    const [first, ...others] = scene.sockets.map(({ received }) => received);
    expect(first?.at(-1)).toMatchObject({ t: "bye", code: UNAUTHORIZED });
    expect(first?.filter(({ t }) => t === "bye")).toHaveLength(1);
    expect(others).toEqual([[expect.objectContaining({ t: "bye", code: UNAUTHORIZED })]]);
    expect(scene.asked.length).toBe(2);
  });

  it("that somebody else has signed", async ({ expect }) => {
    const scene = await Scene.open((stage) => stage.sign(claims(), "a secret of somebody else, long enough to be one"));
    await scene.stage.append("chat", "not for them");
    await scene.becomes("ended");
    const statuses = await scene.ask(({ statuses }) => statuses);
    expect(statuses.at(-1)?.code).toBe(UNAUTHORIZED);
    expect(took(scene.asked[0], statuses.at(-1)?.at)).toBeLessThan(PROMPT);
    expect(statuses.map(({ state }) => state)).not.toContain("live");
    await scene.rests(0, expect);
    const byes = scene.sockets.map(({ received }) => received);
    expect(byes).toEqual([1, 2].map(() => [expect.objectContaining({ t: "bye", code: UNAUTHORIZED })]));
    expect(await scene.ask(({ all }) => all)).toEqual([]);
    expect(scene.asked.length).toBe(2);
  });

  it("in whose place comes one that allows less", async ({ expect }) => {
    let release = () => {};
    const asking = new Promise<void>((resolve) => (release = resolve));
    // The first is about to expire, so that the server asks for another one, which is held until the test wants it.
    const scene = await Scene.open(async (stage, n) => {
      if (!n) return stage.sign(claims({ exp: seconds() - 5 }));
      await asking;
      return stage.sign(claims({ hf: { read: ["kept"] } }));
    });
    await scene.becomes("live");
    await scene.ask(({ client }) => void client.session("kept"));
    await expect.poll(() => scene.asked.length, { timeout: 10_000 }).toBe(2);
    const stop = scene.flood();
    await scene.page.waitForFunction("globalThis.stage.all.length > 5");
    const began = Date.now();
    release();
    await scene.page.waitForFunction("globalThis.stage.chat.status === 'denied'");
    const denied = await scene.ask(({ phases }) => phases.at(-1));
    expect(denied).toMatchObject({ phase: "denied", code: "forbidden" });
    expect(took(began, denied?.at)).toBeLessThan(PROMPT);
    const shown = await scene.ask(({ all }) => all.length);
    await scene.rests(1, expect);
    await stop();
    await scene.stage.append("kept", "still read");
    const kept = () =>
      scene.ask(({ client }) => client.session("kept").entries.map((e) => e.kind === "message" && e.data));
    await expect.poll(kept).toEqual(["still read"]);
    expect(await scene.ask(({ all }) => all.length)).toBe(shown);
    expect(await scene.ask(({ state }) => state)).toBe("live");
    expect(scene.sockets).toHaveLength(1);
    const { received = [], sent = [] } = scene.sockets[0] ?? {};
    const at = received.findIndex(({ t, s, outcome }) => t === "sub" && s === "chat" && outcome === "denied");
    expect(received[at]).toMatchObject({ code: "forbidden" });
    expect(received.slice(at + 1).filter((frame) => frame.s === "chat" && isData(frame))).toEqual([]);
    expect(received.slice(at + 1).filter(({ s, outcome }) => s === "chat" && outcome)).toEqual([]);
    // It is not asked for again, either.
    expect(sent.filter(({ t, s }) => t === "sub" && s === "chat")).toEqual([]);
  });
});
