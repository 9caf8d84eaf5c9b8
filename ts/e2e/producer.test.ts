import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { pipeAnthropic, pipeOpenAI, Producer } from "../packages/producer/src/index.ts";
import { buildServer } from "./server.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tmp = fileURLToPath(new URL("../tmp/", import.meta.url));

let program: string;
let data: string;
let model: string;
let provider: ChildProcess;
let server: ChildProcess;
let address: string;
let producer: Producer;

beforeAll(async () => {
  program = buildServer();
  data = mkdtempSync(`${tmp}producer-`);
  execFileSync("go", ["build", "-o", `${data}/model`, "./examples/model"], { cwd: root, stdio: "inherit" });
  provider = spawn(`${data}/model`, ["--word", "2ms"], { stdio: ["ignore", "pipe", "inherit"] });
  model = String(await once(provider.stdout as NodeJS.ReadableStream, "data")).trim();
  execFileSync(program, ["token", "--new-secret", `${data}/jwt.secret`]);
  const token = String(execFileSync(program, ["token", "--backend", "--secret-file", `${data}/jwt.secret`])).trim();
  address = await freeAddress();
  await start();
  producer = new Producer({ url: `http://${address}`, token, beat: 500 });
});

afterAll(async () => {
  for (const child of [server, provider]) child?.kill("SIGKILL");
  rmSync(data, { recursive: true, force: true });
});

function freeAddress(): Promise<string> {
  return new Promise((resolve) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address() as { port: number };
      listener.close(() => resolve(`127.0.0.1:${port}`));
    });
  });
}

async function start(): Promise<void> {
  const where = ["--addr", address, "--data", `${data}/store`, "--jwt-secret-file", `${data}/jwt.secret`];
  server = spawn(program, ["serve", ...where, "--log-level", "error"], { stdio: "inherit" });
  await vi.waitFor(async () => expect((await fetch(`http://${address}/readyz`)).ok).toBe(true), { timeout: 20_000 });
}

async function kill(): Promise<void> {
  server.kill("SIGKILL");
  await once(server, "exit");
}

function ask(path: string, content: string, signal: AbortSignal): Promise<Response> {
  const body = JSON.stringify({ stream: true, messages: [{ role: "user", content }] });
  return fetch(model + path, { method: "POST", body, signal });
}

async function readRun(session: string) {
  const run = (await producer.history(session)).find((e) => e.kind === "run");
  if (run?.kind !== "run") throw new Error("there is no run");
  const text = run.body.map((s) => (s.part === "" ? (s.text ?? "") : "")).join("");
  return { ...run, text };
}

describe("a producer with the real server", () => {
  it("loses and doubles nothing when the server is killed in mid-answer", async () => {
    const run = await producer.openRun("kill-1", { id: "a" });
    let text = "";
    let back = Promise.resolve();
    for (let n = 0; n < 400; n++) {
      text += `word${n} `;
      await run.text(`word${n} `);
      if (n % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (n === 100 || n === 250) {
        await back;
        await expect.poll(() => run.info.fragments).toBeGreaterThan(0);
        await kill();
        back = start();
      }
    }
    await run.end("complete", { finish: "stop" });
    expect(await readRun("kill-1")).toMatchObject({ status: "complete", text, end: { finish: "stop" } });
  });

  it.each([
    ["openai", "/chat/completions", pipeOpenAI],
    ["anthropic", "/messages", pipeAnthropic],
  ])("pipes an answer of %s, and cancels it when the run is stopped", async (name, path, pipe) => {
    const whole = await producer.openRun(`whole-${name}`, { id: "a" });
    await pipe(await ask(path, "think, use a tool", whole.signal), whole);
    const read = await readRun(`whole-${name}`);
    expect(read).toMatchObject({ status: "complete", text: "Let me look.", end: { finish: "tool-calls" } });
    expect(read.body.map((s) => s.part.replace(/:.*/, ""))).toEqual(["reasoning", "", "tool", "tool", "tool"]);

    const run = await producer.openRun(`stop-${name}`, { id: "a" });
    const piping = pipe(await ask(path, "long", run.signal), run);
    piping.catch(() => {});
    await expect.poll(() => run.info.fragments).toBeGreaterThan(3);
    expect(await producer.stop(`stop-${name}`, run.info.run)).toBe(true);
    await expect(piping).rejects.toMatchObject({ code: "run_ended" });
    expect(await producer.stop(`stop-${name}`, run.info.run)).toBe(false);
    expect((await readRun(`stop-${name}`)).status).toBe("stopped");
  });

  it("mends characters that are cut in two, and replaces halves", async () => {
    const run = await producer.openRun("halves", { id: "a" });
    await run.text("\ud83d");
    await run.flush();
    await run.text("r", "reasoning");
    await run.text("\ude00 \ud83d");
    await run.event({ a: ["\ud83d", { b: "\\ud83d" }] }, "x");
    await run.text("!\ude00");
    await run.end("complete");
    const { text, body } = await readRun("halves");
    expect(text).toBe("\u{1f600} \ufffd!\ufffd");
    expect(body.find((s) => s.part === "x")?.event).toEqual({ a: ["\ufffd", { b: "\\ud83d" }] });
  });

  it("is fenced when another one takes over, and finds that out while it is silent", async () => {
    const first = await producer.openRun("fence", { id: "a" });
    await first.text("one ");
    await first.flush();
    const second = await producer.openRun("fence", { id: "a", takeOver: true });
    await expect.poll(() => first.signal.reason).toMatchObject({ code: "fenced" });
    await expect(first.text("zombie")).rejects.toMatchObject({ code: "fenced" });
    await second.text("two");
    await second.end("complete");
    expect((await readRun("fence")).text).toBe("one two");
  });
});
