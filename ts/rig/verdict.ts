import type { Case } from "./cases/case.ts";
import type { Report } from "./page/report.ts";
import type { Stage } from "./stage.ts";
import { sleep } from "./tools.ts";
import type { Visit } from "./visit.ts";

/** What one run of a case came to. */
export interface Outcome {
  /** In ms; Infinity for never, undefined where the case has no figure. */
  readonly figure: number | undefined;
  readonly dials: number;
  /** Messages that were written and never shown. */
  readonly lost: number;
  readonly faults: readonly string[];
  readonly notes: readonly string[];
}

/** Ends the writing, lets what is under way arrive, and looks at everything that must hold in every case. */
export async function judge(of: Case, stage: Stage, figure: number | void): Promise<Outcome> {
  await Promise.all(stage.writers.map((writer) => writer.stop()));
  const ours = stage.client === "ours";
  const patience = ours ? 10_000 : 1_000;
  const faults = [...stage.faults];
  for (const visit of stage.visits) {
    if (of.shows !== "a beginning") {
      for (const { session, written } of stage.writers) await visit.reaches(session, written, patience);
    }
    if (ours) faults.push(...(await wrong(of, stage, visit)));
  }
  const report = await stage.page.report();
  const lost = stage.writers.reduce((sum, { session, written }) => sum + missing(report, session, written), 0);
  const dials = stage.proxy.dials(stage.event).length;
  if (ours && of.dials !== undefined && dials > of.dials) faults.push(`${dials} dials, allowed are ${of.dials}`);
  return { figure: figure ?? undefined, dials, lost, faults, notes: stage.notes };
}

async function wrong({ shows = "all" }: Case, stage: Stage, visit: Visit): Promise<readonly string[]> {
  const report = await settled(visit);
  const found = stage.writers.flatMap(({ session, written }) => disorder(report, session, written, shows));
  if (report.unsent) found.push(`${report.unsent} messages are still in the outbox`);
  return [...found, ...report.errors];
}

async function settled(visit: Visit): Promise<Report> {
  let report = await visit.report();
  for (let i = 0; report.unsent && i < 100; i++) {
    await sleep(50);
    report = await visit.report();
  }
  return report;
}

/** How many messages from the first that the page showed on it never showed. */
function missing({ records }: Report, session: string, last: number): number {
  const shown = new Set(records.filter(([s]) => s === session).map(([, n]) => n));
  return shown.size ? last - Math.min(...shown) + 1 - shown.size : last;
}

/** Where what the page showed is not the log from its first message to the last, each once and in order. */
export function disorder(
  report: Report,
  session: string,
  last: number,
  shows: NonNullable<Case["shows"]> = "all",
): string[] {
  const shown = report.records.filter(([s]) => s === session).map(([, n]) => n);
  const found: string[] = [];
  for (let i = 1; i < shown.length; i++) {
    const [before = 0, now = 0] = [shown[i - 1], shown[i]];
    if (now <= before) found.push(`${session}: message ${now} after ${before}`);
    else if (now > before + 1 && shows !== "all after a gap") {
      found.push(`${session}: ${before + 1} to ${now - 1} are missing`);
    }
  }
  const end = shown.at(-1) ?? 0;
  if (end !== last && shows !== "a beginning") found.push(`${session}: shown up to ${end} of ${last}`);
  return found.slice(0, 5);
}
