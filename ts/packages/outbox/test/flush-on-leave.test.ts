import { Client, type Kept, type OutboxStore } from "@holdfast/client";
import { describe, expect, it } from "vitest";
import { FakeEnv } from "../../client/test/fake-env.ts";
import { FakeServer } from "../../client/test/fake-server.ts";
import { flushOnLeave } from "../src/index.ts";

const kept = (id: string, d: unknown = id): Kept => ({ s: "chat", id: `c1:${id}`, d, a: 1 });

function stage(left: readonly Kept[] = [], token = "tok") {
  const env = new FakeEnv();
  const seen: string[] = [];
  const calls = { adopt: (_: readonly Kept[]) => {} };
  const store: OutboxStore = {
    lasts: "browser",
    load: (adopt) => (calls.adopt = adopt),
    put: ({ id }) => seen.push(`put ${id}`),
    remove: (id) => seen.push(`remove ${id}`),
    close: () => seen.push("close"),
  };
  const flushing = flushOnLeave(() => store, { url: "wss://host/v1/ws/?x=1", token: () => token })(env);
  flushing.load((found) => seen.push(...found.map(({ id }) => `adopt ${id}`)));
  calls.adopt(left);
  const sent = () => env.fetches.map(({ request }) => (request.body ?? "").split("\n").map((line) => JSON.parse(line)));
  const ids = () => sent().map((lines) => lines.slice(1).map(({ id }) => id));
  return { env, seen, calls, store: flushing, sent, ids };
}

describe("a page that is left", () => {
  it("sends what is unsent, in order, by a request that goes on without it", () => {
    const { env, store, sent } = stage([kept("old")]);
    store.put(kept("a"));
    store.put(kept("b"));
    env.signal("leaving");
    expect(env.fetches[0]).toMatchObject({
      url: "https://host/v1/ws/send?x=1",
      request: { method: "POST", keepalive: true },
    });
    expect(sent()).toEqual([
      [
        { t: "hello", v: 1, token: "tok", client: "c1", gen: 0, mode: "aside", subs: [] },
        { t: "send", s: "chat", id: "c1:old", data: "old" },
        { t: "send", s: "chat", id: "c1:a", data: "a" },
        { t: "send", s: "chat", id: "c1:b", data: "b" },
      ],
    ]);
  });

  it("leaves out what was removed, and what was refused until it is sent again", () => {
    const { env, store, ids } = stage([{ ...kept("refused"), e: ["forbidden", "no"] }]);
    for (const id of ["a", "b", "c"]) store.put(kept(id));
    store.remove("c1:a");
    store.put({ ...kept("b"), e: ["too_large", "no"] });
    env.signal("stored");
    store.remove("c1:b");
    store.put(kept("b"));
    env.signal("leaving");
    expect(ids()).toEqual([["c1:c"], ["c1:c", "c1:b"]]);
  });

  it("puts what an earlier page has left first, and what a closed tab has left last", () => {
    const env = new FakeEnv();
    let adopt: (found: readonly Kept[]) => void = () => {};
    const inner: OutboxStore = { lasts: "tab", load: (on) => (adopt = on), put: () => {}, remove: () => {} };
    const store = flushOnLeave(() => inner, { url: "wss://host/v1/ws", token: () => "tok" })(env);
    store.load(() => {});
    store.put(kept("mine"));
    adopt([kept("before")]);
    adopt([kept("another's")]);
    env.signal("leaving");
    const lines = (env.fetches[0]?.request.body ?? "").split("\n").slice(1);
    expect(lines.map((line) => JSON.parse(line).id)).toEqual(["c1:before", "c1:mine", "c1:another's"]);
    store.close?.();
    env.signal("leaving");
    expect(env.fetches.length).toBe(1);
  });

  it("sends nothing of its own before it knows what an earlier page has left", () => {
    const env = new FakeEnv();
    const inner: OutboxStore = { lasts: "tab", load: () => {}, put: () => {}, remove: () => {} };
    const store = flushOnLeave(() => inner, { url: "wss://host/v1/ws", token: () => "tok" })(env);
    store.load(() => {});
    store.put(kept("mine"));
    env.signal("leaving");
    expect(env.fetches).toEqual([]);
  });

  it("sends no more than a browser lets go, and never one before one that it left out", () => {
    const { env, store, ids } = stage();
    store.put(kept("a", "x".repeat(20_000)));
    store.put(kept("b", "ж".repeat(20_000)));
    store.put(kept("c"));
    env.signal("leaving");
    expect(ids()).toEqual([["c1:a"]]);
    store.remove("c1:b");
    for (let i = 0; i < 100; i++) store.put(kept(`n${i}`));
    env.signal("leaving");
    expect(ids()[1]?.length).toBe(64);
    expect(new TextEncoder().encode(env.fetches[1]?.request.body).length).toBeLessThan(65_536);
  });

  it("sends nothing where there is nothing, no token, or nothing that fits; nor when it is only hidden", () => {
    const { env, store } = stage();
    env.signal("leaving");
    store.put(kept("big", "x".repeat(70_000)));
    env.signal("leaving");
    store.remove("c1:big");
    store.put(kept("a"));
    env.signal("hidden");
    expect(env.fetches).toEqual([]);
    env.mobile = true;
    env.signal("hidden");
    expect(env.fetches.length).toBe(1);
    const without = stage([kept("a")], "");
    without.env.signal("leaving");
    expect(without.env.fetches).toEqual([]);
  });

  it("is to the client the store that it wraps", () => {
    const { seen, store } = stage([kept("old")]);
    store.put(kept("a"));
    store.remove("c1:a");
    store.close?.();
    expect(store.lasts).toBe("browser");
    expect(seen).toEqual(["adopt c1:old", "put c1:a", "remove c1:a", "close"]);
  });
});

describe("a client whose page is left without a connection", () => {
  it("has its message sent, under its own name", async () => {
    const env = new FakeEnv();
    const server = new FakeServer(env);
    const outbox = flushOnLeave(
      () => ({ lasts: "page", load: (adopt) => adopt([]), put: () => {}, remove: () => {} }),
      {
        url: "wss://host/v1/ws",
        token: () => "tok",
      },
    );
    const client = new Client({ env, url: "wss://host/v1/ws", token: "tok", outbox });
    const sending = client.session("chat").send("hello");
    env.signal("leaving");
    const [hello, send] = (env.fetches[0]?.request.body ?? "").split("\n").map((line) => JSON.parse(line));
    expect([hello.client, send.id, send.data]).toEqual([client.clientId, sending.id, "hello"]);
    expect(server.logs.size).toBe(0);
    client.close();
    expect(env.listening).toBe(false);
  });
});
