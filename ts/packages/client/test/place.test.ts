import { describe, expect, it } from "vitest";
import { claim, placeOf, thisDevice } from "../src/index.ts";
import { connected, env, make, server } from "./stage.ts";
import { type Tab, World } from "./tabs/world.ts";

const OTHERS = [
  { c: "c9", name: "Firefox on Android", since: 17 },
  { c: "c8", same: true, since: 16 },
];
const acts = () => server.of("hello").map(({ act }) => act);

describe("acts of the user", () => {
  it("are said once: coming back after an outage is none", async () => {
    const client = await connected();
    env.pipe.end();
    await env.advance(10_000);
    expect(client.status.state).toBe("live");
    expect(acts()).toEqual(["open", undefined]);
  });

  it("are said until they are answered", async () => {
    server.down();
    const client = make();
    client.connect();
    await env.advance(5_000);
    server.back();
    await env.advance(20_000);
    expect(client.status.state).toBe("live");
    expect(acts()).toEqual(["open"]);
  });

  it("connect() of a client that is connected is none", async () => {
    const client = await connected();
    client.connect();
    env.pipe.end();
    await env.advance(10_000);
    expect(acts()).toEqual(["open", undefined]);
  });

  it("opening a session is one, and asking for it again is none", async () => {
    const client = await connected();
    client.session("a");
    await env.settle();
    env.pipe.end();
    await env.advance(10_000);
    expect(server.of("sub").map(({ act }) => act)).toEqual(["open"]);
    expect(server.of("hello")[1]?.subs[0]).not.toHaveProperty("act");
  });
});

describe("a window that loses its place", () => {
  it("says where the user went, stays away, and takes it back when told to", async () => {
    const client = await connected();
    const states: string[] = [];
    client.onStatus(({ state }) => states.push(state));
    server.say({ t: "windows", mode: "elsewhere", others: OTHERS });
    server.say({ t: "bye", code: 4506, reason: "continued in another window" });
    await env.advance(600_000);
    expect(client.status).toMatchObject({ state: "ended", code: 4506 });
    expect(placeOf(client)).toEqual({
      mode: "elsewhere",
      others: [
        { client: "c9", name: "Firefox on Android", sameDevice: false, since: 17 },
        { client: "c8", name: "", sameDevice: true, since: 16 },
      ],
    });
    expect(server.of("hello")).toHaveLength(1);
    claim(client);
    await env.settle();
    expect(acts()).toEqual(["open", "claim"]);
    expect(client.status.state).toBe("live");
    expect(placeOf(client)).toEqual({ mode: "full", others: [] });
  });

  it("keeps its client id: it is the same window", async () => {
    const client = await connected();
    const { clientId } = client;
    server.say({ t: "bye", code: 4506 });
    await env.settle();
    claim(client);
    await env.settle();
    expect(client.clientId).toBe(clientId);
  });

  it("does not fight, whatever happens to the page", async () => {
    const client = await connected();
    server.say({ t: "bye", code: 4506 });
    for (const signal of ["hidden", "visible", "online", "focus", "network", "resumed"] as const) {
      env.signal(signal);
      await env.advance(60_000);
    }
    expect(client.status.state).toBe("ended");
    expect(env.pipes).toHaveLength(1);
  });
});

describe("a window that reads only", () => {
  it("changes places on the connection that it has", async () => {
    const client = await connected();
    let told = 0;
    client.onStatus(() => told++);
    server.say({ t: "windows", mode: "read_only", others: OTHERS });
    await env.settle();
    expect([told, placeOf(client).mode, client.status.state]).toEqual([1, "read_only", "live"]);
    claim(client);
    expect(server.of("claim")).toHaveLength(1);
    server.say({ t: "windows", mode: "full", others: OTHERS });
    await env.settle();
    expect([told, placeOf(client).mode]).toEqual([2, "full"]);
    expect(env.pipes).toHaveLength(1);
  });

  it("learns with each connection anew how it stands", async () => {
    const client = await connected();
    server.say({ t: "windows", mode: "read_only", others: [] });
    env.pipe.end();
    await env.advance(10_000);
    expect([client.status.state, placeOf(client).mode]).toEqual(["live", "full"]);
  });
});

describe("a session of which only one window may be at work", () => {
  it("is denied in the other, which may take it back", async () => {
    const client = await connected();
    const chat = client.session("chat");
    await env.settle();
    server.say({ t: "windows", s: "chat", mode: "elsewhere", others: OTHERS });
    server.say({ t: "sub", s: "chat", outcome: "denied", code: "conflict", msg: "continued in another window" });
    await env.settle();
    expect([chat.status, chat.error?.code, placeOf(chat).mode, placeOf(client).mode]).toEqual([
      "denied",
      "conflict",
      "elsewhere",
      "full",
    ]);
    claim(chat);
    await env.settle();
    expect(server.of("sub").map(({ act }) => act)).toEqual(["open", "claim"]);
    expect(chat.status).toBe("live");
  });
});

describe("what a window says of itself", () => {
  it("goes with hello", async () => {
    await connected({ place: { device: "d1", name: "Laptop", windows: true } });
    expect(server.of("hello")[0]).toMatchObject({ device: "d1", name: "Laptop", windows: true });
  });

  it("is one device in all windows of a browser, where there is one", () => {
    const { name, device } = thisDevice();
    expect(name).not.toBe("");
    expect(device.length).toBeGreaterThan(8);
  });
});

describe("tabs that share a connection", () => {
  const said = (world: World) => [...world.server.conns].map(({ hello }) => hello?.act);

  async function two(): Promise<{ world: World; all: Tab[] }> {
    const world = new World();
    const all = [await world.open()];
    await world.advance(500);
    all.push(await world.open());
    await world.advance(500);
    return { world, all };
  }

  it("are one window to the server, and lose and take their place together", async () => {
    const { world, all } = await two();
    expect(said(world)).toEqual(["open"]);
    world.server.attached[0]?.say({ t: "windows", mode: "elsewhere", others: OTHERS });
    world.server.attached[0]?.end(4506, "continued in another window");
    await world.advance(60_000);
    for (const { client } of all) {
      expect(client.status).toMatchObject({ state: "ended", code: 4506 });
      expect(placeOf(client).mode).toBe("elsewhere");
    }
    expect(world.server.attaches).toBe(1);
    claim((all[1] as Tab).client);
    await world.advance(2_000);
    expect(all.map((tab) => [tab.state, placeOf(tab.client).mode])).toEqual(Array(2).fill(["live", "full"]));
    expect(said(world)).toEqual(["open", "claim"]);
  });

  it("take no place by changing their leader", async () => {
    const { world, all } = await two();
    all[0]?.close();
    await world.advance(3_000);
    expect(all[1]?.state).toBe("live");
    expect(said(world)).toEqual(["open", undefined]);
  });
});
