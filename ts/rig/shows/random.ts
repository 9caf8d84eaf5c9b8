import { Chance } from "../chance.ts";
import { Stage } from "../stage.ts";
import { until } from "../tools.ts";
import { trace } from "../trace.ts";
import { disorder } from "../verdict.ts";

/** What may happen, in any order. */
const EVENTS: Readonly<Record<string, (s: Stage, chance: Chance) => Promise<unknown> | void>> = {
  hide: (s) => s.hide(),
  show: (s) => s.page.tab.show(),
  freeze: (s) => s.freeze(),
  thaw: (s) => s.page.chromium.thaw(),
  suspend: async (s, chance) => {
    s.suspend();
    await s.wait(chance.next() * 1_000);
    s.resume();
  },
  zombify: (s) => s.proxy.zombify(),
  mute: (s) => s.proxy.mute(),
  hold: (s) => s.proxy.hold(),
  release: (s) => s.proxy.release(),
  reset: (s) => s.proxy.reset(),
  refuse: (s) => s.proxy.refuse(),
  accept: (s) => s.proxy.accept(),
  blackhole: (s) => s.proxy.blackhole(),
  heal: (s) => s.proxy.heal(),
  slam: (s) => {
    s.proxy.slam = 100;
  },
  offline: (s) => s.page.chromium.offline(true),
  online: (s) => s.page.chromium.offline(false),
  clock: (s, chance) => s.page.tab.ask(`rig.shiftClock(${Math.round((chance.next() - 0.5) * 7_200_000)})`),
  write: (s, chance) => s.writer.write(1 + chance.below(30)),
  send: (s) => s.page.call("burst", "rig", "page", 1),
  retry: (s) => s.page.call("retry"),
  // What is offline has no other page to show.
  away: async (s) => {
    await s.page.chromium.offline(false);
    await s.leave();
    await s.page.tab.back();
  },
  reload: async (s) => {
    await s.page.chromium.offline(false);
    await s.page.tab.reload();
  },
};

export interface RandomOptions {
  readonly sequences: number;
  readonly seed: number;
  readonly jobs: number;
}

/**
 * Sequences of random events happen to real pages. After each, all is made good, and the page must be live, its outbox
 * empty, and what it showed the log. Resolves with what is wrong.
 */
export async function random(options: RandomOptions, say: (text: string) => void): Promise<readonly string[]> {
  const found: string[] = [];
  let next = 0;
  const work = async () => {
    // A browser serves for some, so that one sequence finds what the last has left; not for all, or one fault hides many.
    while (next < options.sequences && found.length < 10) {
      const first = next;
      next = Math.min(options.sequences, next + 10);
      found.push(...(await some(options.seed + first, next - first, say)));
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return found;
}

async function some(seed: number, count: number, say: (text: string) => void): Promise<readonly string[]> {
  const stage = await Stage.open("ours", { rate: 0, warm: 0 });
  stage.proxy.delay = 20;
  try {
    for (let i = 0; i < count; i++) {
      const happened: string[] = [];
      const wrong = await one(stage, new Chance(seed + i), happened).catch((error: unknown) => [String(error)]);
      if (wrong.length === 0) continue;
      const text = `sequence ${seed + i} (${i} before it): ${happened.join(" ")}: ${wrong.join("; ")}`;
      say(text);
      return [text];
    }
    say(`sequences ${seed} to ${seed + count - 1} are good`);
    return [];
  } finally {
    await stage.close();
  }
}

async function one(s: Stage, chance: Chance, happened: string[]): Promise<readonly string[]> {
  const length = 3 + chance.below(8);
  const deeds: Promise<unknown>[] = [];
  for (let i = 0; i < length; i++) {
    const name = chance.pick(Object.keys(EVENTS));
    const pause = Math.round(chance.next() ** 3 * 1_500);
    happened.push(`${name}+${pause}`);
    // A frozen page answers nothing: what waits for it is not waited for.
    const deed = Promise.resolve(EVENTS[name]?.(s, chance));
    deeds.push(deed);
    await Promise.race([deed, s.wait(1_500)]);
    await s.wait(pause);
  }
  await makeGood(s);
  // What was not waited for may come only now, as a freeze of a machine that slept: then once more.
  await Promise.race([Promise.allSettled(deeds), s.wait(10_000)]);
  await makeGood(s);
  const begun = performance.now();
  s.from(Date.now());
  await s.writer.write(1);
  try {
    await until(60_000, () => good(s), "the page to be live and up to date");
  } catch (error) {
    const told = (await trace(s).catch(() => "")).split("\n").slice(-30).join("\n");
    return [String(error), JSON.stringify(await s.page.call("status")), `\n${told}`];
  }
  happened.push(`good after ${Math.round(performance.now() - begun)} ms`);
  const report = await s.page.report();
  return [...disorder(report, "rig", s.writer.written), ...report.errors];
}

async function makeGood(s: Stage): Promise<void> {
  s.proxy.release();
  s.proxy.heal();
  await s.proxy.accept();
  await s.page.chromium.thaw();
  await s.page.chromium.offline(false);
  await s.page.tab.show();
  // A browser may take a page out of its cache to be in front though another one is.
  if (await s.page.tab.ask("document.hidden")) {
    await s.hide();
    await s.page.tab.show();
  }
}

async function good(s: Stage): Promise<boolean> {
  const { unsent, statuses, records } = await s.page.report();
  return unsent === 0 && statuses.at(-1)?.state === "live" && records.some(([, n]) => n === s.writer.written);
}
