import { type Browser, type BrowserContext, chromium, devices, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DemoPage } from "./demo-page.ts";
import { buildServer, DevServer } from "./server.ts";

let server: DevServer;
let browser: Browser;

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

async function operator(more: Parameters<Browser["newContext"]>[0] = {}): Promise<[BrowserContext, Page]> {
  const context = await browser.newContext({
    httpCredentials: { username: "otto", password: server.password() },
    ...more,
  });
  return [context, await context.newPage()];
}

/** The phone's line goes dead, and its page is stopped for a while; what it has then, nobody knows yet. */
async function outage(phone: DemoPage, context: BrowserContext): Promise<void> {
  await phone.ask("Tell me something long");
  await phone.answering(0, 20);
  await phone.page.click("#blackhole");
  const cdp = await context.newCDPSession(phone.page);
  await cdp.send("Page.setWebLifecycleState", { state: "frozen" });
  await new Promise((thawed) => setTimeout(thawed, 6_000));
  await cdp.send("Page.setWebLifecycleState", { state: "active" });
}

const record = (page: Page, source: string, text: RegExp) => page.locator(`.record.${source}`, { hasText: text });

describe("the operator's page", () => {
  it("explains what a phone went through, on one clock", async () => {
    const context = await browser.newContext({ ...devices["Pixel 7"] });
    const phone = await DemoPage.inContext(await context.newPage(), server.url);
    await outage(phone, context);

    const [desk, page] = await operator({ viewport: { width: 1100, height: 1300 } });
    await page.goto(`${server.operator}#/session/${encodeURIComponent("demo:lobby:atlas")}`);
    await record(page, "server", /resumed, continuous/)
      .first()
      .waitFor();
    await record(page, "server", /ended as/)
      .first()
      .waitFor();
    await page.getByRole("button", { name: "Fetch its log" }).click();
    await page.getByRole("button", { name: "Sure?" }).click();
    await record(page, "client", /doubt/).first().waitFor();
    await record(page, "log", /run \d+ complete/)
      .first()
      .waitFor();
    await page.screenshot({ path: "tmp/operator.png" });
    await desk.close();
    await context.close();
  });

  it("fits a phone, and asks for its password", async () => {
    const [desk, page] = await operator({ ...devices["Pixel 7"], colorScheme: "dark" });
    await page.goto(server.operator);
    await page.getByText("connections", { exact: true }).first().waitFor();
    const wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    expect(wider).toBeLessThanOrEqual(0);
    await desk.close();
    const stranger = await browser.newContext();
    const answer = await (await stranger.newPage()).goto(server.operator).catch(() => undefined);
    expect(answer?.status() ?? 401).toBe(401);
    await stranger.close();
  });
});
