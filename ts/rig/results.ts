import { readFileSync, writeFileSync } from "node:fs";
import type { ClientName } from "./page/report.ts";
import { casesOf, nameOf, type Result } from "./runner.ts";
import type { Outcome } from "./verdict.ts";

/** Results as they are kept in a file: the case by its name, and null for a figure that is infinite. */
interface Kept {
  readonly case: string;
  readonly client: ClientName;
  readonly outcomes: readonly (Omit<Outcome, "figure"> & { readonly figure?: number | null })[];
}

export function save(file: string, results: readonly Result[]): void {
  const kept = results.map(({ case: of, client, outcomes }) => ({ case: nameOf(of), client, outcomes }));
  writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`);
}

/** Reads several files; of a case and client in more than one, all runs count. */
export function load(files: readonly string[]): readonly Result[] {
  const results = new Map<string, Result & { outcomes: Outcome[] }>();
  for (const { case: name, client, outcomes } of files.flatMap((f) => JSON.parse(readFileSync(f, "utf8")) as Kept[])) {
    const [of] = casesOf([name]);
    if (!of) continue;
    const key = `${client} ${name}`;
    const result = results.get(key) ?? { case: of, client, outcomes: [] };
    results.set(key, result);
    for (const outcome of outcomes) {
      result.outcomes.push({ ...outcome, figure: outcome.figure === null ? Infinity : outcome.figure });
    }
  }
  return [...results.values()];
}
