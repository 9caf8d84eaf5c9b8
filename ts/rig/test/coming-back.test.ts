import { describe, expect, it } from "vitest";
import { casesOf, nameOf, pending, percentile, runAll } from "../runner.ts";
import { ms } from "../table.ts";

/**
 * The matrix measures, on a calm machine. This only guards, on whatever machine it runs: no case may need a timer to end,
 * as a beat, a dial's limit or a penance, of which the shortest is longer than this.
 */
const LIMIT = 2_000;
/** A machine that is late with its answer makes the client dial once more than on a calm one, which is as it should be. */
const hurried = (fault: string) => /^\d+ dials, allowed/.test(fault);

const cases = casesOf(["1", "3", "5", "12", "28"]).filter((of) => !pending(of));

describe("coming back", () => {
  it.each(cases.map((of) => [nameOf(of), of.title, of] as const))("case %s: %s", async (_name, _title, of) => {
    const [result] = await runAll([{ case: of, client: "ours", n: 2 }], 2);
    if (!result) throw new Error("it did not run");
    expect(result.outcomes.flatMap(({ faults }) => faults).filter((fault) => !hurried(fault))).toEqual([]);
    const slowest = percentile(result, 100) ?? Infinity;
    expect(slowest, `case ${nameOf(of)} took ${ms(slowest)} ms`).toBeLessThan(LIMIT);
  });
});
