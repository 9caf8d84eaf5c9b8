import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText, type UIMessageChunk } from "ai";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { overHTTP, overWebSocket } from "./sdk-transports.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tmp = fileURLToPath(new URL("../tmp/", import.meta.url));

/** Ends with the tests: their programs end with their input. */
const children: ChildProcess[] = [];
let data: string;
let model: string;
let url: string;
let browser: Browser;
let chats = 0;

beforeAll(async () => {
  mkdirSync(tmp, { recursive: true });
  data = mkdtempSync(`${tmp}example-`);
  execFileSync("go", ["build", "-o", `${data}/model`, "./examples/model"], { cwd: root, stdio: "inherit" });
  model = await said(`${data}/model`, ["--word", "15ms"], /http\S+/);
  const [port, holdfast] = [await freePort(), await freePort()];
  const env = { ...process.env, PORT: port, SESSIONS_PORT: holdfast, DATA: data, OPENAI_BASE_URL: model, DIE: "1" };
  url = await said(process.execPath, [`${root}examples/ai-sdk/start.mjs`], /http\S+/, env);
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking"],
  });
});

afterAll(async () => {
  await browser?.close();
  for (const child of children.reverse()) {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
  rmSync(data, { recursive: true, force: true });
});

/** Starts a program, and returns what it says first that matches. */
function said(command: string, args: string[], what: RegExp, env: object = process.env): Promise<string> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], env: env as NodeJS.ProcessEnv });
  children.push(child);
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (more) => {
      text += String(more);
      const found = what.exec(text);
      if (found) resolve(found[0]);
    });
    child.once("exit", (code) => reject(new Error(`${command} ended with ${code}: ${text}`)));
  });
}

function freePort(): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(String(port)));
    });
  });
}

/** The example's page in a browser of its own, and what a person does in it. */
class ChatPage {
  readonly page: Page;
  readonly errors: string[] = [];
  /** What came over WebSockets. */
  received: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("websocket", (socket) =>
      socket.on("framereceived", ({ payload }) => void this.received.push(payload.toString())),
    );
  }

  static async open(chat: string): Promise<ChatPage> {
    const context = await browser.newContext();
    const chatPage = new ChatPage(await context.newPage());
    await chatPage.page.goto(`${url}/?chat=${chat}`);
    await chatPage.live();
    return chatPage;
  }

  /** What came until the session was up to date, and the text of the answer that was in it. */
  get resumed(): { readonly bytes: number; readonly text: string } {
    const live = this.received.findIndex((frame) => frame.startsWith('{"t":"live"'));
    expect(live).toBeGreaterThan(0);
    const frames = this.received.slice(0, live + 1);
    const runs = frames.map((f) => JSON.parse(f) as { t: string; body?: { p?: string; d?: string }[] });
    const body = runs.flatMap((f) => (f.t === "run" ? (f.body ?? []) : []));
    const text = body.map(({ p = "", d = "" }) => (p === "" ? d : "")).join("");
    return { bytes: frames.reduce((sum, frame) => sum + Buffer.byteLength(frame), 0), text };
  }

  live(): Promise<unknown> {
    return this.page.waitForSelector('main[data-line="live"]', { state: "attached" });
  }

  async say(text: string): Promise<void> {
    await this.page.fill("input", text);
    await this.page.click("form button");
  }

  status(status: string): Promise<unknown> {
    return this.page.waitForSelector(`main[data-status="${status}"]`, { state: "attached", timeout: 60_000 });
  }

  /** The text of the n-th answer; "" while there is none. */
  answer(n = 0): Promise<string> {
    const texts = this.page.locator('article[data-role="assistant"]').nth(n).locator("p");
    return texts.allTextContents().then((all) => all.join("\n"));
  }

  async answering(characters: number): Promise<string> {
    await expect.poll(async () => (await this.answer()).length, { timeout: 30_000 }).toBeGreaterThan(characters);
    return this.answer();
  }
}

const chat = () => `chat-${++chats}`;

/** What the model says to a question, in full, as the SDK streams it. */
async function chunksOf(prompt: string): Promise<{ text: string; chunks: UIMessageChunk[] }> {
  const provider = createOpenAICompatible({ name: "model", baseURL: model });
  const chunks: UIMessageChunk[] = [];
  const stream = streamText({ model: provider("fake-1"), prompt }).toUIMessageStream();
  for await (const chunk of stream) chunks.push(chunk);
  return { text: chunks.map((c) => (c.type === "text-delta" ? c.delta : "")).join(""), chunks };
}

describe("the AI SDK example", () => {
  it("is one chat in two browsers, with tools", async () => {
    const name = chat();
    const [a, b] = await Promise.all([ChatPage.open(name), ChatPage.open(name)]);
    await a.say("use a tool");
    await b.status("streaming");
    await Promise.all([a.status("ready"), b.status("ready")]);
    const { text } = await chunksOf("hi");
    await expect.poll(() => b.answer()).toBe(`Let me look.\n${text}`);
    expect(await a.page.locator("pre").textContent()).toContain('"clear"');
    const html = (p: ChatPage) => p.page.locator("main").evaluate((main) => main.innerHTML.replace(/<form.*/s, ""));
    expect(await html(b)).toBe(await html(a));
    const late = await ChatPage.open(name);
    await expect.poll(() => html(late)).toBe(await html(a));
    expect([...a.errors, ...b.errors, ...late.errors]).toEqual([]);
  });

  it("goes on after a reload in mid-answer, without a repeat, for less than the SDK's own replay", async () => {
    const { text, chunks } = await chunksOf("long");
    const name = chat();
    const [a, b] = await Promise.all([ChatPage.open(name), ChatPage.open(name)]);
    await a.say("long");
    const before = await a.answering(text.length / 2);
    a.received = [];
    await a.page.reload();
    await a.status("streaming");
    await a.answering(before.length - 1);
    const { bytes: cost, text: after } = a.resumed;
    expect(after.length).toBeGreaterThanOrEqual(before.length);
    expect(text.startsWith(after)).toBe(true);
    // The same stream, as far as the page had it, over the SDK's own transports.
    let length = 0;
    const so = chunks.filter((chunk) => {
      const wanted = length < after.length;
      length += chunk.type === "text-delta" ? chunk.delta.length : 0;
      return wanted;
    });
    const [socket, http] = [await overWebSocket(so), await overHTTP(so)];
    for (const { text: replayed } of [socket, http]) expect(replayed.startsWith(after)).toBe(true);
    expect(JSON.parse(socket.asked)).not.toHaveProperty("lastSequence");
    const bytes = Buffer.byteLength(after);
    console.log(
      `a resume after ${bytes} bytes of text: ${cost} bytes here, ${socket.bytes} by WebSocketChatTransport, ` +
        `${http.bytes} by DefaultChatTransport`,
    );
    expect(cost).toBeLessThan(socket.bytes / 4);
    expect(cost).toBeLessThan(http.bytes / 4);
    expect(cost).toBeLessThan(bytes * 1.2 + 2_000);
    await Promise.all([a.status("ready"), b.status("ready")]);
    await expect.poll(() => a.answer()).toBe(text);
    await expect.poll(() => b.answer()).toBe(text);
  });

  it("is not touched by reloads, closed pages and remounts; a Stop from another browser, after a reload, stops it", async () => {
    const { text } = await chunksOf("long");
    const name = chat();
    const [a, b] = await Promise.all([ChatPage.open(name), ChatPage.open(name)]);
    await a.say("long");
    await a.answering(50);
    for (let n = 0; n < 5; n++) {
      const shown = await b.answer();
      await b.page.reload();
      await b.answering(shown.length);
    }
    await a.page.close();
    await b.answering(600);
    await b.page.click("#stop");
    await b.status("ready");
    const stopped = await b.answer();
    expect(stopped.length).toBeLessThan(text.length);
    expect(text.startsWith(stopped)).toBe(true);
    const late = await ChatPage.open(name);
    await expect.poll(() => late.answer()).toBe(stopped);
    // The model has been told to leave, and the chat goes on.
    await late.say("hi");
    await expect.poll(() => b.answer(1), { timeout: 30_000 }).toBe((await chunksOf("hi")).text);
    expect(b.errors).toEqual([]);
  });

  it("says when an answer fails, and makes another one", async () => {
    const page = await ChatPage.open(chat());
    await page.say("fail:cut");
    await page.status("error");
    await page.page.waitForSelector('[role="alert"]');
    await page.say("hi");
    await page.status("ready");
    await expect.poll(() => page.answer(1)).toBe((await chunksOf("hi")).text);
  });
});
