import { describe, expect, it } from "vitest";
import { connected, env, make, server, texts } from "./stage.ts";

describe("a page that comes and goes", () => {
  const seen = () => (env.looking = true);
  const hide = () => (env.looking = false);

  it("says so, and asks whether the link lives when it is back", async () => {
    const client = await connected();
    hide();
    env.signal("hidden");
    await env.advance(10_000);
    seen();
    env.signal("visible");
    await env.advance(100);
    expect(server.of("view")).toEqual([
      { t: "view", hidden: true },
      { t: "view", hidden: false },
    ]);
    expect(server.of("ping").length).toBeGreaterThan(0);
    expect([client.status.state, env.pipes.length]).toEqual(["live", 1]);
  });

  it("lets a second connection stand by, which takes over and goes on where the first was", async () => {
    const client = await connected();
    const chat = client.session("chat");
    const log = server.log("chat");
    log.append("message", 1);
    await env.advance(10_000);
    env.pipe.onSend = () => {};
    hide();
    env.signal("hidden");
    log.append("message", 2);
    await env.advance(3_000);
    const [first] = env.pipes;
    seen();
    env.signal("visible");
    await env.advance(10);
    // It still says something, but does not answer.
    log.append("message", 3);
    await env.advance(10);
    if (first) first.events.message = () => {};
    log.append("message", 4);
    await env.advance(50);
    expect(server.of("hello").at(-1)).toMatchObject({ mode: "standby", subs: [] });
    expect(server.of("take")).toMatchObject([{ subs: [{ s: "chat", cur: { o: 3 } }] }]);
    expect([client.status.state, texts(chat.entries), first?.dropped]).toEqual(["live", [1, 2, 3, 4], true]);
    expect(server.gens).toEqual([...server.gens].sort((a, b) => a - b));
  });

  it("says everything at once on the second, where the first has not said a word", async () => {
    const client = await connected();
    await env.advance(10_000);
    env.pipe.onSend = () => {};
    env.signal("visible");
    await env.advance(70);
    expect(server.of("hello").map(({ mode }) => mode)).toEqual([undefined, undefined]);
    expect([client.status.state, env.pipes.map((p) => p.living)]).toEqual(["live", [false, true]]);
  });

  it("tells in hello that nobody looks, and keeps the longer silence", async () => {
    hide();
    const client = make();
    client.connect();
    await env.settle();
    expect(server.of("hello")).toMatchObject([{ hidden: true }]);
    // One after 5 s or so, when nothing loads any more: that round trip can be relied on.
    await env.advance(24_000);
    expect(server.of("ping")).toHaveLength(1);
    await env.advance(7_000);
    expect(server.of("ping")).toHaveLength(2);
  });

  it.each([
    [true, 60_000],
    [false, 300_000],
  ])("lets go after a while (mobile: %s), and comes back when it is shown", async (mobile, linger) => {
    env.mobile = mobile;
    const client = await connected();
    hide();
    env.signal("hidden");
    await env.advance(linger - 1_000);
    expect(client.status.state).toBe("live");
    await env.advance(2_000);
    expect([client.status.state, env.pipe.dropped]).toEqual(["asleep", true]);
    expect(server.of("bye")).toEqual([{ t: "bye", park: true }]);
    seen();
    env.signal("visible");
    await env.settle();
    expect(client.status.state).toBe("live");
  });

  it("closes within the event that puts it into the back/forward cache", async () => {
    const client = await connected();
    env.signal("stored");
    expect([env.pipe.dropped, server.of("bye")]).toEqual([true, [{ t: "bye", park: true }]]);
    env.sleep(30_000);
    env.signal("restored");
    await env.settle();
    expect(client.status.state).toBe("live");
    env.signal("leaving");
    expect(server.of("bye").at(-1)).toEqual({ t: "bye" });
  });

  it("dials a moment after it was stopped, and keeps what still lives", async () => {
    const client = await connected();
    const first = env.pipe;
    const { onSend } = first;
    let ping = "";
    env.sleep(20_000);
    first.onSend = (text) => (ping = text);
    env.signal("resumed");
    await env.advance(19);
    expect(env.pipes).toHaveLength(1);
    // A dial that hangs.
    env.onDial = () => {};
    await env.advance(1);
    expect(env.pipes).toHaveLength(2);
    onSend(ping);
    await env.advance(100);
    expect([client.status.state, env.pipes.map((p) => p.living)]).toEqual(["live", [true, false]]);
    expect(server.of("take")).toHaveLength(0);
  });

  it("dials with hello, where the browser says at once that it has cut the connection", async () => {
    env.greets = true;
    const client = await connected();
    env.sleep(20_000);
    env.signal("resumed");
    env.pipe.events.closed(1006, "");
    expect([client.status.state, env.pipes.length]).toEqual(["connecting", 2]);
    expect(env.pipe.sent.map((text) => JSON.parse(text) as object)).toMatchObject([{ t: "hello", subs: [] }]);
    await env.settle();
    expect([client.status.state, env.pipes.length]).toEqual(["live", 2]);
  });

  it("takes a network that came back, another network, and a phone's pocket for as grave", async () => {
    await connected();
    const dialed = async (signal: () => void) => {
      const before = env.pipes.length;
      await env.advance(6_000);
      env.pipe.onSend = () => {};
      signal();
      await env.advance(30);
      const now = env.pipes.length - before;
      await env.advance(2_000);
      return now;
    };
    expect(await dialed(() => env.signal("online"))).toBe(0);
    env.signal("offline");
    expect(await dialed(() => env.signal("online"))).toBe(1);
    expect(await dialed(() => env.signal("network"))).toBe(1);
    env.mobile = true;
    env.signal("hidden");
    expect(await dialed(() => env.signal("visible"))).toBe(1);
    expect(await dialed(() => env.signal("focus"))).toBe(0);
  });
});

describe("an outage", () => {
  it("is waited out at the gate, with few dials", async () => {
    const client = await connected();
    await env.advance(10_000);
    const before = env.pipes.length;
    server.down();
    await env.advance(40_000);
    expect(env.pipes.length - before).toBeLessThanOrEqual(8);
    expect(env.fetches.length).toBeGreaterThan(10);
    expect(env.fetches[0]).toMatchObject({ url: "https://host/v1/ws/ready", request: { method: "GET" } });
    server.back();
    await env.advance(3_000);
    expect(client.status.state).toBe("live");
  });

  it("in which the gate is wrong about dials is over as soon as somebody comes back, and two minutes after it at the latest", async () => {
    for (const woken of [false, true]) {
      const client = await connected();
      await env.advance(10_000);
      server.down();
      server.up = true;
      await env.advance(50_000);
      expect(client.status.state).toBe("offline");
      server.back();
      if (woken) env.signal("visible");
      await env.advance(woken ? 1_000 : 121_000);
      expect([woken, client.status.state]).toEqual([woken, "live"]);
      client.close();
      await env.advance(200_000);
    }
  });

  it("does not call a closed connection good before all is there", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    server.say({ t: "sub", s: "chat", outcome: "snapshot", e: "e", from: 5, head: 7, more: true });
    await env.advance(9_000);
    expect(chat.status).toBe("catching-up");
    env.pipe.end();
    expect(client.status.state).toBe("offline");
  });
});

describe("a hello that goes with the dial", () => {
  it("saves the round trip of the open socket, and is said once", async () => {
    const client = await connected();
    const chat = client.session("chat");
    server.log("chat").append("message", 1);
    await env.advance(10_000);
    server.frames.length = 0;
    env.pipe.end();
    expect(env.pipe.greeted).toBe(true);
    expect(server.of("hello")).toMatchObject([{ subs: [{ s: "chat", cur: { o: 1 } }] }]);
    await env.settle();
    expect([client.status.state, server.of("hello").length, texts(chat.snapshot.entries)]).toEqual(["live", 1, [1]]);
  });

  it("is said in the open socket where the pipe did not take it along", async () => {
    const client = await connected();
    await env.advance(10_000);
    env.greets = false;
    env.pipe.end();
    await env.settle();
    expect([client.status.state, env.pipe.greeted, server.of("hello").length]).toEqual(["live", false, 2]);
  });

  it("does not hide what has changed by the time the socket opens", async () => {
    const client = await connected();
    await env.advance(10_000);
    env.pipe.end();
    const chat = client.session("chat");
    env.looking = false;
    env.signal("hidden");
    await env.settle();
    expect(server.of("view")).toEqual([{ t: "view", hidden: true }]);
    expect([chat.status, client.status.state, server.of("sub").length]).toEqual(["live", "live", 1]);
  });

  it("fails with the dial, and the next one says it anew", async () => {
    const client = await connected();
    const [first] = server.of("hello");
    await env.advance(10_000);
    server.down();
    await env.advance(100);
    server.back();
    await env.advance(5_000);
    const last = server.of("hello").at(-1);
    expect(client.status.state).toBe("live");
    expect(last?.gen).toBeGreaterThan(first?.gen ?? 0);
  });
});
