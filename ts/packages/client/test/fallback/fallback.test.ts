import { describe, expect, it } from "vitest";
import type { Session } from "../../src/session.ts";
import { Switch } from "../../src/fallback/switch.ts";
import { FakeEnv } from "../fake-env.ts";
import { HttpWorld } from "./http-world.ts";
import { stop } from "../../src/stop.ts";

const data = (chat: Session) => chat.entries.map((e) => e.data);
const kinds = (world: HttpWorld) => world.attaches.map(({ kind }) => kind);

/** A client that has come to events, and the world around it. */
async function overEvents() {
  const world = new HttpWorld();
  world.socket = "refused";
  world.server.log("chat").append("message", "old");
  const { client, chat } = world.client();
  await world.env.advance(100);
  expect(kinds(world)).toEqual(["events"]);
  return { world, client, chat };
}

async function overPoll() {
  const world = new HttpWorld();
  world.socket = "refused";
  world.events = "held";
  world.server.log("chat").append("message", "old");
  const { client, chat } = world.client();
  await world.env.advance(3_000);
  expect(kinds(world).slice(0, 2)).toEqual(["events", "poll"]);
  return { world, client, chat };
}

describe("where WebSocket works", () => {
  it("nothing else is asked for", async () => {
    const world = new HttpWorld();
    const { client } = world.client();
    await world.env.advance(20_000);
    expect(client.status.state).toBe("live");
    expect([world.attaches.length, world.env.fetches.length, world.env.pipes.length]).toEqual([0, 0, 1]);
  });

  it("one failure of it is no reason to leave it", async () => {
    const world = new HttpWorld();
    world.socket = "refused";
    const { client } = world.client();
    world.env.onFetch = () => {
      world.socket = "fine";
      return { status: 204, text: "" };
    };
    await world.env.advance(500);
    expect(client.status.state).toBe("live");
    expect(world.attaches).toEqual([]);
  });
});

describe("where WebSocket is blocked", () => {
  it.each([
    ["refused", "fine", 100],
    ["blackholed", "fine", 2_000],
    ["refused", "held", 3_000],
    ["blackholed", "held", 3_000],
  ] as const)("%s, and answers are %s: it is live within %i ms", async (socket, events, within) => {
    const world = new HttpWorld();
    world.socket = socket;
    world.events = events;
    world.server.log("chat").append("message", "hello");
    const { client, chat } = world.client();
    await world.env.advance(within);
    expect(client.status.state).toBe("live");
    expect(data(chat)).toEqual(["hello"]);
    expect(world.env.pipes.every((pipe) => !pipe.living)).toBe(true);
  });

  it("also where one opens and says nothing", async () => {
    const world = new HttpWorld();
    world.socket = "mute";
    const { client } = world.client();
    await world.env.advance(20_000);
    expect(client.status.state).toBe("live");
    expect(world.env.pipes.length).toBeLessThan(6);
  });

  it("and the server is away, nothing but the dial is made of it", async () => {
    const world = new HttpWorld();
    world.socket = "refused";
    world.ready = "down";
    const { client } = world.client();
    await world.env.advance(50);
    expect(client.status.state).toBe("offline");
    expect(world.attaches).toEqual([]);
  });

  it("and the server is not ready, it comes back when that says", async () => {
    const world = new HttpWorld();
    world.socket = "refused";
    world.ready = 503;
    const { client } = world.client();
    await world.env.advance(50);
    expect(client.status).toMatchObject({ state: "offline", reason: "the server is not ready" });
    world.ready = 204;
    await world.env.advance(1_500);
    expect(client.status.state).toBe("live");
  });

  it("remembers what worked", async () => {
    const { world, client } = await overEvents();
    const dials = world.env.pipes.length;
    world.cut();
    await world.env.advance(300);
    expect(client.status.state).toBe("live");
    expect(kinds(world)).toEqual(["events", "events"]);
    expect(world.env.pipes.length).toBe(dials);
  });

  it("forgets it when the server refuses it", async () => {
    const { world, client } = await overEvents();
    world.events = 502;
    world.socket = "fine";
    world.cut();
    await world.env.advance(3_000);
    expect(client.status.state).toBe("live");
    expect(world.server.gens.length).toBe(2);
  });
});

describe("over events", () => {
  it("entries and runs come, and sends arrive in order and once", async () => {
    const { world, chat } = await overEvents();
    const log = world.server.log("chat");
    const run = log.openRun();
    log.grow(run, { p: "", d: "Hel" });
    const sent = [1, 2, 3].map((n) => chat.send(n));
    await world.env.advance(100);
    log.grow(run, { p: "", d: "lo" });
    log.end(run);
    await world.env.advance(100);
    expect(await Promise.all(sent.map(({ done }) => done.then(({ offset }) => offset)))).toEqual([3, 4, 5]);
    expect(data(chat)).toEqual(["old", { role: "assistant" }, 1, 2, 3]);
    expect(chat.entries[1]).toMatchObject({ text: "Hello", status: "complete" });
    expect(chat.outbox).toEqual([]);
    expect(world.asides[0]?.[0]).toMatch(/"mode":"aside"/);
  });

  it("a stop goes as sends do, and is repeated after a failure", async () => {
    const { world, chat } = await overEvents();
    const run = world.server.log("chat").openRun();
    world.sends = "broken";
    const done = stop(chat, { run });
    await world.env.advance(100);
    world.sends = "fine";
    await world.env.advance(30_000);
    expect(await done).toBe("requested");
    expect(chat.entries[1]).toMatchObject({ stop: { state: "requested" } });
    expect(world.asides.flat().filter((line) => line.includes('"t":"stop"'))).toHaveLength(1);
  });

  it("another session is another request, which goes on where the last one stood", async () => {
    const { world, client, chat } = await overEvents();
    const log = world.server.log("chat");
    const run = log.openRun();
    log.grow(run, { p: "", d: "a" });
    world.server.log("other").append("message", "there");
    await world.env.advance(10);
    const other = client.session("other");
    const third = client.session("third");
    await world.env.advance(50);
    log.grow(run, { p: "", d: "b" });
    await world.env.advance(50);
    expect(client.status.state).toBe("live");
    expect([data(other), third.status]).toEqual([["there"], "live"]);
    expect(chat.entries[1]).toMatchObject({ text: "ab" });
    expect(chat.outcome).toBe("continuous");
    expect(kinds(world)).toEqual(["events", "events"]);
    expect(world.attaches[1]?.hello.subs.map(({ s }) => s)).toEqual(["chat", "other", "third"]);
    expect(world.open).toBe(1);
  });

  it("a fresh token is another request too, and is what sends sign in with", async () => {
    const { world, client, chat } = await overEvents();
    const states: string[] = [];
    client.onStatus(({ state }) => states.push(state));
    world.say({ t: "expiring", in: 30_000 });
    await world.env.advance(50);
    expect(world.attaches.map(({ hello }) => hello.token)).toEqual(["tok1", "tok2"]);
    chat.send("x");
    await world.env.advance(50);
    expect(JSON.parse(world.asides[0]?.[0] ?? "")).toMatchObject({ token: "tok2", subs: [] });
    expect(data(chat)).toEqual(["old", "x"]);
    expect(states.filter((state) => state !== "catching-up" && state !== "live")).toEqual([]);
  });

  it("a send that fails twice brings the client back, which repeats it", async () => {
    const { world, client, chat } = await overEvents();
    world.sends = "broken";
    const sending = chat.send("x");
    await world.env.advance(200);
    world.sends = "fine";
    await world.env.advance(3_000);
    expect(sending.state).toBe("sent");
    expect(client.status.state).toBe("live");
    expect(data(chat)).toEqual(["old", "x"]);
  });

  it("a quiet line that lives is left alone", async () => {
    const { world, client } = await overEvents();
    await world.env.advance(250_000);
    expect(client.status.state).toBe("live");
    expect(kinds(world)).toEqual(["events"]);
  });

  it("a line on which nothing comes any more is found out, and replaced", async () => {
    const { world, client, chat } = await overEvents();
    await world.env.advance(5_000);
    world.events = "dead";
    world.server.log("chat").append("message", "missed");
    await world.env.advance(10);
    expect(data(chat)).toEqual(["old"]);
    world.env.signal("visible");
    world.events = "fine";
    await world.env.advance(2_500);
    expect(client.status.state).toBe("live");
    expect(data(chat)).toEqual(["old", "missed"]);
  });

  it("a wake while bytes are coming costs nothing", async () => {
    const { world, client } = await overEvents();
    world.env.signal("visible");
    await world.env.advance(3_000);
    expect(client.status.state).toBe("live");
    expect(kinds(world)).toEqual(["events"]);
  });
});

describe("a line that was quiet for a while", () => {
  it("is believed if something comes while the answer is awaited", async () => {
    const { world, client } = await overEvents();
    await world.env.advance(5_000);
    world.env.signal("visible");
    await world.env.advance(20);
    world.say({ t: "ping", n: 1 });
    await world.env.advance(3_000);
    expect(client.status.state).toBe("live");
    expect(kinds(world)).toEqual(["events"]);
  });

  it("is not believed because requests beside it are answered", async () => {
    const { world, chat } = await overEvents();
    world.events = "dead";
    const stop = setIntervalOn(world, () => chat.send("x"), 3_000);
    await world.env.advance(20_000);
    world.events = "fine";
    await world.env.advance(5_000);
    stop();
    expect(data(chat).length).toBeGreaterThan(5);
    expect(kinds(world).length).toBeGreaterThan(1);
  });

  it("is to say more often once somebody looks", async () => {
    const world = new HttpWorld();
    world.socket = "refused";
    world.env.looking = false;
    world.client();
    await world.env.advance(100);
    expect(world.attaches[0]?.hello.hidden).toBe(true);
    world.say({ t: "ping", n: 1 });
    world.env.looking = true;
    world.env.signal("visible");
    await world.env.advance(50);
    expect(world.attaches.map(({ hello }) => hello.hidden)).toEqual([true, undefined]);
  });
});

describe("over polling", () => {
  it("a server that answers at once is not asked without a pause", async () => {
    const { world, client } = await overPoll();
    world.hasty = true;
    const before = world.attaches.length;
    await world.env.advance(10_000);
    expect(client.status.state).toBe("live");
    expect(world.attaches.length - before).toBeLessThan(25);
  });

  it("entries come, sends arrive, and nothing is asked for twice", async () => {
    const { world, client, chat } = await overPoll();
    const log = world.server.log("chat");
    const run = log.openRun();
    for (const d of ["a", "b", "c", "d"]) {
      log.grow(run, { p: "", d });
      await world.env.advance(37);
    }
    chat.send("mine");
    await world.env.advance(500);
    log.end(run);
    await world.env.advance(500);
    expect(data(chat)).toEqual(["old", { role: "assistant" }, "mine"]);
    expect(chat.entries[1]).toMatchObject({ text: "abcd", status: "complete" });
    expect(client.status.state).toBe("live");
    const cursors = world.attaches.slice(2).map(({ hello }) => hello.subs[0]?.cur);
    expect(cursors.every(Boolean)).toBe(true);
  });

  it.each([0, 10, 70])("messages keep their order where a limit refuses one of them: number %d", async (which) => {
    const { world, chat } = await overPoll();
    let count = 0;
    let held: number | undefined;
    // What follows in the same request is refused too; the next one is a connection of its own, and knows nothing of it.
    world.server.refuse = () => {
      if (count++ === which) held = world.asides.length;
      return held === world.asides.length ? { code: "rate_limited", after: 1_000 } : undefined;
    };
    const numbers = Array.from({ length: 150 }, (_, i) => i);
    for (const n of numbers) chat.send(n);
    await world.env.advance(5_000);
    expect(data(chat)).toEqual(["old", ...numbers]);
  });

  it("messages do not fall by the way where a signal is refused", async () => {
    const { world, chat } = await overPoll();
    let refusals = 1;
    world.server.tooMany = (frame) => (frame.t === "signal" && refusals-- > 0 ? 1_000 : undefined);
    chat.signal("typing");
    chat.send("first");
    await world.env.advance(3_000);
    chat.send("second");
    await world.env.advance(3_000);
    expect(data(chat)).toEqual(["old", "first", "second"]);
  });

  it("an idle hour is a request a beat, and stays live", async () => {
    const { world, client, chat } = await overPoll();
    const before = world.attaches.length;
    const states = new Set<string>();
    client.onStatus(({ state }) => states.add(state));
    await world.env.advance(300_000);
    expect(world.attaches.length - before).toBeLessThan(40);
    world.server.log("chat").append("message", "late");
    await world.env.advance(100);
    expect(data(chat)).toEqual(["old", "late"]);
    expect([...states].filter((state) => state !== "live" && state !== "catching-up")).toEqual([]);
  });
});

describe("the way back to WebSocket", () => {
  it("is looked for, and taken without a gap", async () => {
    const { world, client, chat } = await overEvents();
    world.server.beat = 1_000_000;
    world.socket = "fine";
    const log = world.server.log("chat");
    const keep = setIntervalOn(world, () => log.append("message", log.head), 100);
    await world.env.advance(20_000);
    keep();
    await world.env.advance(500);
    expect(world.looks.length).toBe(1);
    expect(world.looks[0]?.dropped).toBe(true);
    expect(world.open).toBe(0);
    expect(client.status.state).toBe("live");
    expect(world.env.pipe.living).toBe(true);
    expect(chat.entries.map((e) => e.offset)).toEqual(Array.from({ length: log.head }, (_, i) => i + 1));
  });

  it("is looked for less and less often while it stays blocked, and when the network changes", async () => {
    const { world } = await overPoll();
    const before = world.env.pipes.length;
    await world.env.advance(60_000);
    const looked = world.env.pipes.length - before;
    expect(looked).toBeGreaterThanOrEqual(1);
    expect(looked).toBeLessThanOrEqual(3);
    world.env.signal("network");
    await world.env.advance(10);
    world.env.signal("online");
    await world.env.advance(10);
    expect(world.env.pipes.length - before).toBe(looked + 1);
  });

  it("is not taken where the proxy opens it and swallows what is said", async () => {
    const { world, client } = await overEvents();
    world.socket = "mute";
    await world.env.advance(30_000);
    expect(client.status.state).toBe("live");
    expect(kinds(world)).toEqual(["events"]);
  });
});

describe("of two pipes of one client", () => {
  it("only the one that said hello last may attach again", () => {
    const sw = new Switch(new FakeEnv(), () => () => {});
    const [one, two] = [{}, {}];
    const first = sw.claim(one, 5);
    const second = sw.claim(two, 5);
    expect(second).toBeGreaterThan(first);
    expect(sw.renew(one)).toBeUndefined();
    expect(sw.renew(two)).toBeGreaterThan(second);
  });
});

function setIntervalOn(world: HttpWorld, run: () => void, ms: number): () => void {
  let cancel = world.env.timer(function again() {
    run();
    cancel = world.env.timer(again, ms);
  }, ms);
  return () => cancel();
}
