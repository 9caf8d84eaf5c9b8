import type { Case } from "./case.ts";

/** The page was in the background. */
export const hidden: readonly Case[] = [
  {
    id: 1,
    title: "hidden 10 s, line fine, shown",
    target: 130,
    dials: 0,
    peers: true,
    async run(s) {
      await s.hide();
      await s.wait(10_000);
      return s.back(await s.show());
    },
  },
  {
    id: 2,
    title: "hidden and shown 50 times, line fine; no reconnect",
    target: 130,
    scaled: "half a second each instead of three",
    async run(s) {
      const before = await s.page.report();
      const figures: number[] = [];
      for (let i = 0; i < 50; i++) {
        await s.hide();
        await s.wait(500);
        figures.push(await s.back(await s.show()));
        await s.wait(500);
      }
      const after = await s.page.report();
      s.expect(after.statuses.length === before.statuses.length, "the status never changed");
      s.expect(after.dials[0]?.closed === undefined, "the connection is the one it was");
      // A late answer makes the client dial beside the connection that it has; it must give that up.
      s.note(`${after.dials.length - before.dials.length} dials beside it`);
      return figures.sort((a, b) => a - b)[47];
    },
  },
  {
    id: 3,
    title: "hidden 10 s, path dead, shown",
    target: 450,
    dials: 1,
    peers: true,
    async run(s) {
      await s.hide();
      s.proxy.zombify();
      await s.wait(10_000);
      return s.back(await s.show());
    },
  },
  {
    id: 4,
    title: "hidden 3 min with timers once a minute, path dead from 5 s on, shown",
    target: 450,
    dials: 1,
    scaled: "90 s; timers are slowed down after 60",
    async run(s) {
      await s.hide();
      await s.wait(5_000);
      s.proxy.zombify();
      await s.wait(85_000);
      return s.back(await s.show());
    },
  },
  {
    id: 22,
    title: "server down 60 s while hidden, back, shown",
    target: 250,
    scaled: "30 s",
    async run(s) {
      await s.hide();
      s.proxy.refuse();
      await s.wait(30_000);
      await s.proxy.accept();
      await s.wait(200);
      return s.back(await s.show());
    },
  },
  {
    id: 44,
    title: "three sessions on one connection, hidden, path dead, shown",
    target: 450,
    dials: 1,
    setup: { sessions: ["one", "two", "three"], rate: 10 },
    async run(s) {
      await s.hide();
      s.proxy.zombify();
      await s.wait(10_000);
      const event = await s.show();
      const all = await Promise.all(
        s.writers.map(async ({ session }) => {
          const ask = `rig.report().records.find(([s, , t]) => s === "${session}" && t >= ${event})?.[3]`;
          for (let i = 0; i < 400; i++) {
            const at = await s.page.tab.ask<number | undefined>(ask);
            if (typeof at === "number") return at - event;
            await s.wait(50);
          }
          return Infinity;
        }),
      );
      s.from(event);
      return Math.max(...all);
    },
  },
  {
    id: 47,
    title: "hidden for 24 h, shown",
    target: 1_000,
    scaled: "the page's clock is set forward by a day, and 70 s pass, so that its timers see it",
    setup: { rate: 5 },
    async run(s) {
      await s.hide();
      await s.wait(5_000);
      await s.page.tab.ask("rig.shiftClock(86_400_000)");
      await s.wait(70_000);
      s.note(`asleep before: ${await s.page.status()}`);
      s.proxy.zombify();
      await s.wait(2_000);
      return s.back(await s.show());
    },
  },
];
