import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { comesBack } from "../src/connection-state.ts";
import type { Event } from "../src/connection-types.ts";
import { World } from "./world.ts";

/** A generator of numbers from 0 to 1, the same for the same seed. */
function dice(seed: number): () => number {
  let n = seed;
  return () => (n = (n * 16_807) % 2_147_483_647) / 2_147_483_647;
}

function connected(): World {
  const world = new World();
  world.take({ type: "connect" });
  world.advance(10_000);
  expect([world.state.name, world.stable.length]).toEqual(["live", 1]);
  return world;
}

/** How long until it is live again, in ms. */
function untilLive(world: World, most = 120_000): number {
  const from = world.now;
  while (world.state.name !== "live" && world.now - from < most) world.advance(10);
  expect(world.faults).toEqual([]);
  return world.now - from;
}

const percentile = (list: number[], p: number) =>
  list.sort((a, b) => a - b)[Math.ceil(list.length * p) - 1] ?? Number.NaN;
const wake = { type: "wake", certain: false, hidden: false } as const;
const certainly = { ...wake, certain: true };

describe("codes", () => {
  it.each([1000, 4500, 4502, 4503, 4504, 4505, 4999])("stays away after %i", (code) => {
    expect(comesBack(code)).toBe(false);
  });

  it.each([1001, 1006, 1011, 1012, 3000, 4000, 4400, 4402, 4499, 5000])("comes back after %i", (code) => {
    expect(comesBack(code)).toBe(true);
  });
});

describe("the guarantees, at a round trip of 100 ms, where a dial takes three", () => {
  it("a healthy link: live within a round trip, nothing dialed", () => {
    const world = connected();
    for (let i = 0; i < 50; i++) {
      world.take({ type: "hidden", linger: 300_000 });
      world.advance(3_000);
      world.take(wake);
      expect(world.state.name).toBe("doubt");
      world.advance(130);
      expect(world.state.name).toBe("live");
      world.advance(2_870);
    }
    expect([world.state.dials, world.faults]).toEqual([1, []]);
  });

  it("a link that is surely dead: a dial and one round trip, begun almost at once", () => {
    const world = connected();
    world.zombify();
    world.take(certainly);
    expect(untilLive(world)).toBeLessThanOrEqual(20 + 4 * world.rtt + 10);
    expect(world.state.dials).toBe(2);
  });

  it("a link that all speaks against, and that lives: kept, for a dial that nobody sees", () => {
    const world = connected();
    world.take(certainly);
    expect(untilLive(world)).toBeLessThanOrEqual(110);
    expect([world.state.dials, world.sockets.has(1)]).toEqual([2, true]);
  });

  it("a link that lies: the hedge and four round trips", () => {
    const world = connected();
    world.zombify();
    world.take(wake);
    expect(untilLive(world)).toBeLessThanOrEqual(180 + 4 * world.rtt + 10);
    expect(world.state.dials).toBe(2);
  });

  it("a link that was reset after it had proved itself: at once", () => {
    const world = connected();
    world.reset();
    expect(untilLive(world)).toBeLessThanOrEqual(410);
  });

  it("a path that dies in silence while somebody looks: within 12 s and the hedge", () => {
    const world = connected();
    world.zombify();
    const from = world.now;
    while (world.state.name === "live") world.advance(10);
    expect(untilLive(world)).toBeLessThanOrEqual(700);
    expect(world.now - from).toBeLessThanOrEqual(13_000);
  });

  it("first dials that fail at once after a wake: five tries in two seconds", () => {
    const world = connected();
    world.take({ type: "sleep", park: true });
    world.sleep(60_000);
    world.server = "refusing";
    world.take(wake);
    world.advance(2_000);
    expect(world.state.dials).toBeGreaterThanOrEqual(1 + 5);
    world.server = "up";
    expect(untilLive(world)).toBeLessThan(3_000);
  });

  it.each(["refusing", "silent"] as const)(
    "a server that is %s for 6 to 60 s: back soon after it, and few dials",
    (how) => {
      const times: number[] = [];
      const random = dice(42);
      for (let i = 0; i < 300; i++) {
        const world = connected();
        world.random = random;
        world.server = how;
        if (how === "refusing") world.reset();
        else world.zombify();
        world.advance(6_000 + random() * 54_000);
        // One in 30 s is beyond the budget, lest a dead gate keep everybody out.
        expect(world.failedWithin(120_000)).toBeLessThanOrEqual(8 + 1);
        world.server = "up";
        times.push(untilLive(world));
      }
      expect(percentile(times, 0.5)).toBeLessThanOrEqual(1_500);
      expect(percentile(times, 0.95)).toBeLessThanOrEqual(3_500);
    },
  );

  it("a handshake that is swallowed while somebody looks: the gate tells when it is over", () => {
    const world = connected();
    world.server = "silent";
    world.reset();
    world.advance(10_000);
    world.server = "up";
    expect(untilLive(world)).toBeLessThanOrEqual(2_000);
  });

  it("a gate that is broken holds nobody back for ever", () => {
    const world = connected();
    world.gate = "broken";
    world.server = "refusing";
    world.reset();
    world.advance(60_000);
    world.server = "up";
    expect(untilLive(world)).toBeLessThanOrEqual(33_000);
  });

  it("a gate that is broken, and a server that is gone for 8 s: back soon all the same", () => {
    const times: number[] = [];
    const random = dice(7);
    for (let i = 0; i < 300; i++) {
      const world = connected();
      world.random = random;
      world.gate = "broken";
      world.server = "refusing";
      world.reset();
      world.advance(8_000);
      world.server = "up";
      times.push(untilLive(world));
    }
    expect(percentile(times, 0.5)).toBeLessThanOrEqual(2_400);
    expect(percentile(times, 0.95)).toBeLessThanOrEqual(3_000);
    expect(percentile(times, 1)).toBeLessThanOrEqual(3_300);
  });

  it("a gate that says yes while dials fail: nobody who looks waits for two minutes", () => {
    const world = connected();
    world.gate = "open";
    world.server = "refusing";
    world.reset();
    world.advance(60_000);
    expect(world.failedWithin(120_000)).toBeLessThanOrEqual(8 + 4);
    world.server = "up";
    expect(untilLive(world)).toBeLessThanOrEqual(16_000);
  });

  it("a first round trip that took long is forgotten when a shorter one is known", () => {
    const world = new World();
    world.rtt = 400;
    world.take({ type: "connect" });
    world.advance(2_000);
    world.rtt = 100;
    world.advance(10_000);
    world.zombify();
    world.take(wake);
    expect(untilLive(world)).toBeLessThanOrEqual(180 + 4 * world.rtt + 10);
  });

  it("a connection that the browser cut while it stopped the page: a dial, and no moment lost to doubt", () => {
    const world = connected();
    world.take({ ...certainly, hidden: true });
    world.advance(3);
    world.reset();
    expect(world.state.name).toBe("dialing");
    expect(world.state.failed).toEqual([]);
  });

  it("a server that accepts and closes at once is not dialed on and on", () => {
    const world = connected();
    for (let i = 0; i < 200; i++) {
      world.advance(600);
      world.reset();
    }
    // The first one replaces a connection that was good.
    expect(world.state.dials).toBeLessThanOrEqual(1 + 1 + 8);
    expect(world.faults).toEqual([]);
  });

  it("a handshake that takes 8 s, where the gate answers at once, comes through in the end", () => {
    const world = new World();
    world.rtt = 2_600;
    world.take({ type: "connect" });
    expect(untilLive(world)).toBeLessThan(60_000);
  });

  it("a hidden page parks, and is back when it is shown", () => {
    const world = connected();
    world.take({ type: "hidden", linger: 60_000 });
    world.advance(59_900);
    expect(world.state.name).toBe("live");
    world.advance(200);
    expect(world.state.name).toBe("asleep");
    world.take({ ...wake, hidden: true });
    expect(world.state.name).toBe("asleep");
    world.take(wake);
    expect(untilLive(world)).toBeLessThanOrEqual(410);
  });

  it("a hidden page whose server is gone gives up dialing, and is back when it is shown", () => {
    const world = connected();
    world.take({ type: "hidden", linger: 60_000 });
    world.server = "refusing";
    world.reset();
    world.advance(120_000);
    expect(world.state.name).toBe("asleep");
    world.server = "up";
    world.take(wake);
    expect(untilLive(world)).toBeLessThanOrEqual(410);
  });

  it("a clock that is set back or forth costs a probe, and no connection", () => {
    for (const jump of [-7_200_000, 7_200_000]) {
      const world = connected();
      world.sleep(jump);
      world.take({ ...wake, certain: jump > 0 });
      world.advance(5_000);
      expect([world.state.name, world.sockets.has(1), world.faults]).toEqual(["live", true, []]);
    }
  });
});

describe("any life", () => {
  const ms = fc.oneof(fc.nat(200), fc.nat(5_000), fc.nat(70_000));
  const deed = fc.oneof(
    { arbitrary: fc.record({ do: fc.constant("advance" as const), ms }), weight: 6 },
    {
      arbitrary: fc.record({ do: fc.constant("sleep" as const), ms: fc.integer({ min: -100_000, max: 4_000_000 }) }),
      weight: 1,
    },
    {
      arbitrary: fc.record({
        do: fc.constant("event" as const),
        event: fc.constantFrom<Event>(
          wake,
          certainly,
          { ...wake, hidden: true },
          { type: "hidden", linger: 60_000 },
          { type: "hidden", linger: 300_000 },
          { type: "sleep", park: true },
          { type: "sleep", park: false },
          { type: "suspect" },
          { type: "sent" },
          { type: "retry" },
          { type: "connect" },
          { type: "disconnect" },
          { type: "stable" },
          { type: "gate", ok: true },
          { type: "gate", ok: false, after: 3_000 },
        ),
      }),
      weight: 5,
    },
    {
      arbitrary: fc.record({
        do: fc.constant("server" as const),
        is: fc.constantFrom("up", "up", "refusing", "silent"),
      }),
      weight: 3,
    },
    {
      arbitrary: fc.record({ do: fc.constant("gate" as const), is: fc.constantFrom("as the server", "broken") }),
      weight: 1,
    },
    {
      arbitrary: fc.record({
        do: fc.constant("token" as const),
        is: fc.constantFrom("there", "there", "late", "missing", "refused"),
      }),
      weight: 1,
    },
    { arbitrary: fc.record({ do: fc.constant("zombify" as const) }), weight: 2 },
    {
      arbitrary: fc.record({
        do: fc.constant("reset" as const),
        code: fc.constantFrom(1006, 1006, 1012, 4400, 4401, 4501, 4502, 4504),
        after: fc.option(fc.nat(5_000), { nil: undefined }),
      }),
      weight: 2,
    },
    { arbitrary: fc.record({ do: fc.constant("stale" as const), n: fc.nat(20) }), weight: 1 },
    { arbitrary: fc.record({ do: fc.constant("rtt" as const), ms: fc.constantFrom(1, 20, 100, 700) }), weight: 1 },
  );
  type Deed = typeof deed extends fc.Arbitrary<infer D> ? D : never;

  function live(world: World, it: Deed): void {
    switch (it.do) {
      case "advance":
        return world.advance(it.ms);
      case "sleep":
        return world.sleep(it.ms);
      case "event":
        return world.take(it.event);
      case "server":
        world.server = it.is as World["server"];
        // A server that is gone has no connections.
        return world.server === "refusing" ? world.reset() : undefined;
      case "gate":
        world.gate = it.is as World["gate"];
        return;
      case "token":
        world.token = it.is as World["token"];
        return;
      case "zombify":
        return world.zombify();
      case "reset":
        return world.reset(it.code, it.after);
      case "stale":
        world.take({ type: "pong", n: it.n + 1_000, rtt: 1 });
        world.take({ type: "opened", n: it.n + 1_000, single: false });
        return world.take({ type: "closed", n: it.n + 1_000, code: 4504, reason: "" });
      case "rtt":
        world.rtt = it.ms;
    }
  }

  const lives = fc.tuple(fc.array(deed, { maxLength: 120 }), fc.integer({ min: 1, max: 2_000_000_000 }));

  it("has one connection at most, dials within the budget, and ends live once the world is well", () => {
    fc.assert(
      fc.property(lives, ([deeds, seed]) => {
        const world = new World();
        world.random = dice(seed);
        world.take({ type: "connect" });
        for (const it of deeds) live(world, it);
        world.server = "up";
        world.gate = "as the server";
        world.token = "there";
        world.rtt = 100;
        // What was said before may still be under way.
        world.advance(3_000);
        const { name } = world.state;
        // A wake is what a page that is visible has had; the clock may stand anywhere, and the server may have named a time.
        world.take(name === "idle" || name === "ended" ? { type: "connect" } : wake);
        world.advance(130_000);
        if (world.state.name !== "live" || world.faults.length) {
          throw new Error(`${world.state.name}: ${world.faults.join("; ")}\n${world.log.slice(-40).join("\n")}`);
        }
      }),
      { numRuns: Number(process.env["LIVES"] ?? 2_000) },
    );
  }, 120_000);
});
