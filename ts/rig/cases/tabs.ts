import { USER, type Stage } from "../stage.ts";
import { until } from "../tools.ts";
import { Visit } from "../visit.ts";
import type { Case } from "./case.ts";

const shared = { ours: { tabs: true } };
const needs = ["tabs"] as const;

/** Several tabs of one browser. */
export const tabs: readonly Case[] = [
  {
    id: 13,
    title: "the leading tab is in the back/forward cache for 30 s while another works, and comes back",
    target: 450,
    needs,
    scaled: "15 s",
    setup: shared,
    async run(s) {
      const other = await s.visit();
      await other.becomes("live");
      await s.show();
      await s.wait(2_000);
      await s.leave();
      await s.show(other).catch(() => 0);
      await s.wait(15_000);
      await s.page.tab.show();
      const figure = await s.back(await s.comeBack());
      await s.wait(2_000);
      await oneConnection(s);
      return figure;
    },
  },
  {
    id: 37,
    title: "a tab is duplicated, with all that it keeps",
    async run(s) {
      s.from(Date.now());
      const known = new Set(await s.chromium.targets());
      await s.page.tab.ask("void window.open(location.href)");
      let target: string | undefined;
      await until(10_000, async () => {
        target = (await s.chromium.targets()).find((id) => !known.has(id));
        return target !== undefined;
      });
      const copy = new Visit(await s.chromium.attach(target ?? ""));
      s.visits.push(copy);
      await copy.becomes("live");
      await s.wait(10_000);
      const [mine, its] = [await s.page.report(), await copy.report()];
      s.expect(mine.client !== its.client, "the two tabs have different names");
      s.expect(s.proxy.dials(s.event).length <= 2, "they do not drive each other out");
    },
  },
  {
    id: 38,
    title: "the leading tab is frozen, holding its lock; another one is shown",
    target: 250,
    needs,
    setup: shared,
    async run(s) {
      const leader = await s.visit();
      await leader.becomes("live");
      await s.wait(3_000);
      await s.freeze(leader);
      await s.wait(5_000);
      const figure = await s.back(await s.show());
      await s.wait(3_000);
      await s.thawHidden(leader);
      await s.wait(3_000);
      await oneConnection(s);
      return figure;
    },
  },
  {
    id: 39,
    title: "a tab that hears nothing of the others",
    needs,
    setup: shared,
    async run(s) {
      const event = s.from(Date.now());
      const deaf = await s.visit({ ...s.config, ours: { tabs: true, noChannel: true } });
      await deaf.becomes("live");
      await s.wait(30_000);
      await s.show();
      await s.wait(5_000);
      const steals = await Promise.all(
        s.visits.map(async (visit) => (await visit.report()).events.filter(({ name }) => name === "steal").length),
      );
      s.note(`${steals.join(" and ")} steals, ${s.proxy.dials(event).length} dials`);
      s.expect(Math.max(...steals) <= 3, "at most 3 takings by force a minute");
      s.expect(s.proxy.dials(event).length <= 6, "the tabs do not drive each other out");
      const gap = await s.page.tab.ask<number>(`rig.gap(${event}, ${Date.now()})`);
      s.note(`longest gap of the other tab ${Math.round(gap)} ms`);
    },
  },
  {
    id: 40,
    title: "the lead passes from tab to tab at 200 messages a second; the longest gap",
    target: 200,
    needs,
    setup: { ...shared, rate: 200 },
    async run(s) {
      const other = await s.visit();
      await other.becomes("live");
      await s.wait(3_000);
      const since = s.from(Date.now());
      let worst = 0;
      for (const visit of [s.page, other, s.page, other]) {
        const shown = await s.show(visit);
        await s.wait(2_500);
        worst = Math.max(worst, await visit.tab.ask<number>(`rig.gap(${shown - 100}, ${Date.now() - 100})`));
      }
      s.note(`${s.proxy.dials(since).length} dials`);
      return worst;
    },
  },
];

async function oneConnection(s: Stage): Promise<void> {
  const one = async () => (await s.holdfast.connections(USER)) === 1;
  await until(5_000, one).catch(() => {});
  s.expect(await one(), "the server counts one connection");
}
