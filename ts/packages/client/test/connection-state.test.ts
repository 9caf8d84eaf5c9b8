import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { comesBack, deadline, type Effect, type Event, INITIAL, type State, step } from "../src/connection-state.ts";

const T0 = 1_790_000_000_000;
type Awake = Exclude<State["name"], "asleep">;
const NAMES = ["idle", "authorizing", "dialing", "attaching", "live", "doubt", "waiting", "ended"] as const;
const EVENTS: { readonly [E in Event["type"]]: Extract<Event, { type: E }> } = {
  connect: { type: "connect" },
  disconnect: { type: "disconnect" },
  retry: { type: "retry" },
  wake: { type: "wake" },
  suspect: { type: "suspect" },
  authorized: { type: "authorized" },
  unauthorized: { type: "unauthorized", terminal: false, reason: "no" },
  opened: { type: "opened" },
  welcomed: { type: "welcomed", beat: 25_000, rtt: 40 },
  heard: { type: "heard" },
  pong: { type: "pong", rtt: 40 },
  sent: { type: "sent" },
  closed: { type: "closed", code: 1006, reason: "" },
  timer: { type: "timer" },
};

/** A machine with a clock, in the state of that name. */
class Machine {
  state: State = INITIAL;
  now = T0;
  random = 0.5;
  effects: readonly Effect[] = [];

  constructor(name: Awake = "idle") {
    const way: { readonly [S in Awake]: readonly Event[] } = {
      idle: [],
      authorizing: [EVENTS.connect],
      dialing: [EVENTS.connect, EVENTS.authorized],
      attaching: [EVENTS.connect, EVENTS.authorized, EVENTS.opened],
      live: [EVENTS.connect, EVENTS.authorized, EVENTS.opened, EVENTS.welcomed],
      doubt: [EVENTS.connect, EVENTS.authorized, EVENTS.opened, EVENTS.welcomed, EVENTS.suspect],
      waiting: [EVENTS.connect, EVENTS.unauthorized],
      ended: [EVENTS.connect, EVENTS.authorized, EVENTS.opened, { type: "closed", code: 4504, reason: "kicked" }],
    };
    for (const event of way[name]) this.take(event);
    expect(this.state.name).toBe(name);
  }

  take(event: Event, after = 0): this {
    this.now += after;
    const { state, effects } = step(this.state, event, { now: this.now, random: this.random });
    this.state = state;
    this.effects = effects;
    return this;
  }

  /** Lets the deadline pass. */
  expire(): this {
    this.now = Math.max(this.now, deadline(this.state) ?? Number.NaN);
    return this.take(EVENTS.timer);
  }

  failDial(): this {
    return this.take(EVENTS.authorized).take(EVENTS.closed);
  }

  get did(): string {
    return this.effects.map((e) => e.type).join(" ");
  }

  get pause(): number {
    return (deadline(this.state) ?? Number.NaN) - this.now;
  }
}

/** What becomes of each state on each event; where nothing is said, the state stays and nothing is done. */
const EXPECTED: { readonly [S in Awake]: { readonly [E in Event["type"]]?: string } } = {
  idle: { connect: "authorizing: authorize", retry: "authorizing: authorize" },
  authorizing: { disconnect: "idle:", authorized: "dialing: dial", unauthorized: "waiting:" },
  dialing: { disconnect: "idle: drop", opened: "attaching: hello", closed: "waiting: drop" },
  attaching: { disconnect: "idle: drop", welcomed: "live:", closed: "waiting: drop" },
  live: {
    disconnect: "idle: drop",
    retry: "doubt: ping",
    wake: "doubt: ping",
    suspect: "doubt: ping",
    closed: "waiting: drop",
  },
  doubt: { disconnect: "idle: drop", pong: "live:", closed: "waiting: drop" },
  waiting: {
    disconnect: "idle:",
    connect: "authorizing: authorize",
    retry: "authorizing: authorize",
    wake: "authorizing: authorize",
  },
  ended: { disconnect: "idle:", connect: "authorizing: authorize", retry: "authorizing: authorize" },
};

describe.each(NAMES)("in state %s", (name) => {
  it.each(Object.values(EVENTS).filter((e) => e.type !== "timer"))("$type", (event) => {
    const m = new Machine(name).take(event);
    expect(`${m.state.name}: ${m.did}`.trim()).toBe(EXPECTED[name][event.type] ?? `${name}:`);
  });
});

describe("deadlines", () => {
  it.each([
    ["authorizing", "waiting", ""],
    ["dialing", "waiting", "drop"],
    ["attaching", "waiting", "drop"],
    ["live", "live", "ping"],
    ["doubt", "authorizing", "drop authorize"],
    ["waiting", "authorizing", "authorize"],
  ] as const)("%s ends in %s", (from, to, did) => {
    const m = new Machine(from).expire();
    expect([m.state.name, m.did]).toEqual([to, did]);
  });

  it("a dial has 4 s, and more after failures, up to 10", () => {
    const m = new Machine("dialing");
    const given = [m.pause];
    for (let i = 0; i < 4; i++) given.push(m.take(EVENTS.closed).expire().take(EVENTS.authorized).pause);
    expect(given).toEqual([4_000, 6_000, 9_000, 10_000, 10_000]);
  });

  it("silence beyond 1.2 beats is probed, and a probe has 1 to 2 s", () => {
    const m = new Machine("live").take(EVENTS.sent, 20_000).expire();
    expect([m.state.name, m.did, m.now - T0]).toEqual(["doubt", "ping", 30_000]);
    expect(m.pause).toBe(1_000);
    const slow = new Machine("attaching").take({ type: "welcomed", beat: 25_000, rtt: 900 }).take(EVENTS.suspect);
    expect(slow.pause).toBe(2_000);
  });

  it("whoever was silent for a beat pings", () => {
    const m = new Machine("live").take(EVENTS.heard, 20_000).expire();
    expect([m.state.name, m.did, m.now - T0]).toEqual(["live", "ping", 25_000]);
    expect(m.pause).toBe(25_000);
  });

  it("frames prolong the doubt, only the pong ends it", () => {
    const m = new Machine("doubt").take(EVENTS.heard, 900);
    expect([m.state.name, m.pause]).toEqual(["doubt", 1_000]);
    expect(m.take(EVENTS.pong, 900).state.name).toBe("live");
  });
});

describe("coming back", () => {
  it("is immediate after a connection that lived 5 s, and not after a shorter one", () => {
    expect(new Machine("live").take(EVENTS.closed, 5_000).did).toBe("drop authorize");
    expect(new Machine("live").take(EVENTS.closed, 4_999).state.name).toBe("waiting");
  });

  it("backs off with full jitter under caps of 3, 8 and 20 s", () => {
    const m = new Machine("dialing");
    m.random = 1;
    const pauses: number[] = [];
    // Dials are 20 s apart, so that the budget does not matter here.
    for (let i = 0; i < 25; i++) {
      m.take(EVENTS.closed);
      pauses.push(m.pause);
      m.now += 20_000;
      m.take(EVENTS.timer).take(EVENTS.authorized);
    }
    expect(pauses.slice(0, 7)).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    expect(pauses.at(-1)).toBe(20_000);
    const early = new Machine("dialing");
    early.random = 1;
    for (let i = 0; i < 5; i++) early.take(EVENTS.closed).expire().take(EVENTS.authorized);
    expect(early.take(EVENTS.closed).pause).toBe(3_000);
    early.random = 0;
    expect(early.expire().take(EVENTS.authorized).take(EVENTS.closed).pause).toBe(0);
  });

  it("a connection that closes at once again and again does not reset the backoff", () => {
    const m = new Machine("live");
    for (let i = 0; i < 6; i++) {
      m.take(EVENTS.closed, 1_000).expire();
      m.take(EVENTS.authorized).take(EVENTS.opened).take(EVENTS.welcomed);
    }
    expect(m.state.memory.attempts).toBe(6);
    m.take(EVENTS.closed, 6_000);
    expect(m.state.memory.attempts).toBe(0);
  });

  it("spends at most 8 failed dials in a hurry, then one per 15 s", () => {
    const m = new Machine("dialing");
    m.random = 0;
    const times: number[] = [];
    for (let i = 0; i < 16; i++) {
      times.push((m.now - T0) / 1_000);
      m.take(EVENTS.closed).expire().take(EVENTS.authorized);
    }
    expect(times[7]).toBe(0);
    expect(times.slice(8)).toEqual([15, 30, 45, 60, 75, 90, 105, 120]);
  });

  it("each dial has its own number", () => {
    const m = new Machine("authorizing");
    const numbers: number[] = [];
    for (let i = 0; i < 3; i++) {
      m.take(EVENTS.authorized);
      numbers.push(...m.effects.map((e) => (e.type === "dial" ? e.n : -1)));
      m.take(EVENTS.closed).expire();
    }
    expect(numbers).toEqual([1, 2, 3]);
  });

  it("obeys after and spread", () => {
    const bye = { type: "closed", code: 1012, reason: "restart", after: 500, spread: 4_000 } as const;
    const m = new Machine("live").take(bye, 10_000);
    expect([m.state.name, m.pause]).toEqual(["waiting", 2_500]);
    const overload = new Machine("attaching").take({ ...bye, code: 1013, after: 9_000, spread: 0 });
    expect(overload.pause).toBe(9_000);
  });

  it.each([1000, 4500, 4502, 4503, 4504, 4505, 4999])("stays away after %i", (code) => {
    const m = new Machine("live").take({ type: "closed", code, reason: "so be it" }, 9_000);
    expect(m.state).toMatchObject({ name: "ended", code, reason: "so be it" });
    expect(m.take(EVENTS.wake).state.name).toBe("ended");
    expect(comesBack(code)).toBe(false);
  });

  it.each([1001, 1006, 1011, 1012, 3000, 4000, 4400, 4402, 4499, 5000])("comes back after %i", (code) => {
    expect(new Machine("live").take({ type: "closed", code, reason: "" }, 9_000).state.name).toBe("authorizing");
  });

  it("a refused token is replaced once", () => {
    const refused = { type: "closed", code: 4501, reason: "expired" } as const;
    const m = new Machine("attaching").take(refused);
    expect(m.effects).toEqual([
      { type: "drop", bye: false },
      { type: "authorize", fresh: true },
    ]);
    m.take(EVENTS.authorized).take(EVENTS.opened).take(refused);
    expect(m.state).toMatchObject({ name: "ended", code: 4501 });
    const again = m.take(EVENTS.connect).take(EVENTS.authorized).take(EVENTS.opened).take(EVENTS.welcomed);
    expect(again.take(refused, 9_000).state.name).toBe("authorizing");
  });

  it("an expired token is replaced at once", () => {
    const m = new Machine("live").take({ type: "closed", code: 4401, reason: "expired" }, 9_000);
    expect(m.effects).toContainEqual({ type: "authorize", fresh: true });
  });

  it("without any token it ends, or tries again, as the application says", () => {
    expect(new Machine("authorizing").take({ ...EVENTS.unauthorized, terminal: true }).state).toMatchObject({
      name: "ended",
      code: 4501,
    });
    expect(new Machine("authorizing").take(EVENTS.unauthorized).pause).toBe(125);
  });
});

describe("waking", () => {
  it("gives up a dial that was begun before, but not a young one", () => {
    expect(new Machine("dialing").take(EVENTS.wake, 999).did).toBe("");
    expect(new Machine("dialing").take(EVENTS.wake, 1_000).did).toBe("drop authorize");
    expect(new Machine("attaching").take(EVENTS.wake, 3_000).did).toBe("drop authorize");
  });

  it("makes nothing of a clock that was set back", () => {
    for (const name of ["dialing", "authorizing", "doubt", "live", "waiting"] as const) {
      const m = new Machine(name).take(EVENTS.wake, -7_200_000);
      expect(m.pause).toBeLessThan(30_000);
    }
  });

  it("takes failures at once for a radio that is not up yet", () => {
    const m = new Machine("waiting").take(EVENTS.wake);
    m.random = 1;
    const pauses: number[] = [];
    for (let i = 0; i < 5; i++) {
      m.take(EVENTS.authorized).take(EVENTS.closed, 10);
      pauses.push(m.pause);
      m.expire();
    }
    expect(pauses).toEqual([30, 100, 250, 500, 1_000]);
    expect(m.take(EVENTS.authorized).take(EVENTS.closed, 10).pause).toBe(250);
  });

  it("again and again, with a server that is down, does not burn the budget", () => {
    const m = new Machine("dialing");
    m.random = 0;
    for (let i = 0; i < 12; i++) m.failDial().expire();
    m.failDial();
    expect(m.take(EVENTS.wake, 100).state.name).toBe("waiting");
    expect(m.pause).toBe(1_900);
    expect(m.take(EVENTS.retry).state.name).toBe("authorizing");
  });
});

describe("any sequence of events", () => {
  const events = fc.oneof(
    fc.constantFrom(...Object.values(EVENTS)),
    fc.constantFrom(EVENTS.timer, EVENTS.authorized, EVENTS.opened, EVENTS.welcomed),
    fc.record({
      type: fc.constant("closed" as const),
      code: fc.constantFrom(1000, 1006, 1012, 4401, 4501, 4502, 4404),
      reason: fc.constant(""),
    }),
  );
  const sequence = fc.array(
    fc.record({ event: events, after: fc.nat(40_000), random: fc.double({ min: 0, max: 1, noNaN: true }) }),
    {
      maxLength: 200,
    },
  );

  it("never has two sockets, answers every effect, and is never stuck", () => {
    fc.assert(
      fc.property(sequence, (list) => {
        const m = new Machine();
        let sockets = 0;
        for (const { event, after, random } of list) {
          m.random = random;
          // The timer comes when it is due, and events of a socket while there is one.
          const ofSocket = ["opened", "welcomed", "heard", "pong", "closed"].includes(event.type);
          if (ofSocket && sockets === 0) continue;
          if (event.type === "timer") {
            if (deadline(m.state) === undefined) continue;
            m.expire();
          } else m.take(event, after);
          for (const effect of m.effects) {
            if (effect.type === "drop") sockets--;
            if (effect.type === "dial") sockets++;
            expect(sockets).toBeLessThanOrEqual(1);
          }
          const { name } = m.state;
          const linked = name === "dialing" || name === "attaching" || name === "live" || name === "doubt";
          sockets = Math.max(0, sockets);
          expect(sockets).toBe(linked ? 1 : 0);
          const due = deadline(m.state);
          if (name === "idle" || name === "ended") expect(due).toBeUndefined();
          else expect(due).toBeLessThanOrEqual(m.now + 30_000);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("leads back to live, from wherever, once the world is well", () => {
    fc.assert(
      fc.property(sequence, (list) => {
        const m = new Machine();
        for (const { event, after, random } of list) {
          m.random = random;
          m.take(event, after);
        }
        m.take(EVENTS.connect);
        for (let i = 0; i < 4 && m.state.name !== "live"; i++) {
          if (m.state.name === "waiting") m.expire();
          m.take(EVENTS.authorized).take(EVENTS.opened).take(EVENTS.welcomed).take(EVENTS.pong);
        }
        expect(m.state.name).toBe("live");
      }),
      { numRuns: 1000 },
    );
  });
});
