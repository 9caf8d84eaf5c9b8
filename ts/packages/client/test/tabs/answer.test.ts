import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply, asked, cursorOf, type SessionState, UNREAD } from "../../src/session-state.ts";
import { HoldfastError } from "../../src/errors.ts";
import { answer } from "../../src/tabs/answer.ts";
import type { SessionFrame } from "../../src/wire.ts";
import { happening, RandomLog } from "../random-log.ts";

const read = (state: SessionState, frames: readonly SessionFrame[]) => apply(state, frames).state;

/** A holder and a log that tells it all that happens. */
function holder() {
  const tags = new Map<number, number>();
  const held = { state: UNREAD, tags };
  const take = (frame: SessionFrame) => {
    if (frame.t === "entry" || frame.t === "run") tags.set(frame.o, frame.g);
    held.state = read(held.state, [frame]);
  };
  const world = new RandomLog(take);
  const ask = (last?: number) => {
    held.state = asked(held.state);
    for (const frame of world.log.answer(last, cursorOf(held.state))) take(frame as SessionFrame);
  };
  return { held, world, ask };
}

/** What is shown, without what only places it. */
const shown = ({ entries, states, epoch, have, tag, phase }: SessionState) => ({
  entries,
  states: [...states].sort(),
  epoch,
  have,
  tag,
  phase,
});

describe("a leader's answer", () => {
  it("brings every reader exactly to where it is itself, to the fragment", () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 40, size: "max" }), fc.nat(40), (happenings, away) => {
        const { held, world, ask } = holder();
        ask(1_000);
        let reader = UNREAD;
        for (const [i, h] of happenings.entries()) {
          if (i === away) reader = read(asked(reader), frames(answer(held, { s: "chat", last: 1_000 }, false)));
          world.happen(h);
        }
        const cur = cursorOf(reader);
        const sub = { s: "chat", last: 1_000, ...(cur && { cur }) };
        reader = read(asked(reader), frames(answer(held, sub, false)));
        expect(shown(reader)).toEqual(shown(held.state));
        // And every frame after that fits both.
        let behind = false;
        world.log.onFrame.add((frame) => {
          const { state, resubscribe } = apply(reader, [frame]);
          reader = state;
          behind ||= resubscribe;
        });
        for (const h of happenings) world.happen(h);
        expect(behind).toBe(false);
        expect(shown(reader)).toEqual(shown(held.state));
      }),
      { numRuns: 300 },
    );
  });

  it("is continuous for whoever read a part of it, however little", () => {
    const { held, world, ask } = holder();
    ask(1_000);
    for (let i = 0; i < 9; i++) world.happen({ what: "message" });
    const [first] = frames(answer(held, { s: "chat", cur: { e: "epoch00001", o: 4, g: 28 } }, false));
    expect(first).toMatchObject({ outcome: "continuous", from: 5, head: 9 });
  });

  it("does not take another log's entry for its own", () => {
    const { held, world, ask } = holder();
    ask(1_000);
    for (let i = 0; i < 9; i++) world.happen({ what: "message" });
    const [other] = frames(answer(held, { s: "chat", cur: { e: "epoch00001", o: 4, g: 29 } }, false));
    expect(other).toMatchObject({ outcome: "snapshot", from: 1 });
    const [lost] = frames(answer(held, { s: "chat", cur: { e: "another", o: 4, g: 28 } }, false));
    expect(lost).toMatchObject({ outcome: "lost", from: 1 });
  });

  it("waits for a reader that is ahead, and gives it a snapshot when it stays so", () => {
    const { held, world, ask } = holder();
    ask();
    world.happen({ what: "open" });
    world.happen({ what: "grow", which: 0, event: false });
    const ahead = { s: "chat", cur: { e: "epoch00001", o: 2, g: 14 } };
    const further = { s: "chat", cur: { e: "epoch00001", o: 1, g: 7, r: [[1, 5, 99]] as const } };
    for (const sub of [ahead, further]) {
      expect(answer(held, sub, false)).toBe("later");
      expect(frames(answer(held, sub, true))[0]).toMatchObject({ outcome: "snapshot" });
    }
  });

  it("asks for what it does not hold, and makes the best of it where there is no more", () => {
    const { held, world, ask } = holder();
    for (let i = 0; i < 30; i++) world.happen({ what: "message" });
    ask(10);
    expect(answer(held, { s: "chat", last: 11 }, false)).toBe("older");
    expect(answer(held, { s: "chat", cur: { e: "epoch00001", o: 19, g: 133 } }, false)).toBe("older");
    expect(frames(answer(held, { s: "chat", cur: { e: "epoch00001", o: 20, g: 140 } }, false)).length).toBe(12);
    const [forced] = frames(answer(held, { s: "chat", last: 11 }, true));
    expect(forced).toMatchObject({ outcome: "snapshot", from: 21, more: true });
    const [few] = frames(answer(held, { s: "chat", last: 3 }, false));
    expect(few).toMatchObject({ from: 28, more: true });
  });

  it("has the open runs and the states that stand before the rest", () => {
    const { held, world, ask } = holder();
    ask(1_000);
    world.happen({ what: "open" });
    world.happen({ what: "state", key: "a" });
    world.happen({ what: "open" });
    world.happen({ what: "end", which: 1 });
    for (let i = 0; i < 20; i++) world.happen({ what: "message" });
    const given = frames(answer(held, { s: "chat", last: 2 }, false));
    expect(given.map((frame) => ("o" in frame ? `${frame.t} ${frame.o}` : frame.t))).toEqual([
      "sub",
      "run 1",
      "entry 2",
      "entry 22",
      "entry 23",
      "live 23",
    ]);
  });

  it("is the server's own where that denies", () => {
    const state: SessionState = { ...UNREAD, phase: "denied", refusal: new HoldfastError("forbidden", "not yours") };
    expect(answer({ state, tags: new Map() }, { s: "chat" }, false)).toEqual([
      { t: "sub", s: "chat", outcome: "denied", code: "forbidden", msg: "not yours" },
    ]);
  });
});

function frames(given: readonly SessionFrame[] | string): readonly SessionFrame[] {
  if (typeof given === "string") throw new Error(`the answer is "${given}"`);
  // As they would come through a channel.
  return JSON.parse(JSON.stringify(given)) as SessionFrame[];
}
