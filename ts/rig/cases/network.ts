import type { Case } from "./case.ts";

/** The network changed under the page. */
export const network: readonly Case[] = [
  {
    id: 25,
    title: "offline 5 s, then online over another path",
    target: 450,
    peers: true,
    async run(s) {
      await s.offline();
      s.proxy.zombify();
      await s.wait(5_000);
      return s.back(await s.online());
    },
  },
  {
    id: 26,
    title: "path dies while looked at, and nothing tells",
    target: 13_000,
    dials: 1,
    peers: true,
    async run(s) {
      const event = Date.now();
      s.proxy.zombify();
      return s.back(event);
    },
  },
  {
    id: 27,
    title: "the same, and the user sends after 1 s",
    target: 2_000,
    dials: 1,
    async run(s) {
      s.proxy.zombify();
      await s.wait(1_000);
      const event = s.from(await s.send("hello"));
      await s.back(event);
      let done: number | undefined;
      for (let i = 0; i < 200 && done === undefined; i++) {
        await s.wait(50);
        done = (await s.page.report()).sends[0]?.done;
      }
      const log = await s.holdfast.log(s.writer.session);
      const copies = log.filter(({ data }) => (data as { text?: string }).text === "hello").length;
      s.expect(copies === 1, `it stands in the log once; it is there ${copies} times`);
      return (done ?? Infinity) - event;
    },
  },
  {
    id: 36,
    title: "what was underway on the old connection comes late, after the new one took over",
    target: 450,
    dials: 1,
    async run(s) {
      await s.hide();
      s.proxy.hold();
      await s.wait(10_000);
      const figure = await s.back(await s.show());
      await s.wait(1_000);
      s.proxy.release();
      await s.wait(2_000);
      return figure;
    },
  },
];
