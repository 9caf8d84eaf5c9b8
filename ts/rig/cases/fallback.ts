import type { Case } from "./case.ts";

const setup = { ours: { fallback: true } };
const needs = ["fallback"] as const;

/** Something between blocks one way of carrying the frames. */
export const fallback: readonly Case[] = [
  ...(["blackhole", "refuse"] as const).map((fate): Case => ({
    id: 48,
    variant: fate === "blackhole" ? "swallowed" : "refused",
    title: `WebSockets are ${fate === "blackhole" ? "swallowed" : "refused"}, HTTP passes; then they pass again`,
    target: 3_000,
    needs,
    setup,
    async run(s) {
      s.proxy.fates.websocket = fate;
      s.proxy.reset();
      const event = Date.now();
      const figure = await s.back(event);
      await s.wait(10_000);
      const healed = Date.now();
      s.proxy.heal();
      let opened: number | undefined;
      for (let i = 0; i < 120 && opened === undefined; i++) {
        await s.wait(1_000);
        opened = (await s.page.report()).dials.find(
          ({ at, opened, closed }) => at > healed && opened && !closed,
        )?.opened;
      }
      s.note(opened === undefined ? "no WebSocket in 2 min" : `a WebSocket after ${Math.round(opened - healed)} ms`);
      s.expect(opened !== undefined, "it goes back to WebSocket within 2 min");
      await s.wait(3_000);
      return figure;
    },
  })),
  {
    id: 48,
    variant: "no gate",
    title: "HTTP is refused, WebSockets are too, and after 8 s the latter pass",
    target: 3_000,
    // Else it would still count as somebody who has just come, whose first dials follow each other fast.
    setup: { warm: 12_000 },
    async run(s) {
      s.proxy.fates.http = s.proxy.fates.websocket = "refuse";
      s.proxy.reset();
      await s.wait(8_000);
      s.proxy.fates.websocket = "pass";
      return s.back(Date.now());
    },
  },
];
