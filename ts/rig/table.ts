import { nameOf, passed, percentile, type Result } from "./runner.ts";

export function ms(figure: number | undefined): string {
  if (figure === undefined) return "";
  return Number.isFinite(figure) ? String(Math.round(figure)) : "never";
}

/** The results for people. */
export function table(results: readonly Result[]): string {
  const head = ["case", "client", "n", "p50", "p95", "target", "ok", "dials", "lost", "what"];
  const rows = results.map((result) => {
    const { case: of, client, outcomes } = result;
    const most = (pick: (outcome: (typeof outcomes)[number]) => number) => String(Math.max(0, ...outcomes.map(pick)));
    return [
      nameOf(of),
      client,
      String(outcomes.length),
      ms(percentile(result, 50)),
      ms(percentile(result, 95)),
      of.target === undefined ? "" : String(of.target),
      passed(result) ? "ok" : "NO",
      most(({ dials }) => dials),
      most(({ lost }) => lost),
      of.title,
    ];
  });
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 || i === 1 || i > 5 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)));
  return [head, ...rows].map((row) => line(row).join("  ").trimEnd()).join("\n");
}

/** What was wrong, and what is worth knowing, each once, with how often it was so. */
export function remarks(results: readonly Result[]): string {
  return results
    .flatMap(({ case: of, client, outcomes }) => {
      const counts = new Map<string, number>();
      for (const { faults, notes } of outcomes) {
        for (const text of [...faults.map((fault) => `! ${fault}`), ...notes]) {
          counts.set(text, (counts.get(text) ?? 0) + 1);
        }
      }
      return [...counts].map(([text, n]) => `case ${nameOf(of)}, ${client}: ${text}${n > 1 ? ` (${n} times)` : ""}`);
    })
    .join("\n");
}
