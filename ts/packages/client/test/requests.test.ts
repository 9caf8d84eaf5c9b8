import { describe, expect, it } from "vitest";
import { answer, requestsOf } from "../src/requests.ts";
import { cachedOf } from "../src/session-cache.ts";
import { apply, asked, UNREAD } from "../src/session-state.ts";
import { answer as answerTab } from "../src/tabs/answer.ts";
import type { SessionFrame } from "../src/wire.ts";
import { connected, env, make, server } from "./stage.ts";

async function asking() {
  const client = await connected();
  const chat = client.session("chat");
  const log = server.log("chat");
  const o = log.ask("q1", { text: "go on?" }, { to: ["anna"], default: false });
  await env.settle();
  return { client, chat, log, o, only: () => requestsOf(chat.snapshot)[0] };
}

describe("a request", () => {
  it("is among the entries until it is settled, and tells how after that", async () => {
    const { chat, log, o, only } = await asking();
    expect(only()).toEqual({
      offset: o,
      id: "q1",
      state: "open",
      run: undefined,
      to: ["anna"],
      at: expect.any(Number) as number,
      by: 1_790_000_300_000,
      data: { text: "go on?" },
      default: false,
    });
    log.settle(o, "answered", true, { id: "x", u: "bert", c: "c-2" });
    await env.settle();
    expect(only()).toMatchObject({ state: "answered", settled: { user: "bert", client: "c-2", data: true } });
    const before = only();
    log.append("message", 1);
    await env.settle();
    expect(only()).toBe(before);
    const run = log.openRun();
    const late = log.ask("q2", "and now?", { run });
    log.settle(late, "expired", "no");
    await env.settle();
    expect(requestsOf(chat.snapshot).map((r) => [r.id, r.state, r.run, r.settled?.user, r.settled?.data])).toEqual([
      ["q1", "answered", undefined, "bert", true],
      ["q2", "expired", run, "", "no"],
    ]);
  });

  it("is answered, and everybody sees by whom", async () => {
    const { client, chat, o, only } = await asking();
    const done = answer(chat, only() ?? o, { ok: true });
    await env.settle();
    expect(await done).toMatchObject({ state: "answered", lost: false, offset: o + 1 });
    expect(server.of("answer")).toMatchObject([{ s: "chat", request: o, data: { ok: true } }]);
    expect(server.of("answer")[0]?.id.startsWith(`${client.clientId}:`)).toBe(true);
    expect(only()).toMatchObject({ state: "answered", settled: { user: "anna", data: { ok: true } } });
    expect(chat.outbox).toEqual([]);
  });

  it("tells whoever is too late what counts", async () => {
    const { chat, log, o } = await asking();
    server.down();
    const done = answer(chat, o, true);
    log.settle(o, "answered", false, { id: "x", u: "bert", c: "c-2" });
    server.back();
    await env.advance(30_000);
    expect(await done).toEqual({ state: "answered", lost: true, offset: o + 1, user: "bert", client: "c-2" });
    log.settle(log.ask("q2"), "expired", undefined);
    const late = answer(chat, o + 2, true);
    await env.settle();
    expect(await late).toMatchObject({ state: "expired", lost: true, user: "", client: "" });
  });

  it("is answered again over each reconnect with one id, and that is the answer that counts", async () => {
    const { chat, o } = await asking();
    server.acks = false;
    const done = answer(chat, o, true);
    await env.settle();
    server.acks = true;
    env.pipe.end();
    await env.advance(30_000);
    expect(await done).toMatchObject({ state: "answered", lost: false });
    expect(server.of("answer").length).toBeGreaterThan(1);
    expect(new Set(server.of("answer").map((f) => f.id)).size).toBe(1);
  });

  it("rejects by the code of a refusal", async () => {
    const { chat, o } = await asking();
    server.refuse = () => ({ code: "forbidden" });
    await Promise.all([expect(answer(chat, o, true)).rejects.toMatchObject({ code: "forbidden" }), env.settle()]);
  });
});

describe("a request that stands before what is shown", () => {
  const frames = (): SessionFrame[] => [
    { t: "sub", s: "chat", outcome: "snapshot", e: "e1", from: 300, head: 300, more: true },
    { t: "entry", s: "chat", o: 7, g: 1, k: "event", at: 1, id: "q", data: { request: { id: "q", state: "open" } } },
    { t: "entry", s: "chat", o: 300, g: 2, k: "message", at: 1, data: 1 },
    { t: "live", s: "chat", o: 300 },
  ];

  it("is offered all the same, also after a reload with nothing kept", async () => {
    const { client, log, o } = await asking();
    for (let i = 0; i < 80; i++) log.append("message", i);
    await env.settle();
    client.close();
    const again = make();
    const chat = again.session("chat", { last: 10 });
    again.connect();
    await env.settle();
    expect(chat.entries.length).toBeLessThan(20);
    expect(requestsOf(chat.snapshot)).toMatchObject([{ offset: o, state: "open" }]);
    const done = answer(chat, o, 1);
    await env.settle();
    expect(await done).toMatchObject({ lost: false });
  });

  it("is held once, and kept for the next page for as long as it is open", () => {
    const { state } = apply(asked(UNREAD), [...frames(), ...frames().slice(1)]);
    expect(state.entries.map((e) => e.offset)).toEqual([7, 300]);
    expect(cachedOf(state, 0, 1)?.entries.map((e) => e.offset)).toEqual([7, 300]);
    expect(cachedOf(state, 0, 100)?.open).toEqual([7]);
    const settled = { request: { o: 7, id: "q", state: "expired" } };
    const later = apply(state, [{ t: "entry", s: "chat", o: 301, g: 3, k: "event", at: 2, data: settled }]).state;
    expect(cachedOf(later, 0, 1)?.entries.map((e) => e.offset)).toEqual([301]);
    expect(requestsOf(later)).toMatchObject([{ offset: 7, state: "expired" }]);
  });

  it("is given by a tab that leads to those that follow", () => {
    const { state } = apply(asked(UNREAD), frames());
    const told = answerTab({ state, tags: new Map() }, { s: "chat", last: 1 }, true);
    if (typeof told === "string") throw new Error(told);
    expect(requestsOf(apply(asked(UNREAD), told).state)).toMatchObject([{ offset: 7, state: "open" }]);
  });
});

describe("what is no request", () => {
  it("is an application's own event that has the name", async () => {
    const { chat, log } = await asking();
    for (const data of [null, "request", { request: null }, { request: true }, { request: { state: 1 } }])
      log.append("event", data);
    log.append("message", { request: { id: "q", state: "open" } });
    await env.settle();
    expect(requestsOf(chat.snapshot)).toHaveLength(1);
  });
});
