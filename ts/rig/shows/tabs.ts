import type { Chromium } from "../browser/chromium.ts";
import { Stage, USER } from "../stage.ts";
import { sleep, until } from "../tools.ts";
import { disorder } from "../verdict.ts";
import type { Visit } from "../visit.ts";

export interface TabsOptions {
  readonly tabs: number;
  /** Messages a second. */
  readonly rate: number;
  /** How often each way of losing the leader is tried. */
  readonly n: number;
}

/** The longest that a page may get nothing, in ms. */
const GAP = 500;

/** One loss: the longest time without anything new in the tab in front and in the hidden ones, and that of a calm second. */
interface Loss {
  readonly name: string;
  readonly front: number;
  readonly hidden: number;
  readonly calm: { readonly front: number; readonly hidden: number };
}

/** Many tabs of one browser, one connection, and the tab that has it is closed, frozen, killed. Resolves with what is wrong. */
export async function tabs(options: TabsOptions, say: (text: string) => void): Promise<readonly string[]> {
  const stage = await Stage.open("ours", { rate: 0, warm: 0, ours: { tabs: true } });
  const found: string[] = [];
  try {
    const renderers = new Map<Visit, number>();
    renderers.set(stage.page, await rendererOf(stage.chromium, stage.page));
    while (stage.visits.length < options.tabs) await another(stage, renderers);
    await sleep(3_000);
    const count = await stage.holdfast.connections(USER);
    say(`${options.tabs} tabs, and the server counts ${count} connection${count === 1 ? "" : "s"}`);
    if (count !== 1) found.push(`the server counts ${count} connections`);
    for (const end of [closed, frozen, killed]) {
      const losses: Loss[] = [];
      for (let i = 0; i < options.n; i++) {
        while (stage.visits.length < options.tabs) await another(stage, renderers);
        const loss = await lose(stage, options, end, renderers);
        losses.push(loss);
        say(`  ${loss.name}: ${Math.round(loss.front)} and ${Math.round(loss.hidden)} ms`);
        found.push(...(await missed(stage)).map((text) => `leader ${loss.name}: ${text}`));
      }
      found.push(...judged(losses, say));
    }
    return found;
  } finally {
    await stage.close();
  }
}

async function another(stage: Stage, renderers: Map<Visit, number>): Promise<void> {
  const visit = await stage.visit();
  await visit.becomes("live");
  renderers.set(visit, await rendererOf(stage.chromium, visit));
}

/**
 * Says the least, the middle and the most. Beside them stand those of the second before, in which nobody was lost: what
 * they have in common is the machine's, and the pace at which hidden tabs are told.
 */
function judged(losses: readonly Loss[], say: (text: string) => void): readonly string[] {
  const [name = ""] = losses.map((loss) => loss.name);
  const line = (of: (loss: Loss) => number) => {
    const all = losses.map(of).sort((a, b) => a - b);
    return [all[0], all[all.length >> 1], all.at(-1)].map((ms) => Math.round(ms ?? Infinity)).join("/");
  };
  say(
    `leader ${name}: longest gap ${line(({ front }) => front)} ms (min/median/max of ${losses.length}) in the tab in front, ` +
      `${line(({ hidden }) => hidden)} in the worst hidden one; before it ${line(({ calm }) => calm.front)} and ` +
      `${line(({ calm }) => calm.hidden)}`,
  );
  const late = losses.filter(({ front, hidden }) => Math.max(front, hidden) > GAP);
  return late.map(({ front, hidden }) => `leader ${name}: gaps of ${Math.round(front)} and ${Math.round(hidden)} ms`);
}

/** Ends the leader and shows another tab; resolves with what it did, and since when somebody waits for that tab. */
type End = (
  stage: Stage,
  leader: Visit,
  next: Visit,
  renderers: ReadonlyMap<Visit, number>,
) => Promise<{ name: string; since: number }>;

const closed: End = async (stage, leader, next) => {
  const since = Date.now();
  await stage.leaves(leader);
  await next.tab.show();
  return { name: "closed", since };
};

const frozen: End = async (stage, leader, next) => {
  // Only a hidden page is frozen, and while all are hidden nobody waits.
  await stage.freeze(leader);
  const since = Date.now();
  await next.tab.show();
  return { name: "frozen", since };
};

const killed: End = async (stage, leader, next, renderers) => {
  const renderer = renderers.get(leader);
  if (renderer === undefined) throw new Error("whose process?");
  const since = Date.now();
  process.kill(renderer, "SIGKILL");
  stage.visits.splice(stage.visits.indexOf(leader), 1);
  await next.tab.show();
  return { name: "killed", since };
};

async function lose(
  stage: Stage,
  { rate }: TabsOptions,
  end: End,
  renderers: ReadonlyMap<Visit, number>,
): Promise<Loss> {
  const leader = await leaderOf(stage);
  // Each time another one: a tab takes over from others at most three times a minute.
  const next = stage.visits[(stage.visits.indexOf(leader) + 1) % stage.visits.length];
  if (!next) throw new Error("there is no other tab");
  const others = stage.visits.filter((visit) => visit !== leader && visit !== next);
  const worst = async (visits: readonly Visit[], from: number, to: number) => {
    return Math.max(0, ...(await Promise.all(visits.map((visit) => visit.tab.ask<number>(`rig.gap(${from}, ${to})`)))));
  };
  await leader.tab.show();
  await sleep(1_000);
  stage.writer.start(rate);
  await sleep(3_000);
  const before = Date.now();
  const calmFront = await worst([leader], before - 1_000, before);
  const { name, since } = await end(stage, leader, next, renderers);
  await sleep(4_000);
  const now = Date.now() - 200;
  const [front, hidden] = [await worst([next], since, now), await worst(others, since, now)];
  const calm = { front: calmFront, hidden: await worst(others, before - 1_000, before) };
  await stage.writer.stop();
  if (name === "frozen") await stage.thawHidden(leader);
  await sleep(1_000);
  return { name, front, hidden, calm };
}

async function missed(stage: Stage): Promise<readonly string[]> {
  const { session, written } = stage.writer;
  const all = stage.visits.map(async (visit, i) => {
    await visit.reaches(session, written);
    const report = await visit.report();
    return [...disorder(report, session, written), ...report.errors].map((text) => `tab ${i}: ${text}`);
  });
  return (await Promise.all(all)).flat().slice(0, 5);
}

/** The tab that has the connection. */
async function leaderOf(stage: Stage): Promise<Visit> {
  let leader: Visit | undefined;
  await until(10_000, async () => {
    const open = await Promise.all(
      stage.visits.map(async (visit) => (await visit.report()).dials.some((dial) => dial.opened && !dial.closed)),
    );
    leader = stage.visits[open.indexOf(true)];
    return leader !== undefined;
  });
  if (!leader) throw new Error("no tab has a connection");
  return leader;
}

/** The process of a page: the one that works when the page is made to. */
async function rendererOf(browser: Chromium, visit: Visit): Promise<number> {
  const before = new Map(await browser.renderers());
  await visit.tab.ask("(() => { const end = performance.now() + 250; while (performance.now() < end); })()");
  const worked = (await browser.renderers()).map(([id, cpu]) => [cpu - (before.get(id) ?? 0), id] as const);
  return worked.sort(([a], [b]) => b - a)[0]?.[1] ?? 0;
}
