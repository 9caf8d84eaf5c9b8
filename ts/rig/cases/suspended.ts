import type { Case } from "./case.ts";

/** The machine slept: no event tells the page. */
export const suspended: readonly Case[] = [
  {
    id: 14,
    title: "machine asleep 12 s, line fine",
    target: 1_000,
    dials: 0,
    async run(s) {
      s.suspend();
      await s.wait(12_000);
      return s.back(s.resume());
    },
  },
  {
    id: 15,
    title: "machine asleep 10 min, the server's reset swallowed",
    target: 450,
    dials: 1,
    scaled: "35 s, more than any jump of the clock that a client may overlook",
    async run(s) {
      s.suspend();
      s.proxy.zombify();
      await s.wait(35_000);
      return s.back(s.resume());
    },
  },
  ...([2, -2] as const).map((hours): Case => ({
    id: 16,
    ...(hours < 0 && { variant: "back" }),
    title: `wall clock set ${hours > 0 ? "forward" : "back"} by 2 h while live`,
    target: 1_000,
    dials: 0,
    async run(s) {
      const asked = s.pages.desk.asked.length;
      const event = s.from(Date.now());
      await s.page.tab.ask(`rig.shiftClock(${hours * 3_600_000})`);
      const figure = await s.back(event);
      await s.wait(15_000);
      s.expect(s.pages.desk.asked.length - asked <= 1, "at most one token was asked for");
      return figure;
    },
  })),
  {
    id: 17,
    title: "asleep in the middle of a dial into nothing",
    target: 350,
    async run(s) {
      s.proxy.blackhole();
      s.proxy.reset();
      await s.wait(700);
      s.suspend();
      await s.wait(12_000);
      s.proxy.heal();
      return s.back(s.resume());
    },
  },
  {
    id: 18,
    title: "asleep, path dead, and the first three dials fail at once, as on iOS",
    target: 900,
    dials: 1,
    async run(s) {
      s.suspend();
      s.proxy.zombify();
      s.proxy.resetNext(3);
      await s.wait(35_000);
      return s.back(s.resume());
    },
  },
];
