import { describe, expect, it } from "vitest";
import { Connection } from "../src/connection.ts";
import type { RunEntry } from "../src/entry.ts";
import { keepLog } from "../src/log.ts";
import { older } from "../src/older.ts";
import type { Kept } from "../src/outbox-store.ts";
import { type Cached, cached, type SessionCache } from "../src/session-cache.ts";
import { connected, env, make, server, texts } from "./stage.ts";

async function settled<T>(promise: Promise<T>): Promise<T> {
  await env.settle();
  return promise;
}

describe("the log", () => {
  it("tells what happened, without tokens and messages, and is bounded", async () => {
    const client = await connected({ token: "a secret", log: keepLog });
    client.session("chat").send({ text: "private" });
    await env.settle();
    const kinds = client.log?.records.map(({ e }) => e);
    expect(kinds).toEqual(expect.arrayContaining(["connect", "opened", "welcomed"]));
    for (let i = 0; i < 600; i++) {
      env.signal("offline");
      await env.advance(10);
    }
    expect(client.log?.records.length).toBe(500);
    expect(JSON.stringify(client.log?.records)).not.toMatch(/secret|private/);
  });

  it("is sent when the server asks, and when the application does", async () => {
    const client = await connected({ log: keepLog });
    server.say({ t: "report" });
    await env.settle();
    await client.log?.report("user");
    expect(server.reports.map(({ reason }) => reason)).toEqual(["asked", "user"]);
    expect(server.reports[0]).toMatchObject({ token: "tok", client: client.clientId, log: expect.any(Array) });
    env.onFetch = () => ({ status: 429, text: "" });
    await expect(client.log?.report("user")).rejects.toMatchObject({ code: "unavailable" });
    env.onFetch = () => {
      throw new TypeError("there is no network");
    };
    await expect(client.log?.report("user")).rejects.toMatchObject({ code: "unavailable" });
  });

  it("is sent with another token where this one is not taken, as a tab's may be that shares a connection", async () => {
    let tokens = 0;
    const client = await connected({ log: keepLog, token: () => `tok${++tokens}` });
    const sent: string[] = [];
    env.onFetch = (_url, { body = "" }) => {
      const { token } = JSON.parse(body) as { token: string };
      sent.push(token);
      return { status: token === "tok1" ? 401 : 204, text: "" };
    };
    await client.log?.report();
    expect(sent).toEqual(["tok1", "tok2"]);
    await client.log?.report();
    expect(sent.slice(2)).toEqual(["tok2"]);
  });

  it("is sent when the server says that this client is at fault, and keeps to the limit", async () => {
    await connected({ log: keepLog });
    for (let i = 0; i < 600; i++) {
      env.signal("offline");
      await env.advance(10);
    }
    server.say({ t: "bye", code: 4500, reason: "x".repeat(3_000) });
    await env.settle();
    expect(server.reports.map(({ reason }) => reason)).toEqual(["error"]);
    expect(JSON.stringify(server.reports).length).toBeLessThan(65_536);
    expect(env.fetches.at(-1)).toMatchObject({ url: "https://host/v1/ws/report", request: { method: "POST" } });
  });
});

describe("what is given to it", () => {
  it("a carrier opens the pipes", async () => {
    const urls: string[] = [];
    await connected({
      carrier: (world) => (url, events) => {
        urls.push(url);
        return world.open(url, events);
      },
    });
    expect(urls).toEqual(["wss://host/v1/ws/1"]);
  });

  it("a link speaks to the server", async () => {
    const sent: string[] = [];
    const client = make({
      link: (parts) => {
        const link = new Connection(parts);
        const send = link.send.bind(link);
        link.send = (frame) => {
          sent.push(frame.t);
          send(frame);
        };
        return link;
      },
    });
    client.connect();
    await env.settle();
    client.session("chat").send(1);
    expect(sent).toEqual(["sub", "send"]);
  });

  it("a store that loads late goes first, in order, and nothing goes before", async () => {
    let adopt: (kept: readonly Kept[]) => void = () => {};
    const held: Kept[] = [{ s: "chat", id: "old1", d: "first", a: 1 }];
    const client = await connected({
      outbox: {
        lasts: "browser",
        load: (take) => void (adopt = take),
        put: (kept) => void held.push(kept),
        remove: (id) => void held.splice(0, held.length, ...held.filter((it) => it.id !== id)),
      },
    });
    const chat = client.session("chat");
    chat.send("second");
    await env.settle();
    expect([client.keeps, server.of("send").length]).toEqual(["browser", 0]);
    adopt([...held]);
    await env.settle();
    expect(texts(chat.entries)).toEqual(["first", "second"]);
    expect(held).toEqual([]);
  });

  it("says how long it keeps", () => {
    expect(make().keeps).toBe("page");
    expect(make({ storage: { get: () => null, set: () => {} } }).keeps).toBe("tab");
  });
});

describe("a cache of sessions", () => {
  function memoryCache(): SessionCache & { readonly held: Map<string, Cached> } {
    const held = new Map<string, Cached>();
    return {
      held,
      load: (session) => Promise.resolve(held.get(session)),
      save: (session, cached) => void held.set(session, JSON.parse(JSON.stringify(cached)) as Cached),
    };
  }

  it("shows at once what was there, and goes on from it", async () => {
    const cache = memoryCache();
    const log = server.log("chat");
    for (let i = 1; i <= 300; i++) log.append("message", i);
    log.append("state", "dark", { key: "theme" });
    const run = log.openRun();
    log.grow(run, { p: "", d: "Hel" });
    const first = await connected({ cache: cached(cache) });
    first.session("chat", { last: 260 });
    await env.advance(3_000);
    expect(cache.held.get("chat")?.entries.length).toBe(200);
    first.close();

    log.grow(run, { p: "", d: "lo" });
    const second = make({ cache: cached(cache) });
    const chat = second.session("chat");
    await env.settle();
    expect(chat).toMatchObject({ status: "pending", hasOlder: true });
    expect(chat.entries).toHaveLength(200);
    expect(chat.states.get("theme")?.data).toBe("dark");
    second.connect();
    await env.settle();
    expect(server.of("hello").at(-1)?.subs[0]?.cur).toMatchObject({ o: 302 });
    expect([chat.status, chat.outcome]).toEqual(["live", "continuous"]);
    expect((chat.entries.at(-1) as RunEntry).text).toBe("Hello");
    expect(await settled(older(chat, 10))).toBe(true);
    expect(texts(chat.entries).slice(0, 11)).toEqual(Array.from({ length: 11 }, (_, i) => 93 + i));
  });

  it("keeps what is there when the page is put away", async () => {
    const cache = memoryCache();
    const client = await connected({ cache: cached(cache) });
    client.session("chat");
    await env.advance(3_000);
    server.log("chat").append("message", 1);
    await env.settle();
    env.signal("leaving");
    expect(cache.held.get("chat")?.have).toBe(1);
  });

  it("does not replace what the server has said, and is no cursor where it came too late", async () => {
    const cache = memoryCache();
    const log = server.log("chat");
    log.append("message", 1);
    const first = await connected({ cache: cached(cache) });
    first.session("chat");
    await env.advance(3_000);
    first.close();
    log.replace("epoch00002");
    log.append("message", "other");
    const client = await connected({ cache: cached(cache) });
    const chat = client.session("chat");
    await env.settle();
    expect(texts(chat.entries)).toEqual(["other"]);
  });

  it("that fails is none", async () => {
    const cache = { load: () => Promise.reject(new Error("broken")), save: () => {} };
    const client = await connected({ cache: cached(cache) });
    server.log("chat").append("message", 1);
    const chat = client.session("chat");
    await env.settle();
    expect(texts(chat.entries)).toEqual([1]);
  });
});
