import { describe, expect, it } from "vitest";
import { ms } from "../table.ts";
import { casesOf, nameOf, pending, percentile, runAll } from "../runner.ts";

/** The matrix measures, on a calm machine; this only guards, on whatever machine it runs, and gives it more time. */
const SLACK = 3;

describe("coming back", () => {
  it.each(casesOf(["1", "3", "5", "12", "28"]).filter((of) => !pending(of)))(
    "case $id $variant: $title",
    async (of) => {
      const [result] = await runAll([{ case: of, client: "ours", n: 2 }], 2);
      if (!result) throw new Error("it did not run");
      expect(result.outcomes.flatMap(({ faults }) => faults)).toEqual([]);
      const slowest = percentile(result, 100) ?? Infinity;
      expect(slowest, `case ${nameOf(of)} took ${ms(slowest)} ms`).toBeLessThan((of.target ?? 0) * SLACK);
    },
  );
});
