import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entry } from "../src/entry.ts";
import { withPage } from "../src/older.ts";
import { apply, asked, cursorOf, cut, type SessionState, UNREAD } from "../src/session-state.ts";
import type { Cursor, ServerFrame, SessionFrame } from "../src/wire.ts";
import { FakeLog } from "./fake-server.ts";

const S = "s";
const sub = (more: Partial<Extract<SessionFrame, { t: "sub" }>>): SessionFrame => ({
  t: "sub",
  s: S,
  outcome: "continuous",
  e: "e1",
  from: 1,
  head: 0,
  ...more,
});
const message = (o: number, more: object = {}): SessionFrame => ({
  t: "entry",
  s: S,
  o,
  g: o * 7,
  k: "message",
  at: o,
  data: o,
  ...more,
});
const live = (o: number): SessionFrame => ({ t: "live", s: S, o });
const run = (o: number, n: number, more: object = {}): SessionFrame => ({
  t: "run",
  s: S,
  o,
  g: o * 7,
  at: o,
  status: "open",
  n,
  h: n,
  body: n ? [{ d: "x".repeat(n) }] : [],
  ...more,
});
const frag = (o: number, n: number, d: string, m = 1): SessionFrame => ({ t: "frag", s: S, o, n, m, h: n, d });
const offsets = (state: SessionState) => state.entries.map((e) => e.offset);

function after(...frames: SessionFrame[]): SessionState {
  return apply(asked(UNREAD), frames).state;
}

describe("positions", () => {
  it("takes a log from its beginning", () => {
    const state = after(sub({ head: 2 }), message(1, { e: "e1" }), message(2), live(2));
    expect(state).toMatchObject({ phase: "live", have: 2, tag: 14, epoch: "e1", more: false });
    expect(cursorOf(state)).toEqual({ e: "e1", o: 2, g: 14 });
  });

  it("gives an unwritten session a cursor, and learns the epoch from its first entry", () => {
    const empty = after(sub({ e: "" }), live(0));
    expect(cursorOf(empty)).toEqual({ e: "", o: 0, g: 0 });
    expect(apply(empty, [message(1, { e: "e9" })]).state).toMatchObject({ epoch: "e9", have: 1, phase: "live" });
  });

  it("skips repeats", () => {
    const state = after(sub({ head: 2 }), message(1), message(2), live(2));
    const again = apply(state, [message(1, { data: "other" }), message(2, { data: "other" })]);
    expect(again.state.entries).toEqual(state.entries);
    expect(again.resubscribe).toBe(false);
  });

  it("takes an entry that covers compacted ones", () => {
    const state = after(sub({ head: 5 }), message(1), message(5, { f: 2 }), live(5));
    expect(state).toMatchObject({ phase: "live", have: 5 });
  });

  it.each([
    ["an entry after a gap", message(5)],
    ["a fragment of an unknown run", frag(4, 1, "x")],
    ["a fragment after a gap", frag(3, 4, "x")],
    ["a fragment that overlaps", frag(3, 3, "xx", 2)],
    ["live beyond what came", live(4)],
    ["an entry of another log", message(4, { e: "e2" })],
    ["an end after a gap", { t: "end", s: S, o: 3, n: 3, h: 3, status: "complete", at: 1 } as const],
    ["an end of another text", { t: "end", s: S, o: 3, n: 2, h: 99, status: "complete", at: 1 } as const],
  ])("%s is a hole: nothing is applied until the answer", (_, hole) => {
    const state = after(sub({ head: 3 }), message(1), message(2), run(3, 2), live(3));
    expect(state.phase).toBe("live");
    const { state: holed, resubscribe } = apply(state, [hole, message(state.have + 1)]);
    expect(resubscribe).toBe(true);
    expect(holed).toMatchObject({ phase: "pending", have: state.have });
    expect(cursorOf(holed)).toEqual(cursorOf(state));
    const answered = apply(asked(holed), [
      message(state.have + 1),
      sub({ from: state.have + 1 }),
      message(state.have + 1),
    ]);
    expect(answered.state.have).toBe(state.have + 1);
  });

  it("a message, an event and a word of a run cost no look at all that is held", () => {
    const held = after(sub({ head: 3 }), ...Array.from({ length: 1_000 }, (_, i) => message(i + 1)), live(1_000));
    let looks = 0;
    const entries = held.entries.map((entry) => ({
      ...entry,
      get offset() {
        looks++;
        return entry.offset;
      },
    }));
    const told = { k: "event", data: { stop: null } };
    const more = [message(1_001), message(1_002, told), run(1_003, 1), frag(1_003, 2, "y"), message(1_004)];
    expect(apply({ ...held, entries }, more).state).toMatchObject({ phase: "live", have: 1_004 });
    expect(looks).toBeLessThan(20);
  });

  it("asks without a cursor after a second hole, and gives up on a server that never fits", () => {
    let state = after(sub({}), message(1), live(1));
    const cursors: (Cursor | undefined)[] = [];
    let asks = 0;
    for (
      let next = apply(state, [message(9)]);
      next.resubscribe;
      next = apply(asked(state), [sub({ from: 1 }), message(9)])
    ) {
      state = next.state;
      cursors.push(cursorOf(state));
      asks++;
    }
    expect(asks).toBe(5);
    expect(cursors[0]).toBeDefined();
    expect(cursors[1]).toBeUndefined();
    state = apply(asked(state), [sub({ from: 1 }), message(9)]).state;
    expect(state).toMatchObject({ phase: "denied", refusal: { code: "internal" } });
    expect(cut(state)).toMatchObject({ phase: "pending", holes: 0 });
  });
});

describe("answers", () => {
  it("snapshot drops what was held, and takes runs and states from before the window", () => {
    const state = after(sub({ head: 2 }), message(1), message(2), live(2));
    const next = apply(state, [
      sub({ outcome: "snapshot", from: 10, head: 11, more: true }),
      message(4, { k: "state", key: "progress" }),
      run(5, 3),
      message(10),
      message(11),
      live(11),
    ]).state;
    expect(offsets(next)).toEqual([4, 5, 10, 11]);
    expect(next).toMatchObject({ phase: "live", outcome: "snapshot", first: 10, more: true });
    expect(next.states.get("progress")?.offset).toBe(4);
    expect(cursorOf(next)).toEqual({ e: "e1", o: 11, g: 77, r: [[5, 3, 3]] });
  });

  it("lost begins another log", () => {
    const state = after(sub({ head: 1 }), message(1), live(1));
    const next = apply(state, [sub({ outcome: "lost", e: "e2", from: 1 }), message(1, { e: "e2", data: "new" })]).state;
    expect(next).toMatchObject({ epoch: "e2", outcome: "lost" });
    expect(next.entries[0]?.data).toBe("new");
  });

  it("a snapshot that was cut before its first entry is no place to go on from", () => {
    const state = cut(after(sub({ outcome: "snapshot", from: 10, head: 11 }), run(5, 3)));
    expect(cursorOf(state)).toBeUndefined();
  });

  it("denied keeps what was held and takes nothing more", () => {
    const state = after(sub({ head: 1 }), message(1), live(1));
    const next = apply(asked(state), [sub({ outcome: "denied", code: "forbidden", msg: "no" }), message(2)]).state;
    expect(next).toMatchObject({ phase: "denied", refusal: { code: "forbidden", message: "no" }, have: 1 });
  });

  it("each of several answers counts, also where the server left out those it had no time for", () => {
    const state = asked(after(sub({ head: 1 }), message(1), live(1)));
    const first = apply(asked(state), [message(2), sub({ from: 2 }), message(2), live(2)]).state;
    expect(first).toMatchObject({ phase: "live", have: 2, asked: false });
    expect(apply(first, [sub({ from: 2 }), message(2), message(3), live(3)]).state).toMatchObject({
      phase: "live",
      have: 3,
    });
  });
});

describe("runs", () => {
  it("grow by parts, events and merged fragments, and end once", () => {
    const state = after(
      sub({ head: 1 }),
      run(1, 0),
      { ...frag(1, 1, "Hm."), p: "reasoning" } as SessionFrame,
      frag(1, 3, "Hel", 2),
      frag(1, 4, "lo"),
      { t: "frag", s: S, o: 1, n: 5, h: 5, p: "tool", v: null },
      { t: "end", s: S, o: 1, n: 5, h: 5, status: "complete", at: 9, data: { tokens: 3 } },
      { t: "end", s: S, o: 1, n: 5, h: 5, status: "failed", at: 9 },
      frag(1, 5, "again"),
    );
    expect(state.entries[0]).toMatchObject({
      status: "complete",
      text: "Hello",
      parts: { reasoning: "Hm.", "": "Hello" },
      body: [
        { part: "reasoning", text: "Hm." },
        { part: "", text: "Hello" },
        { part: "tool", event: null },
      ],
      end: { tokens: 3 },
    });
  });

  it("a part may have any name", () => {
    const state = after(sub({}), run(1, 0), { ...frag(1, 1, "x"), p: "constructor" } as SessionFrame);
    expect((state.entries[0] as Extract<Entry, { kind: "run" }>).parts["constructor"]).toBe("x");
  });

  it("skip fragments that come again, without asking", () => {
    const state = after(sub({ head: 1 }), run(1, 2), frag(1, 3, "y"), live(1));
    const again = apply(state, [frag(1, 2, "x"), frag(1, 3, "xy", 2), frag(1, 3, "y")]);
    expect(again.resubscribe).toBe(false);
    expect(again.state.entries).toEqual(state.entries);
  });

  it("told anew, the fuller form counts", () => {
    const state = after(sub({ head: 1 }), run(1, 2), live(1));
    const ended = apply(state, [run(1, 4, { status: "complete" })]).state;
    expect(ended.entries[0]).toMatchObject({ status: "complete", text: "xxxx" });
    expect(apply(ended, [run(1, 4), run(1, 1)]).state.entries).toEqual(ended.entries);
  });
});

describe("states", () => {
  it("the latest of a key is kept, among the entries too", () => {
    const state = after(
      sub({}),
      message(1, { k: "state", key: "a", data: 1 }),
      message(2, { k: "state", key: "b", data: 2 }),
      message(3, { k: "state", key: "a", data: 3 }),
    );
    expect(offsets(state)).toEqual([2, 3]);
    expect([...state.states].map(([k, e]) => [k, e.data])).toEqual([
      ["a", 3],
      ["b", 2],
    ]);
  });
});

describe("a state from before the window", () => {
  it("that comes again does not push out a later one", () => {
    const old = message(4, { k: "state", key: "a", data: "old" });
    const snapshot = sub({ outcome: "snapshot", from: 10, head: 10, more: true });
    const state = after(snapshot, old, message(10), live(10), message(11, { k: "state", key: "a", data: "new" }));
    const again = apply(state, [old]).state;
    expect(again.states.get("a")?.data).toBe("new");
    expect(offsets(again)).toEqual([10, 11]);
  });
});

describe("pages", () => {
  const windowed = after(
    sub({ outcome: "snapshot", from: 10, head: 10, more: true }),
    message(4, { k: "state", key: "a" }),
    run(5, 3),
    message(10),
    live(10),
  );
  const item = (o: number, more: object = {}) =>
    ({ t: "entry", o, g: o, k: "message", at: o, data: o, ...more }) as const;

  it("are put before, what is held already stays", () => {
    const page = { t: "page", id: "p", s: S, e: "e1", more: true } as const;
    const items = [item(3, { k: "state", key: "a" }), item(7), item(8, { f: 6 })];
    const next = withPage(windowed, { ...page, items }, 10);
    expect(offsets(next)).toEqual([4, 5, 7, 8, 10]);
    expect(next).toMatchObject({ first: 3, more: true });
    const states = [item(8, { k: "state", key: "b", data: "old" }), item(9, { k: "state", key: "b", data: "new" })];
    expect(withPage(windowed, { ...page, items: states }, 10).states.get("b")?.data).toBe("new");
  });

  it("of another time change nothing", () => {
    const page = { t: "page", id: "p", s: S, e: "e1", items: [item(8)] } as const;
    expect(withPage(windowed, page, 9)).toBe(windowed);
    expect(withPage(windowed, { ...page, e: "e2" }, 10)).toBe(windowed);
  });

  it("without items are the end", () => {
    const page = { t: "page", id: "p", s: S, e: "e1", items: [], more: true } as const;
    expect(withPage(windowed, page, 10).more).toBe(false);
  });
});

/** What happens to the log and to its reader. */
type Deed =
  | { readonly do: "message" | "open" | "cut" | "repeat" | "server resubscribes" | "page" }
  | { readonly do: "state"; readonly key: string }
  | { readonly do: "grow"; readonly pick: number; readonly text: string; readonly part: string }
  | { readonly do: "event" | "end"; readonly pick: number }
  | { readonly do: "deliver"; readonly count: number };

const deeds: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({ do: fc.constantFrom("message" as const, "open" as const) }),
  fc.record({ do: fc.constantFrom("cut" as const, "repeat" as const, "server resubscribes" as const) }),
  fc.record({ do: fc.constant("state" as const), key: fc.constantFrom("a", "b") }),
  fc.record({
    do: fc.constant("grow" as const),
    pick: fc.nat(5),
    text: fc.string({ minLength: 1, maxLength: 3 }),
    part: fc.constantFrom("", "", "reasoning"),
  }),
  fc.record({ do: fc.constantFrom("event" as const, "end" as const), pick: fc.nat(5) }),
  fc.record({ do: fc.constant("deliver" as const), count: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ do: fc.constant("deliver" as const), count: fc.integer({ min: 1, max: 3 }) }),
);

/** A reader behind a line that delivers when told to, in order, and may be cut with frames under way. */
class Reader {
  state = UNREAD;
  readonly log: FakeLog;
  #line: SessionFrame[] = [];
  readonly #last: SessionFrame[] = [];

  constructor(log: FakeLog) {
    this.log = log;
    log.onFrame.add((frame) => this.#line.push(frame));
    this.ask();
  }

  ask(): void {
    const cursor = cursorOf(this.state);
    this.state = asked(this.state);
    this.#push(this.log.answer(1000, cursor));
  }

  cut(): void {
    this.#line = [];
    this.state = cut(this.state);
    this.ask();
  }

  /** The line brings once more what it brought before: a correct server does not, and it must not matter. */
  repeat(): void {
    this.#line.unshift(...this.#last.filter((f) => f.t !== "sub" && f.t !== "live"));
  }

  deliver(count: number): void {
    const frames = this.#line.splice(0, count);
    this.#last.splice(0, this.#last.length, ...frames);
    const { state, resubscribe } = apply(this.state, frames);
    this.state = state;
    // The old frames are still on the line, before the answer.
    if (resubscribe) this.ask();
  }

  drain(): void {
    for (let i = 0; this.#line.length && i < 100; i++) this.deliver(this.#line.length);
  }

  #push(frames: readonly ServerFrame[]): void {
    this.#line.push(...(frames as SessionFrame[]));
  }
}

function perform(deed: Deed, log: FakeLog, reader: Reader): void {
  const open = log.entries.filter((e) => e.run?.status === "open").map((e) => e.item.o);
  const picked = "pick" in deed ? open[deed.pick % Math.max(1, open.length)] : undefined;
  switch (deed.do) {
    case "message":
      return void log.append("message", { n: log.head });
    case "open":
      return void log.openRun();
    case "state":
      return void log.append("state", { n: log.head }, { key: deed.key });
    case "grow":
      return picked === undefined ? undefined : log.grow(picked, { p: deed.part, d: deed.text });
    case "event":
      return picked === undefined ? undefined : log.grow(picked, { p: "tool", v: { n: log.head } });
    case "end":
      return picked === undefined ? undefined : log.end(picked);
    case "cut":
      return reader.cut();
    case "repeat":
      return reader.repeat();
    case "server resubscribes":
      return reader.ask();
    case "deliver":
      return reader.deliver(deed.count);
  }
}

describe("any chopping of a log, with repeats, cuts and resumes", () => {
  it("gives the same entries as reading it in one go", () => {
    fc.assert(
      fc.property(fc.array(deeds, { maxLength: 80 }), (list) => {
        const log = new FakeLog(S);
        const reader = new Reader(log);
        for (const deed of list) perform(deed, log, reader);
        reader.drain();
        const fresh = new Reader(log);
        fresh.drain();
        expect(reader.state.phase).toBe("live");
        expect(reader.state.entries).toEqual(fresh.state.entries);
        expect(reader.state.states).toEqual(fresh.state.states);
        expect(cursorOf(reader.state)).toEqual(cursorOf(fresh.state));
      }),
      { numRuns: 1000 },
    );
  });

  it("never shows an entry that the log does not have, nor text out of order, on the way", () => {
    fc.assert(
      fc.property(fc.array(deeds, { maxLength: 60 }), (list) => {
        const log = new FakeLog(S);
        const reader = new Reader(log);
        for (const deed of list) {
          perform(deed, log, reader);
          for (const entry of reader.state.entries) {
            const truth = log.entries[entry.offset - 1];
            expect(truth?.item.data).toEqual(entry.data);
            if (entry.kind !== "run") continue;
            const text = truth?.run?.fragments.map((f) => ("d" in f && f.p === "" ? f.d : "")).join("");
            expect(text?.startsWith(entry.text)).toBe(true);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
