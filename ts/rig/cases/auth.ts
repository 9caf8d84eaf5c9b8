import { USER } from "../stage.ts";
import { until } from "../tools.ts";
import type { Case } from "./case.ts";

/** Tokens run out, and connections stand in for one another. */
export const auth: readonly Case[] = [
  {
    id: 33,
    title: "token expired during an hour of sleep; live before another one comes, which takes 400 ms",
    target: 400,
    scaled: "a token of 45 s, and 50 s of sleep",
    setup: { tokenLife: 45 },
    async run(s) {
      s.pages.desk.delay = 400;
      const asked = s.pages.desk.asked.length;
      s.suspend();
      s.proxy.zombify();
      await s.wait(50_000);
      const event = s.resume();
      const figure = await s.back(event);
      await s.wait(2_000);
      s.expect(s.pages.desk.asked.length - asked === 1, "the token was asked for once");
      const { statuses } = await s.page.report();
      s.note(
        statuses
          .filter(({ at }) => at >= event)
          .map(({ state, at }) => `${state} +${Math.round(at - event)}`)
          .join(", "),
      );
      return figure;
    },
  },
  {
    id: 34,
    title: "the new token is refused",
    target: 1_000,
    shows: "a beginning",
    setup: { tokenLife: 45 },
    async run(s) {
      s.pages.desk.status = 401;
      s.suspend();
      s.proxy.zombify();
      await s.wait(50_000);
      const event = s.resume();
      await s.page.becomes("ended");
      const ended = (await s.page.report()).statuses.at(-1)?.at ?? Infinity;
      const asked = s.pages.desk.asked.length;
      await s.wait(10_000);
      await s.hide();
      await s.show();
      await s.wait(2_000);
      s.from(ended + 100);
      s.expect(s.proxy.dials(ended + 100).length === 0, "no dial after that");
      s.expect(s.pages.desk.asked.length === asked, "no token was asked for after that");
      return ended - event;
    },
  },
  {
    id: 35,
    title: "the server still holds the dead connection when the same client is back",
    target: 450,
    dials: 1,
    async run(s) {
      await s.hide();
      s.proxy.zombify();
      await s.wait(10_000);
      const figure = await s.back(await s.show());
      await until(1_000, async () => (await s.holdfast.connections(USER)) === 1, "the old connection's end").catch(
        () => {},
      );
      const left = await s.holdfast.connections(USER);
      s.expect(left === 1, `the server has one connection of the client; it has ${left}`);
      return figure;
    },
  },
];
