import { USER } from "../stage.ts";
import { until } from "../tools.ts";
import { both, type Case } from "./case.ts";

/** The page was in the back/forward cache. */
export const bfcache: readonly Case[] = [
  {
    id: 11,
    title: "back by the back button, the client not having heard that the page was left",
    target: 250,
    dials: 1,
    setup: { deaf: ["pagehide"] },
    async run(s) {
      await s.leave();
      await s.wait(8_000);
      return s.back(await s.comeBack());
    },
  },
  ...both({
    id: 12,
    title: "back by the back button; the server heard of the leaving",
    target: 200,
    dials: 1,
    async run(s) {
      const left = Date.now();
      await s.leave();
      await until(5_000, async () => (await s.holdfast.connections(USER)) === 0, "the goodbye");
      const told = Date.now() - left;
      s.note(`goodbye after ${told} ms`);
      s.expect(told < 1_000, "the server heard of it at once");
      await s.wait(5_000);
      return s.back(await s.comeBack());
    },
  }),
];
