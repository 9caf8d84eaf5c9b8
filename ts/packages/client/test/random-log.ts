import fc from "fast-check";
import type { SessionFrame } from "../src/wire.ts";
import { FakeLog } from "./fake-server.ts";

/** What may happen to a log, for tests that make up its life. */
export const happening = fc.oneof(
  fc.constant({ what: "message" } as const),
  fc.constant({ what: "unknown" } as const),
  fc.record({ what: fc.constant("state" as const), key: fc.constantFrom("a", "b") }),
  fc.constant({ what: "open" } as const),
  fc.record({ what: fc.constant("grow" as const), which: fc.nat(3), event: fc.boolean() }),
  fc.record({ what: fc.constant("end" as const), which: fc.nat(3) }),
);

export type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

/** A log that things happen to; all frames that come of it go to `on`. */
export class RandomLog {
  readonly log = new FakeLog("chat");
  readonly #runs: number[] = [];
  #count = 0;

  constructor(on: (frame: SessionFrame) => void) {
    this.log.onFrame.add(on);
  }

  happen(h: Happening): void {
    const n = ++this.#count;
    switch (h.what) {
      case "message":
        return void this.log.append("message", n, { id: `id${n}`, u: "anna", c: "c1" });
      case "unknown":
        return void this.log.append("what is this", n);
      case "state":
        return void this.log.append("state", n, { key: h.key });
      case "open":
        return void this.#runs.push(this.log.openRun());
      case "grow": {
        const run = this.#runs[h.which];
        if (run !== undefined) this.log.grow(run, h.event ? { p: "e", v: n } : { p: "", d: `${n} ` });
        return;
      }
      case "end": {
        const run = this.#runs.splice(h.which, 1)[0];
        if (run !== undefined) this.log.end(run, "complete", { n });
      }
    }
  }
}
