import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DemoPage } from "./demo-page.ts";
import { buildServer, DevServer } from "./server.ts";

const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

let program: string;
let server: DevServer;
let browser: Browser;
let rooms = 0;

beforeAll(async () => {
  program = buildServer();
  server = new DevServer(program);
  await server.start();
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

const room = () => `${server.url}?room=room-${++rooms}`;

/** Pages that share a connection are told up to 60 ms apart. */
async function alike(...pages: readonly DemoPage[]): Promise<void> {
  await vi.waitFor(async () => {
    const [first, ...others] = await Promise.all(pages.map((page) => page.transcript()));
    expect(first).toContain("</article>");
    for (const other of others) expect(other).toBe(first);
  });
  for (const page of pages) expect(page.errors).toEqual([]);
}

describe("an answer", () => {
  it("streams, and ends", async () => {
    const page = await DemoPage.open(browser, room());
    await page.ask("What is a session?");
    await page.answering(0, 20);
    expect(await page.page.locator('.run[data-status="open"]').count()).toBe(1);
    await page.answered(0);
    expect(await page.messages()).toEqual(["What is a session?"]);
    expect(page.errors).toEqual([]);
  });

  it("is the same in three tabs and on a phone, whenever they were opened", async () => {
    const url = room();
    const one = await DemoPage.open(browser, url);
    const two = await one.tab();
    const small = await DemoPage.open(browser, url, phone);
    await one.ask("Tell me something long");
    await two.answering(0, 200);
    const late = await one.tab();
    await late.answering(0, 200);
    const all = [one, two, small, late];
    await Promise.all(all.map((page) => page.answered(0)));
    expect(await small.messages()).toEqual(["Tell me something long"]);
    // Another person's message is announced as such; all else is the same to the byte.
    await alike(one, two, late);
    expect(await small.page.locator(".chat .run").first().innerHTML()).toBe(
      await one.page.locator(".chat .run").first().innerHTML(),
    );
  });

  it.each(["cut", "blackhole"])("survives a %s", async (harm) => {
    const url = room();
    const calm = await DemoPage.open(browser, url);
    const harmed = await calm.tab();
    await harmed.ask("How do you survive a cut line?");
    await harmed.answering(0, 100);
    const before = await harmed.connection();
    await harmed.page.click(`#${harm}`);
    if (harm === "blackhole") await harmed.ask("And now?");
    await harmed.otherThan(before);
    const answers = harm === "blackhole" ? 2 : 1;
    for (let n = 0; n < answers; n++) await Promise.all([calm.answered(n), harmed.answered(n)]);
    expect(await harmed.messages()).toHaveLength(answers);
    await alike(calm, harmed);
  });

  it("survives a reload, and so does what was typed", async () => {
    const url = room();
    const calm = await DemoPage.open(browser, url);
    const page = await calm.tab();
    await page.ask("Tell me something long");
    await page.answering(0, 100);
    await page.page.locator(".chat textarea").nth(1).fill("half a thought");
    await page.page.reload();
    await page.live();
    expect(await page.page.locator(".chat textarea").nth(1).inputValue()).toBe("half a thought");
    await Promise.all([calm.answered(0), page.answered(0)]);
    await alike(calm, page);
  });

  it("survives the death of the server, and nothing typed meanwhile is lost", async () => {
    const url = room();
    const one = await DemoPage.open(browser, url);
    const two = await one.tab();
    await one.ask("Tell me something long");
    await one.answering(0, 150);
    await server.kill();
    await one.page.waitForSelector("#status:not([state=live])");
    await one.ask("typed while it was dead");
    await one.page.waitForSelector('.message[data-state="pending"]');
    await server.start();
    await Promise.all([one.live(), two.live()]);
    for (const n of [0, 1]) await Promise.all([one.answered(n), two.answered(n)]);
    expect(await one.messages()).toEqual(["Tell me something long", "typed while it was dead"]);
    await alike(one, two);
    const fresh = await one.tab();
    await fresh.answered(1);
    await alike(one, fresh);
  });
});

describe("Stop", () => {
  it("stops an answer from another device, and is seen on all", async () => {
    const url = room();
    const one = await DemoPage.open(browser, url);
    const two = await one.tab();
    const small = await DemoPage.open(browser, url, phone);
    await one.ask("Tell me something long");
    await Promise.all([one.answering(0, 60), small.answering(0, 60)]);
    await small.stop();
    await Promise.all([one, two, small].map((page) => page.ended(0, "stopped")));
    expect(await small.stopped()).toBe("Stopped by you.");
    expect(await one.stopped()).toBe("Stopped by somebody else.");
    await alike(one, two);
    const text = await one.text(0);
    await small.page.reload();
    await small.live();
    await small.ended(0, "stopped");
    expect([await small.text(0), await small.stopped()]).toEqual([text, "Stopped by you."]);
  });

  it("works before there is an answer, and before the message has arrived", async () => {
    const url = room();
    const calm = await DemoPage.open(browser, url);
    const page = await calm.tab();
    await page.page.click("#leave");
    await page.page.waitForSelector('#status[state="idle"]');
    await page.ask("typed while away");
    await page.stop();
    await page.page.waitForSelector('.waiting .stopping[data-state="asked"]');
    await page.page.click("#leave");
    await Promise.all([page.ended(0, "stopped"), calm.ended(0, "stopped")]);
    await page.page.waitForSelector('.run .stopping[data-state="stopped"]');
    await calm.page.waitForSelector('.run .stopping[data-state="stopped"]');
    await alike(calm, page);
    // The next one is another answer.
    await page.ask("And now?");
    await page.answered(1);
  });

  it("pressed while the line is cut, gets there when it is back", async () => {
    const page = await DemoPage.open(browser, room());
    await page.ask("Tell me something long");
    await page.answering(0, 40);
    await page.page.click("#blackhole");
    await page.stop();
    await page.ended(0, "stopped");
    expect(page.errors).toEqual([]);
  });
});

describe("what is kept in the browser", () => {
  it("is painted by a reloaded page before the server has said a word", async () => {
    const page = await DemoPage.open(browser, room());
    await page.ask("What is a session?");
    await page.answered(0);
    // A socket that opens and is silent.
    await page.page.routeWebSocket(/\/v1\/ws/, () => {});
    await page.page.reload();
    await page.answered(0);
    expect(await page.messages()).toEqual(["What is a session?"]);
    expect(await page.connection()).toBe("none");
    expect(page.errors).toEqual([]);
  });

  it("is sent by another tab when the one that it was typed in is killed within the call", async () => {
    const one = await DemoPage.open(browser, room());
    const two = await one.tab();
    await server.kill();
    await one.page.waitForSelector("#status:not([state=live])");
    const sent = one.page.waitForEvent("console", (message) => message.text() === "sent");
    const hangs = one.page.evaluate(() => {
      const input = document.querySelector<HTMLTextAreaElement>(".chat textarea");
      if (!input) throw new Error("nowhere to type");
      input.value = "typed in a tab that is killed";
      input.form?.requestSubmit();
      console.log("sent");
      // Nothing of this page runs any more, and it is closed by force.
      for (;;);
    });
    hangs.catch(() => {});
    await sent;
    await one.page.close();
    await server.start();
    await two.answered(0);
    expect(await two.messages()).toEqual(["typed in a tab that is killed"]);
    expect(two.errors).toEqual([]);
  });
});

describe("two chats and a task", () => {
  it("share one connection, and all three go on after a cut", async () => {
    const page = await DemoPage.open(browser, room());
    await page.page.getByRole("button", { name: "Start", exact: true }).click();
    await page.ask("What is a session?", 0);
    await page.ask("How do you survive a cut line?", 1);
    await Promise.all([page.answering(0, 80, 0), page.answering(0, 80, 1)]);
    const before = await page.connection();
    await page.page.click("#cut");
    await page.otherThan(before);
    await Promise.all([page.answered(0, 0), page.answered(0, 1)]);
    // The task asks half way. Who comes now is asked too, and whoever answers, all see who it was.
    const other = await DemoPage.open(browser, page.page.url());
    await page.page.waitForSelector('.request[data-state="open"]', { timeout: 60_000 });
    await other.page.getByRole("button", { name: "Go on" }).click();
    await page.page.waitForSelector('.request[data-state="answered"]');
    const said = await Promise.all([page, other].map((one) => one.page.locator(".request .note").textContent()));
    expect(said).toEqual([expect.stringMatching(/^Go on, said guest/), "Go on, said you."]);
    await page.page.waitForSelector('.task[data-task="done"]', { timeout: 60_000 });
    const lines = await page.page.locator(".log li:not(.start) span").allTextContents();
    expect(lines).toHaveLength(40);
    expect(new Set(lines).size).toBe(40);
    expect(page.errors).toEqual([]);
  });

  it("stay away when told to, and come back when told to", async () => {
    const page = await DemoPage.open(browser, room());
    await page.page.click("#leave");
    await page.page.waitForSelector('#status[state="idle"]');
    await page.ask("typed while away");
    await page.page.waitForSelector('.message[data-state="pending"]');
    await page.page.click("#leave");
    await page.live();
    await page.answered(0);
    expect(await page.messages()).toEqual(["typed while away"]);
  });
});
