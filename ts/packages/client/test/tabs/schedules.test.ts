import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Sending } from "../../src/outbox.ts";
import { type Tab, World } from "./world.ts";

type Deed =
  | "open"
  | "open hidden"
  | "close"
  | "crash"
  | "freeze"
  | "thaw"
  | "hide"
  | "show"
  | "store"
  | "restore"
  | "deafen"
  | "cut"
  | "send"
  | "burst"
  | "refuse"
  | "append"
  | "run"
  | "end"
  | "outage";

const deeds: readonly Deed[] = [
  "open",
  "open hidden",
  "close",
  "crash",
  "freeze",
  "thaw",
  "hide",
  "hide",
  "show",
  "show",
  "store",
  "restore",
  "deafen",
  "cut",
  "send",
  "send",
  "burst",
  "burst",
  "refuse",
  "refuse",
  "append",
  "append",
  "run",
  "end",
  "outage",
];

const move = fc.record({
  deed: fc.constantFrom(...deeds),
  which: fc.nat(5),
  wait: fc.oneof(fc.nat(60), fc.nat(3_000), fc.nat(20_000)),
});

/** A tab that was alone went into the back/forward cache before it looked for the others, and stayed alone for ever. */
const forgotten = (
  [
    ["append", 0, 14184],
    ["open", 0, 50],
    ["hide", 0, 41],
    ["send", 0, 43],
    ["hide", 0, 13],
    ["deafen", 3, 986],
    ["restore", 0, 973],
    ["show", 0, 27],
    ["restore", 0, 8354],
    ["append", 0, 19720],
    ["send", 0, 1520],
    ["store", 0, 18],
    ["send", 0, 26],
    ["hide", 0, 1560],
    ["open", 0, 47],
    ["store", 4, 0],
  ] as const
).map(([deed, which, wait]) => ({ deed, which, wait }));

/** A browser to which things happen, and what has to be true of it at the end. */
class Schedule {
  readonly world: World;
  readonly #sent: { readonly tab: Tab; readonly text: string; readonly sending: Sending }[] = [];
  readonly #runs: number[] = [];
  #count = 0;
  #outages = 0;

  constructor(seed: number, kills: boolean) {
    this.world = new World(seed);
    this.world.kills = kills;
  }

  async play(moves: readonly { deed: Deed; which: number; wait: number }[]): Promise<void> {
    await this.world.open();
    for (const { deed, which, wait } of moves) {
      const { living } = this.world;
      await this.#do(deed, living[which % Math.max(1, living.length)]);
      await this.world.advance(wait);
    }
  }

  async #do(deed: Deed, tab: Tab | undefined): Promise<void> {
    const log = this.world.server.log();
    switch (deed) {
      case "open":
      case "open hidden":
        if (this.world.living.length < 6) await this.world.open({ visible: deed === "open", last: 1_000 });
        return;
      case "append":
        return void log.append("message", `m${++this.#count}`);
      case "run":
        return void this.#runs.push(log.openRun());
      case "end":
        for (const run of this.#runs) log.grow(run, { p: "", d: `f${++this.#count} ` });
        return void (this.#runs.length > 3 && log.end(this.#runs.shift() ?? 0));
      case "outage":
        // One: how long a client stays away from a server that fails again and again is another matter.
        if (this.#outages++) return;
        this.world.server.up = false;
        for (const one of this.world.living) one.cut();
        await this.world.advance(2_000);
        this.world.server.up = true;
        return;
      case "refuse":
        return void (this.world.server.refusals = 3);
      case "deafen":
        // One is enough: two that hear nobody are two alone.
        if (tab && !this.world.living.some(({ deaf }) => deaf)) tab.deaf = true;
        return;
    }
    if (tab) this.#toTab(deed, tab);
  }

  #toTab(deed: Deed, tab: Tab): void {
    const { frozen, visible } = tab;
    switch (deed) {
      case "send":
        return frozen ? undefined : this.#send(tab, 1);
      case "burst":
        return frozen ? undefined : this.#send(tab, 5);
      // A browser freezes only what nobody sees, and shows only what runs.
      case "freeze":
        return visible || frozen ? undefined : tab.freeze();
      case "thaw":
        return tab.stored ? undefined : tab.thaw();
      case "hide":
        return visible && !frozen ? tab.hide() : undefined;
      case "show":
        return visible || tab.stored ? undefined : tab.show();
      case "store":
        return frozen ? undefined : tab.store();
      case "restore":
        return tab.stored ? tab.restore() : undefined;
      case "cut":
        // Just after an outage that would be one more, to a client that has dialed in vain.
        return this.#outages ? undefined : tab.cut();
      case "close":
      case "crash":
        return tab[deed]();
    }
  }

  #send(tab: Tab, times: number): void {
    for (; times > 0; times--) {
      const text = `s${++this.#count}`;
      this.#sent.push({ tab, text, sending: tab.chat.send(text) });
    }
  }

  /** Every tab that somebody sees is live within so many ms. */
  async settle(ms: number): Promise<void> {
    await this.world.advance(ms);
    for (const tab of this.seen) expect([tab.state, tab.chat.status]).toEqual(["live", "live"]);
  }

  get seen(): Tab[] {
    return this.world.living.filter(({ visible, frozen }) => visible && !frozen);
  }

  check(): void {
    const log = this.world.server.log();
    const all = log.entries.map(({ item }) => item.data);
    for (const tab of this.seen) {
      expect(tab.data).toEqual(all);
      for (const entry of tab.chat.entries) {
        const fragments = log.entries[entry.offset - 1]?.run?.fragments ?? [];
        const text = fragments.map((f) => ("d" in f ? f.d : "")).join("");
        if (entry.kind === "run") expect([entry.text, entry.fragments]).toEqual([text, fragments.length]);
      }
    }
    this.#checkSends(all);
    this.#checkPeace();
  }

  /** What a tab that lives has sent is there once; what a tab sent that is gone, at most once. */
  #checkSends(all: readonly unknown[]): void {
    for (const { tab, text, sending } of this.#sent) {
      const times = all.filter((data) => data === text).length;
      expect(times).toBeLessThanOrEqual(1);
      if (this.seen.includes(tab)) expect([text, times, sending.state]).toEqual([text, 1, "sent"]);
    }
    // In the order in which each tab sent them.
    for (const tab of this.world.tabs) {
      const mine = this.#sent.filter((one) => one.tab === tab).map(({ text }) => all.indexOf(text));
      const arrived = mine.filter((at) => at >= 0);
      expect(arrived).toEqual([...arrived].sort((a, b) => a - b));
    }
  }

  /** Of the client that all tabs are, the server lets one live; and nobody takes over more often than allowed. */
  #checkPeace(): void {
    const { server, steals } = this.world;
    for (const conn of server.attached) {
      expect(server.attached.filter(({ hello }) => hello?.client === conn.hello?.client)).toEqual([conn]);
    }
    for (const tab of this.world.tabs) {
      const at = steals.filter((steal) => steal.tab === tab).map((steal) => steal.at);
      for (const [i, time] of at.entries()) {
        expect(time - (at[i - 1] ?? 0)).toBeGreaterThanOrEqual(10_000);
        expect(time - (at[i - 3] ?? 0)).toBeGreaterThanOrEqual(60_000);
      }
    }
  }
}

describe("whatever happens to the tabs", () => {
  it("each one that is seen is live soon, and has everything once and in order", async () => {
    const runs = Number(process.env["SCHEDULES"] ?? 60);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1e9 }),
        fc.boolean(),
        fc.array(move, { maxLength: 40, size: "max" }),
        async (seed, kills, moves) => {
          const schedule = new Schedule(seed, kills);
          await schedule.play(moves);
          await schedule.settle(8_000);
          // What is sent when all is quiet is with everybody in a moment.
          schedule.world.server.log().append("message", "last");
          await schedule.world.advance(1_500);
          schedule.check();
        },
      ),
      { numRuns: runs },
    );
  }, 120_000);

  it("and once it is quiet, those that hear each other have one connection", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 1e9 }),
        fc.boolean(),
        fc.array(move, { maxLength: 25, size: "max" }),
        async (seed, kills, moves) => {
          const schedule = new Schedule(seed, kills);
          await schedule.play(moves);
          for (const tab of schedule.world.living) {
            tab.deaf = false;
            if (tab.stored) tab.restore();
            else tab.show();
          }
          await schedule.world.advance(90_000);
          if (!schedule.world.living.length) return;
          expect(schedule.world.server.attached.length).toBe(1);
          const before = schedule.world.server.attaches;
          await schedule.world.advance(60_000);
          expect(schedule.world.server.attaches).toBe(before);
          schedule.check();
        },
      ),
      { numRuns: Number(process.env["SCHEDULES"] ?? 30), examples: [[1, false, forgotten]] },
    );
  }, 120_000);
});
