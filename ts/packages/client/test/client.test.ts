import { describe, expect, it, vi } from "vitest";
import type { RunEntry } from "../src/entry.ts";
import { HoldfastError } from "../src/errors.ts";
import { older } from "../src/older.ts";
import type { ServerFrame } from "../src/wire.ts";
import { connected, env, make, server, texts } from "./stage.ts";

describe("connecting", () => {
  it("does nothing before it is asked to", async () => {
    const client = make();
    client.session("chat");
    await env.advance(60_000);
    expect(client.status.state).toBe("idle");
    expect(env.pipes).toHaveLength(0);
  });

  it("says hello once, with all sessions, and tells its status", async () => {
    server.log("a").append("message", 1);
    const client = make();
    const seen: string[] = [];
    client.onStatus(({ state }) => seen.push(state));
    const a = client.session("a", { last: 15, rollup: 100 });
    const b = client.session("b");
    client.connect();
    await env.settle();
    expect(server.of("hello")).toHaveLength(1);
    expect(server.of("hello")[0]?.subs).toEqual([
      { s: "a", last: 15, rollup: 100, act: "open" },
      { s: "b", act: "open" },
    ]);
    expect([a.status, b.status, client.status.state]).toEqual(["live", "live", "live"]);
    expect(seen.at(-1)).toBe("live");
    expect(client.stats).toMatchObject({ user: "anna", connection: "x1", dials: 1, welcomes: 1 });
  });

  it("reads no session that was closed while it was asked for", async () => {
    const client = make();
    const chat = client.session("chat");
    const { onDial } = env;
    env.onDial = (pipe) => {
      onDial(pipe);
      const { onSend } = pipe;
      pipe.onSend = (text) => {
        onSend(text);
        if (text.startsWith('{"t":"hello"')) chat.close();
      };
    };
    client.connect();
    await env.settle();
    expect(server.of("unsub")).toEqual([{ t: "unsub", s: "chat" }]);
  });

  it("asks again for a session that was refused for now", async () => {
    server.log("chat").append("message", "hello");
    const client = await connected();
    let refusals = 1;
    server.tooMany = () => (refusals-- > 0 ? 1_000 : undefined);
    const chat = client.session("chat");
    await env.advance(999);
    expect(chat.status).toBe("pending");
    await env.advance(1);
    expect([chat.status, texts(chat.entries)]).toEqual(["live", ["hello"]]);
  });

  it("varies the path of each dial and leaves the query alone", async () => {
    const client = await connected({ url: "wss://host/v1/ws/?tenant=7" });
    env.pipe.end();
    await env.advance(10_000);
    expect(client.status.state).toBe("live");
    expect(env.pipes.map((p) => p.url)).toEqual(["wss://host/v1/ws/1?tenant=7", "wss://host/v1/ws/2?tenant=7"]);
  });

  it("keeps its id over a reload, and its generation grows", async () => {
    const first = await connected();
    first.close();
    const second = await connected();
    expect(second.clientId).toBe(first.clientId);
    expect(server.of("bye")).toHaveLength(1);
    expect(server.gens[1]).toBeGreaterThan(server.gens[0] ?? 0);
  });

  it("takes another id if this one is a living tab's", async () => {
    const original = make().clientId;
    env.claims = (name) => (name.endsWith(original) ? "taken" : "held");
    const copy = await connected();
    expect(copy.clientId).not.toBe(original);
    expect(server.of("hello")[0]?.client).toBe(copy.clientId);
  });

  it("takes another id to come back after a twin took the connection over", async () => {
    const client = await connected();
    const before = client.clientId;
    env.pipe.end(4502, "a newer connection of this client lives");
    await env.advance(600_000);
    expect(client.status).toMatchObject({ state: "ended", code: 4502 });
    expect([env.listening, env.timers]).toEqual([false, 0]);
    client.connect();
    await env.settle();
    expect(client.status.state).toBe("live");
    expect(client.clientId).not.toBe(before);
  });

  it("keeps an id that the application chose, whatever took it", async () => {
    const client = await connected({ clientId: "kiosk-7" });
    env.pipe.end(4502, "a newer connection of this client lives");
    await env.settle();
    client.connect();
    await env.settle();
    expect([client.status.state, client.clientId]).toEqual(["live", "kiosk-7"]);
  });

  it("is asked for by connect alone: retryNow makes none where there is to be none", async () => {
    const client = make();
    client.retryNow();
    await env.settle();
    expect([client.status.state, env.pipes.length]).toEqual(["idle", 0]);
    client.connect();
    await env.settle();
    env.pipe.end(4506, "continued in another window");
    await env.settle();
    client.retryNow();
    await env.advance(60_000);
    expect([client.status.state, env.pipes.length]).toEqual(["ended", 1]);
    client.close();
    client.retryNow();
    await env.advance(60_000);
    expect([client.status.state, env.pipes.length]).toEqual(["idle", 1]);
  });

  it("tells those who listen that it was closed", async () => {
    const client = await connected();
    const seen: string[] = [];
    client.onStatus(({ state }) => seen.push(state));
    client.close();
    await env.settle();
    expect(seen).toEqual(["idle"]);
  });

  it("counts down to the next attempt, and retryNow makes it", async () => {
    const client = await connected();
    server.down();
    await env.advance(6_000);
    expect(client.status.state).toBe("offline");
    expect(client.status.retryAt).toBeGreaterThan(env.clock);
    server.back();
    client.retryNow();
    await env.settle();
    expect(client.status.state).toBe("live");
  });

  it("stops listening to the page when it is disconnected, and starts no timer", async () => {
    const client = await connected();
    expect(env.listening).toBe(true);
    client.disconnect();
    expect([env.listening, client.status.state, env.pipe.dropped]).toEqual([false, "idle", true]);
    await env.advance(100_000);
    expect(env.timers).toBe(0);
    expect(env.pipes).toHaveLength(1);
  });

  it("says why where there is no WebSocket", async () => {
    env.open = () => {
      throw new ReferenceError("WebSocket is not defined");
    };
    const client = make();
    client.connect();
    await env.settle();
    expect(client.status).toMatchObject({ state: "ended", reason: "WebSocket is not defined" });
  });

  it("refuses what cannot be", async () => {
    const client = await connected();
    for (let i = 0; i < 256; i++) client.session(`s${i}`);
    expect(() => client.session("one more")).toThrow(HoldfastError);
    client.close();
    expect(() => client.connect()).toThrow(/closed/);
    expect(() => client.session("s")).toThrow(/closed/);
  });
});

describe("a dead connection", () => {
  it("is found out by silence and replaced", async () => {
    const client = await connected();
    await env.advance(10_000);
    const dead = env.pipe;
    dead.onSend = () => {};
    await env.advance(30_000 + 2_000);
    expect(dead.dropped).toBe(true);
    expect(env.pipes).toHaveLength(2);
    expect(client.status.state).toBe("live");
  });

  it("is found out within a second of waking, without a flicker if it lives", async () => {
    const client = await connected();
    const seen: string[] = [];
    client.onStatus(({ state }) => seen.push(state));
    await env.advance(6_000);
    for (let i = 0; i < 50; i++) {
      env.signal("visible");
      await env.advance(100);
    }
    expect([env.pipes.length, seen.length]).toEqual([1, 0]);
    env.pipe.onSend = () => {};
    env.signal("visible");
    await env.advance(1_000);
    expect(env.pipes).toHaveLength(2);
    expect(client.status.state).toBe("live");
  });

  it("takes the signals of one return for one", async () => {
    await connected();
    const pings = () => server.of("ping").length;
    await env.advance(1_000);
    for (const signal of ["resumed", "visible", "shown", "focus"] as const) env.signal(signal);
    await env.settle();
    expect(pings()).toBe(1);
  });

  it("is found out after a sleep that no event tells of", async () => {
    await connected();
    await env.advance(6_000);
    env.pipe.onSend = () => {};
    env.sleep(20_000);
    await env.advance(0);
    expect(env.pipes).toHaveLength(1);
    await env.advance(1_000);
    expect(env.pipes).toHaveLength(2);
  });

  it("is found out by a send that is not answered, and the message arrives once", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.advance(6_000);
    env.pipe.onSend = () => {};
    const sending = chat.send({ text: "hi" });
    await env.advance(2_100);
    expect(sending.state).toBe("sent");
    expect(texts(chat.entries)).toEqual([{ text: "hi" }]);
  });

  it("never speaks again once it was replaced", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.advance(6_000);
    const old = env.pipe;
    old.onSend = () => {};
    env.signal("visible");
    await env.advance(1_000);
    server.log("chat").append("message", "new");
    old.events.message(JSON.stringify({ t: "bye", code: 4504 }));
    old.events.closed(4504, "late");
    await env.settle();
    expect(client.status.state).toBe("live");
    expect(texts(chat.entries)).toEqual(["new"]);
  });

  it("is told apart by the server, too: its pings are answered", async () => {
    await connected();
    server.say({ t: "ping", n: 9 });
    await env.settle();
    expect(server.of("pong")).toEqual([{ t: "pong", n: 9 }]);
  });
});

describe("tokens", () => {
  it("are asked for once, and used until they expire", async () => {
    const token = vi.fn(async () => "tok");
    server.exp = env.clock + 3_600_000;
    const client = await connected({ token });
    env.pipe.end();
    await env.advance(5_000);
    expect(client.status.state).toBe("live");
    expect(token).toHaveBeenCalledTimes(1);
    env.sleep(3_590_000);
    server.exp = env.clock + 3_600_000;
    env.pipe.end();
    await env.advance(5_000);
    expect(client.status.state).toBe("live");
    expect(token).toHaveBeenCalledTimes(2);
  });

  it("are replaced in the open connection when they expire soon", async () => {
    const token = vi.fn().mockResolvedValueOnce("one").mockResolvedValueOnce("two");
    const client = await connected({ token });
    server.say({ t: "expiring", in: 30_000 });
    await env.settle();
    expect(server.of("token")).toEqual([{ t: "token", token: "two" }]);
    expect([client.status.state, env.pipes.length]).toEqual(["live", 1]);
  });

  it("that are refused are replaced once, then it ends", async () => {
    server.tokens.add("good");
    const token = vi.fn().mockResolvedValueOnce("bad").mockResolvedValue("good");
    const client = await connected({ token });
    expect(token).toHaveBeenCalledTimes(2);
    server.tokens.clear();
    server.tokens.add("another");
    env.pipe.end();
    await env.advance(60_000);
    expect(env.pipes.length).toBe(4);
    expect(client.status).toMatchObject({ state: "ended", code: 4501 });
  });

  it("that cannot be had for now are asked for again; for good, it ends", async () => {
    const token = vi.fn().mockRejectedValueOnce(new Error("the network is down")).mockResolvedValue("tok");
    const client = make({ token });
    client.connect();
    await env.settle();
    expect(client.status).toMatchObject({ state: "offline", reason: "the network is down" });
    await env.advance(1_000);
    expect(client.status.state).toBe("live");

    const signedOut = make({
      clientId: "other",
      token: () => Promise.reject(new HoldfastError("unauthorized", "sign in")),
    });
    signedOut.connect();
    await env.advance(60_000);
    expect(signedOut.status).toMatchObject({ state: "ended", code: 4501, reason: "sign in" });
  });

  it("that never come do not hold it up for ever", async () => {
    const token = vi
      .fn()
      .mockReturnValueOnce(new Promise(() => {}))
      .mockResolvedValue("tok");
    const client = make({ token });
    client.connect();
    await env.advance(25_000);
    expect(client.status.state).toBe("live");
  });
});

describe("reading", () => {
  it("shows what is there, then what comes, in one change each", async () => {
    const log = server.log("chat");
    for (let i = 1; i <= 30; i++) log.append("message", i);
    const client = make();
    const chat = client.session("chat", { last: 10 });
    let changes = 0;
    chat.subscribe(() => changes++);
    client.connect();
    await env.settle();
    expect(texts(chat.entries)).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    expect(chat).toMatchObject({ outcome: "snapshot", hasOlder: true, status: "live" });
    const before = changes;
    const snapshot = chat.snapshot;
    expect(chat.snapshot).toBe(snapshot);
    for (let i = 31; i <= 40; i++) log.append("message", i);
    await env.settle();
    expect(changes - before).toBe(1);
    expect(snapshot.entries).toHaveLength(10);
    expect(chat.entries).toHaveLength(20);
  });

  it("goes on where it was, in the middle of a run", async () => {
    const log = server.log("chat");
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    const o = log.openRun();
    log.grow(o, { p: "", d: "Hel" });
    await env.settle();
    await env.advance(6_000);
    env.pipe.end();
    log.grow(o, { p: "", d: "lo " }, { p: "", d: "you" });
    log.end(o, "complete", { tokens: 3 });
    await env.settle();
    expect(server.of("hello")[1]?.subs[0]?.cur).toMatchObject({ o: 1, r: [[1, 1, expect.any(Number)]] });
    expect(chat.outcome).toBe("continuous");
    expect((chat.entries[0] as RunEntry).text).toBe("Hello you");
    expect((chat.entries[0] as RunEntry).status).toBe("complete");
  });

  it("mends a hole by asking again", async () => {
    const client = await connected();
    const chat = client.session("chat");
    server.log("chat").append("message", 1);
    await env.settle();
    server.say({ t: "entry", s: "chat", o: 5, g: 35, k: "message", at: 1, data: 5 });
    await env.settle();
    expect(server.of("sub").at(-1)).toMatchObject({ s: "chat", cur: { o: 1 } });
    expect([chat.status, texts(chat.entries)]).toEqual(["live", [1]]);
  });

  it("skips what it does not know, and is not led astray by frames without their figures", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const log = server.log("chat");
    log.append("message", 1);
    const run = log.openRun();
    log.grow(run, { p: "", d: "Hel" });
    await env.settle();
    const broken = [
      { t: "hologram", s: "chat", o: 9 },
      { t: "constructor" },
      { t: "entry", s: "chat", k: "message" },
      { t: "run", s: "chat", status: "open" },
      { t: "frag", s: "chat", o: 2, d: "?" },
      { t: "end", s: "chat", o: 2, status: "complete" },
      { t: "live", s: "chat" },
      { t: "err" },
    ];
    for (const frame of broken) server.say(frame as unknown as ServerFrame);
    await env.settle();
    log.grow(run, { p: "", d: "lo" });
    log.append("message", 3);
    await env.settle();
    expect([chat.status, client.status.state, chat.entries.length]).toEqual(["live", "live", 3]);
    expect((chat.entries[1] as RunEntry).text).toBe("Hello");
  });

  it("keeps showing the old until the new is there, and shows a long catching up as it comes", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const log = server.log("chat");
    log.append("message", "old");
    await env.settle();
    server.say({ t: "sub", s: "chat", outcome: "snapshot", e: log.epoch, from: 5, head: 7, more: true });
    server.say({ t: "entry", s: "chat", o: 5, g: 1, k: "message", at: 1, data: "new" });
    await env.advance(199);
    expect(texts(chat.entries)).toEqual(["old"]);
    await env.advance(1);
    expect(texts(chat.entries)).toEqual(["new"]);
    expect([chat.status, client.status.state]).toEqual(["catching-up", "catching-up"]);
    server.say({ t: "entry", s: "chat", o: 7, f: 6, g: 1, k: "message", at: 1, data: "newest" });
    server.say({ t: "live", s: "chat", o: 7 });
    await env.settle();
    expect([chat.status, client.status.state]).toEqual(["live", "live"]);
  });

  it("tells of a session that is denied, and tries it again with the next connection", async () => {
    server.denied.add("chat");
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    expect(chat).toMatchObject({ status: "denied", outcome: "denied" });
    expect(chat.error).toMatchObject({ code: "forbidden", message: "not yours" });
    expect(client.status.state).toBe("live");
    server.denied.clear();
    env.pipe.end();
    await env.advance(5_000);
    expect([chat.status, chat.error]).toEqual(["live", undefined]);
  });

  it("is shared by all who ask for the same session, and ends with the last", async () => {
    const client = await connected();
    const one = client.session("chat");
    const two = client.session("chat");
    expect(two).toBe(one);
    one.close();
    await env.settle();
    expect(server.of("unsub")).toHaveLength(0);
    two.close();
    await env.settle();
    expect(server.of("unsub")).toHaveLength(1);
    two.close();
    expect(client.session("chat")).not.toBe(one);
  });

  it("gets older entries, over a cut, and once for all who ask", async () => {
    const log = server.log("chat");
    for (let i = 1; i <= 100; i++) log.append("message", i);
    const client = await connected();
    const chat = client.session("chat", { last: 10 });
    await env.settle();
    const asked = older(chat, 60);
    expect(older(chat, 5)).toBe(asked);
    env.pipe.end();
    await env.advance(5_000);
    expect(await asked).toBe(true);
    expect(chat.entries).toHaveLength(70);
    expect(await settled(older(chat, 60))).toBe(false);
    expect(texts(chat.entries)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await settled(older(chat))).toBe(false);
  });

  it("does not leave those waiting who asked for older entries of a session that ends", async () => {
    const log = server.log("chat");
    for (let i = 1; i <= 20; i++) log.append("message", i);
    const client = await connected();
    const chat = client.session("chat", { last: 10 });
    await env.settle();
    client.disconnect();
    const asked = older(chat);
    chat.close();
    await expect(asked).rejects.toMatchObject({ code: "closed" });
  });

  it("brings signals", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const got: unknown[] = [];
    const stop = chat.onSignal((s) => got.push(s));
    chat.signal({ typing: true });
    server.say({ t: "signal", s: "chat", u: "bob", c: "b1", data: { typing: true } });
    stop();
    server.say({ t: "signal", s: "chat", u: "bob", c: "b1", data: { typing: false } });
    await env.settle();
    expect(server.of("signal")).toEqual([{ t: "signal", s: "chat", data: { typing: true } }]);
    expect(got).toEqual([{ user: "bob", client: "b1", data: { typing: true } }]);
  });
});

async function settled<T>(promise: Promise<T>): Promise<T> {
  await env.settle();
  return promise;
}

describe("sending", () => {
  it("goes through pending to the entries, without a moment where it is neither", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    const shown: number[] = [];
    chat.subscribe(() => shown.push(chat.entries.length + chat.outbox.length));
    const sending = chat.send({ text: "hi" });
    expect(chat.outbox).toEqual([sending]);
    await env.settle();
    await expect(sending.done).resolves.toMatchObject({ offset: 1 });
    expect([chat.outbox.length, chat.entries[0]?.id]).toEqual([0, sending.id]);
    expect(new Set(shown)).toEqual(new Set([1]));
  });

  it("waits for a connection, keeps the order, and repeats with the same ids", async () => {
    const client = make();
    const chat = client.session("chat");
    const sent = ["a", "b", "c"].map((text) => chat.send(text));
    server.acks = false;
    client.connect();
    await env.settle();
    expect(texts(chat.entries)).toEqual(["a", "b", "c"]);
    const deaf = client.session("nobody reads");
    deaf.close();
    env.pipe.end();
    server.acks = true;
    await env.advance(5_000);
    expect(texts(chat.entries)).toEqual(["a", "b", "c"]);
    expect(sent.map((s) => s.state)).toEqual(["sent", "sent", "sent"]);
  });

  it("survives a reload", async () => {
    server.acks = false;
    const first = make();
    first.session("chat").send({ text: "typed in the dark" });
    const second = await connected();
    const chat = second.session("chat");
    server.acks = true;
    await env.advance(1_000);
    expect(texts(chat.entries)).toEqual([{ text: "typed in the dark" }]);
    expect(chat.outbox).toHaveLength(0);
    const third = make();
    expect(third.session("chat").outbox).toHaveLength(0);
  });

  it("is shown no more when it stands before what is shown", async () => {
    const log = server.log("chat");
    const first = make();
    const id = first.session("chat").send("early").id;
    log.append("message", "early", { id });
    for (let i = 0; i < 50; i++) log.append("message", i);
    const client = await connected();
    const chat = client.session("chat", { last: 5 });
    await env.advance(1_000);
    expect([chat.outbox.length, log.head]).toEqual([0, 51]);
  });

  it("fails with a code, and may be tried again or given up, also after a reload", async () => {
    server.refuse = () => ({ code: "forbidden" });
    const client = await connected();
    const chat = client.session("chat");
    const one = chat.send(1);
    const two = chat.send(2);
    await env.settle();
    expect([one.state, one.error?.code]).toEqual(["failed", "forbidden"]);
    await expect(one.done).rejects.toMatchObject({ code: "forbidden" });
    two.discard();
    expect(chat.outbox).toEqual([one]);
    client.close();

    const again = await connected();
    const kept = again.session("chat").outbox[0];
    expect(kept).toMatchObject({ id: one.id, state: "failed", error: { code: "forbidden" } });
    server.refuse = () => undefined;
    kept?.retry();
    await env.settle();
    expect(kept?.state).toBe("sent");
    expect(texts(again.session("chat").entries)).toEqual([1]);
  });

  it("waits as told where there is too much of it, and keeps the order", async () => {
    let refusals = 0;
    server.refuse = () => (refusals++ < 1 ? { code: "rate_limited", after: 1_500 } : undefined);
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    chat.send("a");
    await env.settle();
    chat.send("b");
    chat.send("c");
    await env.advance(1_499);
    expect(chat.entries).toHaveLength(0);
    await env.advance(1);
    expect(texts(chat.entries)).toEqual(["a", "b", "c"]);
  });

  it("sends so many before the first is answered, and the others after it, also over another connection", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    const all = Array.from({ length: 150 }, (_, i) => i);
    for (const i of all) chat.send(i);
    expect(server.of("send").length).toBe(64);
    env.pipe.end(1006);
    await env.advance(1_000);
    expect(texts(chat.entries)).toEqual(all);
    expect([server.of("send").length, chat.outbox.length]).toEqual([64 + 150, 0]);
  });

  it("keeps no session waiting for another one that takes nothing", async () => {
    const client = await connected();
    const [stuck, chat] = [client.session("stuck"), client.session("chat")];
    await env.settle();
    const refused = new Set(Array.from({ length: 100 }, (_, i) => stuck.send(i).id));
    server.refuse = (id) => (refused.has(id) ? { code: "rate_limited", after: 2_000 } : undefined);
    chat.send("through");
    await env.advance(5_000);
    expect([texts(chat.entries), stuck.outbox.length]).toEqual([["through"], 100]);
  });

  it("does not doubt a connection whose server says that a message is to come later", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    server.refuse = () => ({ code: "rate_limited", after: 3_000 });
    chat.send("a");
    await env.settle();
    const pings = server.of("ping").length;
    await env.advance(2_900);
    expect([server.of("ping").length, client.status.state, server.of("send").length]).toEqual([pings, "live", 1]);
  });

  it("takes no message of another user for its own", async () => {
    server.refuse = () => ({ code: "rate_limited", after: 1_500 });
    const client = await connected();
    const chat = client.session("chat");
    const mine = chat.send("mine");
    await env.settle();
    server.log("chat").append("message", "theirs", { id: mine.id, u: "mallory" });
    await env.settle();
    expect([texts(chat.entries), mine.state, chat.outbox.length]).toEqual([["theirs"], "pending", 1]);
  });

  it("says of a message that none before it waits, so that nobody waits for one that was discarded", async () => {
    server.refuse = () => ({ code: "rate_limited", after: 1_500 });
    const client = await connected();
    const chat = client.session("chat");
    const sends = ["a", "b", "c"].map((text) => chat.send(text));
    await env.settle();
    sends[0]?.discard();
    server.refuse = () => undefined;
    await env.advance(1_500);
    chat.send("d");
    await env.settle();
    const said = server.of("send").map(({ data, first }) => (first ? `${String(data)}, the first` : data));
    expect(said).toEqual(["a, the first", "b", "c", "b, the first", "c", "d, the first"]);
  });

  it("refuses what would end the connection, and what is not JSON", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const large = chat.send("ü".repeat(600));
    expect([large.state, large.error?.code]).toEqual(["failed", "too_large"]);
    expect(() => chat.send(undefined)).toThrow(HoldfastError);
    const circle = { self: {} };
    circle.self = circle;
    for (const data of [circle, 1n]) expect(() => chat.send(data)).toThrow(HoldfastError);
    expect(server.of("send")).toHaveLength(0);
  });

  it("is a copy of what was given", async () => {
    const client = make();
    const chat = client.session("chat");
    const data = { text: "as it was" };
    chat.send(data);
    data.text = "changed";
    client.connect();
    await env.settle();
    expect(texts(chat.entries)).toEqual([{ text: "as it was" }]);
  });

  it("is not lost to storage that is broken or holds rubbish", async () => {
    env.storage.set("holdfast:wss://host/v1/ws:outbox", '[{"s":1},null,"x"');
    expect((await connected()).session("chat").outbox).toHaveLength(0);
  });
});

describe("a day on the road", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])("ends with everything in its place (%i)", async (seed) => {
    env.seed(seed * 7919);
    const client = make();
    const chat = client.session("chat");
    const log = server.log("chat");
    client.connect();
    let typed = 0;
    for (let i = 0; i < 150; i++) {
      const dice = env.random();
      if (dice < 0.1) env.pipes.at(-1)?.living && env.pipe.end();
      else if (dice < 0.15) for (const pipe of env.pipes) pipe.onSend = () => {};
      else if (dice < 0.2) env.signal("visible");
      else if (dice < 0.25) env.sleep(40_000);
      else if (dice < 0.4) chat.send({ typed: ++typed });
      else if (dice < 0.5) log.openRun();
      else {
        const open = log.entries.filter((e) => e.run?.status === "open").map((e) => e.item.o);
        const o = open[Math.floor(env.random() * open.length)];
        if (o !== undefined) dice < 0.95 ? log.grow(o, { p: "", d: `${i} ` }) : log.end(o);
      }
      await env.advance(env.random() * 3_000);
      expect(env.pipes.filter((p) => p.living).length).toBeLessThanOrEqual(1);
    }
    await env.advance(120_000);
    expect(client.status.state).toBe("live");
    expect(chat.outbox).toHaveLength(0);
    const messages = chat.entries.filter((e) => e.kind === "message").map((e) => (e.data as { typed: number }).typed);
    expect(messages).toEqual(Array.from({ length: typed }, (_, i) => i + 1));
    for (const entry of chat.entries) {
      if (entry.kind !== "run") continue;
      const truth = log.entries[entry.offset - 1]?.run?.fragments.map((f) => ("d" in f ? f.d : "")).join("");
      expect(entry.text).toBe(truth);
    }
  });
});
