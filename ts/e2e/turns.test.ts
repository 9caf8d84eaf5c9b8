import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DemoPage } from "./demo-page.ts";
import { buildServer, DevServer } from "./server.ts";

let server: DevServer;
let browser: Browser;
let rooms = 0;

beforeAll(async () => {
  server = new DevServer(buildServer());
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

/** The messages of the first chat that wait, in their order. */
const waiting = (demo: DemoPage) =>
  demo.page.locator(".chat").first().locator('.message[data-state="queued"] .text').allTextContents();

const message = (demo: DemoPage, text: string) => demo.page.locator(".message", { hasText: text }).first();

async function press(demo: DemoPage, text: string, name: string): Promise<void> {
  await message(demo, text).getByRole("button", { name, exact: true }).click();
}

const shows = (demo: DemoPage, ...texts: readonly string[]) =>
  expect.poll(() => waiting(demo), { timeout: 30_000 }).toEqual(texts);

/** An answer that is under way for as long as the test likes. */
class Answer {
  readonly #path: string;
  readonly #run: Promise<{ readonly run: number }>;
  readonly #beat: NodeJS.Timeout;

  constructor(room: string, text: string) {
    this.#path = `/v1/sessions/demo:${room}:atlas/runs`;
    this.#run = this.#post("", { id: "held" });
    void this.#run.then(({ run }) => this.#post(`/${run}/fragments`, { fence: 1, fragments: [{ text }] }));
    this.#beat = setInterval(() => void this.#alive(), 5_000);
  }

  async end(): Promise<void> {
    clearInterval(this.#beat);
    await this.#post(`/${(await this.#run).run}/end`, { fence: 1, status: "complete" });
  }

  async #alive(): Promise<void> {
    await this.#post(`/${(await this.#run).run}/fragments`, { fence: 1, fragments: [] }).catch(() => {});
  }

  async #post(path: string, body: unknown): Promise<{ readonly run: number }> {
    const headers = { Authorization: `Bearer ${server.backend()}`, "Content-Type": "application/json" };
    const answer = await fetch(new URL(this.#path + path, server.url), {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return (await answer.json()) as { readonly run: number };
  }
}

/** Two windows of one person and one of another, while an answer is under way. */
async function busy() {
  const room = `turns-${++rooms}`;
  const url = `${server.url}?room=${room}`;
  const one = await DemoPage.open(browser, url);
  const answer = new Answer(room, "An answer that takes its time, because somebody thinks about it for long.");
  const two = await one.tab();
  const other = await DemoPage.open(browser, url);
  await Promise.all([one, two, other].map((page) => page.answering(0, 50)));
  return { one, two, other, answer };
}

describe("what is sent while an answer is under way", () => {
  it("waits below it in all windows, is moved and withdrawn from each, and is answered one by one", async () => {
    const { one, two, other, answer } = await busy();
    const all = [one, two, other];
    await one.ask("first");
    await shows(one, "first");
    await two.ask("second");
    await shows(two, "first", "second");
    await other.ask("third");
    for (const page of all) await shows(page, "first", "second", "third");
    const shot = process.env["SCREENSHOT"];
    if (shot) await one.page.screenshot({ path: shot });

    await press(two, "third", "Move up");
    for (const page of all) await shows(page, "first", "third", "second");
    await press(other, "first", "Withdraw");
    for (const page of all) await shows(page, "third", "second");
    await two.page.reload();
    await two.live();
    await shows(two, "third", "second");

    await answer.end();
    await Promise.all(all.map((page) => page.answered(2)));
    for (const page of all) {
      expect(await page.messages()).toEqual(["third", "second"]);
      expect(await page.page.locator(".chat").first().locator(".run").count()).toBe(3);
      expect(page.errors).toEqual([]);
    }
  });

  it("waits through the death of the server, also what was typed meanwhile", async () => {
    const { one, other, answer } = await busy();
    await one.ask("before");
    await shows(other, "before");
    await server.kill();
    await one.page.waitForSelector("#status:not([state=live])");
    await one.ask("meanwhile");
    await server.start();
    await Promise.all([one.live(), other.live()]);
    await shows(other, "before", "meanwhile");
    await answer.end();
    await Promise.all([one, other].map((page) => page.answered(2)));
    for (const page of [one, other]) {
      expect(await page.messages()).toEqual(["before", "meanwhile"]);
      expect(page.errors).toEqual([]);
    }
  });
});
