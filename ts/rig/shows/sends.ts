import { Chaos } from "../chaos.ts";
import { Chance } from "../chance.ts";
import { Stage, USER } from "../stage.ts";
import { sleep, until } from "../tools.ts";
import type { Visit } from "../visit.ts";

export interface SendsOptions {
  readonly sends: number;
  readonly reloads: number;
  readonly tabs: number;
  readonly seed: number;
  /** The outbox of IndexedDB instead of the one of the tab's storage. */
  readonly durable: boolean;
  /** One connection for all tabs. */
  readonly shared: boolean;
}

const BURST = 10;

/**
 * Tabs send through a line that drops, doubles, delays and cuts at every step of the protocol, and are reloaded meanwhile.
 * Then the log must have each message once, in the order of its tab. Resolves with what is wrong.
 */
export async function sends(options: SendsOptions, say: (text: string) => void): Promise<readonly string[]> {
  const ours = { durable: options.durable, tabs: options.shared };
  const flags = ["--rate", "100000", "--burst", "100000"];
  const stage = await Stage.open("ours", { rate: 0, warm: 0, flags, ours });
  const chaos = new Chaos(stage.holdfast.port, options.seed, 0.01);
  try {
    await chaos.listen();
    await stage.leaves(stage.page);
    const config = { ...stage.config, host: `127.0.0.1:${chaos.port}` };
    for (let i = 0; i < options.tabs; i++) await stage.visit(config);
    const begun = Date.now();
    await sendAll(stage, options, say);
    chaos.calm();
    say(`all typed after ${Math.round((Date.now() - begun) / 1_000)} s; the line is good from now on`);
    await arrived(stage, options);
    say(`all arrived after ${Math.round((Date.now() - begun) / 1_000)} s; ${chaos.refused} frames were refused`);
    say(
      [...chaos.steps]
        .sort()
        .map(([step, n]) => `${step} ${n}`)
        .join(", "),
    );
    return await wrong(stage, options);
  } finally {
    await stage.close();
    await chaos.close();
  }
}

/** Each tab sends in bursts; between them, at random, one is reloaded, or the one in front changes. */
async function sendAll(stage: Stage, options: SendsOptions, say: (text: string) => void): Promise<void> {
  const chance = new Chance(options.seed + 1);
  const rounds = Math.ceil(options.sends / options.tabs / BURST);
  const reloads = Array.from({ length: options.reloads }, () => chance.below(rounds)).sort((a, b) => a - b);
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      stage.visits.map((visit, tab) => visit.tab.ask(`rig.call("burst", "rig", "tab${tab}", ${BURST})`)),
    );
    while (reloads[0] === round) {
      reloads.shift();
      const visit = chance.pick(stage.visits);
      await visit.tab.show();
      await visit.tab.reload();
    }
    await sleep(chance.next() * 400);
    if (round % 20 === 19) say(`${(round + 1) * BURST * options.tabs} typed`);
  }
}

/** Until the log has them all: of a page that is just being loaded, the outbox is empty too. */
async function arrived(stage: Stage, { sends, tabs }: SendsOptions): Promise<void> {
  const all = sentBy(sends, tabs) * tabs;
  await until(180_000, async () => (await stage.holdfast.head("rig")) >= all, `${all} messages in the log`).catch(
    String,
  );
  for (const visit of stage.visits) await visit.tab.show().then(() => emptied(visit));
}

async function emptied(visit: Visit): Promise<void> {
  await until(120_000, async () => (await visit.report()).unsent === 0, "the outbox to be empty");
}

/** How many each tab has sent: whole bursts. */
const sentBy = (sends: number, tabs: number) => Math.ceil(sends / tabs / BURST) * BURST;

async function wrong(stage: Stage, { sends, tabs }: SendsOptions): Promise<readonly string[]> {
  const log = await stage.holdfast.log("rig");
  const texts = log.map(({ data }) => (data as { text: string }).text);
  const found: string[] = [];
  const each = sentBy(sends, tabs);
  for (let tab = 0; tab < tabs; tab++) {
    const numbers = texts.filter((text) => text.startsWith(`tab${tab}:`)).map((text) => Number(text.split(":")[1]));
    const at = numbers.findIndex((n, i) => n !== i + 1);
    if (at >= 0) found.push(`tab ${tab}: ${numbers.slice(Math.max(0, at - 2), at + 3).join(", ")} in the log`);
    if (numbers.length !== each) found.push(`tab ${tab}: ${numbers.length} in the log instead of ${each}`);
  }
  for (const visit of stage.visits) found.push(...(await visit.report()).errors);
  if ((await stage.holdfast.connections(USER)) > tabs)
    found.push("the server has more connections than there are tabs");
  return found;
}
