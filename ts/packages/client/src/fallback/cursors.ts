import type { Act, ServerFrame, SubItem } from "../wire.ts";

interface Reading {
  /** What goes with all requests, and with the next one only. */
  readonly wish: Omit<SubItem, "s" | "cur" | "act">;
  act: Act | undefined;
  epoch: string;
  have: number;
  /** Without one there is no cursor yet. */
  tag: number | undefined;
  /** The open runs: how many fragments have come, and the tag over them. */
  runs: Map<number, readonly [fragment: number, chain: number]>;
}

/**
 * How far each session has come on a pipe, read off the frames that pass. Every request names it anew, so that the next one
 * goes on exactly where the last one was cut. The sessions above hold the same positions: they were given the same frames.
 */
export class Cursors {
  readonly #all = new Map<string, Reading>();

  /** A session is asked for: where it stands is what the asker says. */
  ask({ s, cur, act, ...wish }: SubItem): void {
    const runs = new Map((cur?.r ?? []).map(([o, n, h]) => [o, [n, h] as const]));
    this.#all.set(s, { wish, act, epoch: cur?.e ?? "", have: cur?.o ?? 0, tag: cur?.g, runs });
  }

  forget(session: string): void {
    this.#all.delete(session);
  }

  list(): SubItem[] {
    return [...this.#all].map(([s, { wish, act, epoch, have, tag, runs }]) => {
      const r = [...runs].map(([o, [n, h]]) => [o, n, h] as const);
      // As in session-state.ts: nothing of a log that has an epoch cannot be named.
      const known = tag !== undefined && (have > 0 || epoch === "");
      const cur = known && { cur: { e: epoch, o: have, g: tag, ...(r.length && { r }) } };
      return { s, ...wish, ...cur, ...(act && { act }) };
    });
  }

  take(frame: ServerFrame): void {
    const at = "s" in frame && frame.s !== undefined ? this.#all.get(frame.s) : undefined;
    if (!at) return;
    switch (frame.t) {
      case "sub": {
        const { outcome, e = "", from = 1 } = frame;
        at.act = undefined;
        if (outcome === "denied") return;
        at.epoch = e;
        if (outcome === "continuous" && at.tag !== undefined) return;
        at.have = from - 1;
        at.tag = from === 1 ? 0 : undefined;
        return at.runs.clear();
      }
      case "entry":
      case "run":
        if (frame.t === "run") this.#run(at, frame.o, frame.n, frame.h, frame.status === "open");
        if (frame.o <= at.have) return;
        at.have = frame.o;
        at.tag = frame.g;
        at.epoch = frame.e ?? at.epoch;
        return;
      case "frag":
        return this.#run(at, frame.o, frame.n, frame.h, at.runs.has(frame.o));
      case "end":
        at.runs.delete(frame.o);
    }
  }

  #run(at: Reading, o: number, n: number, h: number, open: boolean): void {
    if (!open) at.runs.delete(o);
    else if (n >= (at.runs.get(o)?.[0] ?? 0)) at.runs.set(o, [n, h]);
  }
}
