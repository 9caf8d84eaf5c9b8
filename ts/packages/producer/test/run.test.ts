import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiError, Producer, type Run } from "../src/index.ts";
import { type Fault, FakeApi } from "./fake-api.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

async function open(api: FakeApi, signal?: AbortSignal): Promise<Run> {
  const producer = new Producer({ url: "http://x/", token: "t", fetch: api.fetch });
  return producer.openRun("chat 1", { id: "answer-1", ...(signal && { signal }) });
}

/** Lets time pass until the promise has settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  while (!done) await vi.advanceTimersByTimeAsync(1_000);
  return promise;
}

describe("a run", () => {
  it("has one request under way, and joins what waits", async () => {
    const api = new FakeApi();
    const run = await open(api);
    let go = () => {};
    api.gate = new Promise((resolve) => (go = resolve));
    void run.text("a");
    await vi.advanceTimersByTimeAsync(0);
    for (const text of ["b", "c"]) void run.text(text);
    void run.event({ type: "x" }, "p");
    for (const text of ["d", "e"]) void run.text(text);
    go();
    await settled(run.flush());
    expect(api.mostUnder).toBe(1);
    expect(api.requests.slice(1).map(({ body }) => body.fragments)).toEqual([
      [{ part: "", text: "a" }],
      [
        { part: "", text: "bc" },
        { part: "p", event: { type: "x" } },
        { part: "", text: "de" },
      ],
    ]);
    expect(api.requests.map(({ path }) => path)[1]).toBe("/v1/sessions/chat%201/runs/7/fragments");
  });

  it("is opened with what was asked for", async () => {
    const api = new FakeApi();
    const producer = new Producer({ url: "http://x/", token: "t", fetch: api.fetch });
    await producer.openRun("s", { id: "a", answers: 5, rollup: 100, takeOver: true });
    await producer.openRun("s", { id: "b" });
    expect(api.requests.map(({ body }) => body)).toEqual([
      { id: "a", answers: 5, takeOver: true, rollup: 100 },
      { id: "b" },
    ]);
  });

  it("writes nothing twice and loses nothing, whatever becomes of its requests", async () => {
    const faults: (Fault | undefined)[] = ["lost", "answer lost", { status: 503, code: "unavailable" }, undefined];
    for (let seed = 1; seed <= 50; seed++) {
      let state = seed;
      const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
      const api = new FakeApi();
      const run = await settled(open(api));
      api.faults = Array.from({ length: 40 }, () => faults[Math.floor(random() * faults.length)]);
      let text = "";
      for (let n = 0; n < 30; n++) {
        const word = `w${n} `;
        text += word;
        void run.text(word);
        if (random() < 0.3) void run.event({ n }, "events");
        if (random() < 0.5) await vi.advanceTimersByTimeAsync(random() * 400);
      }
      await settled(run.end("complete", { finish: "stop" }));
      expect(api.text()).toBe(text);
      expect(api.info.status).toBe("complete");
      expect(api.mostUnder).toBe(1);
    }
  });

  it("sends again from the number expected, where the server has lost its end", async () => {
    const api = new FakeApi();
    const run = await open(api);
    for (const text of ["a", "b", "c"]) {
      void run.text(text);
      await settled(run.flush());
    }
    api.fragments = api.fragments.slice(0, 1);
    void run.text("d");
    await settled(run.flush());
    expect(api.text()).toBe("abcd");
  });

  it.each([
    ["fenced", (api: FakeApi) => (api.info = { ...api.info, fence: 2 })],
    ["run_ended", (api: FakeApi) => (api.info = { ...api.info, status: "stopped" })],
  ])("is over when it is %s, and says so by its signal", async (code, happen) => {
    const api = new FakeApi();
    const run = await open(api);
    happen(api);
    void run.text("late").catch(() => {});
    await expect(settled(run.flush())).rejects.toMatchObject({ code });
    expect(run.signal.reason).toMatchObject({ code });
    expect(api.fragments).toEqual([]);
    await expect(run.text("later")).rejects.toMatchObject({ code });
    await expect(run.end("complete")).rejects.toMatchObject({ code });
  });

  it("says while it is silent that it lives, and learns that it is stopped", async () => {
    const api = new FakeApi();
    const run = await open(api);
    await vi.advanceTimersByTimeAsync(46_000);
    const beats = api.requests.slice(1);
    expect(beats.map(({ body }) => body)).toEqual(Array(3).fill({ fence: 1, fragments: [] }));
    api.info = { ...api.info, status: "stopped" };
    await vi.advanceTimersByTimeAsync(16_000);
    expect(run.signal.reason).toMatchObject({ code: "run_ended", run: { status: "stopped" } });
    const asked = api.requests.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(api.requests).toHaveLength(asked);
  });

  it.each(["a fragment", "a heartbeat"])("heeds a stop that it learns of by %s", async (what) => {
    const api = new FakeApi();
    const run = await open(api);
    api.faults = [{ status: 409, code: "stopped" }];
    if (what === "a fragment") void run.text("no more");
    await vi.advanceTimersByTimeAsync(20_000);
    expect(run.signal.reason).toMatchObject({ code: "stopped" });
    expect(api.requests.map(({ path }) => path.replace(/.*runs/, ""))).toEqual(["", "/7/fragments", "/7/end"]);
    expect(api.requests.at(-1)?.body).toMatchObject({ status: "stopped" });
    expect(run.info.status).toBe("stopped");
    await run.end("stopped");
    await expect(run.end("complete")).rejects.toMatchObject({ code: "stopped" });
  });

  it("learns at once of a stop that was asked for before it was opened", async () => {
    const api = new FakeApi();
    api.info = { ...api.info, answers: 5, stop: { id: "s1", state: "requested" } };
    const run = await open(api);
    api.faults = [{ status: 409, code: "stopped" }];
    await vi.advanceTimersByTimeAsync(100);
    expect(run.signal.reason).toMatchObject({ code: "stopped" });
    expect(run.info.status).toBe("stopped");
  });

  it("is left open when its opener leaves, in the middle of a repeat", async () => {
    const api = new FakeApi();
    const leaving = new AbortController();
    const run = await open(api, leaving.signal);
    api.faults = Array(100).fill("lost");
    void run.text("x");
    const flushed = run.flush();
    flushed.catch(() => {});
    await vi.advanceTimersByTimeAsync(3_000);
    leaving.abort(new Error("shutting down"));
    await expect(settled(flushed)).rejects.toThrow("shutting down");
    expect(api.info.status).toBe("open");
  });

  it("is failed, not left open, when the server will not take what it has", async () => {
    const api = new FakeApi();
    const run = await open(api);
    void run.event("x".repeat(70_000));
    await expect(settled(run.flush())).rejects.toMatchObject({ code: "too_large" });
    expect(api.info.status).toBe("failed");
  });

  it("cuts long texts between characters, and slows down who writes too much", async () => {
    const api = new FakeApi();
    const run = await open(api);
    const long = `x${"👩".repeat(600_000)}`;
    const slow = run.text(long);
    let waiting = true;
    void slow.then(() => (waiting = false));
    await Promise.resolve();
    expect(waiting).toBe(true);
    await settled(slow);
    await settled(run.flush());
    expect(api.text()).toBe(long);
    for (const { text = "" } of api.fragments) expect(new TextEncoder().encode(text).length).toBeLessThan(65_536);
    expect(new TextDecoder().decode(new TextEncoder().encode(api.fragments[0]?.text))).toBe(api.fragments[0]?.text);
  });

  it("asks for another token when the first has expired", async () => {
    const api = new FakeApi();
    let tokens = 0;
    const token = () => `t${++tokens}`;
    const producer = new Producer({ url: "http://x", token, fetch: api.fetch });
    const run = await producer.openRun("s", { id: "r" });
    api.faults = [{ status: 401, code: "unauthorized" }];
    void run.text("x");
    await settled(run.flush());
    expect(tokens).toBe(2);
    api.faults = [
      { status: 401, code: "unauthorized" },
      { status: 401, code: "unauthorized" },
    ];
    void run.text("y").catch(() => {});
    await expect(settled(run.flush())).rejects.toBeInstanceOf(ApiError);
  });
});
