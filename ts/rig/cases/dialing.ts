import type { Stage } from "../stage.ts";
import type { Case } from "./case.ts";

/** How long the browser and the line took for dials that succeeded after an event: more than a round trip is its penalty. */
async function slowestOpen(s: Stage, since: number): Promise<number> {
  const { dials } = await s.page.report();
  const took = dials
    .filter(({ at, opened }) => at >= since - 2_000 && opened)
    .map(({ at, opened = at }) => opened - at);
  return Math.max(0, ...took);
}

const opened = (stage: Stage, ms: number) =>
  stage.expect(ms <= 200, `the browser delayed the dial by less than 100 ms; it took ${Math.round(ms)}`);

/** The server cannot be reached, and then it can. */
export const dialing: readonly Case[] = [
  {
    id: 19,
    title: "handshakes swallowed for 10 s while looked at",
    target: 2_000,
    peers: true,
    async run(s) {
      s.proxy.blackhole();
      s.proxy.reset();
      await s.wait(10_000);
      s.proxy.heal();
      return s.back(Date.now());
    },
  },
  {
    id: 20,
    title: "server refuses 8 s while looked at",
    target: 2_500,
    peers: true,
    async run(s) {
      s.proxy.refuse();
      await s.wait(8_000);
      await s.proxy.accept();
      return s.back(Date.now());
    },
  },
  {
    id: 21,
    title: "server refuses 90 s while looked at",
    target: 3_500,
    async run(s) {
      s.proxy.refuse();
      await s.wait(90_000);
      await s.proxy.accept();
      const event = Date.now();
      const figure = await s.back(event);
      opened(s, await slowestOpen(s, event));
      return figure;
    },
  },
  {
    id: 23,
    title: "the user comes back 20 times while the server refuses; how long the dial takes when it is there",
    target: 150,
    async run(s) {
      return manyFailures(s);
    },
  },
  {
    id: 24,
    variant: "Firefox",
    title: "the user comes back 20 times while the server refuses; how long the dial takes when it is there",
    target: 150,
    setup: { browser: "firefox" },
    async run(s) {
      return manyFailures(s);
    },
  },
  {
    id: 28,
    title: "connection reset, server there",
    target: 150,
    dials: 1,
    peers: true,
    async run(s) {
      const event = Date.now();
      s.proxy.reset();
      return s.back(event);
    },
  },
  {
    id: 29,
    title: "server accepts and ends each connection soon after",
    scaled: "one minute instead of two; at most 8 dials in it, for the budget is for two",
    async run(s) {
      const begun = s.from(Date.now());
      s.proxy.slam = 300;
      s.proxy.reset();
      await s.wait(60_000);
      const dials = s.proxy.dials(begun);
      const pauses = dials.slice(1).map(({ at }, i) => at - (dials[i]?.at ?? at));
      s.note(`${dials.length} dials in a minute`);
      s.expect(dials.length <= 8, `at most 8 dials; there were ${dials.length}, ${pauses.join(", ")} ms apart`);
      const { statuses } = await s.page.report();
      s.expect(
        statuses.some(({ state, at }) => state === "offline" && at > begun),
        "the user was told",
      );
      s.proxy.heal();
      await s.page.call("retry");
      await s.page.firstAfter(Date.now());
    },
  },
];

async function manyFailures(s: Stage): Promise<number> {
  s.proxy.refuse();
  for (let i = 0; i < 20; i++) {
    await s.hide();
    await s.wait(1_000);
    await s.show();
    await s.wait(1_000);
  }
  await s.hide();
  await s.proxy.accept();
  await s.wait(100);
  const event = await s.show();
  const figure = await s.back(event);
  const { dials } = await s.page.report();
  s.note(`${dials.filter(({ opened }) => !opened).length} failed dials`);
  s.note(`back after ${Math.round(figure / 50) * 50} ms`);
  return slowestOpen(s, event);
}
