import { CASES } from "./cases/index.ts";
import type { Case } from "./cases/case.ts";
import type { ClientName } from "./page/report.ts";
import { has } from "./parts.ts";
import { Stage } from "./stage.ts";
import { trace } from "./trace.ts";
import { judge, type Outcome } from "./verdict.ts";

/** All runs of one case with one client. */
export interface Result {
  readonly case: Case;
  readonly client: ClientName;
  readonly outcomes: readonly Outcome[];
}

export interface Order {
  readonly case: Case;
  readonly client: ClientName;
  readonly n: number;
}

/** Whether a case waits for a part of the client that this checkout does not have. */
export const pending = ({ needs = [] }: Case) => !needs.every(has);

export const nameOf = ({ id, variant }: Case) => (variant ? `${id} ${variant}` : String(id));

/** The cases of these numbers; all, for none. A number with a variant, such as "9 older", names that alone. */
export function casesOf(names: readonly string[]): readonly Case[] {
  if (names.length === 0) return CASES;
  return names.flatMap((name) => {
    const found = CASES.filter((of) => nameOf(of) === name || String(of.id) === name);
    if (found.length === 0) throw new Error(`there is no case ${name}`);
    return found;
  });
}

/** Runs all orders, `jobs` at a time: most of a case is waiting. Tells of each run as it ends, and of all so far. */
export async function runAll(
  orders: readonly Order[],
  jobs: number,
  tell: (order: Order, outcome: Outcome, all: readonly Result[]) => void = () => {},
  tracing = false,
): Promise<readonly Result[]> {
  const results = orders.map((order) => ({ ...order, outcomes: [] as Outcome[] }));
  // Each case's first runs come first, so that a broken one shows early.
  const queue = results
    .flatMap((result) => Array.from({ length: result.n }, (_, round) => ({ result, round })))
    .sort((a, b) => a.round - b.round);
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const outcome = await runOnce(next.result.case, next.result.client, tracing);
      next.result.outcomes.push(outcome);
      tell(next.result, outcome, results);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return results;
}

async function runOnce(of: Case, client: ClientName, tracing: boolean): Promise<Outcome> {
  let stage: Stage | undefined;
  try {
    stage = await Stage.open(client, of.setup ?? {});
    const outcome = await judge(of, stage, await of.run(stage));
    if (tracing) console.log(`${nameOf(of)}, ${client}\n${await trace(stage)}`);
    return outcome;
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    return {
      figure: Infinity,
      dials: 0,
      lost: 0,
      faults: [fault, ...(stage?.faults ?? [])],
      notes: stage?.notes ?? [],
    };
  } finally {
    await stage?.close();
  }
}

/** The figure that so many of a hundred runs stay under; undefined where there are none. */
export function percentile(result: Result, percent: number): number | undefined {
  const figures = result.outcomes.flatMap(({ figure }) => (figure === undefined ? [] : [figure])).sort((a, b) => a - b);
  return figures[Math.max(0, Math.ceil((figures.length * percent) / 100) - 1)];
}

export function passed(result: Result): boolean {
  const { target } = result.case;
  const late = target !== undefined && (percentile(result, 95) ?? Infinity) > target;
  return !late && result.outcomes.every(({ faults }) => faults.length === 0);
}
