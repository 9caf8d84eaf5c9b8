import { both, type Case, KEEPS_SOCKETS } from "./case.ts";

const older = { features: KEEPS_SOCKETS };

/** The browser froze the page. */
export const frozen: readonly Case[] = [
  {
    id: 5,
    title: "frozen 10 s, line fine; the browser cuts the socket",
    target: 250,
    dials: 1,
    peers: true,
    async run(s) {
      await s.freeze();
      await s.wait(10_000);
      return s.back(await s.thaw());
    },
  },
  {
    id: 6,
    title: "frozen 10 s, line fine; the browser keeps the socket, and so does the client",
    target: 130,
    setup: older,
    async run(s) {
      await s.freeze();
      await s.wait(10_000);
      const event = await s.thaw();
      const figure = await s.back(event);
      await s.wait(1_000);
      const { dials, statuses } = await s.page.report();
      // It may begin a dial, since the socket may be dead; it must give it up.
      s.expect(dials.filter(({ at, opened }) => at >= event && opened).length === 0, "no dial was kept");
      s.expect(statuses.at(-1)?.state === "live" && (statuses.at(-1)?.at ?? 0) < event, "the status never changed");
      return figure;
    },
  },
  {
    id: 7,
    title: "frozen 10 s, path dead; the browser keeps the socket",
    target: 450,
    dials: 1,
    peers: true,
    setup: older,
    async run(s) {
      await s.freeze();
      s.proxy.zombify();
      await s.wait(10_000);
      return s.back(await s.thaw());
    },
  },
  {
    id: 8,
    title: "frozen 60 s, path dead; the browser keeps the socket",
    target: 450,
    dials: 1,
    setup: older,
    async run(s) {
      await s.freeze();
      s.proxy.zombify();
      await s.wait(60_000);
      return s.back(await s.thaw());
    },
  },
  ...both({
    id: 9,
    title: "frozen 10 min, 6000 messages missed; caught up in few renders",
    target: 600,
    scaled: "6000 messages in 30 s",
    async run(s) {
      await s.freeze();
      if (s.client === "ours") s.proxy.zombify();
      await s.writer.stop();
      s.writer.start(200);
      await s.wait(30_000);
      const event = await s.thaw();
      const figure = await s.back(event);
      const { renders } = await s.page.report();
      const catching = renders.filter(([at]) => at >= event && at <= event + figure);
      // What takes longer than 200 ms is shown in several parts, so that somebody who waits sees that it goes on.
      s.expect(catching.length <= 5, `at most 5 renders; there were ${catching.map(([, added]) => added).join(", ")}`);
      return figure;
    },
  }),
  {
    id: 10,
    title: "frozen by the system although it holds a lock, as on Android",
    target: 250,
    dials: 1,
    setup: { features: { enable: ["stop-in-background:DelayForBackgroundTabFreezingMills/5000"] } },
    async run(s) {
      await s.page.tab.ask("void navigator.locks.request('held', () => new Promise(() => {}))");
      await s.hide();
      await s.wait(20_000);
      const event = await s.show();
      const figure = await s.back(event);
      const { events } = await s.page.report();
      s.expect(
        events.some(({ name }) => name === "freeze"),
        "the page was frozen",
      );
      return figure;
    },
  },
];
