import { describe, expect, it } from "vitest";
import type { RunEntry } from "../src/entry.ts";
import { stop, stopOf } from "../src/stop.ts";
import { apply, asked, UNREAD } from "../src/session-state.ts";
import { connected, env, make, server } from "./stage.ts";

const frag = (d: string) => ({ p: "", d });

async function running() {
  const client = await connected();
  const chat = client.session("chat");
  const log = server.log("chat");
  const o = log.openRun(undefined, { answers: 7 });
  log.grow(o, frag("Once "));
  await env.settle();
  return { client, chat, log, o, run: () => chat.entries.find((e) => e.offset === o) as RunEntry };
}

describe("a stop", () => {
  it("resolves with how it stands, and is in the run from then on", async () => {
    const { client, chat, log, o, run } = await running();
    expect(run()).toMatchObject({ answers: 7, stop: undefined });
    const done = stop(chat, { run: o });
    await env.settle();
    expect(await done).toBe("requested");
    const id = server.of("stop")[0]?.id ?? "";
    expect(id.startsWith(`${client.clientId}:`)).toBe(true);
    expect(run().stop).toEqual({ id, user: "anna", client: "me", state: "requested" });
    expect(stopOf(chat.snapshot, { run: o })).toBe(run().stop);

    log.end(o, "stopped");
    log.stop({ id, u: "anna", c: "me", state: "stopped" }, { run: o });
    await env.settle();
    expect(run()).toMatchObject({ status: "stopped", text: "Once ", stop: { id, state: "stopped" } });
    expect(chat.outbox).toEqual([]);
  });

  it("is asked again over each reconnect with the same id, until it is answered", async () => {
    const { chat, o } = await running();
    server.down();
    const done = stop(chat, { run: o });
    await env.advance(20_000);
    server.acks = false;
    server.back();
    await env.advance(30_000);
    expect(server.of("stop").length).toBeGreaterThan(0);
    server.acks = true;
    env.pipe.end();
    await env.advance(30_000);
    expect(await done).toBe("requested");
    const before = server.of("stop").length;
    expect(new Set(server.of("stop").map((f) => f.id)).size).toBe(1);
    env.pipe.end();
    await env.advance(30_000);
    expect(server.of("stop")).toHaveLength(before);
  });

  it("rejects with the code of a refusal, and comes again after one that is not for good", async () => {
    const { chat, o } = await running();
    const codes = ["rate_limited", "forbidden"];
    server.refuse = () => ({ code: codes.shift() ?? "internal", after: 3_000 });
    const failed = expect(stop(chat, { run: o })).rejects.toMatchObject({ name: "HoldfastError", code: "forbidden" });
    await env.settle();
    expect(server.of("stop")).toHaveLength(1);
    await env.advance(3_100);
    await failed;
    expect([server.of("stop").length, chat.outbox.length, codes.length]).toEqual([2, 0, 0]);
  });

  it("does not stand in line behind messages that are too many", async () => {
    const { chat, o } = await running();
    server.refuse = (id) => (id.endsWith("2") ? undefined : { code: "rate_limited", after: 60_000 });
    chat.send("too much");
    await env.settle();
    const done = stop(chat, { run: o });
    await env.settle();
    expect(await done).toBe("requested");
    expect(chat.outbox).toHaveLength(1);
  });

  it("rejects when the client is closed, and not when the session is", async () => {
    const { client, chat, o } = await running();
    server.acks = false;
    const failed = expect(stop(chat, { run: o })).rejects.toMatchObject({ code: "closed" });
    chat.close();
    await env.settle();
    expect(server.of("stop")).toHaveLength(1);
    client.close();
    await failed;
  });

  it("is not kept for a page that is reloaded", async () => {
    const { client, chat, o } = await running();
    server.acks = false;
    void stop(chat, { run: o }).catch(() => {});
    await env.settle();
    expect([chat.outbox, env.storage.get("holdfast:wss://host/v1/ws:outbox")]).toEqual([[], null]);
    client.close();
    make().connect();
    await env.settle();
    expect(server.of("stop")).toHaveLength(1);
  });
});

describe("a stop of an answer that has not begun", () => {
  it("is seen before there is a run, and then in it", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const log = server.log("chat");
    const done = stop(chat, { answers: 1 });
    await env.settle();
    expect(await done).toBe("requested");
    const told = stopOf(chat.snapshot, { answers: 1 });
    expect(told?.state).toBe("requested");
    expect(stopOf(chat.snapshot, { answers: 2 })).toBeUndefined();

    const o = log.openRun(undefined, { answers: 1, stop: { id: told?.id ?? "", state: "requested" } });
    log.end(o, "stopped");
    log.stop({ id: told?.id ?? "", u: "anna", c: "me", state: "stopped" }, { run: o, answers: 1 });
    await env.settle();
    expect(stopOf(chat.snapshot, { answers: 1 })?.state).toBe("stopped");
  });
});

describe("what is read of a stop", () => {
  it("never goes back from an outcome, however late the request is read", async () => {
    const { client, log, o, run } = await running();
    client.disconnect();
    log.stop({ id: "s1", u: "bert", c: "c-2", state: "requested" }, { run: o });
    log.end(o, "complete");
    log.stop({ id: "s1", u: "bert", c: "c-2", state: "too_late" }, { run: o });
    client.connect();
    await env.settle();
    expect(run().stop).toEqual({ id: "s1", user: "bert", client: "c-2", state: "too_late" });
  });

  it("is the outcome where the run is read as it stands, and the request after it", () => {
    const stop = { id: "s1", state: "too_late" } as const;
    const event = { stop: { id: "s1", run: 1, state: "requested" } };
    const { state } = apply(asked(UNREAD), [
      { t: "sub", s: "chat", outcome: "snapshot", e: "e1", from: 1, head: 2 },
      { t: "run", s: "chat", o: 1, g: 1, at: 1, status: "complete", n: 0, h: 0, body: [], stop },
      { t: "entry", s: "chat", o: 2, g: 2, k: "event", at: 1, data: event },
    ]);
    expect(state.entries[0]).toMatchObject({ stop: { state: "too_late" } });
  });

  it("is no more than data where an application's own event has the name", async () => {
    const { chat, log, o, run } = await running();
    for (const data of [null, "stop", { stop: null }, { stop: true }, { stop: { run: "x" } }])
      log.append("event", data);
    await env.settle();
    expect(run().stop).toBeUndefined();
    expect(stopOf(chat.snapshot, { run: o })).toBeUndefined();
    expect(stopOf(chat.snapshot, { answers: 1 })).toBeUndefined();
    expect(chat.entries.filter((e) => e.kind === "event")).toHaveLength(5);
  });
});
