import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Cursors } from "../../src/fallback/cursors.ts";
import { apply, asked, cursorOf, UNREAD } from "../../src/session-state.ts";
import type { SessionFrame } from "../../src/wire.ts";
import { happening, RandomLog } from "../random-log.ts";

describe("the cursors of a pipe", () => {
  it("are those of the sessions above it, whatever came", () => {
    fc.assert(
      fc.property(
        fc.array(happening, { maxLength: 50, size: "max" }),
        fc.nat(50),
        fc.nat(9),
        (happenings, again, last) => {
          const cursors = new Cursors();
          let state = UNREAD;
          const take = (frame: SessionFrame) => {
            cursors.take(frame);
            state = apply(state, [frame]).state;
          };
          const world = new RandomLog(take);
          const ask = () => {
            state = asked(state);
            const cur = cursorOf(state);
            cursors.ask({ s: "chat", last, ...(cur && { cur }) });
            for (const frame of world.log.answer(last, cur)) take(frame as SessionFrame);
          };
          for (const [i, h] of happenings.entries()) {
            // A session that is open reads on; before that, frames are nobody's.
            if (i === again) ask();
            world.happen(h);
            const cur = cursorOf(state);
            if (i >= again) expect(cursors.list()).toEqual([{ s: "chat", last, ...(cur && { cur }) }]);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it("begin anew with a snapshot, and know nothing of what is denied or was left", () => {
    const cursors = new Cursors();
    cursors.ask({ s: "a", cur: { e: "e1", o: 5, g: 35, r: [[2, 1, 9]] } });
    cursors.ask({ s: "b" });
    cursors.take({ t: "sub", s: "a", outcome: "lost", e: "e2", from: 3 });
    cursors.take({ t: "sub", s: "b", outcome: "denied", code: "forbidden" });
    expect(cursors.list()).toEqual([{ s: "a" }, { s: "b" }]);
    cursors.take({ t: "entry", s: "a", o: 3, g: 21, k: "message", at: 1 });
    cursors.forget("b");
    expect(cursors.list()).toEqual([{ s: "a", cur: { e: "e2", o: 3, g: 21 } }]);
  });

  it("stand beside what was wished for, of which an act counts once", () => {
    const cursors = new Cursors();
    cursors.ask({ s: "a", last: 5, rollup: 100, act: "open", watch: true });
    expect(cursors.list()).toEqual([{ s: "a", last: 5, rollup: 100, act: "open", watch: true }]);
    cursors.take({ t: "sub", s: "a", outcome: "continuous", e: "e1", from: 1 });
    expect(cursors.list()).toEqual([{ s: "a", last: 5, rollup: 100, watch: true }]);
  });
});
