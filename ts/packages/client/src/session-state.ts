/**
 * What a reader holds of one session, as a pure function of the frames that came: no clock, no socket.
 *
 *     asked ──> pending ──sub──> catching-up ──live──> live
 *                  ^                  │ hole             │ hole: ask again with the cursor
 *                  └──────────────────┴──────────────────┘
 *
 * Each frame names the positions that it covers, so a repeat is recognised and skipped and a hole is never passed over,
 * however the log was cut into frames and connections.
 */
import { type Entry, entryOf, grown, type RunEntry, type StateEntry, stopFrom, stopTold } from "./entry.ts";
import { HoldfastError } from "./errors.ts";
import {
  type Cursor,
  type EndFrame,
  type EntryFrame,
  type FragFrame,
  MAX_CURSOR_RUNS,
  type Outcome,
  type RunFrame,
  type SessionFrame,
  type SubFrame,
} from "./wire.ts";

export type Phase = "pending" | "catching-up" | "live" | "denied";

export interface SessionState {
  readonly phase: Phase;
  /** How the latest subscription was answered. */
  readonly outcome?: Outcome | undefined;
  /** Why the session is denied. */
  readonly refusal?: HoldfastError | undefined;

  /** The position: everything up to `have` has been applied. Without a tag it cannot serve as a cursor. */
  readonly epoch: string;
  readonly have: number;
  readonly tag?: number | undefined;

  /** The window: from `first` on nothing is missing; `more` entries stand before it. */
  readonly first: number;
  readonly more: boolean;

  /** Sorted by offset. Of states the latest of each key. Open runs and states may stand before `first`. */
  readonly entries: readonly Entry[];
  readonly states: ReadonlyMap<string, StateEntry>;

  /**
   * Whether a subscription is unanswered. What comes meanwhile belongs to an older one and is skipped. There is no more to know
   * than that: a server answers the latest one, and those before it only if it had done so before the next one came.
   */
  readonly asked: boolean;
  /** How many holes were found since the session was last live. */
  readonly holes: number;
}

export interface Applied {
  readonly state: SessionState;
  /** There is a hole: subscribe again, with `subscription(state)`, and call `asked`. */
  readonly resubscribe: boolean;
  /** The messages that were added at the end, for matching own sends. */
  readonly added: readonly Entry[];
}

/** After so many holes without ever being live, the server is at fault and asking again would loop. */
const MAX_HOLES = 5;

export const UNREAD: SessionState = {
  phase: "pending",
  epoch: "",
  have: 0,
  first: 1,
  more: false,
  entries: [],
  states: new Map(),
  asked: false,
  holes: 0,
};

/** The state once a subscription has been sent. */
export function asked(state: SessionState): SessionState {
  return { ...state, phase: "pending", asked: true };
}

/** The state once the connection is gone: what is held stays, nothing is awaited any more. */
export function cut(state: SessionState): SessionState {
  return { ...state, phase: "pending", asked: false, holes: 0 };
}

/** Where to go on reading, or undefined if the state has no place that the server would know. */
export function cursorOf({ entries, epoch, have, tag }: SessionState): Cursor | undefined {
  if (tag === undefined || (have === 0 && epoch !== "")) return undefined;
  const open = entries.filter((e): e is RunEntry => e.kind === "run" && e.status === "open");
  if (open.length > MAX_CURSOR_RUNS) return undefined;
  const runs = open.map((run) => [run.offset, run.fragments, run.chain] as const);
  return { e: epoch, o: have, g: tag, r: runs.length ? runs : undefined };
}

export function apply(state: SessionState, frames: readonly SessionFrame[]): Applied {
  const draft = new Draft(state);
  for (const frame of frames) draft.take(frame);
  return draft;
}

/** One application of frames: copies what it changes once, not once a frame. */
class Draft implements Applied {
  readonly #before: SessionState;
  readonly state: { -readonly [K in keyof SessionState]: SessionState[K] };
  resubscribe = false;
  readonly added: Entry[] = [];

  constructor(before: SessionState) {
    this.#before = before;
    this.state = { ...before };
  }

  take(frame: SessionFrame): void {
    const { state } = this;
    if (frame.t === "sub") return this.#answered(frame);
    if (state.phase === "denied" || state.phase === "pending") return;
    switch (frame.t) {
      case "entry":
      case "run":
        return frame.o > state.have ? this.#entry(frame) : this.#restated(frame);
      case "frag":
      case "end":
        return this.#progress(frame);
      case "live":
        if (frame.o > state.have) return this.#foundHole();
        state.phase = "live";
        state.holes = 0;
    }
  }

  #answered({ outcome, e: epoch = "", from = 1, more = false, code = "forbidden", msg = "" }: SubFrame): void {
    const { state } = this;
    state.asked = false;
    state.outcome = outcome;
    if (outcome === "denied") {
      state.phase = outcome;
      state.refusal = new HoldfastError(code, msg);
      return;
    }
    state.phase = "catching-up";
    state.refusal = undefined;
    state.epoch = epoch;
    if (outcome === "continuous" && state.tag !== undefined) {
      if (from > state.have + 1) this.#foundHole();
      return;
    }
    state.have = from - 1;
    state.tag = from === 1 ? 0 : undefined;
    state.first = from;
    state.more = more;
    state.entries = [];
    state.states = new Map();
  }

  #entry(frame: EntryFrame | RunFrame): void {
    const { state } = this;
    const { o, f = o, g, e = state.epoch } = frame;
    if (f > state.have + 1 || (state.epoch && e !== state.epoch)) return this.#foundHole();
    const entry = entryOf(frame);
    if (entry) this.#put(entry);
    if (entry?.kind === "message") this.added.push(entry);
    this.#stopped(entry);
    state.have = o;
    state.tag = g;
    state.epoch = e;
  }

  /** What an event says of a run's stop stands in the run too. That may know of the outcome already. */
  #stopped(entry: Entry | undefined): void {
    const stop = stopTold(entry);
    const run = stop?.run && this.#run(stop.run);
    if (run && !(run.stop && stop.state === "requested")) this.#put({ ...run, stop: stopFrom(stop) });
  }

  /** An entry at or before the position is a repeat, but for what matters before the window, and runs that grew. */
  #restated(frame: EntryFrame | RunFrame): void {
    const { entries, states, first } = this.state;
    const entry = entryOf(frame);
    if (!entry) return;
    const { offset } = entry;
    const run = this.#run(offset);
    if (entry.kind === "run" && run) {
      const ended = entry.fragments === run.fragments && run.status === "open";
      if (ended || entry.fragments > run.fragments) this.#put(entry);
    } else if (offset < first && entries[indexOf(entries, offset)]?.offset !== offset) {
      const latest = entry.kind === "state" ? states.get(entry.key) : undefined;
      if (!latest || latest.offset < offset) this.#put(entry);
    }
  }

  /** More of a run, or its end. */
  #progress(frame: FragFrame | EndFrame): void {
    const { o, n, h } = frame;
    const run = this.#run(o);
    if (!run) return o > this.state.have ? this.#foundHole() : undefined;
    const open = run.status === "open";
    if (frame.t === "frag") {
      if (n <= run.fragments) return;
      if (!open || n - (frame.m ?? 1) !== run.fragments) return this.#foundHole();
      this.#put(grown(run, [frame], n, h));
    } else if (open) {
      // The tag is over all fragments: equal, the text is what the producer wrote.
      if (n !== run.fragments || h !== run.chain) return this.#foundHole();
      this.#put({ ...run, status: frame.status, end: frame.data });
    }
  }

  /** A second hole without having been live means that the cursor itself does not fit: begin anew without it. */
  #foundHole(): void {
    const { state } = this;
    if (state.holes === MAX_HOLES) {
      state.phase = "denied";
      state.refusal = new HoldfastError("internal", "there are holes");
      return;
    }
    this.resubscribe = true;
    state.phase = "pending";
    if (state.holes++) state.tag = undefined;
  }

  #put(entry: Entry): void {
    const { state } = this;
    const entries = state.entries === this.#before.entries ? [...state.entries] : (state.entries as Entry[]);
    state.entries = entries;
    if (entry.kind === "state") {
      const older = state.states.get(entry.key);
      if (older) entries.splice(indexOf(entries, older.offset), 1);
      const states = state.states === this.#before.states ? new Map(state.states) : state.states;
      state.states = (states as Map<string, StateEntry>).set(entry.key, entry);
    }
    const i = indexOf(entries, entry.offset);
    entries.splice(i, entries[i]?.offset === entry.offset ? 1 : 0, entry);
  }

  #run(offset: number): RunEntry | undefined {
    const { entries } = this.state;
    const entry = entries[indexOf(entries, offset)];
    return entry?.kind === "run" && entry.offset === offset ? entry : undefined;
  }
}

/** The index of the entry at the offset, or where it would stand. From the end: mostly it is there. */
function indexOf(entries: readonly Entry[], offset: number): number {
  let i = entries.length;
  while ((entries[i - 1]?.offset ?? -1) >= offset) i--;
  return i;
}
