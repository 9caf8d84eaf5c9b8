import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { expect } from "vitest";

/** One window with the demo page, and what a person does in it. */
export class DemoPage {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  static async open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<DemoPage> {
    const context = await browser.newContext(options);
    return DemoPage.inContext(await context.newPage(), url);
  }

  static async inContext(page: Page, url: string): Promise<DemoPage> {
    const demo = new DemoPage(page);
    page.on("pageerror", (error) => demo.errors.push(error.message));
    await page.goto(url);
    await demo.live();
    return demo;
  }

  readonly errors: string[] = [];

  /** Another tab of the same browser. */
  async tab(): Promise<DemoPage> {
    return DemoPage.inContext(await this.page.context().newPage(), this.page.url());
  }

  async live(): Promise<void> {
    await this.page.waitForSelector('#status[state="live"]', { timeout: 30_000 });
  }

  async ask(text: string, chat = 0): Promise<void> {
    const input = this.page.locator(".chat textarea").nth(chat);
    await input.fill(text);
    await input.press("Enter");
  }

  /** Waits until the n-th answer of a chat has so many characters. */
  async answering(n: number, characters: number, chat = 0): Promise<void> {
    await this.page.waitForFunction(
      ([chat, n, characters]) => {
        const run = document.querySelectorAll(".chat")[chat]?.querySelectorAll(".run")[n];
        return (run?.querySelector(":scope > .md")?.textContent?.length ?? 0) >= characters;
      },
      [chat, n, characters] as const,
      { timeout: 30_000 },
    );
  }

  async answered(n: number, chat = 0): Promise<void> {
    await this.ended(n, "complete", chat);
  }

  /** Waits until the n-th answer of a chat has ended in this way. */
  async ended(n: number, status: string, chat = 0): Promise<void> {
    await this.page.waitForFunction(
      ([chat, n, status]) => {
        const run = document.querySelectorAll(".chat")[chat]?.querySelectorAll<HTMLElement>(".run")[n];
        return run?.dataset["status"] === status;
      },
      [chat, n, status] as const,
      { timeout: 60_000 },
    );
  }

  async text(n: number): Promise<string> {
    return (
      (await this.page.locator(".chat").first().locator(".run").nth(n).locator(":scope > .md").textContent()) ?? ""
    );
  }

  /** Presses the Stop of the first chat. */
  async stop(): Promise<void> {
    await this.page.locator(".chat").first().getByRole("button", { name: "Stop", exact: true }).click();
  }

  /** What the first chat says of a stop. */
  async stopped(): Promise<string> {
    return (await this.page.locator(".chat").first().locator(".stopping .note").first().textContent()) ?? "";
  }

  /** All that a chat says, markup and all, but for what is this window's alone. */
  async transcript(chat = 0): Promise<string> {
    return this.page.locator(".chat").nth(chat).locator(".list").innerHTML();
  }

  messages(chat = 0): Promise<string[]> {
    return this.page.locator(".chat").nth(chat).locator('.message[data-state="there"] .text').allTextContents();
  }

  /** The name that the server has for the connection, or "none". */
  async connection(): Promise<string> {
    const facts = this.page.locator("#facts");
    await this.page.click("#facts summary");
    const name = await facts
      .locator("dt", { hasText: /^Connection$/ })
      .locator("xpath=following-sibling::dd[1]")
      .textContent();
    await this.page.click("#facts summary");
    return name ?? "";
  }

  /** Waits until the page lives on another connection than the one named. */
  async otherThan(connection: string): Promise<void> {
    await expect.poll(() => this.connection(), { timeout: 30_000 }).not.toBe(connection);
    await this.live();
  }
}
