import { nameOf, passed, percentile, type Result } from "../runner.ts";
import { ms } from "../table.ts";

/** Why a case misses its target, for the page. A miss that is not here stands there with its figure alone. */
const REASONS: Readonly<Record<string, string>> = {};

/** Every case of ours as a table, and what missed its target, with the reason. */
export function matrix(results: readonly Result[]): string {
  const ours = results.filter(({ client, outcomes }) => client === "ours" && outcomes.length > 0);
  if (ours.length === 0) return "";
  const rows = ours.sort((a, b) => a.case.id - b.case.id).map(row);
  const missed = ours.filter((result) => !passed(result)).map(miss);
  return `${INTRO}
| | What happens | Target | Median | 95th | Runs | |
|---|---|---:|---:|---:|---:|---|
${rows.join("\n")}

### Missed

${missed.length ? missed.join("\n") : "None."}
`;
}

function row(result: Result): string {
  const { case: of, outcomes } = result;
  const title = of.scaled ? `${of.title} (here: ${of.scaled})` : of.title;
  const figures = [of.target, percentile(result, 50), percentile(result, 95)].map(ms);
  return `| ${[nameOf(of), title, ...figures, String(outcomes.length), passed(result) ? "" : "missed"].join(" | ")} |`;
}

function miss(result: Result): string {
  const { case: of, outcomes } = result;
  const [most, target] = [percentile(result, 95), of.target];
  const late = target !== undefined && (most ?? Infinity) > target ? [`${ms(most)} ms instead of ${target}`] : [];
  const counts = new Map<string, number>();
  for (const fault of outcomes.flatMap(({ faults }) => faults)) counts.set(fault, (counts.get(fault) ?? 0) + 1);
  const faults = [...counts].map(([fault, n]) => `in ${n} of ${outcomes.length} runs: ${fault}`);
  const reason = REASONS[nameOf(of)];
  return `- **${nameOf(of)}, ${of.title}:** ${[...late, ...faults].join("; ")}.${reason ? ` ${reason}` : ""}`;
}

const INTRO = `## All cases

What a client has to come back from, and how fast Holdfast's does, in ms. The target is one for the 95th percentile; where there
is none, only what must hold counts. In each run the page must show the log from its first message to the last, each once
and in order, its outbox must be empty at the end, and no error may be left unhandled; where it is said how many dials
there may be, there are no more. *Older* is a browser that keeps the sockets of frozen pages, as Chromium did for long.
`;
