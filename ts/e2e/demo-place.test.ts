import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DemoPage } from "./demo-page.ts";
import { buildServer, DevServer } from "./server.ts";

let server: DevServer;
let browser: Browser;

beforeAll(async () => {
  server = new DevServer(buildServer(), "--connections", "max=1 on=evict_oldest");
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

/** One person's window in a browser of its own. */
async function open(user: string, url = server.url): Promise<DemoPage> {
  const context = await browser.newContext();
  await context.addInitScript((name) => localStorage.setItem("holdfast-demo:user", name), user);
  return DemoPage.inContext(await context.newPage(), url);
}

describe("the demo, where only one window of a person may be connected", { timeout: 120_000 }, () => {
  it("says where the person went on, and takes the place back with its button", async () => {
    const one = await open("guest-anna");
    const two = await open("guest-anna", one.page.url());
    const bar = (demo: DemoPage) => demo.page.locator("#place");
    await expect.poll(() => bar(one).isVisible()).toBe(true);
    expect(await bar(one).locator("p").textContent()).toMatch(/^Continued in another window \(Chrome on Linux\)\.$/);
    expect(await bar(two).isVisible()).toBe(false);
    await one.page.click("#claim");
    await one.live();
    await expect.poll(() => bar(two).isVisible()).toBe(true);
    expect(await bar(one).isVisible()).toBe(false);
    expect([...one.errors, ...two.errors]).toEqual([]);
  });

  it("shows who else is in the room", async () => {
    const one = await open("guest-ben");
    const two = await open("guest-cleo", one.page.url());
    for (const { page } of [one, two]) {
      await expect.poll(() => page.locator(".present").first().textContent()).toMatch(/guest-\w+.*you/);
    }
  });
});
